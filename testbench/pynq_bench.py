"""Runs inside the simulator: a host driver, imported by its name, on the simulated board.

+board=FILE: JSON with ``plan`` (fields of ``BoardPlan``), ``folder`` (put first on the import path,
it holds the driver), ``module`` and ``arguments`` of its ``main``. +result=FILE gets ``status`` and
what the driver said on standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge

from testbench.pynq_layer import BoardPlan, DdrFiles, SimulatedBoard, SimulatedTime, pynq_module


def _path(plusarg: str) -> Path:
    return Path(str(cocotb.plusargs[plusarg]))


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _write(path: Path, result: dict[str, Any]) -> None:
    path.write_text(json.dumps(result))


@cocotb.test()
async def host(dut: Any) -> None:
    """Let the driver do its work, write the result."""
    job = _read(_path("board"))
    plan = BoardPlan(**job["plan"])
    files = DdrFiles(_path("memory_load"), _path("memory_out"))
    dut.dump_i.value, dut.load_i.value = 0, 0
    Clock(dut.clk_i, plan.period_ns, unit="ns", impl="gpi").start()
    board = SimulatedBoard(dut, plan, files)
    await board.reset()
    sys.modules["pynq"] = pynq_module(board)
    sys.path.insert(0, job["folder"])
    driver = importlib.import_module(job["module"])
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = await bridge(driver.main)(job["arguments"], SimulatedTime(board))
    _write(_path("result"), {"status": status, "said": said.getvalue().strip()})
