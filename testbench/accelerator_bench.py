"""Runs inside the simulator: drives the accelerator as a host would, over AXI4-Lite.

The job is a JSON file (+job=FILE), the result goes to +result=FILE. Python acts at the start, at
the interrupt, and where the job asks for something in between; no coroutine runs every cycle.

Job: ``runs``, a list of starts one after the other, each with ``program_address``, ``frames``,
``image_stride``, ``output_stride``, ``timeout_cycles`` (the watchdog) and ``actions``: a list of
``[cycle, "start" | "abort" | "reset"]`` after the start.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge, Timer

from testbench.axi_lite import Lite
from testbench.registers import COUNTERS, CTRL_ABORT, CTRL_START, REGISTERS

PERIOD_NS = 10


def _read(plusarg: str) -> str:
    return Path(str(cocotb.plusargs[plusarg])).read_text()


def _write(plusarg: str, text: str) -> None:
    Path(str(cocotb.plusargs[plusarg])).write_text(text)


async def _reset(dut: Any) -> None:
    dut.rst_i.value = 1
    await ClockCycles(dut.clk_i, 4)
    await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0


async def _run(dut: Any, lite: Lite, run: dict[str, Any]) -> dict[str, Any]:
    """One start to its interrupt (or the watchdog), then status and counters."""
    await lite.write(REGISTERS["IRQ_ENABLE"], 3)
    for name in ("program_address", "frames", "image_stride", "output_stride"):
        await lite.write(REGISTERS[name.upper()], run[name])
    started = time.perf_counter()
    await lite.write(REGISTERS["CTRL"], CTRL_START)
    hung, was_reset = False, False
    passed = 0
    for cycle, action in run.get("actions", []):
        pause = Timer((cycle - passed) * PERIOD_NS, "ns")
        passed = cycle
        if dut.irq_o.value == 1:
            break
        await First(pause, RisingEdge(dut.irq_o))
        if dut.irq_o.value == 1:
            break
        if action == "reset":
            await _reset(dut)
            was_reset = True
            break
        code = {"start": CTRL_START, "abort": CTRL_ABORT}[action]
        await lite.write(REGISTERS["CTRL"], code)
    if not was_reset and dut.irq_o.value == 0:
        watchdog = Timer(run["timeout_cycles"] * PERIOD_NS, "ns")
        await First(watchdog, RisingEdge(dut.irq_o))
        hung = dut.irq_o.value == 0
    seconds = time.perf_counter() - started
    await ClockCycles(dut.clk_i, 4)
    result: dict[str, Any] = {"hung": hung, "reset": was_reset, "seconds": seconds}
    for name in ("STATUS", "ERROR_INFO", "FRAMES_DONE", "BUILD_ID", "TOTAL_CYCLES"):
        result[name.lower()] = await lite.read(REGISTERS[name])
    result["counters"] = {
        f"{unit}.{kind}": await lite.read(address) for (unit, kind), address in COUNTERS.items()
    }
    await lite.write(REGISTERS["IRQ_STATUS"], 3)
    return result


@cocotb.test()
async def host(dut: Any) -> None:
    """Do the job, write the result, dump the memory."""
    job = json.loads(_read("job"))
    dut.dump_i.value, dut.load_i.value = 0, 0
    Clock(dut.clk_i, PERIOD_NS, unit="ns", impl="gpi").start()
    lite = Lite(dut, PERIOD_NS)
    await _reset(dut)
    results = [await _run(dut, lite, run) for run in job["runs"]]
    await FallingEdge(dut.clk_i)
    dut.dump_i.value = 1
    await ClockCycles(dut.clk_i, 2)
    _write("result", json.dumps(results))
