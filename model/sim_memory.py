"""The memory system of the simulator, compiled: all bursts between two actions of the units.

Same masters, multiplexers, ports and controller as ``model/sim_axi.py`` with ``model/ddr.py``, same
cycles. SimPy is asked when the units act next; until then the kernel runs ahead on its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache

import numpy as np
import simpy

from model import memory_kernel as kernel
from model.accelerator import Accelerator
from model.ddr import DdrStatistics
from model.ddr_timing import BEAT_BYTES, DdrTiming
from model.segments import Segments
from model.sim_late import call_late

_NOTICES_MAX = 256

Served = Callable[[int, int], None]


class CompiledMaster:
    """One AXI master of the compiled memory; same interface as those of ``model/sim_axi.py``."""

    def __init__(self, memory: CompiledMemory, index: int) -> None:
        self._memory = memory
        self._index = index
        self.done: deque[Served] = deque()
        self.responded: deque[Callable[[int], None]] = deque()
        self.issued: Callable[[int], None] | None = None

    @property
    def idle_cycle(self) -> int:
        """First cycle in which a new segment can be accepted."""
        return int(self._memory.masters[self._index, kernel.M_IDLE])

    def transfer(
        self,
        segments: Segments,
        accept_cycle: int,
        done: Served,
        notify: Callable[[int], None] | None = None,
    ) -> None:
        """Read: ``notify`` is told when the last address was accepted. Write: of the last B."""
        self.done.append(done)
        if self._index != kernel.STORE:
            self.issued = notify
        elif notify is not None:
            self.responded.append(notify)
        self._memory.start(self._index, segments, accept_cycle, notify is not None)


class CompiledMemory:
    """State of the kernel, and its conversation with SimPy."""

    def __init__(
        self, env: simpy.Environment, timing: DdrTiming, fabric_khz: int, acc: Accelerator
    ) -> None:
        self.env = env
        ports = acc.ports
        wanted = (ports.program, ports.weight, ports.load, ports.store)
        count = max(wanted) + 1
        self._timing = _timing_vector(timing, fabric_khz)
        self._control = np.zeros(kernel.C_SIZE, dtype=np.int64)
        self._control[kernel.C_NEXT_REFRESH] = timing.t_refi
        self._control[kernel.C_LAST_READ] = self._control[kernel.C_LAST_WRITE] = count - 1
        self._banks = np.zeros((timing.banks, kernel.B_SIZE), dtype=np.int64)
        self._banks[:, kernel.B_ROW] = -1
        self.masters = np.zeros((kernel.MASTERS, kernel.M_SIZE), dtype=np.int64)
        self.masters[:, kernel.M_PORT] = wanted
        self.masters[:, kernel.M_LIMIT] = acc.outstanding_bursts
        for field in (kernel.M_CALC, kernel.M_REQ_VALID, kernel.M_W_END):
            self.masters[:, field] = -1
        self._lasts = np.zeros((kernel.MASTERS, kernel.RING), dtype=np.int64)
        self._ports = np.zeros((count, kernel.P_SIZE), dtype=np.int64)
        for field in (
            kernel.P_OFFER,
            kernel.P_WOFFER,
            kernel.P_LAST_AR,
            kernel.P_LAST_AW,
            kernel.P_LAST_BEAT,
            kernel.P_LAST_B,
        ):
            self._ports[:, field] = -1
        self._ports[:, kernel.P_LAST_SLOT] = kernel.STORE - 1
        self._ports[:, kernel.P_RF_COUNT] = timing.read_acceptance
        self._ports[:, kernel.P_WF_COUNT] = timing.write_acceptance
        self._rings = np.zeros((count, kernel.R_SIZE, kernel.RING), dtype=np.int64)
        self._notices = np.zeros((_NOTICES_MAX, 4), dtype=np.int64)
        self._units = [CompiledMaster(self, index) for index in range(kernel.MASTERS)]
        self._armed: int | None = None

    @staticmethod
    @cache
    def prepare(timing: DdrTiming, fabric_khz: int, acc: Accelerator) -> None:
        """Compile the kernel, or load it from numba's cache: no evaluation is timed with it."""
        env = simpy.Environment()
        CompiledMemory(env, timing, fabric_khz, acc).start(0, Segments.one(0, 1), 0, False)
        env.run()

    def master(self, index: int) -> CompiledMaster:
        """0 program, 1 weight, 2 load, 3 store."""
        return self._units[index]

    def start(self, index: int, segments: Segments, accept_cycle: int, notify: bool) -> None:
        """Hand a transfer to a master."""
        kernel.start_transfer(
            self._control,
            self._timing,
            self.masters,
            self._lasts,
            self._ports,
            self._rings,
            self._notices,
            index,
            np.array(segments.as_tuple(), dtype=np.int64),
            accept_cycle,
            int(notify),
        )
        self._arm(int(self.env.now))

    def statistics(self) -> DdrStatistics:
        """Totals of every burst granted so far."""
        control = [int(value) for value in self._control]
        return DdrStatistics(
            bytes_read=control[kernel.C_BEATS_READ] * BEAT_BYTES,
            bytes_written=control[kernel.C_BEATS_WRITTEN] * BEAT_BYTES,
            row_hits=control[kernel.C_HITS],
            row_misses=control[kernel.C_MISSES],
            refreshes=control[kernel.C_REFRESHES],
            busy_ck=control[kernel.C_BUSY],
        )

    def _arm(self, cycle: int) -> None:
        """Let the kernel run at ``cycle``, after the units."""
        if self._armed is not None and self._armed <= cycle:
            return
        self._armed = cycle
        call_late(self.env, cycle, self._pump, cycle)

    def _pump(self, event: simpy.Event) -> None:
        if event.value != self._armed:
            return  # an earlier run took this one's place
        self._armed = None
        now = int(self.env.now)
        peek = self.env.peek()
        # A decision at `now` needs nothing that is posted at `now`: see model/ddr.py.
        limit = kernel.NEVER if peek == float("inf") else max(int(peek), now + 1)
        following = kernel.advance(
            self._control,
            self._timing,
            self._banks,
            self.masters,
            self._lasts,
            self._ports,
            self._rings,
            self._notices,
            limit,
        )
        if self._control[kernel.C_NOTICES]:
            self._deliver()
            self._arm(now)
        elif following != kernel.NEVER:
            self._arm(max(int(following), now))

    def _deliver(self) -> None:
        count = int(self._control[kernel.C_NOTICES])
        self._control[kernel.C_NOTICES] = 0
        for kind, index, first, second in self._notices[:count].tolist():
            unit = self._units[index]
            if kind in (kernel.DONE, kernel.SENT) and unit.done:
                unit.done.popleft()(first, second)
            elif kind == kernel.RESPONDED:
                unit.responded.popleft()(first)
            elif unit.issued is not None:
                unit.issued(first)


def _timing_vector(timing: DdrTiming, fabric_khz: int) -> kernel.State:
    return np.array(
        [
            fabric_khz,
            timing.ddr_khz,
            timing.bytes_per_ck,
            timing.burst_bytes,
            timing.banks,
            timing.page_bytes.bit_length() - 1,
            timing.banks.bit_length() - 1,
            timing.t_rcd,
            timing.t_rp,
            timing.t_ras,
            timing.t_wr,
            timing.t_refi,
            timing.t_rfc,
            timing.write_gap,
            timing.turn_read_write,
            timing.turn_write_read,
            timing.lookahead,
            timing.read_delay,
            timing.write_delay,
            timing.command_latency,
            timing.read_latency,
            timing.write_latency,
            timing.direction_limit,
        ],
        dtype=np.int64,
    )

