# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""Sequencer, feature load, weight load and feature store of the fast engine.

The twins of ``model/sim_sequencer.py`` and ``model/sim_dma.py``. A transfer is announced in PENDING
with the cycle at which its master may accept it; the memory has done everything before that cycle
when it starts. What the memory then says of it arrives in ``deliver``.
"""

from __future__ import annotations

from model.compiled import part
from model.fast_state import (
    ARRIVALS,
    BUSY,
    F_ADDRESS,
    F_BURST,
    F_CYCLE,
    F_PHASE,
    FRAMES_DONE,
    G_PARAM_SIZES,
    G_PARAMS,
    G_READY,
    G_WORD_SIZES,
    G_WORDS,
    GROUPS_MAC,
    GROUPS_SIZE,
    L_CYCLE,
    L_NEXT,
    L_PHASE,
    L_START,
    LO_BASE,
    LO_BEATS,
    LO_FRAME,
    LO_SYNC,
    LO_TAG,
    LOAD_ROW,
    N_LOAD,
    N_SEQUENCER,
    N_STORE,
    N_WEIGHT,
    OUTPUT_FREE,
    OUTPUT_FULL,
    PENDING,
    POPPED,
    POPS,
    PUSHED,
    Q_CHECK,
    Q_CYCLE,
    Q_ENDED,
    Q_FRAME,
    Q_FRAMES,
    Q_INDEX,
    Q_ISSUED,
    Q_LANDED,
    Q_PHASE,
    Q_ROWS,
    R_PARAMS,
    R_PARAMS_TAKEN,
    R_WORDS,
    R_WORDS_TAKEN,
    RINGS,
    S_BANKS,
    S_CYCLE,
    S_DONE,
    S_GROUP,
    S_NEXT,
    S_PASSED,
    S_PHASE,
    SEQUENCER_ROW,
    SOURCE_FREE,
    SOURCE_FULL,
    ST_BASE,
    ST_BUNDLE_LAST,
    ST_FRAME,
    ST_FRAME_LAST,
    ST_GROUPS,
    ST_LAST_BEATS,
    ST_PITCH,
    ST_SKEW,
    ST_TAG,
    STORE_ROW,
    STORES_DONE,
    W_CYCLE,
    W_GROUP,
    W_NEXT,
    W_PASSED,
    W_PHASE,
    WAIT_DDR,
    WAIT_OUTPUT,
    WE_ADDRESS,
    WE_BEATS,
    WE_GROUPS,
    WE_PARAMS,
    WE_TAG,
    WE_TARGET,
    WE_WORDS,
    WEIGHT_ROW,
    X_IMAGE_STRIDE,
    X_LOADS,
    X_OUTPUT_STRIDE,
    X_STORES,
    X_STORES_PER_FRAME,
    X_WEIGHTS,
)  # fmt: skip
from model.fast_tokens import (
    KIND_BUNDLE_DONE,
    KIND_DISPATCH,
    KIND_FIRST_BEAT,
    KIND_FRAME_DONE,
    KIND_LAST_BEAT,
    KIND_TILE_END,
    KIND_TILE_START,
    KIND_WEIGHT_READY,
    LOAD_UNIT,
    SEQUENCER_UNIT,
    STORE_UNIT,
    WEIGHT_UNIT,
    event,
    known,
    post,
    seen,
)  # fmt: skip
from model.memory_state import (
    M_BASE,
    M_BEATS,
    M_BLOCKS,
    M_IDLE,
    M_LAST_BEATS,
    M_ROWS,
    M_SKEW,
    MASTER_SIZE,
    MASTERS_AT,
    NEVER,
    State,
)  # fmt: skip
from model.program_rows import END, LOAD, STORE, WEIGHT

# Masters of the memory.
PROGRAM_MASTER, WEIGHT_MASTER, LOAD_MASTER, STORE_MASTER = range(4)
_PROGRAM, _WEIGHT, _LOAD, _STORE = (MASTERS_AT + master * MASTER_SIZE for master in range(4))

_ASSEMBLE, _DISPATCH, _ENDING, _STOPPED = range(4)  # phases of the sequencer
_ROOM, _OFFERED, _ISSUING, _FETCHED = range(4)  # of its fetch
_IDLE, _OPEN, _WAITING, _MOVING = range(4)  # of a unit with a master

_BURST_BEATS = 16
_RECORD_BEATS = 8


@part
def run_sequencer(s: State) -> bool:
    """rtl_sim/hdl/sequencer.sv: record assembly and in-order dispatch."""
    moved = False
    while True:
        if s[Q_PHASE] == _ASSEMBLE:
            if not known(s, ARRIVALS, s[Q_INDEX] >> 1):
                return moved
            _assemble(s)
        elif s[Q_PHASE] == _DISPATCH:
            if not _dispatch(s):
                return moved
        elif s[Q_PHASE] == _ENDING:
            if not _restart(s):
                return moved
        else:
            return moved
        moved = True


@part
def _assemble(s: State) -> None:
    """Pop the beats of a record; its CHECK cycle is then known."""
    index, cycle = s[Q_INDEX], s[Q_CYCLE]
    first = s[s[ARRIVALS] + (index >> 1)] + (index & 1) * _RECORD_BEATS
    check = max(cycle, first + 1) + _RECORD_BEATS
    if index & 1:
        post(s, POPS, check)  # the burst's last beat is popped at check - 1
    s[N_SEQUENCER + BUSY] += _RECORD_BEATS + 1
    s[N_SEQUENCER + WAIT_DDR] += check - cycle - _RECORD_BEATS
    s[Q_CHECK] = check
    if s[s[Q_ROWS] + index * SEQUENCER_ROW] == END:
        s[Q_ENDED] = check
        s[Q_PHASE] = _ENDING
    else:
        s[Q_CYCLE] = check + 1
        s[Q_PHASE] = _DISPATCH


@part
def _dispatch(s: State) -> bool:
    """Push into the unit's FIFO as soon as it has room."""
    row = s[Q_ROWS] + s[Q_INDEX] * SEQUENCER_ROW
    unit = s[row]
    place = s[PUSHED + 2 * unit + 1]  # commands pushed so far
    if not known(s, POPPED + 2 * unit, place):
        return False
    pushed = seen(s, POPPED + 2 * unit, place, s[Q_CYCLE])
    s[N_SEQUENCER + BUSY] += 1
    s[N_SEQUENCER + WAIT_OUTPUT] += pushed - s[Q_CYCLE]
    post(s, PUSHED + 2 * unit, pushed + 1)
    event(s, pushed, SEQUENCER_UNIT, KIND_DISPATCH, s[row + 1])
    s[Q_CYCLE] = pushed + 1
    s[Q_INDEX] += 1
    s[Q_PHASE] = _ASSEMBLE
    return True


