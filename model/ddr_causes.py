"""Why a unit had no beat: the cycles before a burst's first beat, one cause each.

The rules are those of ``docs/stalls.md``. A burst goes through stages, and what comes back takes a
constant time from the data bus to the unit. So the cycles of a gap are looked at that much earlier:
a gap between two bursts is then explained by what the bus did between their data, and the constant
time itself counts, as latency, where nothing was under way before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import memory_state as at
from model.burst_log import BurstLog, Column

LATENCY, BANDWIDTH, ARBITRATION, REFRESH = range(4)
_BEFORE, _REFRESHING, _ROW, _DATA = range(4)  # pieces of a burst's share of the bus


@dataclass(frozen=True)
class Pieces:
    """Disjoint intervals [start, end) with a cause each; empty ones are allowed."""

    start: Column
    end: Column
    cause: Column
    burst: Column  # the row, of the bursts asked about, before whose first beat it lies

    @staticmethod
    def joined(parts: list[Pieces]) -> Pieces:
        """All that are not empty, in order of time."""
        start, end, cause, burst = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("start", "end", "cause", "burst")
        )
        order = np.argsort(start, kind="stable")
        order = order[end[order] > start[order]]
        return Pieces(start[order], end[order], cause[order], burst[order])


class Bus:
    """The data bus of the memory, cut into the pieces of the bursts that used it.

    The share of a burst is from the end of the one before to its own end. It has up to four pieces:
    before it can begin (idle, turnaround), refresh, its row being opened, its data.
    """

    def __init__(self, log: BurstLog) -> None:
        rows = log.rows
        before, earliest = rows[:, at.G_BEFORE], rows[:, at.G_EARLIEST]
        start, refreshed = rows[:, at.G_START], rows[:, at.G_REFRESHED]
        waited = np.clip(refreshed, earliest, start)
        self._edges = log.cycles(np.stack([before, earliest, waited, start], 1).ravel())
        self._master = rows[:, at.G_MASTER]

    def explain(self, low: Column, high: Column, burst: Column, shift: Column) -> Pieces:
        """Why a burst waits for the bus from ``low`` to ``high``, bus time; ``burst``: its row.

        The pieces come back in the unit's time, ``shift`` later.
        """
        some = np.flatnonzero(high > low)
        low, high, shift = low[some], high[some], shift[some]
        first = np.maximum(np.searchsorted(self._edges, low, "right") - 1, 0)
        last = np.searchsorted(self._edges, high, "left")
        counts = np.maximum(last - first, 1)
        which = np.repeat(np.arange(len(some)), counts)
        piece = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        edges = np.append(self._edges, at.NEVER)
        start = np.clip(edges[piece], low[which], high[which])
        end = np.clip(edges[piece + 1], low[which], high[which])
        begins = np.cumsum(counts) - counts
        start[begins] = low  # before the first share of all the bus is idle
        cause = self._cause(piece, burst[some][which])
        return Pieces(start + shift[which], end + shift[which], cause, some[which])

    def _cause(self, piece: Column, burst: Column) -> Column:
        user, kind = piece // 4, piece % 4
        own = self._master[user] == self._master[burst]
        cause = np.where(own, LATENCY, ARBITRATION)
        cause[own & (kind == _DATA)] = BANDWIDTH
        cause[kind == _REFRESHING] = REFRESH
        return cause.astype(np.int64)


def read_gaps(log: BurstLog, bus: Bus, rows: Column, low: Column, high: Column) -> Pieces:
    """The cycles [low, high) before the first beats of reading bursts ``rows`` of the log.

    ``high`` may lie after the first beat, where the unit takes a beat later: latency too.
    """
    chosen = log.rows[rows]
    start_ck, end_ck = chosen[:, at.G_START], chosen[:, at.G_END]
    delay, latency = log.timing.read_delay, log.timing.read_latency
    start, first = log.cycles(start_ck), chosen[:, at.G_FIRST]
    there = log.cycles(start_ck + delay) + latency
    shift = there - start
    at_last = log.cycles(end_ck + delay) + latency - (chosen[:, at.G_BEATS] - 1)
    mux_wait, place_wait = _request_waits(log, rows)
    offer, accept = chosen[:, at.G_OFFER], chosen[:, at.G_ACCEPT]
    request, visible = chosen[:, at.G_REQUEST], chosen[:, at.G_VISIBLE]
    stages: list[tuple[Column, Column | int]] = [
        (request + shift, LATENCY),
        (offer - 1 + shift, mux_wait),
        (offer + shift, LATENCY),
        (accept + shift, place_wait),
        (visible + shift, LATENCY),
    ]
    parts = _stages(stages, low, high, low)
    parts.append(
        bus.explain(np.maximum(visible, low - shift), np.minimum(start, high - shift), rows, shift)
    )
    data: list[tuple[Column, Column | int]] = [
        (np.maximum(there, at_last), BANDWIDTH),
        (first, ARBITRATION),
        (high, LATENCY),
    ]
    return Pieces.joined(parts + _stages(data, low, high, np.clip(there, low, high)))


def write_gaps(log: BurstLog, bus: Bus, rows: Column, low: Column, high: Column) -> Pieces:
    """The cycles [low, high) before the first beats of writing bursts ``rows``: all of them.

    A burst waits for the response of an earlier one that gives it credit in the master, then for
    one that leaves its place in the port; the rest is the protocol.
    """
    chosen = log.rows[rows]
    offer, accept = chosen[:, at.G_OFFER], chosen[:, at.G_ACCEPT]
    count = np.arange(len(rows))
    parts = []
    begin = low
    for limit, until in ((log.outstanding, offer), (log.timing.write_acceptance, accept)):
        giver = np.maximum(count - limit, 0)
        response = np.where(count >= limit, chosen[giver, at.G_RESPONSE] + 1, 0)
        end = np.clip(np.minimum(response, until), begin, high)
        parts += _response(log, bus, rows[giver], begin, end)
        begin = np.clip(until, end, high)
        parts.append(_piece(end, begin, LATENCY))
    parts.append(_piece(begin, high, LATENCY))
    return Pieces.joined(parts)


def _response(log: BurstLog, bus: Bus, giver: Column, low: Column, high: Column) -> list[Pieces]:
    """Why the response of burst ``giver`` is not there in [low, high)."""
    row = log.rows[giver]
    start, end = log.cycles(row[:, at.G_START]), log.cycles(row[:, at.G_END])
    shift = row[:, at.G_RESPONSE] - end
    visible = row[:, at.G_VISIBLE]
    parts = _stages([(visible + shift, LATENCY)], low, high, low)
    parts.append(
        bus.explain(np.maximum(visible, low - shift), np.minimum(start, high - shift), giver, shift)
    )
    rest: list[tuple[Column, Column | int]] = [(end + shift, BANDWIDTH), (high, LATENCY)]
    return parts + _stages(rest, low, high, np.clip(start + shift, low, high))


def _request_waits(log: BurstLog, rows: Column) -> tuple[Column, Column]:
    """Causes of waiting for the multiplexer and for a place in the port, by burst.

    Somebody else's request in the multiplexer, or burst in the place: arbitration. One's own: too
    few places for the latency.
    """
    every = log.rows
    ports = np.array(log.ports)[every[:, at.G_MASTER]]
    mux = np.full(len(every), LATENCY, np.int64)
    place = np.full(len(every), LATENCY, np.int64)
    for port in set(log.ports):
        here = np.flatnonzero((ports == port) & (every[:, at.G_MASTER] != at.STORE))
        here = here[np.argsort(every[here, at.G_ACCEPT], kind="stable")]
        master = every[here, at.G_MASTER]
        for found, distance in ((mux, 1), (place, log.timing.read_acceptance)):
            other = master[distance:] != master[:-distance]
            found[here[distance:][other]] = ARBITRATION
    return mux[rows], place[rows]


def _stages(
    stages: list[tuple[Column, Column | int]], low: Column, high: Column, begin: Column
) -> list[Pieces]:
    """One piece a stage, from the end of the stage before; each stage has its end and its cause."""
    parts = []
    for until, cause in stages:
        end = np.clip(until, begin, high)
        parts.append(_piece(np.maximum(begin, low), end, cause))
        begin = end
    return parts


def _piece(start: Column, end: Column, cause: Column | int) -> Pieces:
    causes: NDArray[np.int64] = np.broadcast_to(np.asarray(cause, np.int64), start.shape)
    return Pieces(start, end, causes, np.arange(len(start)))
