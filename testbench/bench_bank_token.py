"""bank_token against a queue of banks, every output in every cycle."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb

from testbench.clocked import Stall, bench_rng, simulate, value

BANKS = 2
PASSES = 300


class Model:
    """A producer that may reserve ahead of its posts, and a consumer."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = bench_rng()
        self.stalls = [Stall(self.rng) for _ in range(3)]
        self.reserved = 0  # reserved, not posted
        self.full: deque[int] = deque()  # tags
        self.posts = self.releases = 0
        self.actions = (False, False, False)
        self.tag = 0

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        taken = self.reserved + len(self.full)
        self.actions = (
            taken < BANKS and not self.stalls[0](cycle),
            self.reserved > 0 and not self.stalls[1](cycle),
            bool(self.full) and not self.stalls[2](cycle),
        )
        self.tag = self.rng.randrange(2)
        dut = self.dut
        dut.reserve_i.value, dut.post_i.value, dut.release_i.value = self.actions
        dut.post_tag_i.value = self.tag

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        assert value(dut.free_o) == (self.reserved + len(self.full) < BANKS), cycle
        assert value(dut.full_o) == bool(self.full), cycle
        assert value(dut.write_bank_o) == self.posts % BANKS, cycle
        assert value(dut.read_bank_o) == self.releases % BANKS, cycle
        if self.full:
            assert value(dut.read_tag_o) == self.full[0], cycle
        reserve, post, release = self.actions
        if release:
            self.full.popleft()
        if post:
            self.full.append(self.tag)
        self.reserved += reserve - post
        self.posts += post
        self.releases += release


@cocotb.test()
async def banks_take_turns(dut: Any) -> None:
    """A bank is read once it is posted and reserved again once it is released."""
    model = Model(dut)
    await simulate(dut, [model], lambda: model.releases >= PASSES)
