"""State of the fast engine: program rows, registers of the units, tokens and events in one vector.

The vector begins as that of ``model/memory_state.py``; the registers of the units follow at
UNITS_AT, everything whose size depends on the schedule comes at the end. A list of tokens is a pair
of registers, its first place and its length; token i is the cycle from which on it is visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.memory_state import C_LOG, LOG_SIZE, PORTS_AT, UNITS_AT, UNITS_SIZE, State, new_state
from model.program_rows import DEPTHWISE, END, LOAD, MAC, STORE, WEIGHT, ProgramRows
from model.schedule import Schedule
from model.sim_timing import UnitTiming

# Registers of the sequencer and of its fetch.
(
    Q_PHASE, Q_INDEX, Q_CYCLE, Q_CHECK, Q_FRAME, Q_ENDED, Q_LANDED, Q_ISSUED, Q_FRAMES, Q_ROWS,
    F_PHASE, F_BURST, F_CYCLE, F_ADDRESS,
) = range(UNITS_AT, UNITS_AT + 14)  # fmt: skip

# What the units know of the frame and of the accelerator.
(
    X_LOADS, X_WEIGHTS, X_DEPTHWISES, X_MACS, X_STORES, X_STORES_PER_FRAME, X_IMAGE_STRIDE,
    X_OUTPUT_STRIDE, X_INPUT_TILES, X_DW_DRAIN, X_VECTOR, X_WRITE,
) = range(UNITS_AT + 16, UNITS_AT + 28)  # fmt: skip

# Registers of the units: where in the program, where in the command, since when.
(
    L_NEXT, L_PHASE, L_CYCLE, L_START, W_NEXT, W_PHASE, W_CYCLE, W_GROUP, W_PASSED, D_NEXT, D_PHASE,
    D_CYCLE, D_GROUP, D_RELEASED, A_NEXT, A_PHASE, A_CYCLE, A_GROUP, A_RELEASED, A_OUTPUTS, A_MIDS,
    A_REQUANTISED, A_FIRST, A_WRITTEN, S_NEXT, S_PHASE, S_CYCLE, S_GROUP, S_PASSED, S_BANKS, S_DONE,
) = range(UNITS_AT + 32, UNITS_AT + 63)  # fmt: skip

# When a master's next transfer may be accepted; NEVER: none is waiting. By master.
PENDING = UNITS_AT + 64

# Free words and parameter words of the weight rings (MAC array, depth-wise), releases taken so far.
R_WORDS, R_PARAMS, R_WORDS_TAKEN, R_PARAMS_TAKEN = range(4)
RINGS = UNITS_AT + 68  # 4 registers a ring

# Counters, 4 a unit: busy, wait_input, wait_output, wait_ddr.
COUNTED = ("sequencer", "load", "weight", "depthwise", "mac", "post", "store")
BUSY, WAIT_INPUT, WAIT_OUTPUT, WAIT_DDR = range(4)
(N_SEQUENCER, N_LOAD, N_WEIGHT, N_DEPTHWISE, N_MAC, N_POST, N_STORE) = range(
    UNITS_AT + 80, UNITS_AT + 108, 4
)

# Token lists: first place, length. Two for each unit's FIFO, by unit.
PUSHED = UNITS_AT + 112
POPPED = UNITS_AT + 122
(
    ARRIVALS, POPS, SOURCE_FULL, SOURCE_FREE, MID_FULL, MID_FREE, OUTPUT_FULL, OUTPUT_FREE,
    STORES_DONE, FRAMES_DONE, EVENTS,
) = range(UNITS_AT + 132, UNITS_AT + 154, 2)  # fmt: skip
# Of a weight ring: groups ready, released words and parameter words (when, how many).
G_READY, G_WORDS, G_WORD_SIZES, G_PARAMS, G_PARAM_SIZES = range(0, 10, 2)
GROUPS = (UNITS_AT + 156, UNITS_AT + 166)
GROUPS_MAC, GROUPS_SIZE = GROUPS[0], GROUPS[1] - GROUPS[0]
_LAST = GROUPS[1] + GROUPS_SIZE
assert _LAST <= UNITS_AT + UNITS_SIZE
EMPTY_SIZE = PORTS_AT  # of a state in which nothing ever happens

# Rows of the program; the tag, bundle and tile, comes last.
SEQUENCER_ROW = 2
(
    LO_BASE, LO_FRAME, LO_SYNC, LO_BEATS, LO_TAG,
) = (0, 8, 9, 10, 11)  # 8 places of segments first  # fmt: skip
LOAD_ROW = 12
WE_ADDRESS, WE_GROUPS, WE_WORDS, WE_PARAMS, WE_BEATS, WE_TARGET, WE_TAG, WEIGHT_ROW = range(8)
DE_GROUPS, DE_RELEASE, DE_TAPS, DE_STREAM, DE_INPUT, DE_TAG, DEPTHWISE_ROW = range(7)
(
    MA_MID, MA_INPUT, MA_GROUPS, MA_RELEASE, MA_CYCLES, MA_ISSUES, MA_VECTORS, MA_FIRST, MA_EMIT,
    MA_LAST, MA_COUNT, MA_LAST_COUNT, MA_WORDS, MA_PARAMS, MA_TAG, MAC_ROW,
) = range(16)  # fmt: skip
(
    ST_BASE, ST_FRAME, ST_GROUPS, ST_PITCH, ST_LAST_BEATS, ST_SKEW, ST_BUNDLE_LAST, ST_FRAME_LAST,
    ST_TAG, STORE_ROW,
) = (0, 8, 9, 10, 11, 12, 13, 14, 15, 16)  # 8 places of the first group's segments  # fmt: skip

# An event is one integer: cycle, unit, kind, bundle, tile, in the order in which events sort.
EVENT_UNITS = tuple(sorted(COUNTED))
EVENT_KINDS = (
    "bundle_done", "dispatch", "first_beat", "frame_done", "last_beat", "tile_end", "tile_start",
    "weight_ready",
)  # fmt: skip
TAG_BITS, KIND_BITS, UNIT_BITS = 24, 3, 3
CYCLE_SHIFT = TAG_BITS + KIND_BITS + UNIT_BITS
CYCLES_MAX = 1 << (63 - CYCLE_SHIFT)


@dataclass
class _Layout:
    """Places after the memory's state: sizes are asked for, then everything is placed."""

    end: int

    def take(self, size: int) -> int:
        start = self.end
        self.end += size
        return start


