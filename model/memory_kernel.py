# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""Compiled twin of ``model/sim_axi.py`` and ``model/ddr.py``: masters, multiplexers, controller.

The functions work on the state vector of ``model/memory_state.py``: ``start_transfer`` hands a
transfer to a master, ``advance`` runs until a unit has to be told something. Everything happens at
the same cycles as in the burst-by-burst processes; a test compares the two. ``m``, ``p`` and ``b``
are the places of a master, of a port and of a bank in the state ``s``.
"""

from __future__ import annotations

from model.compiled import part
from model.memory_state import (
    B_PRECHARGE,
    B_RAS,
    B_ROW,
    BANK_SIZE,
    C_BANKS_AT,
    C_BEATS_READ,
    C_BEATS_WRITTEN,
    C_BEFORE,
    C_BUS_FREE,
    C_BUS_WRITING,
    C_BUSY,
    C_EARLIEST,
    C_GRANT,
    C_HITS,
    C_LAST_READ,
    C_LAST_WRITE,
    C_LOG,
    C_MISSES,
    C_NEXT_REFRESH,
    C_NOTICES,
    C_PORTS_END,
    C_REFRESHED,
    C_REFRESHES,
    C_STREAK,
    C_WRITING,
    DONE,
    G_ACCEPT,
    G_ADDRESS,
    G_BEATS,
    G_BEFORE,
    G_EARLIEST,
    G_END,
    G_FIRST,
    G_FREE,
    G_GRANT,
    G_LAST,
    G_MASTER,
    G_OFFER,
    G_REFRESHED,
    G_REQUEST,
    G_RESPONSE,
    G_START,
    G_VISIBLE,
    ISSUED,
    LOG_SIZE,
    M_ADDRESS,
    M_BASE,
    M_BEATS,
    M_BLOCK,
    M_BLOCK_PITCH,
    M_BLOCKS,
    M_CALC,
    M_COUNT,
    M_FIRST,
    M_FIRST_BEAT,
    M_HAS_NEXT,
    M_HEAD,
    M_IDLE,
    M_IN_FLIGHT,
    M_LAST_BEATS,
    M_LEFT,
    M_LIMIT,
    M_NOTIFY,
    M_PENDING,
    M_PORT,
    M_REQ_ADDRESS,
    M_REQ_BEATS,
    M_REQ_VALID,
    M_RING,
    M_ROW,
    M_ROW_PITCH,
    M_ROWS,
    M_SKEW,
    M_W_END,
    MASTER_SIZE,
    MASTERS_AT,
    NEVER,
    NOTICES_AT,
    P_LAST_AR,
    P_LAST_AW,
    P_LAST_B,
    P_LAST_BEAT,
    P_LAST_SLOT,
    P_MUX_CYCLE,
    P_MUX_FREE,
    P_NUMBER,
    P_OFFER,
    P_OFFER_ADDRESS,
    P_OFFER_BEATS,
    P_OFFER_MASTER,
    P_OFFER_REQUEST,
    P_READ_HEAD,
    P_RF_COUNT,
    P_RF_HEAD,
    P_RQ_COUNT,
    P_RQ_HEAD,
    P_WF_COUNT,
    P_WF_HEAD,
    P_WOFFER,
    P_WOFFER_ADDRESS,
    P_WOFFER_BEATS,
    P_WOFFER_LAST,
    P_WQ_COUNT,
    P_WQ_HEAD,
    P_WRITE_HEAD,
    PORT_SIZE,
    PORTS_AT,
    R_READ_ADDRESS,
    R_READ_BEATS,
    R_READ_FREE,
    R_READ_MASTER,
    R_READ_OFFER,
    R_READ_REQUEST,
    R_READ_VISIBLE,
    R_WRITE_ACCEPT,
    R_WRITE_ADDRESS,
    R_WRITE_BEATS,
    R_WRITE_FIRST,
    R_WRITE_FREE,
    R_WRITE_LAST,
    R_WRITE_OFFER,
    R_WRITE_VISIBLE,
    RESPONDED,
    RING_MASK,
    SENT,
    STORE,
    T_BANK_BITS,
    T_BANKS,
    T_BURST,
    T_CK_SHIFT,
    T_COMMAND,
    T_DDR,
    T_DIRECTION,
    T_FABRIC,
    T_LOOKAHEAD,
    T_PAGE_SHIFT,
    T_RAS,
    T_RCD,
    T_READ_DELAY,
    T_READ_LAT,
    T_REFI,
    T_RFC,
    T_RP,
    T_TURN_RW,
    T_TURN_WR,
    T_WR,
    T_WRITE_DELAY,
    T_WRITE_GAP,
    T_WRITE_LAT,
    State,
)  # fmt: skip


@part
def _notice(s: State, kind: int, master: int, first: int, second: int) -> None:
    at = NOTICES_AT + 4 * s[C_NOTICES]
    s[at] = kind
    s[at + 1] = master
    s[at + 2] = first
    s[at + 3] = second
    s[C_NOTICES] += 1


@part
def _open_segment(s: State, m: int) -> None:
    """Address and beats of segment (row, block) of the transfer."""
    address = s[m + M_BASE] + s[m + M_ROW] * s[m + M_ROW_PITCH]
    address += s[m + M_BLOCK] * s[m + M_BLOCK_PITCH]
    beats = s[m + M_BEATS]
    if s[m + M_BLOCK] == s[m + M_BLOCKS] - 1:
        address -= s[m + M_SKEW]
        beats = s[m + M_LAST_BEATS]
    s[m + M_ADDRESS] = address
    s[m + M_LEFT] = beats
    s[m + M_FIRST] = 1


@part
def _take_burst(s: State, m: int) -> tuple[int, int]:
    """Next burst of the transfer; afterwards M_HAS_NEXT, M_FIRST speak of the one after it."""
    address = s[m + M_ADDRESS]
    left = s[m + M_LEFT]
    beats = min(16, left, (4096 - (address & 4095)) >> 3)
    left -= beats
    s[m + M_ADDRESS] = address + 8 * beats
    s[m + M_LEFT] = left
    s[m + M_FIRST] = 0
    if left == 0:
        s[m + M_BLOCK] += 1
        if s[m + M_BLOCK] == s[m + M_BLOCKS]:
            s[m + M_BLOCK] = 0
            s[m + M_ROW] += 1
        if s[m + M_ROW] == s[m + M_ROWS]:
            s[m + M_HAS_NEXT] = 0
        else:
            _open_segment(s, m)
    return address, beats


@part
def _credit(s: State, m: int, cycle: int) -> int:
    """When CALC, entered at ``cycle``, has a place for one more burst; -1: not known yet."""
    if s[m + M_IN_FLIGHT] < s[m + M_LIMIT]:
        s[m + M_IN_FLIGHT] += 1
        return cycle
    if s[m + M_COUNT] == 0:
        s[m + M_CALC] = cycle
        return -1
    head = s[m + M_HEAD]
    s[m + M_HEAD] = (head + 1) & RING_MASK
    s[m + M_COUNT] -= 1
    return max(cycle, s[m + M_RING + head] + 1)


@part
def _give_back(s: State, m: int, cycle: int) -> None:
    """A burst's last beat, or its response, comes at ``cycle``."""
    s[m + M_RING + ((s[m + M_HEAD] + s[m + M_COUNT]) & RING_MASK)] = cycle
    s[m + M_COUNT] += 1


