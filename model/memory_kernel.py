# ruff: noqa: PLR0913  the kernel's state is one argument per array
# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""Compiled twin of ``model/sim_axi.py`` and ``model/ddr.py``: masters, multiplexers, controller.

State lives in int64 arrays, so that numba compiles the loop over bursts (cached on disk).
Everything happens at the same cycles as in the burst-by-burst processes; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

State = NDArray[np.int64]

NEVER = 1 << 62
RING = 64  # places of every ring: at least the largest acceptance and outstanding limit
MASTERS = 4  # 0 program, 1 weight, 2 load, 3 store
STORE = 3

# Notices to the units: kind, master, two cycles.
ISSUED, DONE, SENT, RESPONDED = range(4)

# Timing vector (DdrTiming, fabric clock first).
(
    T_FABRIC, T_DDR, T_BYTES_CK, T_BURST, T_BANKS, T_PAGE_SHIFT, T_BANK_BITS, T_RCD, T_RP, T_RAS,
    T_WR, T_REFI, T_RFC, T_WRITE_GAP, T_TURN_RW, T_TURN_WR, T_LOOKAHEAD, T_READ_DELAY,
    T_WRITE_DELAY, T_COMMAND, T_READ_LAT, T_WRITE_LAT, T_DIRECTION,
) = range(23)  # fmt: skip

# Controller.
(
    C_BUS_FREE, C_NEXT_REFRESH, C_REFRESHED, C_BUS_WRITING, C_BUSY, C_HITS, C_MISSES, C_REFRESHES,
    C_WRITING, C_STREAK, C_GRANT, C_BEATS_READ, C_BEATS_WRITTEN, C_LAST_READ, C_LAST_WRITE,
    C_NOTICES, C_SIZE,
) = range(17)  # fmt: skip

# Banks: open row, end of tRAS, earliest precharge.
B_ROW, B_RAS, B_PRECHARGE, B_SIZE = range(4)

# Masters: wiring, credit, the transfer's segments, the next burst, the request to the multiplexer.
(
    M_PORT, M_LIMIT, M_IN_FLIGHT, M_HEAD, M_COUNT, M_CALC, M_IDLE, M_BASE, M_ROW_PITCH, M_ROWS,
    M_BLOCK_PITCH, M_BLOCKS, M_BEATS, M_LAST_BEATS, M_SKEW, M_ROW, M_BLOCK, M_ADDRESS, M_LEFT,
    M_FIRST, M_HAS_NEXT, M_PENDING, M_FIRST_BEAT, M_NOTIFY, M_REQ_VALID, M_REQ_ADDRESS,
    M_REQ_BEATS, M_W_END, M_SIZE,
) = range(29)  # fmt: skip

# Ports: multiplexer, offers to the slave, acceptance, queues (rings: head and count).
(
    P_MUX_FREE, P_LAST_SLOT, P_OFFER, P_OFFER_ADDRESS, P_OFFER_BEATS, P_OFFER_MASTER, P_LAST_AR,
    P_LAST_BEAT, P_RF_HEAD, P_RF_COUNT, P_RQ_HEAD, P_RQ_COUNT, P_WOFFER, P_WOFFER_ADDRESS,
    P_WOFFER_BEATS, P_WOFFER_LAST, P_LAST_AW, P_LAST_B, P_WF_HEAD, P_WF_COUNT, P_WQ_HEAD,
    P_WQ_COUNT, P_SIZE,
) = range(23)  # fmt: skip

# Ring memories of a port.
(
    R_READ_FREE, R_READ_VISIBLE, R_READ_ADDRESS, R_READ_BEATS, R_READ_MASTER, R_WRITE_FREE,
    R_WRITE_VISIBLE, R_WRITE_ADDRESS, R_WRITE_BEATS, R_WRITE_LAST, R_SIZE,
) = range(11)  # fmt: skip


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _jit(function: _Function) -> _Function:
    return cast(_Function, njit(cache=True)(function))


@_jit
def _notice(ctl: State, notices: State, kind: int, master: int, first: int, second: int) -> None:
    index = ctl[C_NOTICES]
    notices[index, 0] = kind
    notices[index, 1] = master
    notices[index, 2] = first
    notices[index, 3] = second
    ctl[C_NOTICES] = index + 1


