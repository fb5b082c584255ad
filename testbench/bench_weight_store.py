"""weight_store: contents, credits and group count against lists, in every cycle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb

from testbench.clocked import Stall, bench_rng, simulate, value

GROUPS = 60


@dataclass
class Group:
    """A group's sizes, its contents, and how far it is written."""

    words: list[int]
    params: list[list[int]]  # per parameter word: a value per lane that is written
    beats: list[tuple[str, int, bool, int]] = field(default_factory=list)


class Writer:
    """Reserves, writes chunk by chunk, posts: the weight loader's side. Owns the model."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.word_bits = len(dut.word_data_o)
        self.lanes = len(dut.param_data_o) // 48
        self.depth = [int(cocotb.plusargs[name]) for name in ("words", "params")]
        self.free = list(self.depth)
        self.stall = Stall(rng)
        self.writing: Group | None = None
        self.posted: list[Group] = []  # words not released
        self.param_owners: list[Group] = []  # parameters not released
        self.made = 0
        self.next_group = self._make()
        self.actions: list[str] = []

    def _make(self) -> Group:
        rng = self.rng
        words = rng.randrange(1, self.depth[0] // rng.choice((1, 2, 3)) + 1)
        params = rng.randrange(1, self.depth[1] // rng.choice((1, 2)) + 1)
        last_lanes = rng.randrange(1, self.lanes + 1)
        group = Group(
            [rng.getrandbits(self.word_bits) for _ in range(words)],
            [
                [rng.getrandbits(48) for _ in range(last_lanes if i == params - 1 else self.lanes)]
                for i in range(params)
            ],
        )
        for lane_values in group.params:
            for lane, item in enumerate(lane_values):
                group.beats.append(("param", lane, lane == len(lane_values) - 1, item))
        chunks = -(-self.word_bits // 64)
        for word in group.words:
            for chunk in range(chunks):
                data = word >> 64 * chunk & (1 << 64) - 1
                group.beats.append(("word", chunk, chunk == chunks - 1, data))
        return group

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        dut = self.dut
        dut.reserve_i.value = dut.post_i.value = 0
        dut.word_we_i.value = dut.param_we_i.value = 0
        self.actions = []
        if self.stall(cycle):
            return
        if self.writing is None:
            sizes = (len(self.next_group.words), len(self.next_group.params))
            if self.made < GROUPS and sizes[0] <= self.free[0] and sizes[1] <= self.free[1]:
                dut.reserve_i.value = 1
                dut.reserve_words_i.value, dut.reserve_params_i.value = sizes
                self.actions.append("reserve")
        elif self.writing.beats:
            kind, place, last, data = self.writing.beats.pop(0)
            dut.data_i.value = data
            if kind == "word":
                dut.word_we_i.value = 1
                dut.word_chunk_i.value, dut.word_last_i.value = place, last
            else:
                dut.param_we_i.value = 1
                dut.param_lane_i.value, dut.param_last_i.value = place, last
        else:
            dut.post_i.value = 1
            self.actions.append("post")

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        assert value(dut.free_words_o) == self.free[0], cycle
        assert value(dut.free_params_o) == self.free[1], cycle
        assert value(dut.groups_ready_o) == len(self.posted), cycle
        if "reserve" in self.actions:
            self.free[0] -= len(self.next_group.words)
            self.free[1] -= len(self.next_group.params)
            self.writing = self.next_group
            self.next_group = self._make()
        if "post" in self.actions and self.writing is not None:
            self.posted.append(self.writing)
            self.param_owners.append(self.writing)
            self.writing = None
            self.made += 1


class Reader:
    """Reads words and parameters of any posted group, releases the oldest now and then."""

    def __init__(self, dut: Any, rng: random.Random, writer: Writer) -> None:
        self.dut, self.rng, self.writer = dut, rng, writer
        self.stall = Stall(rng)
        self.released = 0
        self.pending_params = 0  # groups whose words are released, parameters not
        self.word_pipe: list[int | None] = [None, None]
        self.param_pipe: list[list[int] | None] = [None, None]
        self.word: int | None = None
        self.param: list[int] | None = None
        self.releases: list[str] = []

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        dut, writer, rng = self.dut, self.writer, self.rng
        words = [word for group in writer.posted for word in group.words]
        params = [item for group in writer.param_owners for item in group.params]
        self.word, self.param = None, None
        dut.word_re_i.value, dut.param_re_i.value = 0, 0
        if words:
            offset = rng.randrange(len(words))
            self.word = words[offset]
            dut.word_re_i.value, dut.word_offset_i.value = 1, offset
        if params:
            offset = rng.randrange(len(params))
            self.param = params[offset]
            dut.param_re_i.value, dut.param_offset_i.value = 1, offset
        self.releases = []
        dut.release_words_i.value = dut.release_params_i.value = 0
        busy = self.stall(cycle)
        if writer.posted and not busy and rng.random() < 0.1:
            dut.release_words_i.value = 1
            dut.release_words_count_i.value = len(writer.posted[0].words)
            self.releases.append("words")
        if len(writer.param_owners) > len(writer.posted) and not busy and rng.random() < 0.3:
            dut.release_params_i.value = 1
            dut.release_params_count_i.value = len(writer.param_owners[0].params)
            self.releases.append("params")

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        word, param = self.word_pipe.pop(0), self.param_pipe.pop(0)
        if word is not None:
            assert value(dut.word_data_o) == word, cycle
        if param is not None:
            data = value(dut.param_data_o)
            for lane, item in enumerate(param):
                assert data >> 48 * lane & (1 << 48) - 1 == item, (cycle, lane)
        self.word_pipe.append(self.word)
        self.param_pipe.append(self.param)
        if "words" in self.releases:
            self.writer.free[0] += len(self.writer.posted.pop(0).words)
            self.released += 1
        if "params" in self.releases:
            self.writer.free[1] += len(self.writer.param_owners.pop(0).params)


@cocotb.test()
async def groups_are_kept_until_released(dut: Any) -> None:
    """Reads return what was written, across the rings' ends; credits are exact."""
    rng = bench_rng()
    writer = Writer(dut, rng)
    reader = Reader(dut, rng, writer)
    await simulate(dut, [writer, reader], lambda: reader.released == GROUPS, limit=40_000)
