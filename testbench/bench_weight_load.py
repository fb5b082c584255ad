"""weight_load: bursts, store writes, credits and cycles of random groups for both targets."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb

from model.program import Command
from testbench.axi_agents import UNIT_READ, ReadSlave
from testbench.clocked import Agent, Stall, bench_rng, simulate, value
from testbench.command_source import CommandSource, split

COMMANDS = 12
ROOM_WORDS, ROOM_PARAMS = 24, 8


def random_command(rng: random.Random, lanes: list[int], word_beats: list[int]) -> Command:
    """A run of groups that each fit the store."""
    target = rng.randrange(2)
    param_beats = rng.randrange(1, lanes[target] * ROOM_PARAMS + 1)
    words = rng.randrange(1, 7)
    fields = {
        "address": 0x1000_0000 + 8 * rng.randrange(4096),
        "groups": rng.randrange(1, 5),
        "param_beats": param_beats,
        "group_words": words,
        "param_words": -(-param_beats // lanes[target]),
        "group_beats": param_beats + words * word_beats[target],
        "target": target,
    }
    return Command("weight", rng.randrange(256), rng.randrange(65536), fields)


@dataclass
class Group:
    """One group of a command."""

    command: Command
    address: int
    last: bool


class Stores:
    """Both stores: credits with random releases, writes recorded as (target, kind, index, last)."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut = dut
        self.stall = Stall(rng)
        self.free = [[ROOM_WORDS, ROOM_PARAMS], [ROOM_WORDS, ROOM_PARAMS]]
        self.history: list[list[tuple[int, int]]] = [[], []]  # target: free at each cycle
        self.held: list[list[tuple[int, int]]] = [[], []]
        self.posted = [0, 0]
        self.posts: list[tuple[int, int]] = []  # cycle, target
        self.reserves: list[int] = []
        self.writes: list[tuple[int, int, str, int, int, int]] = []

    def drive(self, _cycle: int) -> None:
        """Inputs of this cycle."""
        for target in range(2):
            self.history[target].append((self.free[target][0], self.free[target][1]))
        words, params = (
            sum(self.free[target][kind] << 16 * target for target in range(2)) for kind in range(2)
        )
        self.dut.free_words_i.value = words
        self.dut.free_params_i.value = params

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        for target in range(2):
            if value(dut.word_we_o) >> target & 1:
                chunk, last = value(dut.word_chunk_o), value(dut.word_last_o)
                self.writes.append((cycle, target, "word", chunk, last, value(dut.data_o)))
            if value(dut.param_we_o) >> target & 1:
                lane, last = value(dut.param_lane_o), value(dut.param_last_o)
                self.writes.append((cycle, target, "param", lane, last, value(dut.data_o)))
            if self.posted[target] and not self.stall(cycle):
                words, params = self.held[target].pop(0)
                self.posted[target] -= 1
                self.free[target][0] += words
                self.free[target][1] += params
            if value(dut.reserve_o) >> target & 1:
                sizes = (value(dut.reserve_words_o), value(dut.reserve_params_o))
                self.held[target].append(sizes)
                self.free[target][0] -= sizes[0]
                self.free[target][1] -= sizes[1]
                self.reserves.append(cycle - 1)  # it passes a register
            if value(dut.post_o) >> target & 1:
                assert value(dut.weight_ready_o)
                assert value(dut.weight_target_o) == target
                self.posted[target] += 1
                self.posts.append((cycle, target))


class Events:
    """Cycle and tags of every event, class of every cycle."""

    KINDS = ("tile_start", "tile_end", "first_beat", "last_beat", "weight_ready")

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.seen: dict[str, list[tuple[int, int, int]]] = {kind: [] for kind in self.KINDS}
        self.classes: list[int] = []

    def drive(self, _cycle: int) -> None:
        """Nothing to drive."""

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        self.classes.append(value(self.dut.class_o))
        for kind in self.KINDS:
            if value(getattr(self.dut, f"{kind}_o")):
                tags = (value(self.dut.event_bundle_o), value(self.dut.event_tile_o))
                self.seen[kind].append((cycle, *tags))