@part
def _restart(s: State) -> bool:
    """After ``end``: stop, or begin the next frame when nothing is in flight any more."""
    if s[Q_FRAME] + 1 == s[Q_FRAMES]:
        s[Q_PHASE] = _STOPPED
        return True
    waits_for_room = s[F_PHASE] == _ROOM and not _has_room(s)  # for ever: nothing is popped now
    if s[F_PHASE] != _FETCHED and not waits_for_room:
        return False
    if s[ARRIVALS + 1] < s[Q_ISSUED]:
        return False
    restart = max(s[Q_CHECK], s[Q_LANDED]) + 1
    s[N_SEQUENCER + WAIT_DDR] += restart - s[Q_CHECK]
    s[Q_FRAME] += 1
    s[Q_INDEX] = 0
    s[Q_CYCLE] = restart + 1
    s[Q_ENDED] = -1
    s[Q_ISSUED] = 0
    s[Q_PHASE] = _ASSEMBLE
    s[ARRIVALS + 1] = 0
    s[POPS + 1] = 0
    s[F_BURST] = 0
    s[F_CYCLE] = restart + 1
    s[F_PHASE] = _ROOM
    return True


@part
def _has_room(s: State) -> bool:
    """Is it known when the FIFO has room for the next burst?"""
    return s[F_BURST] < 2 or known(s, POPS, s[F_BURST] - 2)


@part
def run_fetch(s: State) -> bool:
    """Offer bursts of 16 beats while the FIFO has room for them."""
    if s[F_PHASE] != _ROOM or not _has_room(s):
        return False
    cycle = s[F_CYCLE]
    if s[F_BURST] >= 2:
        cycle = seen(s, POPS, s[F_BURST] - 2, cycle)
    s[PENDING + PROGRAM_MASTER] = max(cycle, s[_PROGRAM + M_IDLE])
    s[F_PHASE] = _OFFERED
    return True


