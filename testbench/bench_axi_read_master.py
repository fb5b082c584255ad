"""axi_read_master against the state machine of the page, every request output in every cycle."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from testbench.axi_agents import (
    UNIT_READ,
    ReadSlave,
    RequestModel,
    default_word,
    random_segments,
)
from testbench.clocked import Stall, bench_rng, simulate, value

SEGMENTS = 40


class Checker:
    """Offers segments, follows the model, compares."""

    def __init__(self, dut: Any, rng: random.Random, slave: ReadSlave, halts: bool) -> None:
        self.dut, self.slave = dut, slave
        self.model = RequestModel(int(cocotb.plusargs["outstanding"]))
        self.segments = random_segments(rng, SEGMENTS)
        self.stall = Stall(rng)
        self.halt_stall = Stall(rng, "full" if halts else "none")
        self.taken = 0
        self.halt = self.offered = False
        self.data: list[int] = []

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self.halt = self.halt_stall(cycle)
        self.dut.halt_i.value = self.halt
        self.offered = self.taken < len(self.segments) and not self.stall(cycle)
        self.dut.seg_valid_i.value = self.offered
        if self.offered:
            self.dut.seg_address_i.value, self.dut.seg_beats_i.value = self.segments[self.taken]

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        model = self.model
        assert value(self.dut.seg_ready_o) == (model.state == "idle"), cycle
        assert value(self.dut.ar_valid_o) == (model.state == "req"), cycle
        idle = model.state != "req" and model.outstanding == 0
        assert value(self.dut.idle_o) == idle, cycle
        if model.state == "req":
            assert value(self.dut.ar_address_o) == model.address, cycle
            assert value(self.dut.ar_len_o) == model.beats - 1, cycle
        beat = value(self.dut.r_valid_i)
        assert value(self.dut.beat_valid_o) == beat, cycle
        if beat:
            self.data.append(value(self.dut.beat_data_o))
        segment = self.segments[self.taken] if self.offered else None
        self.taken += segment is not None and model.state == "idle"
        done = bool(beat and value(self.dut.r_last_i))
        model.step(segment, bool(value(self.dut.ar_ready_i)), self.halt, done)

    @property
    def finished(self) -> bool:
        """All read and arrived."""
        idle = self.model.state == "idle" and self.model.outstanding == 0
        return self.taken == SEGMENTS and idle


async def _run(dut: Any, halts: bool) -> None:
    rng = bench_rng()
    slave = ReadSlave(dut, rng, UNIT_READ)
    checker = Checker(dut, rng, slave, halts)
    await simulate(dut, [slave, checker], lambda: checker.finished)
    wanted = [
        default_word(address + 8 * i) for address, beats in checker.segments for i in range(beats)
    ]
    assert checker.data == wanted


@cocotb.test()
async def bursts_follow_the_page(dut: Any) -> None:
    """Addresses, lengths and cycles of every burst; every beat in order."""
    await _run(dut, halts=False)


@cocotb.test()
async def halt_starts_no_burst(dut: Any) -> None:
    """During halt no new ARVALID; afterwards it goes on as if nothing had been."""
    await _run(dut, halts=True)


@cocotb.test()
async def bad_response_is_reported(dut: Any) -> None:
    """error_o with each beat of the faulty burst, and with no other."""
    rng = bench_rng()
    slave = ReadSlave(dut, rng, UNIT_READ, fault=(3, 2))
    checker = Checker(dut, rng, slave, halts=False)
    errors: list[int] = []

    class Watch:
        def drive(self, _cycle: int) -> None: ...

        def sample(self, cycle: int) -> None:
            if value(dut.error_o):
                assert value(dut.error_response_o) == 2
                errors.append(cycle)

    await simulate(dut, [slave, checker, Watch()], lambda: checker.finished)
    assert len(errors) == slave.bursts[3].beats
