"""State of the compiled memory system: one int64 vector, and where in it everything lies.

Masters, multiplexers, ports, controller and banks of ``model/memory_kernel.py``. One flat vector,
because numba then needs no views and no reference counts in the loop over bursts.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from model.accelerator import Accelerator
from model.ddr import DdrStatistics
from model.ddr_timing import BEAT_BYTES, DdrTiming

State = NDArray[np.int64]

NEVER = 1 << 62
RING = 64  # places of every ring: at least the largest acceptance and outstanding limit
RING_MASK = RING - 1
MASTERS = 4  # 0 program, 1 weight, 2 load, 3 store
STORE = 3
NOTICES_MAX = 256

# Notices to the units: kind, master, two cycles.
ISSUED, DONE, SENT, RESPONDED = range(4)

# Timing (DdrTiming; the two clocks divided by their greatest common divisor).
(
    T_FABRIC, T_DDR, T_CK_SHIFT, T_BURST, T_BANKS, T_PAGE_SHIFT, T_BANK_BITS, T_RCD, T_RP, T_RAS,
    T_WR, T_REFI, T_RFC, T_WRITE_GAP, T_TURN_RW, T_TURN_WR, T_LOOKAHEAD, T_READ_DELAY,
    T_WRITE_DELAY, T_COMMAND, T_READ_LAT, T_WRITE_LAT, T_DIRECTION,
) = range(23)  # fmt: skip

# Controller.
(
    C_BUS_FREE, C_NEXT_REFRESH, C_REFRESHED, C_BUS_WRITING, C_BUSY, C_HITS, C_MISSES, C_REFRESHES,
    C_WRITING, C_STREAK, C_GRANT, C_BEATS_READ, C_BEATS_WRITTEN, C_LAST_READ, C_LAST_WRITE,
    C_NOTICES, C_PORTS_END, C_BANKS_AT, C_BEFORE, C_EARLIEST, C_LOG,
) = range(32, 53)  # fmt: skip

# Masters: wiring, credit, the transfer's segments, the next burst, the request to the multiplexer;
# then the ring of last beats that give credit back.
(
    M_PORT, M_LIMIT, M_IN_FLIGHT, M_HEAD, M_COUNT, M_CALC, M_IDLE, M_BASE, M_ROW_PITCH, M_ROWS,
    M_BLOCK_PITCH, M_BLOCKS, M_BEATS, M_LAST_BEATS, M_SKEW, M_ROW, M_BLOCK, M_ADDRESS, M_LEFT,
    M_FIRST, M_HAS_NEXT, M_PENDING, M_FIRST_BEAT, M_NOTIFY, M_REQ_VALID, M_REQ_ADDRESS,
    M_REQ_BEATS, M_W_END,
) = range(28)  # fmt: skip
M_RING = 32
MASTER_SIZE = M_RING + RING
MASTERS_AT = 64

NOTICES_AT = MASTERS_AT + MASTERS * MASTER_SIZE
UNITS_AT = NOTICES_AT + 4 * NOTICES_MAX  # room for the units of model/fast_state.py
UNITS_SIZE = 256
PORTS_AT = UNITS_AT + UNITS_SIZE

# Ports: multiplexer, offers to the slave, acceptance, queues (rings: head and count), when the
# oldest burst of each direction is seen by the controller and the multiplexer grants next.
(
    P_MUX_FREE, P_LAST_SLOT, P_OFFER, P_OFFER_ADDRESS, P_OFFER_BEATS, P_OFFER_MASTER, P_LAST_AR,
    P_LAST_BEAT, P_RF_HEAD, P_RF_COUNT, P_RQ_HEAD, P_RQ_COUNT, P_WOFFER, P_WOFFER_ADDRESS,
    P_WOFFER_BEATS, P_WOFFER_LAST, P_LAST_AW, P_LAST_B, P_WF_HEAD, P_WF_COUNT, P_WQ_HEAD,
    P_WQ_COUNT, P_READ_HEAD, P_WRITE_HEAD, P_MUX_CYCLE, P_NUMBER, P_OFFER_REQUEST,
) = range(27)  # fmt: skip
(
    R_READ_FREE, R_READ_VISIBLE, R_READ_ADDRESS, R_READ_BEATS, R_READ_MASTER, R_WRITE_FREE,
    R_WRITE_VISIBLE, R_WRITE_ADDRESS, R_WRITE_BEATS, R_WRITE_LAST, R_READ_REQUEST, R_READ_OFFER,
    R_WRITE_OFFER, R_WRITE_ACCEPT, R_WRITE_FIRST,
) = range(32, 32 + 15 * RING, RING)  # fmt: skip
PORT_SIZE = 32 + 15 * RING

# The log, one row a granted burst, in the order of the grants; C_LOG is the place of the next row,
# 0 where none is kept. In cycles, but the bus (before, earliest .. free) in ck; first and last beat
# are those on the port; response: of a write.
(
    G_MASTER, G_REQUEST, G_OFFER, G_ACCEPT, G_VISIBLE, G_GRANT, G_BEFORE, G_EARLIEST, G_REFRESHED,
    G_START, G_END, G_FREE, G_FIRST, G_LAST, G_RESPONSE, G_BEATS, G_ADDRESS,
    LOG_SIZE,
) = range(18)  # fmt: skip

# Banks: open row, end of tRAS, earliest precharge.
B_ROW, B_RAS, B_PRECHARGE, BANK_SIZE = range(4)


def new_state(timing: DdrTiming, fabric_khz: int, acc: Accelerator, more: int = 0) -> State:
    """The memory before the first cycle: all masters idle, all banks closed; ``more`` places."""
    ports = acc.ports
    wanted = (ports.program, ports.weight, ports.load, ports.store)
    count = max(wanted) + 1
    banks_at = PORTS_AT + count * PORT_SIZE
    banks_end = banks_at + timing.banks * BANK_SIZE
    state = np.zeros(banks_end + more, dtype=np.int64)
    vector = _timing_vector(timing, fabric_khz)
    state[: len(vector)] = vector
    state[C_NEXT_REFRESH] = timing.t_refi
    state[C_LAST_READ] = state[C_LAST_WRITE] = count - 1
    state[C_PORTS_END] = state[C_BANKS_AT] = banks_at
    state[banks_at + B_ROW : banks_end : BANK_SIZE] = -1
    masters = state[MASTERS_AT:NOTICES_AT].reshape(MASTERS, MASTER_SIZE)
    masters[:, M_PORT] = [PORTS_AT + port * PORT_SIZE for port in wanted]
    masters[:, M_LIMIT] = acc.outstanding_bursts
    masters[:, [M_CALC, M_REQ_VALID, M_W_END]] = -1
    rows = state[PORTS_AT:banks_at].reshape(count, PORT_SIZE)
    rows[:, [P_OFFER, P_WOFFER, P_LAST_AR, P_LAST_AW, P_LAST_BEAT, P_LAST_B]] = -1
    rows[:, [P_READ_HEAD, P_WRITE_HEAD, P_MUX_CYCLE]] = NEVER
    rows[:, P_LAST_SLOT] = STORE - 1
    rows[:, P_RF_COUNT] = timing.read_acceptance
    rows[:, P_WF_COUNT] = timing.write_acceptance
    rows[:, P_NUMBER] = np.arange(count)
    return state


def statistics(state: State) -> DdrStatistics:
    """Totals of every burst granted so far."""
    found = [int(value) for value in state[:MASTERS_AT]]
    return DdrStatistics(
        bytes_read=found[C_BEATS_READ] * BEAT_BYTES,
        bytes_written=found[C_BEATS_WRITTEN] * BEAT_BYTES,
        row_hits=found[C_HITS],
        row_misses=found[C_MISSES],
        refreshes=found[C_REFRESHES],
        busy_ck=found[C_BUSY],
    )


def _timing_vector(timing: DdrTiming, fabric_khz: int) -> list[int]:
    divisor = gcd(fabric_khz, timing.ddr_khz)
    return [
        fabric_khz // divisor,
        timing.ddr_khz // divisor,
        timing.bytes_per_ck.bit_length() - 1,
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
    ]