@part
def start_fetch(s: State, accept: int) -> bool:
    """The offered burst is accepted, unless ``end`` was checked before."""
    if 0 <= s[Q_ENDED] < accept:
        s[F_PHASE] = _FETCHED
        return False
    address = s[F_ADDRESS] + s[F_BURST] * _BURST_BEATS * 8
    _one_segment(s, _PROGRAM, address, _BURST_BEATS)
    s[Q_ISSUED] += 1
    s[F_PHASE] = _ISSUING
    return True


@part
def _one_segment(s: State, m: int, address: int, beats: int) -> None:
    s[m + M_BASE] = address
    s[m + M_ROWS] = 1
    s[m + M_BLOCKS] = 1
    s[m + M_BEATS] = beats
    s[m + M_LAST_BEATS] = beats
    s[m + M_SKEW] = 0


@part
def run_load(s: State, per_frame: int) -> bool:
    """rtl_sim/hdl/feature_load.sv, up to the offer of a transfer."""
    index = s[L_NEXT]
    if s[L_PHASE] != _IDLE or not known(s, PUSHED + 2 * LOAD, index):
        return False
    frame = index // per_frame
    row = s[X_LOADS] + (index - frame * per_frame) * LOAD_ROW
    ready = seen(s, PUSHED + 2 * LOAD, index, s[L_CYCLE])
    if s[row + LO_SYNC] >= 0:
        needed = frame * s[X_STORES_PER_FRAME] + s[row + LO_SYNC]
        if needed > 0:
            if not known(s, STORES_DONE, needed - 1):
                return False
            ready = seen(s, STORES_DONE, needed - 1, ready)
    if not known(s, SOURCE_FREE, index):
        return False
    start = seen(s, SOURCE_FREE, index, ready)
    s[N_LOAD + WAIT_OUTPUT] += start - ready
    post(s, POPPED + 2 * LOAD, start + 1)
    event(s, start, LOAD_UNIT, KIND_TILE_START, s[row + LO_TAG])
    for place in range(8):
        s[_LOAD + M_BASE + place] = s[row + LO_BASE + place]
    s[_LOAD + M_BASE] += frame * s[X_IMAGE_STRIDE] * s[row + LO_FRAME]
    s[L_START] = start
    s[L_CYCLE] = row  # until the transfer is done
    s[L_PHASE] = _MOVING
    s[PENDING + LOAD_MASTER] = start + 1
    return True


@part
def _loaded(s: State, first: int, last: int) -> None:
    row = s[L_CYCLE]
    tag, beats = s[row + LO_TAG], s[row + LO_BEATS]
    event(s, first, LOAD_UNIT, KIND_FIRST_BEAT, tag)
    event(s, last, LOAD_UNIT, KIND_LAST_BEAT, tag)
    event(s, last, LOAD_UNIT, KIND_TILE_END, tag)
    post(s, SOURCE_FULL, last + 1)
    s[N_LOAD + BUSY] += 1 + beats
    s[N_LOAD + WAIT_DDR] += last - s[L_START] - beats
    s[L_CYCLE] = last + 1
    s[L_NEXT] += 1
    s[L_PHASE] = _IDLE


@part
def _take(s: State, free: int, taken: int, released: int, sizes: int, size: int) -> int:
    """Take places of a ring memory: the cycle from which there are that many, -1: not known.

    ``free``, ``taken``: registers, places free and releases used; ``released``, ``sizes``: lists.
    """
    have, used = s[free], s[taken]
    cycle = 0
    while have < size:
        if not known(s, released, used):
            return -1
        have += s[s[sizes] + used]
        cycle = s[s[released] + used]
        used += 1
    s[free] = have - size
    s[taken] = used
    return cycle