@part
def _calc_read(s: State, m: int, cycle: int) -> None:
    """CALC of a reading master from ``cycle`` on; its request follows."""
    cycle = _credit(s, m, cycle)
    if cycle < 0:
        return
    address, beats = _take_burst(s, m)
    s[m + M_PENDING] += 1
    s[m + M_REQ_VALID] = cycle + 1
    s[m + M_REQ_ADDRESS] = address
    s[m + M_REQ_BEATS] = beats
    _plan_mux(s, s[m + M_PORT])


@part
def _calc_write(s: State, m: int, cycle: int) -> None:
    """CALC of the writing master from ``cycle`` on, and all bursts for which there is room."""
    p = s[m + M_PORT]
    while True:
        cycle = _credit(s, m, cycle)
        if cycle < 0:
            return
        address, beats = _take_burst(s, m)
        s[p + P_WOFFER] = cycle + 1
        s[p + P_WOFFER_ADDRESS] = address
        s[p + P_WOFFER_BEATS] = beats
        s[p + P_WOFFER_LAST] = s[m + M_NOTIFY] if s[m + M_HAS_NEXT] == 0 else 0
        if s[p + P_WF_COUNT] == 0:
            return
        cycle = _accept_write(s, m, p)
        if cycle < 0:
            return


@part
def _accept_write(s: State, m: int, p: int) -> int:
    """The slave takes the address; the W beats follow in order without gaps.

    Returns the cycle of the next CALC, -1 after the last burst.
    """
    head = s[p + P_WF_HEAD]
    offer = s[p + P_WOFFER]
    cycle = max(offer, s[p + R_WRITE_FREE + head], s[p + P_LAST_AW] + 1)
    s[p + P_WF_HEAD] = (head + 1) & RING_MASK
    s[p + P_WF_COUNT] -= 1
    s[p + P_LAST_AW] = cycle
    s[p + P_WOFFER] = -1
    beats = s[p + P_WOFFER_BEATS]
    first = max(cycle + 2, s[m + M_W_END] + 1)
    end = first + beats - 1
    s[m + M_W_END] = end
    if s[m + M_FIRST_BEAT] < 0:
        s[m + M_FIRST_BEAT] = first
    place = p + ((s[p + P_WQ_HEAD] + s[p + P_WQ_COUNT]) & RING_MASK)
    s[place + R_WRITE_VISIBLE] = end + s[T_COMMAND]
    s[place + R_WRITE_ADDRESS] = s[p + P_WOFFER_ADDRESS]
    s[place + R_WRITE_BEATS] = beats
    s[place + R_WRITE_LAST] = s[p + P_WOFFER_LAST]
    s[place + R_WRITE_OFFER] = offer
    s[place + R_WRITE_ACCEPT] = cycle
    s[place + R_WRITE_FIRST] = first
    if s[p + P_WQ_COUNT] == 0:
        s[p + P_WRITE_HEAD] = end + s[T_COMMAND]
    s[p + P_WQ_COUNT] += 1
    if s[m + M_HAS_NEXT] == 0:
        s[m + M_IDLE] = cycle + 1
        _notice(s, SENT, STORE, s[m + M_FIRST_BEAT], end)
        return -1
    return cycle + 1 + s[m + M_FIRST]


