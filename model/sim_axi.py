"""AXI masters and the read multiplexer of the simulator: one callback chain per burst.

The recurrences are those of ``docs/microarchitecture.md`` and of
``rtl_sim/hdl/axi_read_master.sv``, ``axi_read_mux.sv`` and ``axi_write_master.sv``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import simpy

from model.accelerator import Accelerator
from model.ddr import DdrController, DdrStatistics
from model.ddr_timing import BEAT_BYTES, BURST_BEATS, DdrTiming
from model.segments import Segment, Segments
from model.sim_late import call_late
from model.sim_ports import Master

PAGE_BYTES = 4096


def split_bursts(address: int, beats: int) -> Iterator[Segment]:
    """Bursts of a segment: at most 16 beats, never across 4 KB."""
    while beats > 0:
        length = min(BURST_BEATS, beats, (PAGE_BYTES - address % PAGE_BYTES) // BEAT_BYTES)
        yield address, length
        address += length * BEAT_BYTES
        beats -= length


def _bursts(segments: Segments) -> Iterator[tuple[int, int, bool]]:
    """(address, beats, first of its segment)."""
    for address, beats in segments:
        first = True
        for start, length in split_bursts(address, beats):
            yield start, length, first
            first = False


@dataclass
class _Request:
    slot: int
    address: int
    beats: int
    valid_cycle: int
    on_accept: Callable[[int], None]
    on_served: Callable[[int, int], None]


class ReadMux:
    """Read side of one AXI port: up to three masters, round robin, one output register."""

    SLOTS = 3

    def __init__(self, env: simpy.Environment, ddr: DdrController, port: int, masters: int) -> None:
        self.env = env
        self.ddr = ddr
        self.port = port
        self.shared = masters > 1
        self._waiting: list[_Request] = []
        self._last_slot = self.SLOTS - 1
        self._free_cycle: int | None = 0  # register may be loaded from here on; None: not known yet
        self._planned: int | None = None

    def request(self, request: _Request) -> None:
        """A master raises ARVALID at ``valid_cycle`` (not before the present cycle)."""
        self._waiting.append(request)
        self._plan()

    def _plan(self) -> None:
        if not self._waiting or self._free_cycle is None:
            return
        cycle = max(self._free_cycle, min(item.valid_cycle for item in self._waiting))
        if not self.shared:
            self._grant(self._waiting.pop(), cycle)
        elif self._planned is None or cycle < self._planned:
            self._planned = cycle
            call_late(self.env, cycle, self._decide)

    def _decide(self, _event: simpy.Event) -> None:
        now = int(self.env.now)
        if self._planned != now:
            return  # an earlier decision took this one's place
        self._planned = None
        ready = [item for item in self._waiting if item.valid_cycle <= now]
        if not ready or self._free_cycle is None or self._free_cycle > now:
            self._plan()
            return
        chosen = min(ready, key=lambda item: (item.slot - self._last_slot - 1) % self.SLOTS)
        self._waiting.remove(chosen)
        self._grant(chosen, now)

    def _grant(self, item: _Request, cycle: int) -> None:
        self._last_slot = item.slot
        self._free_cycle = None

        def accepted(slave_cycle: int) -> None:
            self._free_cycle = slave_cycle
            self._plan()

        self.ddr.offer_read(
            self.port, item.address, item.beats, cycle + 1, accepted, item.on_served
        )
        item.on_accept(cycle)


@dataclass
class _Transfer:
    """Segments read back to back, and whom to tell."""

    bursts: Iterator[tuple[int, int, bool]]
    done: Callable[[int, int], None]
    issued: Callable[[int], None] | None
    pending: int = 0  # bursts requested and not granted yet
    complete: bool = False  # all bursts requested
    first_beat: int | None = None


class ReadMaster:
    """IDLE / CALC / REQ of one reading unit, with its limit of outstanding bursts."""

    def __init__(self, mux: ReadMux, slot: int, outstanding: int) -> None:
        self.mux = mux
        self.slot = slot
        self.idle_cycle = 0  # first cycle in which a new segment can be accepted
        self._limit = outstanding
        self._last_beats: deque[int] = deque()  # of granted bursts that still count
        self._in_flight = 0
        self._next: tuple[int, int, bool] | None = None
        self._issuing: _Transfer | None = None
        self._order: deque[_Transfer] = deque()  # one entry per burst not granted yet
        self._calc_cycle: int | None = None  # CALC entered here, waiting for a slot

    def transfer(
        self,
        segments: Segments,
        accept_cycle: int,
        done: Callable[[int, int], None],
        notify: Callable[[int], None] | None = None,
    ) -> None:
        """Read segments back to back, the first accepted at ``accept_cycle`` at the earliest.

        ``done(first_beat, last_beat)`` is called when both are known, ``notify(cycle)`` when the
        last address was accepted and the master is idle again from ``cycle`` on. The next transfer
        may start then, while data of this one is still under way.
        """
        self._issuing = _Transfer(_bursts(segments), done, notify)
        self._next = next(self._issuing.bursts)
        self._enter_calc(max(accept_cycle, self.idle_cycle) + 1)

    def _enter_calc(self, cycle: int) -> None:
        """CALC from ``cycle`` on; leaves when fewer than the limit are outstanding."""
        if self._in_flight >= self._limit:
            if not self._last_beats:
                self._calc_cycle = cycle
                return
            cycle = max(cycle, self._last_beats.popleft() + 1)
            self._in_flight -= 1
        assert self._next is not None
        assert self._issuing is not None
        address, beats, _ = self._next
        transfer = self._issuing
        self._in_flight += 1
        transfer.pending += 1
        self._next = next(transfer.bursts, None)
        transfer.complete = self._next is None
        self._order.append(transfer)
        request = _Request(self.slot, address, beats, cycle + 1, self._accepted, self._served)
        self.mux.request(request)

    def _accepted(self, cycle: int) -> None:
        if self._next is not None:
            self._enter_calc(cycle + 2 if self._next[2] else cycle + 1)
            return
        self.idle_cycle = cycle + 1
        assert self._issuing is not None
        if self._issuing.issued is not None:
            self._issuing.issued(cycle + 1)

    def _served(self, first_beat: int, last_beat: int) -> None:
        self._last_beats.append(last_beat)
        transfer = self._order.popleft()
        transfer.pending -= 1
        if transfer.first_beat is None:
            transfer.first_beat = first_beat
        if self._calc_cycle is not None:
            cycle, self._calc_cycle = self._calc_cycle, None
            self._enter_calc(cycle)
        if transfer.complete and transfer.pending == 0:
            transfer.done(transfer.first_beat, last_beat)


class WriteMaster:
    """AW channel like the read master; W beats follow in order without gaps inside a burst."""

    def __init__(
        self, env: simpy.Environment, ddr: DdrController, port: int, outstanding: int
    ) -> None:
        self.env = env
        self.ddr = ddr
        self.port = port
        self.idle_cycle = 0
        self._limit = outstanding
        self._responses: deque[int] = deque()
        self._in_flight = 0
        self._bursts: Iterator[tuple[int, int, bool]] = iter(())
        self._next: tuple[int, int, bool] | None = None
        self._calc_cycle: int | None = None
        self._slave_free: int | None = 0
        self._w_end = -1
        self._first_beat: int | None = None
        self._sent: Callable[[int, int], None] | None = None
        self._responded: Callable[[int], None] | None = None

    def transfer(
        self,
        segments: Segments,
        accept_cycle: int,
        done: Callable[[int, int], None],
        notify: Callable[[int], None] | None = None,
    ) -> None:
        """Write segments; ``done(first, last W beat)``; ``notify(cycle of the last B)``."""
        self._bursts = _bursts(segments)
        self._next = next(self._bursts, None)
        self._first_beat = None
        self._sent, self._responded = done, notify
        self._enter_calc(max(accept_cycle, self.idle_cycle) + 1)

    def _enter_calc(self, cycle: int) -> None:
        if self._in_flight >= self._limit:
            if not self._responses:
                self._calc_cycle = cycle
                return
            cycle = max(cycle, self._responses.popleft() + 1)
            self._in_flight -= 1
        assert self._next is not None
        address, beats, _ = self._next
        following = next(self._bursts, None)
        self._next = following
        self._in_flight += 1
        responded = self._responded if following is None else None

        def on_accept(at: int) -> None:
            self._accepted(at, beats)

        def on_response(at: int) -> None:
            self._responses.append(at)
            if self._calc_cycle is not None:
                waiting, self._calc_cycle = self._calc_cycle, None
                self._enter_calc(waiting)
            if responded is not None:
                responded(at)

        self.ddr.offer_write(self.port, address, beats, cycle + 1, on_accept, on_response)

    def _accepted(self, cycle: int, beats: int) -> None:
        first = max(cycle + 2, self._w_end + 1)
        self._w_end = first + beats - 1
        self.ddr.write_data(self.port, self._w_end)
        if self._first_beat is None:
            self._first_beat = first
        if self._next is None:
            self.idle_cycle = cycle + 1
            assert self._sent is not None
            self._sent(self._first_beat, self._w_end)
        else:
            self._enter_calc(cycle + 2 if self._next[2] else cycle + 1)


class BurstMemory:
    """The memory system burst by burst in SimPy: the reference of ``model/sim_memory.py``."""

    def __init__(
        self, env: simpy.Environment, timing: DdrTiming, fabric_khz: int, acc: Accelerator
    ) -> None:
        ports = acc.ports
        wanted = (ports.program, ports.weight, ports.load)
        self._ddr = DdrController(env, timing, fabric_khz, max(*wanted, ports.store) + 1)
        muxes = {p: ReadMux(env, self._ddr, p, wanted.count(p)) for p in sorted(set(wanted))}
        limit = acc.outstanding_bursts
        self._masters: list[Master] = [
            ReadMaster(muxes[port], slot, limit) for slot, port in enumerate(wanted)
        ]
        self._masters.append(WriteMaster(env, self._ddr, ports.store, limit))

    @staticmethod
    def prepare(timing: DdrTiming, fabric_khz: int, acc: Accelerator) -> None:
        """Nothing is compiled here."""

    def master(self, index: int) -> Master:
        """0 program, 1 weight, 2 load, 3 store."""
        return self._masters[index]

    def statistics(self) -> DdrStatistics:
        """Totals of every burst granted so far."""
        return self._ddr.statistics()