@part
def run_weight(s: State, per_frame: int) -> bool:
    """rtl_sim/hdl/weight_load.sv, up to the offer of a transfer."""
    index = s[W_NEXT]
    row = s[X_WEIGHTS] + index % per_frame * WEIGHT_ROW
    moved = False
    if s[W_PHASE] == _IDLE:
        if not known(s, PUSHED + 2 * WEIGHT, index):
            return False
        start = seen(s, PUSHED + 2 * WEIGHT, index, s[W_CYCLE])
        post(s, POPPED + 2 * WEIGHT, start + 1)
        event(s, start, WEIGHT_UNIT, KIND_TILE_START, s[row + WE_TAG])
        s[N_WEIGHT + BUSY] += 1
        s[W_CYCLE] = start + 1
        s[W_GROUP] = 0
        s[W_PASSED] = 0
        s[W_PHASE] = _OPEN
        moved = True
    ring = GROUPS_MAC + s[row + WE_TARGET] * GROUPS_SIZE
    room = RINGS + 4 * s[row + WE_TARGET]
    if s[W_PHASE] == _OPEN:  # weight words, then parameter words
        there = _take(s, room + R_WORDS, room + R_WORDS_TAKEN, ring + G_WORDS,
                      ring + G_WORD_SIZES, s[row + WE_WORDS])  # fmt: skip
        if there < 0:
            return moved
        s[W_PASSED] = max(s[W_CYCLE], there)
        s[W_PHASE] = _WAITING
        moved = True
    if s[W_PHASE] == _WAITING:
        there = _take(s, room + R_PARAMS, room + R_PARAMS_TAKEN, ring + G_PARAMS,
                      ring + G_PARAM_SIZES, s[row + WE_PARAMS])  # fmt: skip
        if there < 0:
            return moved
        s[W_PASSED] = max(s[W_PASSED], there)
        s[N_WEIGHT + WAIT_OUTPUT] += s[W_PASSED] - s[W_CYCLE]
        beats = s[row + WE_BEATS]
        _one_segment(s, _WEIGHT, s[row + WE_ADDRESS] + s[W_GROUP] * beats * 8, beats)
        s[PENDING + WEIGHT_MASTER] = s[W_PASSED] + 1
        s[W_PHASE] = _MOVING
        moved = True
    return moved


@part
def _weighed(s: State, first: int, last: int, per_frame: int) -> None:
    row = s[X_WEIGHTS] + s[W_NEXT] % per_frame * WEIGHT_ROW
    tag, beats = s[row + WE_TAG], s[row + WE_BEATS]
    event(s, first, WEIGHT_UNIT, KIND_FIRST_BEAT, tag)
    event(s, last, WEIGHT_UNIT, KIND_LAST_BEAT, tag)
    event(s, last, WEIGHT_UNIT, KIND_WEIGHT_READY, tag)
    post(s, GROUPS_MAC + s[row + WE_TARGET] * GROUPS_SIZE + G_READY, last + 1)
    s[N_WEIGHT + BUSY] += 1 + beats
    s[N_WEIGHT + WAIT_DDR] += last - s[W_PASSED] - beats
    s[W_CYCLE] = last + 1
    s[W_GROUP] += 1
    s[W_PHASE] = _OPEN
    if s[W_GROUP] == s[row + WE_GROUPS]:
        event(s, last, WEIGHT_UNIT, KIND_TILE_END, tag)
        s[W_NEXT] += 1
        s[W_PHASE] = _IDLE


@part
def run_store(s: State, per_frame: int) -> bool:
    """rtl_sim/hdl/feature_store.sv, up to the offer of a transfer."""
    index, banks = s[S_NEXT], s[S_BANKS]
    if s[S_PHASE] == _MOVING or not known(s, OUTPUT_FULL, banks):
        return False
    frame = index // per_frame
    row = s[X_STORES] + (index - frame * per_frame) * STORE_ROW
    if s[S_PHASE] == _IDLE:
        if not known(s, PUSHED + 2 * STORE, index):
            return False
        start = seen(s, PUSHED + 2 * STORE, index, s[S_CYCLE])
        start = seen(s, OUTPUT_FULL, banks, start)
        post(s, POPPED + 2 * STORE, start + 1)
        event(s, start, STORE_UNIT, KIND_TILE_START, s[row + ST_TAG])
        s[N_STORE + BUSY] += 1
        s[S_CYCLE] = start
        s[S_GROUP] = 0
    passed = seen(s, OUTPUT_FULL, banks, s[S_CYCLE] + 1)
    for place in range(8):
        s[_STORE + M_BASE + place] = s[row + ST_BASE + place]
    s[_STORE + M_BASE] += frame * s[X_OUTPUT_STRIDE] * s[row + ST_FRAME]
    s[_STORE + M_BASE] += s[S_GROUP] * s[row + ST_PITCH]
    if s[S_GROUP] == s[row + ST_GROUPS] - 1:
        s[_STORE + M_BEATS] = s[row + ST_LAST_BEATS]
        s[_STORE + M_LAST_BEATS] = s[row + ST_LAST_BEATS]
        s[_STORE + M_SKEW] = s[row + ST_SKEW]
    s[S_PASSED] = passed
    s[S_PHASE] = _MOVING
    s[PENDING + STORE_MASTER] = passed + 1
    return True


