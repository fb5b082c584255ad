"""What the units of the simulator need of a memory system, whichever one it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import simpy

from model.accelerator import Accelerator
from model.ddr import DdrStatistics
from model.ddr_timing import DdrTiming
from model.segments import Segments


class Master(Protocol):
    """An AXI master: one transfer at a time issues its addresses."""

    @property
    def idle_cycle(self) -> int:
        """First cycle in which a new segment can be accepted."""

    def transfer(
        self,
        segments: Segments,
        accept_cycle: int,
        done: Callable[[int, int], None],
        notify: Callable[[int], None] | None = None,
    ) -> None:
        """Move the segments, the first accepted at ``accept_cycle`` at the earliest.

        ``done(first, last)`` is called when the cycles of the first and last data beat are known.
        ``notify(cycle)``: for a read, when the last address was accepted (idle from ``cycle`` on);
        for a write, with the cycle of the last response.
        """


class Memory(Protocol):
    """Masters, ports and DDR."""

    def __init__(
        self, env: simpy.Environment, timing: DdrTiming, fabric_khz: int, acc: Accelerator
    ) -> None: ...

    @staticmethod
    def prepare(timing: DdrTiming, fabric_khz: int, acc: Accelerator) -> None:
        """What has to be done once before an evaluation is timed."""

    def master(self, index: int) -> Master:
        """0 program, 1 weight, 2 load, 3 store."""

    def statistics(self) -> DdrStatistics:
        """Totals so far."""