@part
def _accept_read(s: State, p: int) -> None:
    """The slave takes the address that the multiplexer's register offers."""
    head = s[p + P_RF_HEAD]
    offer = s[p + P_OFFER]
    cycle = max(offer, s[p + R_READ_FREE + head], s[p + P_LAST_AR] + 1)
    s[p + P_RF_HEAD] = (head + 1) & RING_MASK
    s[p + P_RF_COUNT] -= 1
    s[p + P_LAST_AR] = cycle
    s[p + P_OFFER] = -1
    s[p + P_MUX_FREE] = cycle
    place = p + ((s[p + P_RQ_HEAD] + s[p + P_RQ_COUNT]) & RING_MASK)
    s[place + R_READ_VISIBLE] = cycle + s[T_COMMAND]
    s[place + R_READ_ADDRESS] = s[p + P_OFFER_ADDRESS]
    s[place + R_READ_BEATS] = s[p + P_OFFER_BEATS]
    s[place + R_READ_MASTER] = s[p + P_OFFER_MASTER]
    s[place + R_READ_REQUEST] = s[p + P_OFFER_REQUEST]
    s[place + R_READ_OFFER] = offer
    if s[p + P_RQ_COUNT] == 0:
        s[p + P_READ_HEAD] = cycle + s[T_COMMAND]
    s[p + P_RQ_COUNT] += 1
    _plan_mux(s, p)


@part
def _plan_mux(s: State, p: int) -> None:
    """When the multiplexer of a port takes the next request."""
    earliest = NEVER
    if s[p + P_MUX_FREE] != NEVER:
        for m in range(MASTERS_AT, MASTERS_AT + STORE * MASTER_SIZE, MASTER_SIZE):
            valid = s[m + M_REQ_VALID]
            if s[m + M_PORT] == p and 0 <= valid < earliest:
                earliest = valid
        if earliest != NEVER:
            earliest = max(earliest, s[p + P_MUX_FREE])
    s[p + P_MUX_CYCLE] = earliest


