"""The DDR controller and its AXI ports in the SimPy simulator: one event per burst.

The twin of `testbench/hdl/ddr_model.sv`; both agree on every handshake cycle. Cycle 0 of the
environment is the cycle of the RTL model's `time_zero_i` (or the first one out of reset).

A request is seen by the controller at least one cycle after it was accepted, so a decision at
cycle t needs nothing that is posted at t: the order of callbacks inside a cycle never matters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from simpy import Environment, Event
from simpy.events import NORMAL

from model.ddr_service import DdrService
from model.ddr_timing import BEAT_BYTES, DdrTiming

Accepted = Callable[[int], None]
Served = Callable[[int, int], None]
Responded = Callable[[int], None]

NEVER = 1 << 62
"""A cycle after every other one."""

_ReadRequest = tuple[int, int, int, Accepted, Served]
_WriteRequest = tuple[int, int, int, Accepted, Responded]


@dataclass(frozen=True, slots=True)
class DdrStatistics:
    """What the memory did. `busy_ck` counts ticks with data on the bus."""

    bytes_read: int
    bytes_written: int
    row_hits: int
    row_misses: int
    refreshes: int
    busy_ck: int


class _Port:
    """Queues of one AXI port.

    `read_free` and `write_free` hold, for each free place, the first cycle at which READY shows it.
    """

    __slots__ = (
        "addressed",
        "last_beat",
        "last_read_accept",
        "last_response",
        "last_write_accept",
        "read_free",
        "read_offer",
        "reads",
        "write_free",
        "write_offer",
        "writes",
    )

    def __init__(self, timing: DdrTiming) -> None:
        self.read_free = deque([0] * timing.read_acceptance)
        self.write_free = deque([0] * timing.write_acceptance)
        self.read_offer: _ReadRequest | None = None
        self.write_offer: _WriteRequest | None = None
        self.reads: deque[tuple[int, int, int, Served]] = deque()
        self.addressed: deque[tuple[int, int, int, Responded]] = deque()
        self.writes: deque[tuple[int, int, int, Responded]] = deque()
        self.last_read_accept = -1
        self.last_write_accept = -1
        self.last_beat = -1
        self.last_response = -1


class DdrController:
    """Accepts bursts, decides their order, tells each master the cycles of its beats.

    Arbitration, at most one grant a cycle: the direction stays while it has a candidate, unless the
    other one has waited through `direction_limit` grants; round robin over the ports inside a
    direction; first come, first served inside a port and direction.
    """

    def __init__(self, env: Environment, timing: DdrTiming, fabric_khz: int, ports: int) -> None:
        self._env = env
        self._timing = timing
        self._fabric_khz = fabric_khz
        self._ports = [_Port(timing) for _ in range(ports)]
        self._service = DdrService(timing)
        # Cycle at which the first queued burst of each port becomes visible, by direction.
        self._heads = ([NEVER] * ports, [NEVER] * ports)
        self._last_port = [ports - 1, ports - 1]
        self._writing = False
        self._streak = 0
        self._grant_cycle = 0
        self._decide_at = NEVER
        self._beats = [0, 0]

    def offer_read(
        self,
        port: int,
        address: int,
        beats: int,
        valid_cycle: int,
        on_accept: Accepted,
        on_served: Served,
    ) -> None:
        """Hold ARVALID from `valid_cycle` (not in the past) until accepted.

        `on_accept(cycle)` comes as soon as that cycle is known, possibly at once. `on_served(first,
        last)` comes when the burst is granted, with the cycles of its first and last R beat, both
        in the future. Offer the next burst of the port after `on_accept`.
        """
        state = self._ports[port]
        if state.read_offer is not None:
            raise RuntimeError(f"port {port} offers a read before the last one was accepted")
        if valid_cycle < self._env.now:
            raise RuntimeError(f"port {port} offers a read in the past, at cycle {valid_cycle}")
        state.read_offer = (address, beats, valid_cycle, on_accept, on_served)
        if state.read_free:
            self._accept_read(port, state)

    def offer_write(
        self,
        port: int,
        address: int,
        beats: int,
        valid_cycle: int,
        on_accept: Accepted,
        on_response: Responded,
    ) -> None:
        """Hold AWVALID from `valid_cycle` (not in the past) until accepted.

        As `offer_read`; `on_response(cycle)` comes when the burst is granted. WREADY shows from
        the cycle after the accept until the last beat of the burst.
        """
        state = self._ports[port]
        if state.write_offer is not None:
            raise RuntimeError(f"port {port} offers a write before the last one was accepted")
        if valid_cycle < self._env.now:
            raise RuntimeError(f"port {port} offers a write in the past, at cycle {valid_cycle}")
        state.write_offer = (address, beats, valid_cycle, on_accept, on_response)
        if state.write_free:
            self._accept_write(state)

    def write_data(self, port: int, last_beat_cycle: int) -> None:
        """The last W beat of the oldest accepted burst without data comes at `last_beat_cycle`.

        Call it once for each burst, in order, after its `on_accept` and not after that cycle.
        """
        state = self._ports[port]
        if not state.addressed:
            raise RuntimeError(f"port {port} sends write data without an accepted address")
        address, beats, accepted, on_response = state.addressed.popleft()
        if last_beat_cycle < max(self._env.now, accepted + beats):
            raise RuntimeError(f"port {port} sends write data too early, at {last_beat_cycle}")
        visible = last_beat_cycle + self._timing.command_latency
        state.writes.append((visible, address, beats, on_response))
        if len(state.writes) == 1:
            self._heads[True][port] = visible
            self._wake(visible)

    def statistics(self) -> DdrStatistics:
        """Totals of every burst granted so far."""
        service = self._service
        return DdrStatistics(
            bytes_read=self._beats[False] * BEAT_BYTES,
            bytes_written=self._beats[True] * BEAT_BYTES,
            row_hits=service.row_hits,
            row_misses=service.row_misses,
            refreshes=service.refreshes,
            busy_ck=service.busy_ck,
        )

    def _accept_read(self, port: int, state: _Port) -> None:
        assert state.read_offer is not None
        address, beats, valid_cycle, on_accept, on_served = state.read_offer
        state.read_offer = None
        cycle = max(valid_cycle, state.read_free.popleft(), state.last_read_accept + 1)
        state.last_read_accept = cycle
        visible = cycle + self._timing.command_latency
        state.reads.append((visible, address, beats, on_served))
        if len(state.reads) == 1:
            self._heads[False][port] = visible
            self._wake(visible)
        on_accept(cycle)

    def _accept_write(self, state: _Port) -> None:
        assert state.write_offer is not None
        address, beats, valid_cycle, on_accept, on_response = state.write_offer
        state.write_offer = None
        cycle = max(valid_cycle, state.write_free.popleft(), state.last_write_accept + 1)
        state.last_write_accept = cycle
        state.addressed.append((address, beats, cycle, on_response))
        on_accept(cycle)

    def _wake(self, visible: int) -> None:
        """Make sure that a decision is taken at the first cycle that can grant this burst."""
        cycle = max(visible, self._grant_cycle)
        if cycle < self._decide_at:
            self._schedule(cycle)

    def _schedule(self, cycle: int) -> None:
        self._decide_at = cycle
        # A bare event: a Timeout does the same, in twice the time.
        event = Event(self._env)
        event._ok = True  # noqa: SLF001  what Timeout sets
        event._value = None  # noqa: SLF001
        event.callbacks = [self._decide]
        self._env.schedule(event, NORMAL, cycle - self._env.now)

    def _decide(self, _event: Event) -> None:
        """Grant one burst, then schedule the next decision."""
        now = self._decide_at
        if now != self._env.now:
            return  # an earlier decision has replaced this one
        # While callbacks run, no cycle is earlier than `_decide_at`: they schedule nothing.
        if self._choose_direction(now):
            self._grant_write(self._choose_port(now), now)
        else:
            self._grant_read(self._choose_port(now), now)
        visible = min(*self._heads[False], *self._heads[True])
        self._decide_at = NEVER
        if visible != NEVER:
            self._schedule(max(visible, self._grant_cycle))

    def _choose_direction(self, now: int) -> bool:
        reads_wait = min(self._heads[False]) <= now
        writes_wait = min(self._heads[True]) <= now
        if reads_wait and writes_wait:
            if self._streak >= self._timing.direction_limit:
                self._writing = not self._writing
                self._streak = 0
            self._streak += 1
        else:
            self._writing = writes_wait
            self._streak = 0
        return self._writing

    def _choose_port(self, now: int) -> int:
        heads = self._heads[self._writing]
        ports = len(heads)
        port = self._last_port[self._writing]
        while True:
            port = port + 1 if port + 1 < ports else 0
            if heads[port] <= now:
                self._last_port[self._writing] = port
                return port

    def _serve(self, now: int, address: int, beats: int) -> tuple[int, int]:
        timing = self._timing
        ddr_khz, fabric_khz = timing.ddr_khz, self._fabric_khz
        # The tick after the one in which the cycle begins: data is never earlier than now + 1.
        now_ck = now * ddr_khz // fabric_khz + 1
        start, end = self._service.serve(now_ck, self._writing, address, beats)
        self._beats[self._writing] += beats
        ahead = self._service.bus_free_ck - timing.lookahead
        # ck_of(cycle) >= ahead is the same as cycle >= ceil(ahead * fabric_khz / ddr_khz).
        self._grant_cycle = max(now + 1, -(-ahead * fabric_khz // ddr_khz))
        return start, end

    def _grant_read(self, port: int, now: int) -> None:
        state = self._ports[port]
        _, address, beats, on_served = state.reads.popleft()
        self._heads[False][port] = state.reads[0][0] if state.reads else NEVER
        start, end = self._serve(now, address, beats)
        timing = self._timing
        ddr_khz, fabric_khz = timing.ddr_khz, self._fabric_khz
        delay = timing.read_delay
        first = max(
            state.last_beat + 1,
            -(-(start + delay) * fabric_khz // ddr_khz) + timing.read_latency,
            -(-(end + delay) * fabric_khz // ddr_khz) + timing.read_latency - (beats - 1),
        )
        state.last_beat = last = first + beats - 1
        state.read_free.append(last + 1)
        on_served(first, last)
        if state.read_offer is not None and state.read_free:
            self._accept_read(port, state)

    def _grant_write(self, port: int, now: int) -> None:
        state = self._ports[port]
        _, address, beats, on_response = state.writes.popleft()
        self._heads[True][port] = state.writes[0][0] if state.writes else NEVER
        _, end = self._serve(now, address, beats)
        timing = self._timing
        done = -(-(end + timing.write_delay) * self._fabric_khz // timing.ddr_khz)
        response = max(state.last_response + 1, done + timing.write_latency)
        state.last_response = response
        state.write_free.append(response + 1)
        on_response(response)
        if state.write_offer is not None and state.write_free:
            self._accept_write(state)
