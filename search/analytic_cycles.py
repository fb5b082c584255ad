"""Cycles of a frame in closed form: the paces of the units, and what lies open between passes.

No tile is followed. A pass takes its pace, summed over tiles that are alike: that of its slowest
unit, or of an output bank that is first filled and then stored. It takes longer where a rule of
``docs/microarchitecture.md`` holds it up between the MAC array's last cycle in the pass before and
its last cycle in this one:

* A tile is loaded, filtered and multiplied one after the other: loading starts when the rows it
  needs have been stored, which the tiles of the pass before decide (``sync``).
* Of the two mid banks one is the MAC array's: the depth-wise unit starts a pass when the array
  starts the last tile of the pass before. Where that one has no depth-wise layer, its tiles are in
  the input banks, which are taken in order: the depth-wise unit starts when the array ends.
* One unit fetches all weights, in the program's order. The depth-wise ones of a pass come when
  there is room for the last group of the pass before, where those are fetched for every tile.
* The first weight group of a pass is fetched when the store has room: when enough groups of the
  pass before were given back, which a resident run does in its last tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from model.design import Design
from model.plan import PassPlan
from search.bounds import (
    BURST_BEATS,
    ROUND_TRIP,
    TileWork,
    blocked_cycles,
    fetched,
    held_groups,
    tile_works,
)


@dataclass(frozen=True)
class FrameCycles:
    """Cycles, estimated."""

    steady: float  # from frame to frame
    latency: float  # from start to the first frame's last store


@dataclass(frozen=True)
class _Pass:
    """What a pass takes, in cycles."""

    plan: PassPlan
    first: TileWork
    last: TileWork
    array: float  # its pace without the depth-wise unit
    pace: float  # with it
    slowdown: float  # of a beat, where too few bursts are outstanding to hide a round trip

    @property
    def filters(self) -> bool:
        """Has it a depth-wise layer?"""
        return self.plan.item.depthwise is not None

    @property
    def load(self) -> float:
        """Cycles of the first tile's load."""
        return 2 * ROUND_TRIP + self.slowdown * self.first.load

    @property
    def store_tail(self) -> float:
        """Cycles of the last tile's store behind the array: its last group, and what is late."""
        groups, late = self.plan.mac_weights.groups, self.last.store - self.last.mac
        return (self.last.store + max(0, late) * (groups - 1)) / groups


def frame_cycles(design: Design, plans: Sequence[PassPlan]) -> FrameCycles:
    """About how many cycles a frame takes: each pass behind the one before, the first in a ring."""
    passes = [_pass(design, plan) for plan in plans]
    rest = sum(_elapsed(design, before, own) for before, own in pairwise(passes))
    first = passes[0]
    alone = first.load + _chain(first) + first.pace
    return FrameCycles(
        steady=rest + _elapsed(design, passes[-1], first),
        latency=rest + alone + passes[-1].store_tail,
    )


def _pass(design: Design, plan: PassPlan) -> _Pass:
    works = list(tile_works(design, plan))
    slowdown = max(1.0, ROUND_TRIP / BURST_BEATS / design.accelerator.outstanding_bursts)
    weights = slowdown * fetched(plan)[0]
    array = pace = 0.0
    for work in works:
        moved = ROUND_TRIP + slowdown * max(work.load, work.store)
        own = max(moved, work.mac, work.post, weights, _bank_cycles(plan, work))
        array += work.count * own
        pace += work.count * max(own, work.depthwise, blocked_cycles(design, plan, work))
    return _Pass(plan, works[0], works[-1], array, pace, slowdown)


def _bank_cycles(plan: PassPlan, work: TileWork) -> float:
    """Cycles that one output bank is taken for a tile.

    Groups of output channels take turns with two banks, each first computed, then stored. An even
    number of them puts the last, which may be short, always into the other bank.
    """
    groups = plan.mac_weights.groups
    if groups % 2:
        return 0.0  # banks change roles from tile to tile
    full = plan.target.block_channels / plan.target.padded_channels
    return groups // 2 * (work.mac / groups + full * work.store)


def _chain(own: _Pass) -> float:
    """Cycles by which a pass of one tile after the other is longer than its pace, without load."""
    return min(own.first.depthwise, own.first.mac)


def _elapsed(design: Design, before: _Pass, own: _Pass) -> float:
    """Cycles from the array's last in the pass before to its last in this one."""
    found = own.array + _weight_wait(design, before, own)
    if own.filters:
        found = max(found, own.pace + _chain(own) - _ahead(design, before, own))
    if own.plan.item.source is not None:  # else the image, which is there
        ready = before.store_tail + own.load - _hidden(before, own.plan)
        found = max(found, ready + own.pace + _chain(own))
    return found


def _ahead(design: Design, before: _Pass, own: _Pass) -> float:
    """Cycles before the array ends a pass that the depth-wise unit can begin the next."""
    run, depthwise = before.plan.mac_weights, own.plan.dw_weights
    if not before.filters or depthwise is None:
        return 0.0
    if run.resident:
        return before.last.mac
    left = before.last.mac * min(held_groups(design, run), run.groups) / run.groups
    return left - ROUND_TRIP - own.slowdown * depthwise.group_beats


def _hidden(before: _Pass, plan: PassPlan) -> float:
    """Cycles of the pass before that are left once the rows of this pass's first tile are there."""
    height = plan.source.height
    needed = min(height, plan.tiles[0].rows + plan.item.halo)
    rows = before.plan.tiles[0].rows // before.plan.item.scale
    return before.pace * max(0.0, 1 - -(-needed // rows) * rows / height)


def _weight_wait(design: Design, before: _Pass, own: _Pass) -> float:
    """Cycles that the array waits for the first weight group of a pass."""
    run, other = own.plan.mac_weights, before.plan.mac_weights
    buffers = design.accelerator.buffers
    stays = min(
        (buffers.weight_words - run.words) // other.words,
        (buffers.param_words - run.param_words) // other.param_words,
    )
    left = before.last.mac * min(stays, other.groups) / other.groups
    return max(0.0, ROUND_TRIP + own.slowdown * run.group_beats - left)