@cocotb.test()
async def groups_reach_their_store(dut: Any) -> None:
    """Every write, every burst, and the cycle of every event."""
    lanes = [int(item) for item in str(cocotb.plusargs["lanes"]).split(",")]
    word_beats = [int(item) for item in str(cocotb.plusargs["word_beats"]).split(",")]
    rng = bench_rng()
    commands = [random_command(rng, lanes, word_beats) for _ in range(COMMANDS)]
    groups = [
        Group(c, c.address + 8 * g * c.group_beats, g == c.groups - 1)
        for c in commands
        for g in range(c.groups)
    ]
    slave, source = ReadSlave(dut, rng, UNIT_READ), CommandSource(dut, rng, commands)
    stores, events = Stores(dut, rng), Events(dut)
    beats = sum(group.command.group_beats for group in groups)
    agents: list[Agent] = [slave, source, stores, events]
    await simulate(dut, agents, lambda: len(stores.writes) == beats)

    bursts = [(burst.address, burst.beats) for burst in slave.bursts]
    assert bursts == split([(group.address, group.command.group_beats) for group in groups])
    wanted = [write for group in groups for write in _writes(group, slave, lanes, word_beats)]
    assert [write[1:] for write in stores.writes] == wanted
    _check_cycles(commands, groups, slave, source, stores, events)


def _writes(
    group: Group, slave: ReadSlave, lanes: list[int], word_beats: list[int]
) -> list[tuple[int, str, int, int, int]]:
    """(target, kind, lane or chunk, last, data) of every beat of a group."""
    command, target = group.command, group.command.target
    result = []
    for i in range(command.group_beats):
        data = slave.word(group.address + 8 * i)
        if i < command.param_beats:
            lane = i % lanes[target]
            last = lane == lanes[target] - 1 or i == command.param_beats - 1
            result.append((target, "param", lane, int(last), data))
        else:
            chunk = (i - command.param_beats) % word_beats[target]
            result.append((target, "word", chunk, int(chunk == word_beats[target] - 1), data))
    return result


def _check_cycles(
    commands: list[Command],
    groups: list[Group],
    slave: ReadSlave,
    source: CommandSource,
    stores: Stores,
    events: Events,
) -> None:
    index = position = 0
    end = -1
    for number, command in enumerate(commands):
        start = max(source.pushed[number] + 1, end + 1)
        tags = (command.bundle, command.tile)
        assert events.seen["tile_start"][number] == (start, *tags)
        assert events.classes[start] == 0
        end = start
        for _ in range(command.groups):
            credit = end + 1
            history = stores.history[command.target]
            while (
                history[credit][0] < command.group_words or history[credit][1] < command.param_words
            ):
                assert events.classes[credit] == 2
                credit += 1
            assert stores.reserves[index] == credit
            first = slave.beats[position][0]
            position += command.group_beats
            end = slave.beats[position - 1][0]
            assert events.seen["first_beat"][index] == (first, *tags)
            assert events.seen["last_beat"][index] == (end, *tags)
            assert events.seen["weight_ready"][index] == (end, *tags)
            assert stores.posts[index] == (end, command.target)
            waits = end - credit - command.group_beats
            assert events.classes[credit : end + 1].count(3) == waits
            index += 1
        assert events.seen["tile_end"][number] == (end, *tags)
    if slave.ar_stall.mode == "none":  # CREDIT, SEGMENT, CALC, REQ
        accepted = iter(slave.bursts)
        for group, credit in zip(groups, stores.reserves, strict=True):
            assert next(accepted).accepted == credit + 3
            for _ in split([(group.address, group.command.group_beats)])[1:]:
                next(accepted)