@part
def store_ends_command(s: State, per_frame: int) -> int:
    """1 where the offered transfer is the command's last: its last response counts."""
    row = s[X_STORES] + s[S_NEXT] % per_frame * STORE_ROW
    return 1 if s[S_GROUP] == s[row + ST_GROUPS] - 1 else 0


@part
def _sent(s: State, first: int, last: int, per_frame: int) -> None:
    row = s[X_STORES] + s[S_NEXT] % per_frame * STORE_ROW
    rows, blocks = s[_STORE + M_ROWS], s[_STORE + M_BLOCKS]
    beats = rows * ((blocks - 1) * s[_STORE + M_BEATS] + s[_STORE + M_LAST_BEATS])
    if s[S_GROUP] == 0:
        event(s, first, STORE_UNIT, KIND_FIRST_BEAT, s[row + ST_TAG])
    s[N_STORE + BUSY] += 1 + beats
    s[N_STORE + WAIT_DDR] += last - s[S_PASSED] - beats
    post(s, OUTPUT_FREE, last + 1)
    s[S_BANKS] += 1
    s[S_GROUP] += 1
    s[S_CYCLE] = last
    s[S_PHASE] = _OPEN
    if s[S_GROUP] == s[row + ST_GROUPS]:
        event(s, last, STORE_UNIT, KIND_LAST_BEAT, s[row + ST_TAG])
        s[S_CYCLE] = last + 1
        s[S_NEXT] += 1
        s[S_PHASE] = _IDLE


@part
def _responded(s: State, cycle: int, per_frame: int) -> None:
    row = s[X_STORES] + s[S_DONE] % per_frame * STORE_ROW
    s[S_DONE] += 1
    event(s, cycle, STORE_UNIT, KIND_TILE_END, s[row + ST_TAG])
    post(s, STORES_DONE, cycle + 1)
    if s[row + ST_BUNDLE_LAST]:
        event(s, cycle, STORE_UNIT, KIND_BUNDLE_DONE, s[row + ST_TAG])
    if s[row + ST_FRAME_LAST]:
        event(s, cycle, STORE_UNIT, KIND_FRAME_DONE, s[row + ST_TAG])
        post(s, FRAMES_DONE, cycle)


@part
def issued(s: State, cycle: int) -> None:
    """The program's read master is idle again from ``cycle`` on."""
    s[F_CYCLE] = cycle
    s[F_BURST] += 1
    s[F_PHASE] = _ROOM


@part
def done(s: State, master: int, first: int, last: int, weights: int, stores: int) -> None:
    """A transfer's first and last beat are known; ``weights``, ``stores``: commands a frame."""
    if master == PROGRAM_MASTER:
        post(s, ARRIVALS, first)
        s[Q_LANDED] = last
    elif master == WEIGHT_MASTER:
        _weighed(s, first, last, weights)
    elif master == LOAD_MASTER:
        _loaded(s, first, last)
    else:
        _sent(s, first, last, stores)


@part
def responded(s: State, cycle: int, stores: int) -> None:
    """The last response of a store command came at ``cycle``."""
    _responded(s, cycle, stores)


@part
def next_transfer(s: State) -> tuple[int, int]:
    """The master whose offered transfer is accepted first, and when; NEVER where none waits."""
    master, cycle = 0, NEVER
    for index in range(4):
        if s[PENDING + index] < cycle:
            master, cycle = index, s[PENDING + index]
    return master, cycle
