"""Tables of DDR bursts, their replay in the SimPy model, and the log of both models.

`testbench/hdl/ddr_traffic.sv` replays the same tables; its masters are described there.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import simpy

from model.ddr import DdrController, DdrStatistics
from model.ddr_timing import BEAT_BYTES, BURST_BEATS, DdrTiming

MEMORY_BASE = 0x1000_0000
MEMORY_WORDS = 65536
PAGE_4K = 4096

READ_ADDRESS, READ_DATA, WRITE_ADDRESS, RESPONSE, READ_ERROR, STATISTIC = range(6)

Event = tuple[int, int, int, int]
"""Kind of handshake, port, cycle, value; or STATISTIC, index, count, 0."""

UNLIMITED = 64


@dataclass(frozen=True, slots=True)
class Burst:
    """One line of a table: see the header of ddr_traffic.sv for `gap`, `wait` and `stride`."""

    is_write: bool
    port: int
    gap: int
    address: int
    beats: int
    wait: int = 0
    stride: int = 0


def memory_word(index: int) -> int:
    """What the memory holds at word `index` before the run: different everywhere."""
    return (index * 0x9E37_79B9_7F4A_7C15 + 1) % (1 << 64)


def written_word(address: int) -> int:
    """What ddr_traffic.sv writes to `address`."""
    return ((~address & 0xFFFF_FFFF) << 32) | address


def random_bursts(
    rng: random.Random, ports: int, count: int, *, gap: int, sequential: float
) -> list[Burst]:
    """Reads of the lower half and writes to the upper half of the memory, never across 4 KB.

    count: bursts in each direction of each port. gap: the largest; half of them are 0.
    sequential: probability that a burst follows the one before it in memory.
    """
    half = MEMORY_WORDS * BEAT_BYTES // 2
    bursts = []
    for port in range(ports):
        for is_write in (False, True):
            base = MEMORY_BASE + (half if is_write else 0)
            address = base
            full = rng.random() < 0.5
            for _ in range(count):
                beats = BURST_BEATS if full else rng.randint(1, BURST_BEATS)
                if address >= base + half or rng.random() >= sequential:
                    address = base + rng.randrange(half // BEAT_BYTES) * BEAT_BYTES
                beats = min(beats, (PAGE_4K - address % PAGE_4K) // BEAT_BYTES)
                bursts.append(
                    Burst(
                        is_write,
                        port,
                        rng.randint(0, gap) if rng.random() < 0.5 else 0,
                        address,
                        beats,
                        wait=rng.choice((0, 0, 0, rng.randint(0, 20))),
                        stride=rng.choice((0, 0, 0, rng.randint(0, 3))),
                    )
                )
                address += beats * BEAT_BYTES
    return bursts


def write_table(bursts: Iterable[Burst], path: Path) -> None:
    """Write the table that ddr_traffic.sv reads."""
    path.write_text(
        "".join(
            f"{int(b.is_write)} {b.port} {b.gap} {b.address:x} {b.beats} {b.wait} {b.stride}\n"
            for b in bursts
        )
    )


def write_memory(path: Path) -> None:
    """Write the memory image that replays start from."""
    path.write_text("".join(f"{memory_word(i):016x}\n" for i in range(MEMORY_WORDS)))


def memory_after(bursts: Iterable[Burst]) -> list[int]:
    """The words of the memory after every write; overlapping writes hold the same values."""
    words = [memory_word(i) for i in range(MEMORY_WORDS)]
    for burst in bursts:
        if burst.is_write:
            for address in _beat_addresses(burst):
                words[(address - MEMORY_BASE) // BEAT_BYTES] = written_word(address)
    return words


def read_log(path: Path) -> list[Event]:
    """The events of a log of ddr_traffic.sv, sorted."""
    events = []
    for line in path.read_text().splitlines():
        kind, port, cycle, value = line.split()
        events.append((int(kind), int(port), int(cycle), int(value, 16)))
    return sorted(events)


@dataclass(frozen=True, slots=True)
class Replay:
    """What the SimPy model did with a table."""

    events: list[Event]
    statistics: DdrStatistics


def replay(
    bursts: Sequence[Burst],
    timing: DdrTiming,
    fabric_khz: int,
    ports: int,
    *,
    read_limit: int = UNLIMITED,
    write_limit: int = UNLIMITED,
) -> Replay:
    """Run a table through the SimPy model; the events that ddr_traffic.sv would log, sorted."""
    env = simpy.Environment()
    controller = DdrController(env, timing, fabric_khz, ports)
    events: list[Event] = []
    for port in range(ports):
        reads = [b for b in bursts if b.port == port and not b.is_write]
        writes = [b for b in bursts if b.port == port and b.is_write]
        _ReadMaster(controller, reads, read_limit, events).offer()
        _WriteMaster(controller, writes, write_limit, events).offer()
    env.run()
    statistics = controller.statistics()
    counts = (
        statistics.row_hits,
        statistics.row_misses,
        statistics.refreshes,
        statistics.busy_ck,
    )
    events += [(STATISTIC, index, count, 0) for index, count in enumerate(counts)]
    return Replay(sorted(events), statistics)


def _beat_addresses(burst: Burst) -> range:
    return range(burst.address, burst.address + burst.beats * BEAT_BYTES, BEAT_BYTES)


class _Master:
    """Offers one burst after another: gap after the last accept, at most `limit` outstanding."""

    def __init__(
        self, controller: DdrController, bursts: Sequence[Burst], limit: int, events: list[Event]
    ) -> None:
        self._controller = controller
        self._bursts = deque(bursts)
        self._events = events
        self._accepted: deque[Burst] = deque()
        self._offered: Burst | None = None
        self._earliest = bursts[0].gap if bursts else 0
        self._free = deque([0] * limit)  # first cycle of a free place among the outstanding

    def offer(self) -> None:
        """Offer the next burst, if the last one is accepted and there is a place."""
        if self._offered is None and self._bursts and self._free:
            self._offered = self._bursts.popleft()
            self._present(self._offered, max(1, self._earliest, self._free.popleft()))

    def _present(self, burst: Burst, cycle: int) -> None:
        raise NotImplementedError

    def _accept(self, kind: int, cycle: int) -> Burst:
        burst = self._offered
        assert burst is not None
        self._offered = None
        self._accepted.append(burst)
        self._earliest = cycle + 1 + (self._bursts[0].gap if self._bursts else 0)
        self._events.append((kind, burst.port, cycle, burst.address))
        return burst


class _ReadMaster(_Master):
    def _present(self, burst: Burst, cycle: int) -> None:
        self._controller.offer_read(
            burst.port, burst.address, burst.beats, cycle, self._on_accept, self._on_served
        )

    def _on_accept(self, cycle: int) -> None:
        self._accept(READ_ADDRESS, cycle)
        self.offer()

    def _on_served(self, first: int, last: int) -> None:
        burst = self._accepted.popleft()
        for cycle, address in zip(range(first, last + 1), _beat_addresses(burst), strict=True):
            word = memory_word((address - MEMORY_BASE) // BEAT_BYTES)
            self._events.append((READ_DATA, burst.port, cycle, word))
        self._free.append(last + 1)
        self.offer()


class _WriteMaster(_Master):
    _last_beat = -1

    def _present(self, burst: Burst, cycle: int) -> None:
        self._controller.offer_write(
            burst.port, burst.address, burst.beats, cycle, self._on_accept, self._on_response
        )

    def _on_accept(self, cycle: int) -> None:
        burst = self._accept(WRITE_ADDRESS, cycle)
        first = max(cycle + 1 + burst.wait, self._last_beat + 1)
        self._last_beat = first + (burst.beats - 1) * (burst.stride + 1)
        self._controller.write_data(burst.port, self._last_beat)
        self.offer()

    def _on_response(self, cycle: int) -> None:
        burst = self._accepted.popleft()
        self._events.append((RESPONSE, burst.port, cycle, 0))
        self._free.append(cycle + 1)
        self.offer()
