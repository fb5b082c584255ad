# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""Depth-wise unit and MAC array with post-process of the fast engine.

The twins of ``model/sim_compute.py``: each function goes on where it stopped, as far as the tokens
that are known allow, and returns whether it got anywhere. A unit's cycles depend on the cycles in
its tokens alone, so it does not matter when it is asked.
"""

from __future__ import annotations

from model.compiled import part
from model.fast_state import (
    A_CYCLE,
    A_FIRST,
    A_GROUP,
    A_MIDS,
    A_NEXT,
    A_OUTPUTS,
    A_PHASE,
    A_RELEASED,
    A_REQUANTISED,
    A_WRITTEN,
    BUSY,
    D_CYCLE,
    D_GROUP,
    D_NEXT,
    D_PHASE,
    D_RELEASED,
    DE_GROUPS,
    DE_INPUT,
    DE_RELEASE,
    DE_STREAM,
    DE_TAG,
    DE_TAPS,
    DEPTHWISE_ROW,
    G_PARAM_SIZES,
    G_PARAMS,
    G_READY,
    G_WORD_SIZES,
    G_WORDS,
    GROUPS_MAC,
    GROUPS_SIZE,
    MA_COUNT,
    MA_CYCLES,
    MA_EMIT,
    MA_FIRST,
    MA_GROUPS,
    MA_INPUT,
    MA_ISSUES,
    MA_LAST,
    MA_LAST_COUNT,
    MA_MID,
    MA_PARAMS,
    MA_RELEASE,
    MA_TAG,
    MA_VECTORS,
    MA_WORDS,
    MAC_ROW,
    MID_FREE,
    MID_FULL,
    N_DEPTHWISE,
    N_MAC,
    N_POST,
    OUTPUT_FREE,
    OUTPUT_FULL,
    POPPED,
    PUSHED,
    SOURCE_FREE,
    SOURCE_FULL,
    WAIT_DDR,
    WAIT_OUTPUT,
    X_DEPTHWISES,
    X_DW_DRAIN,
    X_INPUT_TILES,
    X_MACS,
    X_VECTOR,
    X_WRITE,
)  # fmt: skip
from model.fast_tokens import (
    DEPTHWISE_UNIT,
    KIND_TILE_END,
    KIND_TILE_START,
    MAC_UNIT,
    POST_UNIT,
    event,
    known,
    post,
    seen,
)  # fmt: skip
from model.memory_state import State
from model.program_rows import DEPTHWISE, MAC

_RING_MAC = GROUPS_MAC
_RING_DW = GROUPS_MAC + GROUPS_SIZE
_COMMANDS_DW = X_DEPTHWISES  # registers: first row of the unit's program
_COMMANDS_MAC = X_MACS


@part
def run_depthwise(s: State, per_frame: int) -> bool:
    """rtl_sim/hdl/depthwise.sv; ``per_frame`` commands."""
    moved = False
    while True:
        index = s[D_NEXT]
        frame = index // per_frame if per_frame > 0 else 0
        row = s[_COMMANDS_DW] + (index - frame * per_frame) * DEPTHWISE_ROW
        if s[D_PHASE] == 0:
            if not known(s, PUSHED + 2 * DEPTHWISE, index):
                return moved
            tile = frame * s[X_INPUT_TILES] + s[row + DE_INPUT]
            if not (
                known(s, SOURCE_FULL, tile)
                and known(s, SOURCE_FREE, tile + 1)  # the tile before
                and known(s, MID_FREE, index)
            ):
                return moved
            ready = seen(s, PUSHED + 2 * DEPTHWISE, index, s[D_CYCLE])
            ready = seen(s, SOURCE_FULL, tile, ready)
            ready = seen(s, SOURCE_FREE, tile + 1, ready)
            start = seen(s, MID_FREE, index, ready)
            s[N_DEPTHWISE + WAIT_OUTPUT] += start - ready
            post(s, POPPED + 2 * DEPTHWISE, start + 1)
            event(s, start, DEPTHWISE_UNIT, KIND_TILE_START, s[row + DE_TAG])
            s[D_CYCLE] = start
            s[D_GROUP] = 0
            s[D_PHASE] = 1
            moved = True
        taps, release = s[row + DE_TAPS], s[row + DE_RELEASE]
        cycle = s[D_CYCLE]
        while s[D_GROUP] < s[row + DE_GROUPS]:
            wanted = s[D_RELEASED] + (0 if release else s[D_GROUP])
            if not known(s, _RING_DW + G_READY, wanted):
                s[D_CYCLE] = cycle
                return moved
            passed = seen(s, _RING_DW + G_READY, wanted, cycle + 1)
            s[N_DEPTHWISE + WAIT_DDR] += passed - cycle - 1
            cycle = passed + taps + 1 + s[row + DE_STREAM]
            if release:
                s[D_RELEASED] += 1
                post(s, _RING_DW + G_WORDS, cycle + 1)
                post(s, _RING_DW + G_WORD_SIZES, taps)
                post(s, _RING_DW + G_PARAMS, cycle + 1)
                post(s, _RING_DW + G_PARAM_SIZES, 1)
            s[D_GROUP] += 1
            moved = True
        post(s, SOURCE_FREE, cycle + 1)
        end = cycle + s[X_DW_DRAIN]
        work = taps + 2 + s[row + DE_STREAM]
        s[N_DEPTHWISE + BUSY] += 1 + s[row + DE_GROUPS] * work + s[X_DW_DRAIN]
        post(s, MID_FULL, end + 1)
        event(s, end, DEPTHWISE_UNIT, KIND_TILE_END, s[row + DE_TAG])
        s[D_CYCLE] = end + 1
        s[D_NEXT] += 1
        s[D_PHASE] = 0


@part
def _start_mac(s: State, index: int, frame: int, row: int) -> bool:
    """IDLE of the MAC array: false where a token is not known yet."""
    if not known(s, PUSHED + 2 * MAC, index):
        return False
    ready = seen(s, PUSHED + 2 * MAC, index, s[A_CYCLE])
    if s[row + MA_MID]:
        if not known(s, MID_FULL, s[A_MIDS]):
            return False
        start = seen(s, MID_FULL, s[A_MIDS], ready)
        s[A_MIDS] += 1
    else:
        tile = frame * s[X_INPUT_TILES] + s[row + MA_INPUT]
        if not (known(s, SOURCE_FULL, tile) and known(s, SOURCE_FREE, tile + 1)):
            return False
        start = seen(s, SOURCE_FULL, tile, ready)
        start = seen(s, SOURCE_FREE, tile + 1, start)  # the tile before
    post(s, POPPED + 2 * MAC, start + 1)
    event(s, start, MAC_UNIT, KIND_TILE_START, s[row + MA_TAG])
    s[A_CYCLE] = start
    s[A_GROUP] = 0
    s[A_FIRST] = -1
    s[A_PHASE] = 1
    return True


@part
def _mac_group(s: State, row: int) -> bool:
    """One output group: false where its weights or its output bank are not known yet."""
    release = s[row + MA_RELEASE]
    wanted = s[A_RELEASED] + (0 if release else s[A_GROUP])
    if not (known(s, _RING_MAC + G_READY, wanted) and known(s, OUTPUT_FREE, s[A_OUTPUTS])):
        return False
    waited = s[A_CYCLE] + 1
    weights = seen(s, _RING_MAC + G_READY, wanted, waited)
    passed = seen(s, OUTPUT_FREE, s[A_OUTPUTS], weights)
    held = max(0, s[A_REQUANTISED] - passed - s[row + MA_EMIT])
    s[N_MAC + WAIT_DDR] += weights - waited
    s[N_MAC + WAIT_OUTPUT] += passed - weights + held
    if s[A_FIRST] < 0:
        pooled = s[row + MA_EMIT] > s[row + MA_FIRST]  # only the window's last is held
        s[A_FIRST] = passed + s[row + MA_FIRST] + (0 if pooled else held)
    passed += held
    cycle = passed + s[row + MA_CYCLES]
    last_vector = passed + s[row + MA_LAST] + s[X_VECTOR]
    last_group = s[A_GROUP] == s[row + MA_GROUPS] - 1
    count = s[row + MA_LAST_COUNT] if last_group else s[row + MA_COUNT]
    s[A_REQUANTISED] = passed + s[row + MA_LAST] + count
    s[A_WRITTEN] = last_vector + s[X_WRITE] + count - 1
    post(s, OUTPUT_FULL, s[A_WRITTEN] + 1)
    s[N_POST + BUSY] += s[row + MA_VECTORS] * count
    if release:
        post(s, _RING_MAC + G_WORDS, cycle + 1)
        post(s, _RING_MAC + G_WORD_SIZES, s[row + MA_WORDS])
        post(s, _RING_MAC + G_PARAMS, last_vector + count + 1)
        post(s, _RING_MAC + G_PARAM_SIZES, s[row + MA_PARAMS])
        s[A_RELEASED] += 1
    s[A_CYCLE] = cycle
    s[A_OUTPUTS] += 1
    s[A_GROUP] += 1
    return True


@part
def run_mac(s: State, per_frame: int) -> bool:
    """rtl_sim/hdl/mac_control.sv, mac_array.sv and post_process.sv; ``per_frame`` commands."""
    moved = False
    while True:
        index = s[A_NEXT]
        frame = index // per_frame
        row = s[_COMMANDS_MAC] + (index - frame * per_frame) * MAC_ROW
        if s[A_PHASE] == 0:
            if not _start_mac(s, index, frame, row):
                return moved
            moved = True
        while s[A_GROUP] < s[row + MA_GROUPS]:
            if not _mac_group(s, row):
                return moved
            moved = True
        groups, tag, cycle = s[row + MA_GROUPS], s[row + MA_TAG], s[A_CYCLE]
        s[N_MAC + BUSY] += 1 + groups * (1 + s[row + MA_ISSUES])
        s[N_MAC + WAIT_OUTPUT] += groups * (s[row + MA_CYCLES] - s[row + MA_ISSUES])
        post(s, MID_FREE if s[row + MA_MID] else SOURCE_FREE, cycle + 1)
        event(s, cycle, MAC_UNIT, KIND_TILE_END, tag)
        event(s, s[A_FIRST] + s[X_VECTOR], POST_UNIT, KIND_TILE_START, tag)
        event(s, s[A_WRITTEN], POST_UNIT, KIND_TILE_END, tag)
        s[A_CYCLE] = cycle + 1
        s[A_NEXT] += 1
        s[A_PHASE] = 0
