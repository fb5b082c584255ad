"""axi_write_master: requests as on the page, data gapless, responses counted."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from testbench.axi_agents import BEAT_BYTES, RequestModel, WriteSlave, random_segments
from testbench.clocked import Stall, bench_rng, simulate, value

SEGMENTS = 40


class Checker:
    """Offers segments and always has data; follows the model."""

    def __init__(self, dut: Any, rng: random.Random, slave: WriteSlave, halts: bool) -> None:
        self.dut, self.slave = dut, slave
        self.model = RequestModel(int(cocotb.plusargs["outstanding"]))
        self.segments = random_segments(rng, SEGMENTS)
        self.marked = [rng.random() < 0.3 for _ in self.segments]
        self.stall = Stall(rng)
        self.halt_stall = Stall(rng, "full" if halts else "none")
        self.data = rng.getrandbits(64)
        self.rng = rng
        self.written: list[int] = []
        self.taken = 0
        self.last_responses: list[int] = []
        self.halt = self.offered = False

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self.halt = self.halt_stall(cycle)
        self.dut.halt_i.value = self.halt
        self.offered = self.taken < len(self.segments) and not self.stall(cycle)
        self.dut.seg_valid_i.value = self.offered
        if self.offered:
            self.dut.seg_address_i.value, self.dut.seg_beats_i.value = self.segments[self.taken]
            self.dut.seg_last_i.value = self.marked[self.taken]
        self.dut.data_valid_i.value = 1
        self.dut.data_i.value = self.data

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        model = self.model
        assert value(self.dut.seg_ready_o) == (model.state == "idle"), cycle
        assert value(self.dut.axi_awvalid_o) == (model.state == "req"), cycle
        if value(self.dut.data_ready_o):
            self.written.append(self.data)
            self.data = self.rng.getrandbits(64)
        if value(self.dut.response_last_o):
            self.last_responses.append(cycle)
        response = bool(value(self.dut.axi_bvalid_i))
        idle = model.state != "req" and model.outstanding == 0
        assert value(self.dut.idle_o) == idle, cycle
        segment = self.segments[self.taken] if self.offered else None
        self.taken += segment is not None and model.state == "idle"
        model.step(segment, bool(value(self.dut.axi_awready_i)), self.halt, response)

    @property
    def finished(self) -> bool:
        """All written and answered."""
        idle = self.model.state == "idle" and self.model.outstanding == 0
        return self.taken == SEGMENTS and idle


async def _run(dut: Any, halts: bool) -> None:
    rng = bench_rng()
    slave = WriteSlave(dut, rng)
    checker = Checker(dut, rng, slave, halts)
    await simulate(dut, [slave, checker], lambda: checker.finished)
    addresses = [
        address + BEAT_BYTES * i for address, beats in checker.segments for i in range(beats)
    ]
    assert slave.memory == dict(zip(addresses, checker.written, strict=True))
    assert len(checker.last_responses) == sum(checker.marked)
    assert set(checker.last_responses) <= set(slave.responses)
    slave.check_gapless()


@cocotb.test()
async def data_follow_the_page(dut: Any) -> None:
    """Requests, beats and responses at the cycles of the page."""
    await _run(dut, halts=False)


@cocotb.test()
async def halt_finishes_what_was_accepted(dut: Any) -> None:
    """During halt no new AWVALID, but the beats of accepted bursts are sent."""
    await _run(dut, halts=True)