@part
def _mux_grant(s: State, p: int, cycle: int) -> None:
    """Round robin among the masters that request at this cycle."""
    slot = s[p + P_LAST_SLOT]
    while True:
        slot = slot + 1 if slot + 1 < STORE else 0
        m = MASTERS_AT + slot * MASTER_SIZE
        if s[m + M_PORT] == p and 0 <= s[m + M_REQ_VALID] <= cycle:
            break
    s[p + P_LAST_SLOT] = slot
    s[p + P_MUX_FREE] = NEVER
    s[p + P_MUX_CYCLE] = NEVER
    s[p + P_OFFER] = cycle + 1
    s[p + P_OFFER_ADDRESS] = s[m + M_REQ_ADDRESS]
    s[p + P_OFFER_BEATS] = s[m + M_REQ_BEATS]
    s[p + P_OFFER_MASTER] = slot
    s[p + P_OFFER_REQUEST] = s[m + M_REQ_VALID]
    s[m + M_REQ_VALID] = -1
    if s[p + P_RF_COUNT] > 0:
        _accept_read(s, p)
    if s[m + M_HAS_NEXT] == 1:
        _calc_read(s, m, cycle + 1 + s[m + M_FIRST])
    else:
        s[m + M_IDLE] = cycle + 1
        if s[m + M_NOTIFY]:
            _notice(s, ISSUED, slot, cycle + 1, 0)


@part
def _refresh(s: State, earliest: int) -> None:
    """Refreshes that are due before ``earliest``: all banks are closed."""
    due = (earliest - s[C_NEXT_REFRESH]) // s[T_REFI] + 1
    s[C_NEXT_REFRESH] += due * s[T_REFI]
    s[C_REFRESHES] += due
    begin = max(s[C_NEXT_REFRESH] - s[T_REFI], s[C_BUS_FREE])
    s[C_REFRESHED] = begin + s[T_RP] + s[T_RFC]
    for bank in range(s[T_BANKS]):
        s[s[C_BANKS_AT] + bank * BANK_SIZE + B_ROW] = -1


@part
def _serve(s: State, now_ck: int, write: int, address: int, beats: int) -> tuple[int, int]:
    """Place one burst on the data bus: the steps of ``DdrService.serve``."""
    earliest = s[C_BUS_FREE]
    if write != s[C_BUS_WRITING]:
        earliest += s[T_TURN_RW] if write else s[T_TURN_WR]
        s[C_BUS_WRITING] = write
    earliest = max(earliest, now_ck)
    s[C_BEFORE] = s[C_BUS_FREE]
    s[C_EARLIEST] = earliest
    if earliest >= s[C_NEXT_REFRESH]:
        _refresh(s, earliest)
    page = address >> s[T_PAGE_SHIFT]
    row = page >> s[T_BANK_BITS]
    b = s[C_BANKS_AT] + BANK_SIZE * (page - (row << s[T_BANK_BITS]))
    start = earliest
    open_row = s[b + B_ROW]
    if open_row == row:
        s[C_HITS] += 1
    else:
        s[C_MISSES] += 1
        if open_row == -1:
            activate = max(now_ck, s[C_REFRESHED])
        else:
            activate = max(now_ck, s[b + B_PRECHARGE]) + s[T_RP]
        s[b + B_ROW] = row
        s[b + B_RAS] = activate + s[T_RAS]
        start = max(start, activate + s[T_RCD])
    burst = s[T_BURST]
    touched = (address & (burst - 1)) + beats * 8
    data_ck = ((touched + burst - 1) & -burst) >> s[T_CK_SHIFT]
    end = start + data_ck
    s[C_BUSY] += data_ck
    if write:
        s[C_BUS_FREE] = end + s[T_WRITE_GAP]
        s[b + B_PRECHARGE] = max(end + s[T_WR], s[b + B_RAS])
    else:
        s[C_BUS_FREE] = end
        s[b + B_PRECHARGE] = max(end, s[b + B_RAS])
    return start, end


