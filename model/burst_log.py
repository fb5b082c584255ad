"""Every burst of a run: when it was asked for, granted, on the bus of the memory, on its port.

The log is written by the compiled memory (``model/memory_kernel.py``) in a second pass of the fast
engine, which has the same cycles as the first. One row a burst, in the order of the grants.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from model import memory_state as at
from model.ddr_timing import DdrTiming
from model.errors import TandemError
from model.fast_simulator import log_bursts
from model.schedule import Schedule
from model.simulator import Simulation

Column = NDArray[np.int64]

BURSTS_MAX = 1_000_000
"""Of a run that is looked at burst by burst: 4 s, 1 GB. DNN-A has 39,000 a frame."""


@dataclass(frozen=True)
class BurstLog:
    """Columns of all bursts; cycles, or ck where the name says so."""

    rows: NDArray[np.int64]  # (bursts, LOG_SIZE)
    timing: DdrTiming
    fabric_khz: int
    ports: tuple[int, int, int, int]  # of the four masters
    outstanding: int  # bursts in flight, at most, of a master

    def of(self, master: int) -> BurstLog:
        """The bursts of one master, in order."""
        chosen = self.rows[self.rows[:, at.G_MASTER] == master]
        return BurstLog(chosen, self.timing, self.fabric_khz, self.ports, self.outstanding)

    def column(self, field: int) -> Column:
        """One of the G fields of ``model/memory_state.py``."""
        return self.rows[:, field]

    def cycles(self, ck: Column) -> Column:
        """The first cycle that does not begin before a tick: ceil(ck x fabric / ddr clock)."""
        divisor = gcd(self.fabric_khz, self.timing.ddr_khz)
        fabric, ddr = self.fabric_khz // divisor, self.timing.ddr_khz // divisor
        found: Column = -((-ck * fabric) // ddr)
        return found


def within_reach(run: Simulation) -> bool:
    """Can the run be looked at burst by burst?"""
    return _bursts(run) <= BURSTS_MAX


def _bursts(run: Simulation) -> int:
    return run.ddr.row_hits + run.ddr.row_misses  # each burst is either


def burst_log(schedule: Schedule, run: Simulation) -> BurstLog:
    """The log of a run of the schedule. TandemError for more than ``BURSTS_MAX`` bursts."""
    acc, design = schedule.design.accelerator, schedule.design
    if not within_reach(run):
        raise TandemError(
            f"design {design.name}: a run of {_bursts(run):,} bursts is too long to be looked at "
            f"burst by burst, at most {BURSTS_MAX:,}: ask for fewer frames"
        )
    ports = acc.ports
    return BurstLog(
        log_bursts(schedule, _bursts(run)),
        design.device.ddr,
        design.clock_khz,
        (ports.program, ports.weight, ports.load, ports.store),
        acc.outstanding_bursts,
    )
