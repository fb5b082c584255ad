"""Runs ddr_traffic.sv: clock, reset, wait for the end of the table, dump the memory.

The table, the timing and the log are simulator arguments, so one build serves every case.
"""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, with_timeout

PERIOD_NS = 10
TIMEOUT_CYCLES = 2_000_000


async def _reset(dut: Any) -> None:
    dut.rst_i.value = 1
    await ClockCycles(dut.clk_i, 3)
    await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0


@cocotb.test()
async def replay(dut: Any) -> None:
    """The table ends; what happened is in the log. +reset_at=N begins anew after N cycles."""
    dut.dump_i.value = 0
    Clock(dut.clk_i, PERIOD_NS, unit="ns", impl="gpi").start()
    await _reset(dut)
    if "reset_at" in cocotb.plusargs:
        await ClockCycles(dut.clk_i, int(str(cocotb.plusargs["reset_at"])))
        await _reset(dut)
    await with_timeout(RisingEdge(dut.done_o), TIMEOUT_CYCLES * PERIOD_NS, "ns")
    if "memory_out" in cocotb.plusargs:
        dut.dump_i.value = 1
        await ClockCycles(dut.clk_i, 2)