def fast_state(schedule: Schedule, rows: ProgramRows, bursts: int = 0) -> State:
    """The whole accelerator and its memory before the first cycle; ``bursts`` will be logged."""
    design = schedule.design
    acc, frames = design.accelerator, schedule.frames
    empty = len(new_state(design.device.ddr, design.clock_khz, acc))
    layout = _Layout(empty)
    program = [layout.take(len(part)) for part in rows.parts]
    lists = [(place, layout.take(size)) for place, size in _lists(rows, frames, acc.command_depth)]
    log = layout.take(bursts * LOG_SIZE)
    state = new_state(design.device.ddr, design.clock_khz, acc, layout.end - empty)
    state[C_LOG] = log if bursts else 0
    for start, values in zip(program, rows.parts, strict=True):
        state[start : start + len(values)] = values
    for place, start in lists:
        state[place] = start
    state[Q_ROWS] = program[END]
    state[X_LOADS : X_STORES + 1] = program[:END]
    for place, free in ((SOURCE_FREE, 2), (MID_FREE, 2), (OUTPUT_FREE, 2)):
        state[place + 1] = free
    state[POPPED + 1 : POPPED + 2 * END : 2] = acc.command_depth
    _registers(state, schedule)
    return state


def _registers(state: State, schedule: Schedule) -> None:
    acc = schedule.design.accelerator
    timing, buffers = UnitTiming.of(acc), acc.buffers
    values = {
        Q_CYCLE: 1,
        Q_ENDED: -1,
        Q_FRAMES: schedule.frames,
        F_CYCLE: 1,
        F_ADDRESS: schedule.program_address,
        X_STORES_PER_FRAME: schedule.stores_per_frame,
        X_IMAGE_STRIDE: schedule.image_stride,
        X_OUTPUT_STRIDE: schedule.output_stride,
        X_INPUT_TILES: schedule.stores_per_frame,
        X_DW_DRAIN: timing.dw_drain,
        X_VECTOR: timing.vector,
        X_WRITE: timing.write,
        RINGS + R_WORDS: buffers.weight_words,
        RINGS + R_PARAMS: buffers.param_words,
        RINGS + 4 + R_WORDS: buffers.dw_weight_words,
        RINGS + 4 + R_PARAMS: buffers.dw_param_words,
    }
    for place, value in values.items():
        state[place] = value
    state[PENDING : PENDING + 4] = 1 << 62


def _lists(rows: ProgramRows, frames: int, depth: int) -> Iterator[tuple[int, int]]:
    """Register and most tokens of every list."""
    count = [number * frames for number in rows.commands]
    for unit in range(END):
        yield PUSHED + 2 * unit, count[unit]
        yield POPPED + 2 * unit, count[unit] + depth
    bursts = sum(rows.commands) + 4  # two records a burst, and those read ahead
    outputs = rows.output_groups * frames
    yield from ((ARRIVALS, bursts), (POPS, bursts))
    yield from ((SOURCE_FULL, count[LOAD]), (SOURCE_FREE, count[LOAD] + 2))
    yield from ((MID_FULL, count[DEPTHWISE]), (MID_FREE, count[DEPTHWISE] + 2))
    yield from ((OUTPUT_FULL, outputs), (OUTPUT_FREE, outputs + 2))
    yield from ((STORES_DONE, count[STORE]), (FRAMES_DONE, frames))
    for ring, groups in zip(GROUPS, rows.weight_groups, strict=True):
        for place in range(ring, ring + GROUPS_SIZE, 2):
            yield place, groups * frames
    per_frame = sum(rows.commands) + 4 * count[LOAD] // frames + 2 * count[WEIGHT] // frames
    per_frame += 3 * sum(rows.weight_groups) + 2 * rows.commands[DEPTHWISE]
    per_frame += 4 * rows.commands[MAC] + 6 * rows.commands[STORE]
    yield EVENTS, per_frame * frames
