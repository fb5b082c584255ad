"""feature_store: memory contents, bursts and cycles of random tiles."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from model.program import Command
from model.program_writer import RUN_BACK_MASK
from testbench.axi_agents import WriteSlave
from testbench.clocked import Agent, Stall, bench_rng, simulate, value
from testbench.command_source import CommandSource, split

TILES = 10
BANKS = 2
MAP_BYTES = 1 << 16


class Group:
    """One output group of a tile: a bank of the output buffer."""

    def __init__(self, command: Command, index: int, line_beats: int) -> None:
        last = index == command.out_groups - 1
        self.last = last
        base = command.address + index * command.block_pitch - last * command.last_skew
        beats = command.last_segment_beats if last else command.segment_beats
        if command.to_depth:
            row_pitch = command.row_pitch + 3 * command.phase_pitch
            self.segments = [
                (base + row * row_pitch + phase * command.phase_pitch, beats)
                for row in range(command.segments // 4)
                for phase in range(4)
            ]
        else:
            self.segments = [
                (base + row * command.row_pitch, beats) for row in range(command.segments)
            ]
        self.beats = command.segments * beats
        self.lines = self.beats // line_beats
        self.order = _depth_order(command) if command.to_depth else list(range(self.lines))


def _depth_order(command: Command) -> list[int]:
    """Lines of the output buffer in the order of the map: of each row even columns, then odd."""
    lines, cols = command.pixel_lines, 2 * command.run_pixels
    return [
        (row * cols + col) * lines + line
        for row in range(command.segments // 2)
        for odd in (0, 1)
        for col in range(odd, cols, 2)
        for line in range(lines)
    ]


def random_command(rng: random.Random, tile: int, lines: int, line_beats: int) -> Command:
    """A tile whose groups fit a bank, in a part of the memory of its own."""
    if rng.random() < 0.5 and lines >= 4:
        return random_depth_command(rng, tile, lines, line_beats)
    rows, groups = rng.randrange(1, 5), rng.randrange(1, 4)
    full = line_beats * rng.randrange(1, lines // rows // line_beats + 1)
    last = line_beats * rng.randrange(1, full // line_beats + 1)
    skew = 8 * rng.randrange(4)
    row_pitch = 8 * (full * groups + rng.randrange(20))
    fields = {
        "address": 0x1000_0000 + MAP_BYTES * tile + 8 * rng.randrange(8, 500) + skew,
        "row_pitch": row_pitch,
        "block_pitch": 8 * full + skew,
        "segments": rows,
        "segment_beats": full,
        "last_segment_beats": last,
        "out_groups": groups,
        "frame_offset": 0,
        "bundle_last": rng.randrange(2),
        "frame_last": rng.randrange(2),
        "last_skew": skew,
        **dict.fromkeys(("to_depth", "phase_pitch", "run_pixels", "pixel_lines", "run_back"), 0),
    }
    if groups > 1:
        fields["row_pitch"] += groups * skew
    return Command("store", rng.randrange(256), rng.randrange(65536), fields)


def random_depth_command(rng: random.Random, tile: int, lines: int, line_beats: int) -> Command:
    """A tile to be stored space to depth: windows of 2 x 2 pixels."""
    pixel_lines = rng.randrange(1, min(4, lines // 4) + 1)
    windows = rng.randrange(1, min(lines // (4 * pixel_lines), 12) + 1)
    cols = rng.randrange(1, windows + 1)  # of the map
    rows, groups = windows // cols, rng.randrange(1, 4)
    beats = cols * pixel_lines * line_beats
    block_pitch = 8 * (beats + rng.randrange(4))
    phase_pitch = groups * block_pitch + 8 * rng.randrange(4)
    fields = {
        "address": 0x1000_0000 + MAP_BYTES * tile + 8 * rng.randrange(8, 500),
        "row_pitch": phase_pitch + 8 * rng.randrange(20),
        "block_pitch": block_pitch,
        "segments": 4 * rows,
        "segment_beats": beats,
        "last_segment_beats": beats,
        "out_groups": groups,
        "frame_offset": 0,
        "bundle_last": rng.randrange(2),
        "frame_last": rng.randrange(2),
        "last_skew": 0,
        "to_depth": 1,
        "phase_pitch": phase_pitch,
        "run_pixels": cols,
        "pixel_lines": pixel_lines,
        "run_back": 1 - 2 * (cols - 1) * pixel_lines & RUN_BACK_MASK,
    }
    return Command("store", rng.randrange(256), rng.randrange(65536), fields)


class OutputBuffer:
    """Post-process and output RAM: fills banks as they get free, answers reads after two cycles."""

    def __init__(
        self, dut: Any, rng: random.Random, groups: list[Group], lines: int, line_beats: int
    ) -> None:
        self.dut, self.groups, self.lines, self.line_bits = dut, groups, lines, 64 * line_beats
        self.stall = Stall(rng)
        self.rng = rng
        self.data = [
            [rng.getrandbits(self.line_bits) for _ in range(group.lines)] for group in groups
        ]
        self.ram = [0] * (BANKS * lines)
        self.filled: list[int] = []  # first cycle in which group i is seen full
        self.released: list[int] = []  # cycle
        self._reads: list[int | None] = [None, None]
        self._next = 0

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        free = len(self.filled) - len(self.released) < BANKS
        # A group takes a while to compute, so that the store sometimes waits.
        if free and len(self.filled) < len(self.groups) and cycle >= self._next:
            bank = len(self.filled) % BANKS
            for line, word in enumerate(self.data[len(self.filled)]):
                self.ram[bank * self.lines + line] = word
            self.filled.append(cycle)
            self._next = cycle + (0 if self.stall.mode == "none" else self.rng.randrange(150))
        self.dut.bank_full_i.value = len(self.filled) > len(self.released)
        self.dut.bank_read_i.value = len(self.released) % BANKS
        address = self._reads.pop(0)
        if address is not None:
            line = self.ram[address] if address < len(self.ram) else 0
            self.dut.ram_data_i.value = line

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        self._reads.append(value(self.dut.ram_addr_o) if value(self.dut.ram_re_o) else None)
        if value(self.dut.bank_release_o):
            self.released.append(cycle)


class Events:
    """Cycle and tags of every event."""

    KINDS = (
        ("tile_start", "event"),
        ("first_beat", "event"),
        ("last_beat", "event"),
        ("tile_end", "response"),
        ("bundle_done", "response"),
        ("frame_done", "response"),
    )

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.seen: dict[str, list[tuple[int, int, int]]] = {kind: [] for kind, _ in self.KINDS}
        self.classes: list[int] = []

    def drive(self, _cycle: int) -> None:
        """Nothing to drive."""

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        self.classes.append(value(self.dut.class_o))
        for kind, side in self.KINDS:
            if value(getattr(self.dut, f"{kind}_o")):
                bundle = value(getattr(self.dut, f"{side}_bundle_o"))
                tile = value(getattr(self.dut, f"{side}_tile_o"))
                self.seen[kind].append((cycle, bundle, tile))


@cocotb.test()
async def tiles_reach_memory(dut: Any) -> None:
    """Every byte, every burst, and the cycle of every event."""
    lines = int(cocotb.plusargs["lines"])
    line_beats = len(dut.ram_data_i) // 64
    rng = bench_rng()
    commands = [random_command(rng, tile, lines, line_beats) for tile in range(TILES)]
    groups = [Group(c, g, line_beats) for c in commands for g in range(c.out_groups)]
    slave, source = WriteSlave(dut, rng), CommandSource(dut, rng, commands)
    buffer = OutputBuffer(dut, rng, groups, lines, line_beats)
    events = Events(dut)
    agents: list[Agent] = [slave, source, buffer, events]
    await simulate(dut, agents, lambda: len(events.seen["tile_end"]) == TILES)

    bursts = [(burst.address, burst.beats) for burst in slave.bursts]
    assert bursts == split([segment for group in groups for segment in group.segments])
    for group, data in zip(groups, buffer.data, strict=True):
        words = [data[line] for line in group.order]
        beats = [word >> 64 * i & (1 << 64) - 1 for word in words for i in range(line_beats)]
        addresses = [start + 8 * i for start, count in group.segments for i in range(count)]
        assert [slave.memory[address] for address in addresses] == beats
    slave.check_gapless()
    assert value(dut.stores_done_o) in (TILES - 1, TILES)
    _check_tags(commands, events)
    _check_cycles(commands, groups, slave, source, buffer, events)


def _check_tags(commands: list[Command], events: Events) -> None:
    for kind, _ in Events.KINDS:
        wanted = [
            (c.bundle, c.tile)
            for c in commands
            if kind not in ("bundle_done", "frame_done") or c.fields[kind.replace("done", "last")]
        ]
        assert [(bundle, tile) for _, bundle, tile in events.seen[kind]] == wanted, kind


def _check_cycles(
    commands: list[Command],
    groups: list[Group],
    slave: WriteSlave,
    source: CommandSource,
    buffer: OutputBuffer,
    events: Events,
) -> None:
    index = position = burst = 0
    end = -1
    for tile, command in enumerate(commands):
        start = max(source.pushed[tile] + 1, end + 1, buffer.filled[index])
        assert events.seen["tile_start"][tile][0] == start, tile
        assert events.classes[start] == 0
        first = slave.beats[position]
        end = start
        for _ in range(command.out_groups):
            opened = max(end + 1, buffer.filled[index])
            assert set(events.classes[end + 1 : opened]) <= {1}, (tile, index)
            assert slave.bursts[burst].accepted >= opened + 3
            if slave.aw_stall.mode == "none":
                assert slave.bursts[burst].accepted == opened + 3
            burst += len(split(groups[index].segments))
            position += groups[index].beats
            end = slave.beats[position - 1]
            assert buffer.released[index] == end
            index += 1
        assert events.seen["first_beat"][tile][0] == first
        assert events.seen["last_beat"][tile][0] == end
        assert events.seen["tile_end"][tile][0] == slave.responses[burst - 1]
