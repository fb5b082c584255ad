"""sync_fifo against a deque, every output in every cycle."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb

from testbench.clocked import Stall, bench_rng, simulate, value

WORDS = 600


class Model:
    """Pushes and pops whenever it may and neither side stalls; compares with a deque."""

    def __init__(self, dut: Any, depth: int) -> None:
        self.dut, self.depth = dut, depth
        self.rng = bench_rng()
        self.push_stall, self.pop_stall = Stall(self.rng), Stall(self.rng)
        self.words: deque[int] = deque()
        self.pushed = self.popped = 0
        self.push = self.pop = False
        self.word = 0

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self.push = len(self.words) < self.depth and not self.push_stall(cycle)
        self.pop = bool(self.words) and not self.pop_stall(cycle)
        self.word = self.rng.getrandbits(len(self.dut.data_i))
        self.dut.push_i.value = self.push
        self.dut.pop_i.value = self.pop
        self.dut.data_i.value = self.word

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        assert value(self.dut.valid_o) == bool(self.words), cycle
        assert value(self.dut.full_o) == (len(self.words) == self.depth), cycle
        assert value(self.dut.count_o) == len(self.words), cycle
        if self.words:
            assert value(self.dut.data_o) == self.words[0], cycle
        if self.pop:
            self.words.popleft()
            self.popped += 1
        if self.push:
            self.words.append(self.word)
            self.pushed += 1


@cocotb.test()
async def words_come_out_in_order(dut: Any) -> None:
    """A word is visible one cycle after its push; full is count == depth."""
    model = Model(dut, int(cocotb.plusargs["depth"]))
    await simulate(dut, [model], lambda: model.popped >= WORDS)
