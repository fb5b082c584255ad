# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""Tokens and events of the fast engine, on the state vector of ``model/fast_state.py``."""

from __future__ import annotations

from model.compiled import part
from model.fast_state import CYCLE_SHIFT, EVENT_KINDS, EVENT_UNITS, EVENTS, KIND_BITS, TAG_BITS
from model.memory_state import State

(
    DEPTHWISE_UNIT, LOAD_UNIT, MAC_UNIT, POST_UNIT, SEQUENCER_UNIT, STORE_UNIT, WEIGHT_UNIT,
) = range(len(EVENT_UNITS))  # fmt: skip
(
    KIND_BUNDLE_DONE, KIND_DISPATCH, KIND_FIRST_BEAT, KIND_FRAME_DONE, KIND_LAST_BEAT,
    KIND_TILE_END, KIND_TILE_START, KIND_WEIGHT_READY,
) = range(len(EVENT_KINDS))  # fmt: skip
_UNIT_SHIFT = TAG_BITS + KIND_BITS


@part
def known(s: State, tokens: int, index: int) -> bool:
    """Is it known when token ``index`` becomes visible?"""
    return index < s[tokens + 1]


@part
def seen(s: State, tokens: int, index: int, cycle: int) -> int:
    """First cycle, not before ``cycle``, at which a token that is known is visible."""
    return max(cycle, s[s[tokens] + index])


@part
def post(s: State, tokens: int, value: int) -> None:
    """One more token, seen by others from cycle ``value`` on."""
    s[s[tokens] + s[tokens + 1]] = value
    s[tokens + 1] += 1


@part
def event(s: State, cycle: int, unit: int, kind: int, tag: int) -> None:
    """Record what happens at ``cycle``."""
    post(s, EVENTS, cycle << CYCLE_SHIFT | unit << _UNIT_SHIFT | kind << TAG_BITS | tag)