@part
def _ceil_cycle(s: State, ck: int) -> int:
    return -((-ck * s[T_FABRIC]) // s[T_DDR])


@part
def _choose_direction(s: State, now: int) -> int:
    """The direction stays while it has a candidate, unless the other one waited long enough."""
    reads = writes = False
    for p in range(PORTS_AT, s[C_PORTS_END], PORT_SIZE):
        reads = reads or s[p + P_READ_HEAD] <= now
        writes = writes or s[p + P_WRITE_HEAD] <= now
    if reads and writes:
        if s[C_STREAK] >= s[T_DIRECTION]:
            s[C_WRITING] = 1 - s[C_WRITING]
            s[C_STREAK] = 0
        s[C_STREAK] += 1
    else:
        s[C_WRITING] = 1 if writes else 0
        s[C_STREAK] = 0
    return s[C_WRITING]


@part
def _choose_port(s: State, last: int, head: int, now: int) -> int:
    """Round robin over the ports of one direction."""
    p = PORTS_AT + s[last] * PORT_SIZE
    while True:
        p += PORT_SIZE
        if p == s[C_PORTS_END]:
            p = PORTS_AT
        if s[p + head] <= now:
            s[last] = s[p + P_NUMBER]
            return p


@part
def _decide(s: State, now: int) -> None:
    """Grant one burst: the steps of ``DdrController._decide``."""
    now_ck = now * s[T_DDR] // s[T_FABRIC] + 1
    if _choose_direction(s, now):
        _grant_write(s, now, now_ck)
    else:
        _grant_read(s, now, now_ck)


@part
def _grant_write(s: State, now: int, now_ck: int) -> None:
    p = _choose_port(s, C_LAST_WRITE, P_WRITE_HEAD, now)
    place = p + s[p + P_WQ_HEAD]
    s[p + P_WQ_HEAD] = (s[p + P_WQ_HEAD] + 1) & RING_MASK
    s[p + P_WQ_COUNT] -= 1
    following = p + s[p + P_WQ_HEAD] + R_WRITE_VISIBLE
    s[p + P_WRITE_HEAD] = s[following] if s[p + P_WQ_COUNT] > 0 else NEVER
    beats = s[place + R_WRITE_BEATS]
    s[C_BEATS_WRITTEN] += beats
    start, end = _serve(s, now_ck, 1, s[place + R_WRITE_ADDRESS], beats)
    s[C_GRANT] = max(now + 1, _ceil_cycle(s, s[C_BUS_FREE] - s[T_LOOKAHEAD]))
    row = 0
    if s[C_LOG]:
        row = _log(s, now, STORE, start, end)
        s[row + G_BEATS] = beats
        s[row + G_ADDRESS] = s[place + R_WRITE_ADDRESS]
        s[row + G_REQUEST] = s[place + R_WRITE_OFFER]
        s[row + G_OFFER] = s[place + R_WRITE_OFFER]
        s[row + G_ACCEPT] = s[place + R_WRITE_ACCEPT]
        s[row + G_VISIBLE] = s[place + R_WRITE_VISIBLE]
        s[row + G_FIRST] = s[place + R_WRITE_FIRST]
        s[row + G_LAST] = s[place + R_WRITE_FIRST] + beats - 1
    response = _respond(s, p, end, s[place + R_WRITE_LAST])
    if row:
        s[row + G_RESPONSE] = response


@part
def _grant_read(s: State, now: int, now_ck: int) -> None:
    p = _choose_port(s, C_LAST_READ, P_READ_HEAD, now)
    place = p + s[p + P_RQ_HEAD]
    s[p + P_RQ_HEAD] = (s[p + P_RQ_HEAD] + 1) & RING_MASK
    s[p + P_RQ_COUNT] -= 1
    following = p + s[p + P_RQ_HEAD] + R_READ_VISIBLE
    s[p + P_READ_HEAD] = s[following] if s[p + P_RQ_COUNT] > 0 else NEVER
    beats = s[place + R_READ_BEATS]
    s[C_BEATS_READ] += beats
    start, end = _serve(s, now_ck, 0, s[place + R_READ_ADDRESS], beats)
    s[C_GRANT] = max(now + 1, _ceil_cycle(s, s[C_BUS_FREE] - s[T_LOOKAHEAD]))
    slot = s[place + R_READ_MASTER]
    row = 0
    if s[C_LOG]:
        row = _log(s, now, slot, start, end)
        s[row + G_BEATS] = beats
        s[row + G_ADDRESS] = s[place + R_READ_ADDRESS]
        s[row + G_REQUEST] = s[place + R_READ_REQUEST]
        s[row + G_OFFER] = s[place + R_READ_OFFER]
        s[row + G_VISIBLE] = s[place + R_READ_VISIBLE]
        s[row + G_ACCEPT] = s[place + R_READ_VISIBLE] - s[T_COMMAND]
    last = _return_data(s, p, start, end, beats, slot)
    if row:
        s[row + G_FIRST] = last - (beats - 1)
        s[row + G_LAST] = last


@part
def _log(s: State, now: int, master: int, start: int, end: int) -> int:
    """A row of the log, with what is the same for both directions; its place."""
    row = s[C_LOG]
    s[C_LOG] = row + LOG_SIZE
    s[row + G_MASTER] = master
    s[row + G_GRANT] = now
    s[row + G_BEFORE] = s[C_BEFORE]
    s[row + G_EARLIEST] = s[C_EARLIEST]
    s[row + G_REFRESHED] = s[C_REFRESHED]
    s[row + G_START] = start
    s[row + G_END] = end
    s[row + G_FREE] = s[C_BUS_FREE]
    return row


@part
def _return_data(s: State, p: int, start: int, end: int, beats: int, slot: int) -> int:
    """The R beats of a granted burst, and what they allow; the cycle of the last beat."""
    first = max(
        s[p + P_LAST_BEAT] + 1,
        _ceil_cycle(s, start + s[T_READ_DELAY]) + s[T_READ_LAT],
        _ceil_cycle(s, end + s[T_READ_DELAY]) + s[T_READ_LAT] - (beats - 1),
    )
    last = first + beats - 1
    s[p + P_LAST_BEAT] = last
    s[p + R_READ_FREE + ((s[p + P_RF_HEAD] + s[p + P_RF_COUNT]) & RING_MASK)] = last + 1
    s[p + P_RF_COUNT] += 1
    m = MASTERS_AT + slot * MASTER_SIZE
    _give_back(s, m, last)
    s[m + M_PENDING] -= 1
    if s[m + M_FIRST_BEAT] < 0:
        s[m + M_FIRST_BEAT] = first
    if s[m + M_CALC] >= 0:
        calc = s[m + M_CALC]
        s[m + M_CALC] = -1
        _calc_read(s, m, calc)
    if slot == 0:  # every burst of the program is a transfer of its own
        _notice(s, DONE, slot, first, last)
    elif s[m + M_HAS_NEXT] == 0 and s[m + M_PENDING] == 0:
        _notice(s, DONE, slot, s[m + M_FIRST_BEAT], last)
    if s[p + P_OFFER] >= 0 and s[p + P_RF_COUNT] > 0:
        _accept_read(s, p)
    return last


@part
def _respond(s: State, p: int, end: int, notify: int) -> int:
    """The response of a granted burst, and what it allows; its cycle."""
    arrived = _ceil_cycle(s, end + s[T_WRITE_DELAY]) + s[T_WRITE_LAT]
    response = max(s[p + P_LAST_B] + 1, arrived)
    s[p + P_LAST_B] = response
    s[p + R_WRITE_FREE + ((s[p + P_WF_HEAD] + s[p + P_WF_COUNT]) & RING_MASK)] = response + 1
    s[p + P_WF_COUNT] += 1
    m = MASTERS_AT + STORE * MASTER_SIZE
    _give_back(s, m, response)
    if s[m + M_CALC] >= 0:
        calc = s[m + M_CALC]
        s[m + M_CALC] = -1
        _calc_write(s, m, calc)
    if notify:
        _notice(s, RESPONDED, STORE, response, 0)
    if s[p + P_WOFFER] >= 0 and s[p + P_WF_COUNT] > 0:
        calc = _accept_write(s, m, p)
        if calc >= 0:
            _calc_write(s, m, calc)
    return response


@part
def start_transfer(s: State, slot: int, accept_cycle: int, notify: int) -> None:
    """Hand a master the transfer in its M_BASE .. M_SKEW, accepted at ``accept_cycle`` or later."""
    m = MASTERS_AT + slot * MASTER_SIZE
    s[m + M_ROW] = 0
    s[m + M_BLOCK] = 0
    s[m + M_HAS_NEXT] = 1
    s[m + M_FIRST_BEAT] = -1
    s[m + M_NOTIFY] = notify
    _open_segment(s, m)
    calc = max(accept_cycle, s[m + M_IDLE]) + 1
    if slot == STORE:
        _calc_write(s, m, calc)
    else:
        _calc_read(s, m, calc)


@part
def advance(s: State, limit: int) -> int:
    """Do everything that happens before ``limit``, but stop when a unit has to be told something.

    Returns the cycle of the next decision, NEVER if there is none; s[C_NOTICES] counts notices.
    """
    while True:
        cycle = NEVER
        for p in range(PORTS_AT, s[C_PORTS_END], PORT_SIZE):
            cycle = min(cycle, s[p + P_READ_HEAD], s[p + P_WRITE_HEAD])
        if cycle != NEVER:
            cycle = max(cycle, s[C_GRANT])
        where = -1
        for p in range(PORTS_AT, s[C_PORTS_END], PORT_SIZE):
            if s[p + P_MUX_CYCLE] < cycle:
                cycle, where = s[p + P_MUX_CYCLE], p
        if cycle >= limit or s[C_NOTICES] > 0:
            return cycle
        if where < 0:
            _decide(s, cycle)
        else:
            _mux_grant(s, where, cycle)
