"""The memory system of the simulator, compiled: all bursts between two actions of the units.

Same masters, multiplexers, ports and controller as ``model/sim_axi.py`` with ``model/ddr.py``, same
cycles. SimPy is asked when the units act next; until then the kernel runs ahead on its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache

import simpy

from model import memory_kernel as kernel
from model import memory_state as at
from model.accelerator import Accelerator
from model.compiled import entry, pointer, told, version
from model.ddr import DdrStatistics
from model.ddr_timing import DdrTiming
from model.segments import Segments
from model.sim_late import call_late

Served = Callable[[int, int], None]


class CompiledMaster:
    """One AXI master of the compiled memory; same interface as those of ``model/sim_axi.py``."""

    def __init__(self, memory: CompiledMemory, index: int) -> None:
        self._memory = memory
        self._index = index
        self.place = at.MASTERS_AT + index * at.MASTER_SIZE
        self.done: deque[Served] = deque()
        self.responded: deque[Callable[[int], None]] = deque()
        self.issued: Callable[[int], None] | None = None

    @property
    def idle_cycle(self) -> int:
        """First cycle in which a new segment can be accepted."""
        return int(self._memory.state[self.place + at.M_IDLE])

    def transfer(
        self,
        segments: Segments,
        accept_cycle: int,
        done: Served,
        notify: Callable[[int], None] | None = None,
    ) -> None:
        """Read: ``notify`` is told when the last address was accepted. Write: of the last B."""
        self.done.append(done)
        if self._index != at.STORE:
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
        self.state = at.new_state(timing, fabric_khz, acc)
        self._units = [CompiledMaster(self, index) for index in range(at.MASTERS)]
        self._armed: int | None = None

    @staticmethod
    @cache
    def prepare(timing: DdrTiming, fabric_khz: int, acc: Accelerator) -> None:
        """Compile the kernel, or load it from numba's cache: no evaluation is timed with it."""
        env = simpy.Environment()
        with told():
            CompiledMemory(env, timing, fabric_khz, acc).start(0, Segments.one(0, 1), 0, False)
            env.run()

    def master(self, index: int) -> CompiledMaster:
        """0 program, 1 weight, 2 load, 3 store."""
        return self._units[index]

    def start(self, index: int, segments: Segments, accept_cycle: int, notify: bool) -> None:
        """Hand a transfer to a master."""
        first = self._units[index].place + at.M_BASE
        self.state[first : first + 8] = segments.as_tuple()
        _start(self.state, index, accept_cycle, int(notify))
        self._arm(int(self.env.now))

    def statistics(self) -> DdrStatistics:
        """Totals of every burst granted so far."""
        return at.statistics(self.state)

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
        limit = at.NEVER if peek == float("inf") else max(int(peek), now + 1)
        following = _advance(self.state, limit)
        if self.state[at.C_NOTICES]:
            self._deliver()
            self._arm(now)
        elif following != at.NEVER:
            self._arm(max(int(following), now))

    def _deliver(self) -> None:
        count = int(self.state[at.C_NOTICES])
        self.state[at.C_NOTICES] = 0
        notices = self.state[at.NOTICES_AT : at.NOTICES_AT + 4 * count].reshape(count, 4)
        for kind, index, first, second in notices.tolist():
            unit = self._units[index]
            if kind in (at.DONE, at.SENT) and unit.done:
                unit.done.popleft()(first, second)
            elif kind == at.RESPONDED:
                unit.responded.popleft()(first)
            elif unit.issued is not None:
                unit.issued(first)


def transfer_cycles(
    timing: DdrTiming, fabric_khz: int, acc: Accelerator, segments: Segments, write: bool
) -> int:
    """Cycles of one transfer that nobody disturbs, up to its last beat or response."""
    CompiledMemory.prepare(timing, fabric_khz, acc)
    state = at.new_state(timing, fabric_khz, acc)
    master = at.STORE if write else at.STORE - 1
    place = at.MASTERS_AT + master * at.MASTER_SIZE + at.M_BASE
    state[place : place + 8] = segments.as_tuple()
    _start(state, master, 0, 1)
    last = 0
    while True:
        following = _advance(state, at.NEVER)
        count = int(state[at.C_NOTICES])
        state[at.C_NOTICES] = 0
        for index in range(count):
            notice = at.NOTICES_AT + 4 * index
            last = max(last, int(state[notice + 2]), int(state[notice + 3]))
        if not count and following == at.NEVER:
            return last


def _entries(sources: int) -> tuple[Callable[..., None], Callable[..., int]]:
    """What SimPy calls; ``sources`` is part of the key under which machine code is kept."""

    @entry
    def start(state: at.State, slot: int, accept_cycle: int, notify: int) -> None:
        if sources >= 0:
            kernel.start_transfer(pointer(state), slot, accept_cycle, notify)

    @entry
    def advance(state: at.State, limit: int) -> int:
        return kernel.advance(pointer(state), limit) if sources >= 0 else 0

    return start, advance


_start, _advance = _entries(version(at, kernel))