@_jit
def _open_segment(m: State) -> None:
    """Address and beats of segment (row, block) of the transfer."""
    address = m[M_BASE] + m[M_ROW] * m[M_ROW_PITCH] + m[M_BLOCK] * m[M_BLOCK_PITCH]
    beats = m[M_BEATS]
    if m[M_BLOCK] == m[M_BLOCKS] - 1:
        address -= m[M_SKEW]
        beats = m[M_LAST_BEATS]
    m[M_ADDRESS] = address
    m[M_LEFT] = beats
    m[M_FIRST] = 1


@_jit
def _take_burst(m: State) -> tuple[int, int]:
    """Next burst of the transfer; afterwards M_HAS_NEXT, M_FIRST speak of the one after it."""
    address = m[M_ADDRESS]
    beats = min(16, m[M_LEFT], (4096 - address % 4096) // 8)
    m[M_ADDRESS] = address + 8 * beats
    m[M_LEFT] -= beats
    m[M_FIRST] = 0
    if m[M_LEFT] == 0:
        m[M_BLOCK] += 1
        if m[M_BLOCK] == m[M_BLOCKS]:
            m[M_BLOCK] = 0
            m[M_ROW] += 1
        if m[M_ROW] == m[M_ROWS]:
            m[M_HAS_NEXT] = 0
        else:
            _open_segment(m)
    return address, beats


@_jit
def _enter_calc(
    ctl: State, tim: State, masters: State, lasts: State, ports: State, rings: State,
    notices: State, index: int, cycle: int,
) -> None:  # fmt: skip
    """CALC of a master from ``cycle`` on; it leaves when fewer than the limit are outstanding."""
    m = masters[index]
    while True:
        if m[M_IN_FLIGHT] >= m[M_LIMIT]:
            if m[M_COUNT] == 0:
                m[M_CALC] = cycle
                return
            cycle = max(cycle, lasts[index, m[M_HEAD]] + 1)
            m[M_HEAD] = (m[M_HEAD] + 1) % RING
            m[M_COUNT] -= 1
            m[M_IN_FLIGHT] -= 1
        address, beats = _take_burst(m)
        m[M_IN_FLIGHT] += 1
        m[M_PENDING] += 1
        if index != STORE:
            m[M_REQ_VALID] = cycle + 1
            m[M_REQ_ADDRESS] = address
            m[M_REQ_BEATS] = beats
            return
        port = m[M_PORT]
        p = ports[port]
        p[P_WOFFER] = cycle + 1
        p[P_WOFFER_ADDRESS] = address
        p[P_WOFFER_BEATS] = beats
        p[P_WOFFER_LAST] = m[M_NOTIFY] if m[M_HAS_NEXT] == 0 else 0
        if p[P_WF_COUNT] == 0:
            return
        accepted = _accept_write(tim, m, p, rings[port])
        if m[M_HAS_NEXT] == 0:
            m[M_IDLE] = accepted + 1
            _notice(ctl, notices, SENT, STORE, m[M_FIRST_BEAT], m[M_W_END])
            return
        cycle = accepted + (2 if m[M_FIRST] == 1 else 1)


@_jit
def _accept_write(tim: State, m: State, p: State, ring: State) -> int:
    """The slave takes the address; the W beats follow in order without gaps. Returns the cycle."""
    free = ring[R_WRITE_FREE, p[P_WF_HEAD]]
    p[P_WF_HEAD] = (p[P_WF_HEAD] + 1) % RING
    p[P_WF_COUNT] -= 1
    cycle = max(p[P_WOFFER], free, p[P_LAST_AW] + 1)
    p[P_LAST_AW] = cycle
    beats = p[P_WOFFER_BEATS]
    first = max(cycle + 2, m[M_W_END] + 1)
    m[M_W_END] = first + beats - 1
    if m[M_FIRST_BEAT] < 0:
        m[M_FIRST_BEAT] = first
    place = (p[P_WQ_HEAD] + p[P_WQ_COUNT]) % RING
    ring[R_WRITE_VISIBLE, place] = m[M_W_END] + tim[T_COMMAND]
    ring[R_WRITE_ADDRESS, place] = p[P_WOFFER_ADDRESS]
    ring[R_WRITE_BEATS, place] = beats
    ring[R_WRITE_LAST, place] = p[P_WOFFER_LAST]
    p[P_WQ_COUNT] += 1
    p[P_WOFFER] = -1
    return cycle


@_jit
def _accept_read(tim: State, p: State, ring: State) -> None:
    """The slave takes the address that the multiplexer's register offers."""
    free = ring[R_READ_FREE, p[P_RF_HEAD]]
    p[P_RF_HEAD] = (p[P_RF_HEAD] + 1) % RING
    p[P_RF_COUNT] -= 1
    cycle = max(p[P_OFFER], free, p[P_LAST_AR] + 1)
    p[P_LAST_AR] = cycle
    place = (p[P_RQ_HEAD] + p[P_RQ_COUNT]) % RING
    ring[R_READ_VISIBLE, place] = cycle + tim[T_COMMAND]
    ring[R_READ_ADDRESS, place] = p[P_OFFER_ADDRESS]
    ring[R_READ_BEATS, place] = p[P_OFFER_BEATS]
    ring[R_READ_MASTER, place] = p[P_OFFER_MASTER]
    p[P_RQ_COUNT] += 1
    p[P_OFFER] = -1
    p[P_MUX_FREE] = cycle


@_jit
def _mux_cycle(masters: State, ports: State, port: int) -> int:
    """When the multiplexer of a port takes the next request."""
    if ports[port, P_MUX_FREE] == NEVER:
        return NEVER
    earliest = NEVER
    for index in range(STORE):
        if masters[index, M_PORT] == port and 0 <= masters[index, M_REQ_VALID] < earliest:
            earliest = masters[index, M_REQ_VALID]
    if earliest == NEVER:
        return NEVER
    return max(earliest, ports[port, P_MUX_FREE])


@_jit
def _mux_grant(
    ctl: State, tim: State, masters: State, lasts: State, ports: State, rings: State,
    notices: State, port: int, cycle: int,
) -> None:  # fmt: skip
    """Round robin among the masters that request at this cycle."""
    p = ports[port]
    chosen = -1
    for step in range(1, STORE + 1):
        index = (p[P_LAST_SLOT] + step) % STORE
        if masters[index, M_PORT] == port and 0 <= masters[index, M_REQ_VALID] <= cycle:
            chosen = index
            break
    m = masters[chosen]
    p[P_LAST_SLOT] = chosen
    p[P_MUX_FREE] = NEVER
    p[P_OFFER] = cycle + 1
    p[P_OFFER_ADDRESS] = m[M_REQ_ADDRESS]
    p[P_OFFER_BEATS] = m[M_REQ_BEATS]
    p[P_OFFER_MASTER] = chosen
    m[M_REQ_VALID] = -1
    if p[P_RF_COUNT] > 0:
        _accept_read(tim, p, rings[port])
    if m[M_HAS_NEXT] == 1:
        calc = cycle + (2 if m[M_FIRST] == 1 else 1)
        _enter_calc(ctl, tim, masters, lasts, ports, rings, notices, chosen, calc)
    else:
        m[M_IDLE] = cycle + 1
        _notice(ctl, notices, ISSUED, chosen, cycle + 1, 0)


@_jit
def _serve(
    ctl: State, tim: State, banks: State, now_ck: int, write: int, address: int, beats: int
) -> tuple[int, int]:
    """Place one burst on the data bus: the steps of ``DdrService.serve``."""
    earliest = ctl[C_BUS_FREE]
    if write != ctl[C_BUS_WRITING]:
        earliest += tim[T_TURN_RW] if write else tim[T_TURN_WR]
        ctl[C_BUS_WRITING] = write
    earliest = max(earliest, now_ck)
    if earliest >= ctl[C_NEXT_REFRESH]:
        due = (earliest - ctl[C_NEXT_REFRESH]) // tim[T_REFI] + 1
        ctl[C_NEXT_REFRESH] += due * tim[T_REFI]
        ctl[C_REFRESHES] += due
        begin = max(ctl[C_NEXT_REFRESH] - tim[T_REFI], ctl[C_BUS_FREE])
        ctl[C_REFRESHED] = begin + tim[T_RP] + tim[T_RFC]
        for bank in range(tim[T_BANKS]):
            banks[bank, B_ROW] = -1
    page = address >> tim[T_PAGE_SHIFT]
    row = page >> tim[T_BANK_BITS]
    b = banks[page - (row << tim[T_BANK_BITS])]
    start = earliest
    if b[B_ROW] == row:
        ctl[C_HITS] += 1
    else:
        ctl[C_MISSES] += 1
        if b[B_ROW] == -1:
            activate = max(now_ck, ctl[C_REFRESHED])
        else:
            activate = max(now_ck, b[B_PRECHARGE]) + tim[T_RP]
        b[B_ROW] = row
        b[B_RAS] = activate + tim[T_RAS]
        start = max(start, activate + tim[T_RCD])
    burst = tim[T_BURST]
    touched = address % burst + beats * 8
    data_ck = (touched + burst - 1) // burst * (burst // tim[T_BYTES_CK])
    end = start + data_ck
    ctl[C_BUSY] += data_ck
    if write:
        ctl[C_BUS_FREE] = end + tim[T_WRITE_GAP]
        b[B_PRECHARGE] = max(end + tim[T_WR], b[B_RAS])
    else:
        ctl[C_BUS_FREE] = end
        b[B_PRECHARGE] = max(end, b[B_RAS])
    return start, end


@_jit
def _head(ports: State, rings: State, port: int, write: int) -> int:
    """When the oldest queued burst of a port becomes visible to the controller."""
    if write:
        if ports[port, P_WQ_COUNT] == 0:
            return NEVER
        return rings[port, R_WRITE_VISIBLE, ports[port, P_WQ_HEAD]]
    if ports[port, P_RQ_COUNT] == 0:
        return NEVER
    return rings[port, R_READ_VISIBLE, ports[port, P_RQ_HEAD]]


@_jit
def _ceil_cycle(tim: State, ck: int) -> int:
    return -((-ck * tim[T_FABRIC]) // tim[T_DDR])


@_jit
def _decide(
    ctl: State, tim: State, banks: State, masters: State, lasts: State, ports: State,
    rings: State, notices: State, now: int,
) -> None:  # fmt: skip
    """Grant one burst: the steps of ``DdrController._decide``."""
    count = ports.shape[0]
    reads = writes = False
    for port in range(count):
        reads = reads or _head(ports, rings, port, 0) <= now
        writes = writes or _head(ports, rings, port, 1) <= now
    if reads and writes:
        if ctl[C_STREAK] >= tim[T_DIRECTION]:
            ctl[C_WRITING] = 1 - ctl[C_WRITING]
            ctl[C_STREAK] = 0
        ctl[C_STREAK] += 1
    else:
        ctl[C_WRITING] = 1 if writes else 0
        ctl[C_STREAK] = 0
    write = ctl[C_WRITING]
    last = C_LAST_WRITE if write else C_LAST_READ
    port = ctl[last]
    while True:
        port = port + 1 if port + 1 < count else 0
        if _head(ports, rings, port, write) <= now:
            break
    ctl[last] = port
    p = ports[port]
    ring = rings[port]
    if write:
        place = p[P_WQ_HEAD]
        p[P_WQ_HEAD] = (place + 1) % RING
        p[P_WQ_COUNT] -= 1
        address = ring[R_WRITE_ADDRESS, place]
        beats = ring[R_WRITE_BEATS, place]
        ctl[C_BEATS_WRITTEN] += beats
    else:
        place = p[P_RQ_HEAD]
        p[P_RQ_HEAD] = (place + 1) % RING
        p[P_RQ_COUNT] -= 1
        address = ring[R_READ_ADDRESS, place]
        beats = ring[R_READ_BEATS, place]
        ctl[C_BEATS_READ] += beats
    now_ck = now * tim[T_DDR] // tim[T_FABRIC] + 1
    start, end = _serve(ctl, tim, banks, now_ck, write, address, beats)
    ctl[C_GRANT] = max(now + 1, _ceil_cycle(tim, ctl[C_BUS_FREE] - tim[T_LOOKAHEAD]))
    if write:
        _respond(ctl, tim, masters, lasts, ports, rings, notices, port, end,
                 ring[R_WRITE_LAST, place])  # fmt: skip
    else:
        _return_data(ctl, tim, masters, lasts, ports, rings, notices, port, start, end, beats,
                     ring[R_READ_MASTER, place])  # fmt: skip


@_jit
def _return_data(
    ctl: State, tim: State, masters: State, lasts: State, ports: State, rings: State,
    notices: State, port: int, start: int, end: int, beats: int, index: int,
) -> None:  # fmt: skip
    p = ports[port]
    ring = rings[port]
    first = max(
        p[P_LAST_BEAT] + 1,
        _ceil_cycle(tim, start + tim[T_READ_DELAY]) + tim[T_READ_LAT],
        _ceil_cycle(tim, end + tim[T_READ_DELAY]) + tim[T_READ_LAT] - (beats - 1),
    )
    last = first + beats - 1
    p[P_LAST_BEAT] = last
    ring[R_READ_FREE, (p[P_RF_HEAD] + p[P_RF_COUNT]) % RING] = last + 1
    p[P_RF_COUNT] += 1
    m = masters[index]
    lasts[index, (m[M_HEAD] + m[M_COUNT]) % RING] = last
    m[M_COUNT] += 1
    m[M_PENDING] -= 1
    if m[M_FIRST_BEAT] < 0:
        m[M_FIRST_BEAT] = first
    if m[M_CALC] >= 0:
        calc = m[M_CALC]
        m[M_CALC] = -1
        _enter_calc(ctl, tim, masters, lasts, ports, rings, notices, index, calc)
    if index == 0:  # every burst of the program is a transfer of its own
        _notice(ctl, notices, DONE, index, first, last)
    elif m[M_HAS_NEXT] == 0 and m[M_PENDING] == 0:
        _notice(ctl, notices, DONE, index, m[M_FIRST_BEAT], last)
    if p[P_OFFER] >= 0 and p[P_RF_COUNT] > 0:
        _accept_read(tim, p, ring)


@_jit
def _respond(
    ctl: State, tim: State, masters: State, lasts: State, ports: State, rings: State,
    notices: State, port: int, end: int, notify: int,
) -> None:  # fmt: skip
    p = ports[port]
    ring = rings[port]
    response = max(
        p[P_LAST_B] + 1, _ceil_cycle(tim, end + tim[T_WRITE_DELAY]) + tim[T_WRITE_LAT]
    )
    p[P_LAST_B] = response
    ring[R_WRITE_FREE, (p[P_WF_HEAD] + p[P_WF_COUNT]) % RING] = response + 1
    p[P_WF_COUNT] += 1
    m = masters[STORE]
    lasts[STORE, (m[M_HEAD] + m[M_COUNT]) % RING] = response
    m[M_COUNT] += 1
    if m[M_CALC] >= 0:
        calc = m[M_CALC]
        m[M_CALC] = -1
        _enter_calc(ctl, tim, masters, lasts, ports, rings, notices, STORE, calc)
    if notify:
        _notice(ctl, notices, RESPONDED, STORE, response, 0)
    if p[P_WOFFER] >= 0 and p[P_WF_COUNT] > 0:
        accepted = _accept_write(tim, m, p, ring)
        if m[M_HAS_NEXT] == 0:
            m[M_IDLE] = accepted + 1
            _notice(ctl, notices, SENT, STORE, m[M_FIRST_BEAT], m[M_W_END])
        else:
            calc = accepted + (2 if m[M_FIRST] == 1 else 1)
            _enter_calc(ctl, tim, masters, lasts, ports, rings, notices, STORE, calc)


@_jit
def start_transfer(
    ctl: State, tim: State, masters: State, lasts: State, ports: State, rings: State,
    notices: State, index: int, segments: State, accept_cycle: int, notify: int,
) -> None:  # fmt: skip
    """A unit hands a transfer to its master, accepted at ``accept_cycle`` at the earliest."""
    m = masters[index]
    for place in range(8):
        m[M_BASE + place] = segments[place]
    m[M_ROW] = 0
    m[M_BLOCK] = 0
    m[M_HAS_NEXT] = 1
    m[M_FIRST_BEAT] = -1
    m[M_NOTIFY] = notify
    _open_segment(m)
    calc = max(accept_cycle, m[M_IDLE]) + 1
    _enter_calc(ctl, tim, masters, lasts, ports, rings, notices, index, calc)


@_jit
def advance(
    ctl: State, tim: State, banks: State, masters: State, lasts: State, ports: State,
    rings: State, notices: State, limit: int,
) -> int:  # fmt: skip
    """Do everything that happens before ``limit``, but stop when a unit has to be told something.

    Returns the cycle of the next decision, NEVER if there is none; ctl[C_NOTICES] counts notices.
    """
    count = ports.shape[0]
    while True:
        cycle = NEVER
        where = -1
        for port in range(count):
            visible = min(_head(ports, rings, port, 0), _head(ports, rings, port, 1))
            cycle = min(cycle, visible)
        if cycle != NEVER:
            cycle = max(cycle, ctl[C_GRANT])
        for port in range(count):
            at = _mux_cycle(masters, ports, port)
            if at < cycle:
                cycle, where = at, port
        if cycle >= limit or ctl[C_NOTICES] > 0:
            return cycle
        if where < 0:
            _decide(ctl, tim, banks, masters, lasts, ports, rings, notices, cycle)
        else:
            _mux_grant(ctl, tim, masters, lasts, ports, rings, notices, where, cycle)

