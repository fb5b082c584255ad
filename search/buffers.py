"""Buffers for a structure: depths worth building, and a ladder from the fewest blocks to the most.

Four sizes are chosen: input, mid and output buffer, and the weight stores together. Each has a list
of depths, the deepest of a number of RAMB18, so that no block is built and left empty. The ladder
climbs from the least that runs by whatever step gains most cycles (estimated) for a block. What a
step does not use of the memories is taken away again: the tiles decide, not the depths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

from model.accelerator import Buffers
from model.design import Design
from model.errors import TandemError
from model.memories import DISTRIBUTED_WORDS, Memory, block_ram, lut_ram, memories
from model.plan import PassPlan
from model.resources import estimate_resources
from model.schedule import plan_design
from model.tiling import TileShape
from search.bounds import FrameWork, estimate_cycles, frame_work
from search.fit import UNBOUNDED, sized, tile_needs, unbounded_plans, weight_needs
from search.measure import Limits
from search.space import with_buffers

TILE_KEYS = ("input_lines", "mid_words", "output_lines")
STORE_KEYS = ("weight_words", "param_words", "dw_weight_words", "dw_param_words")
TILES_MAX = 2000  # a frame; smaller tiles only cost time
LADDER_RATIO = 1.4


class Levels(NamedTuple):
    """Indices into the lists of depths: input, mid, output, weight stores."""

    input: int
    mid: int
    output: int
    weights: int


MOVES = (
    Levels(1, 0, 0, 0),
    Levels(0, 1, 0, 0),
    Levels(0, 0, 1, 0),
    Levels(0, 0, 0, 1),
    Levels(1, 1, 0, 0),
    Levels(1, 1, 1, 0),
)


@dataclass(frozen=True)
class Candidate:
    """A design not yet simulated: what is known of it without."""

    design: Design
    work: FrameWork
    estimate: float  # cycles a frame
    costs: dict[str, float]  # exact; without power

    @property
    def bound(self) -> int:
        """Cycles a frame, at the least."""
        return self.work.bound

    @property
    def bram18(self) -> float:
        """RAMB18 blocks."""
        return self.costs["bram18"]


@dataclass
class BufferSpace:
    """Depths of every buffer for one structure. ``ratio`` 1: every step of a block."""

    design: Design
    ratio: float = LADDER_RATIO
    tile: dict[str, list[int]] = field(init=False)
    stores: list[dict[str, int]] = field(init=False)
    line_words: int = field(init=False)
    _known: dict[Levels, Candidate | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        design = self.design
        acc = design.accelerator
        plans = unbounded_plans(design)
        unit = [TileShape(plan.item.scale, plan.item.scale) for plan in plans]
        least = tile_needs(acc, plans, unit)
        free = _no_limits(design)
        widest = plan_design(free)  # the largest tiles that the compiler would ever take
        whole = [TileShape(plan.tiles[0].rows, plan.tiles[0].cols) for plan in widest]
        most = tile_needs(acc, plans, whole)
        costs = memory_costs(design)
        self.tile = {
            key: thinned(levels(costs[key], least[key], most[key]), self.ratio) for key in TILE_KEYS
        }
        self.line_words = max(2, most["dw_line_words"])
        self.stores = []
        for policy in ("one", "two", "all"):
            needs = weight_needs(acc.buffers, plans, policy)
            all_of_it = weight_needs(acc.buffers, plans, "all")
            found = {
                key: levels(costs[key], max(2, needs[key]), max(2, all_of_it[key]))[0]
                for key in STORE_KEYS
            }
            if found not in self.stores:
                self.stores.append(found)

    @property
    def sizes(self) -> Levels:
        """Number of depths of each."""
        first, second, third = (len(self.tile[key]) for key in TILE_KEYS)
        return Levels(first, second, third, len(self.stores))

    def buffers(self, at: Levels) -> Buffers:
        """Depths of these indices, clipped to the lists."""
        top = self.sizes
        depths = {
            key: self.tile[key][min(index, size - 1)]
            for key, index, size in zip(TILE_KEYS, at, top, strict=False)
        }
        stores = self.stores[min(at.weights, top.weights - 1)]
        return sized(self.design, {**depths, **stores, "dw_line_words": self.line_words})

    def candidate(self, at: Levels) -> Candidate | None:
        """The design of these indices, trimmed to what its tiles use; None where nothing fits."""
        if at not in self._known:
            self._known[at] = trimmed(with_buffers(self.design, self.buffers(at)))
        return self._known[at]


def trimmed(design: Design) -> Candidate | None:
    """A design whose tile buffers are cut down to its tiles. None where no tile fits."""
    try:
        plans = plan_design(design)
    except TandemError:
        return None
    if sum(len(plan.tiles) for plan in plans) > TILES_MAX:
        return None
    shapes = [TileShape(plan.tiles[0].rows, plan.tiles[0].cols) for plan in plans]
    depths = tile_needs(design.accelerator, plans, shapes)
    design = with_buffers(design, sized(design, depths))
    return measured(design, plans)


def measured(design: Design, plans: list[PassPlan]) -> Candidate:
    """Bound, estimate and demand of a design with these plans."""
    work = frame_work(design, plans)
    costs: dict[str, float] = dict(estimate_resources(design).totals())
    return Candidate(design, work, estimate_cycles(design, plans), costs)


def ladder(
    design: Design, limits: Limits, rungs: int, slowest: float, ratio: float = LADDER_RATIO
) -> list[Candidate]:
    """At most ``rungs`` candidates of a structure, from the fewest RAMB18 up; none if all fail.

    No later one is estimated to be slower than one before it, none has a bound above ``slowest``.
    ``ratio``: from a depth to the next at least.
    """
    space = BufferSpace(design, ratio)
    here = _lowest(space, slowest)
    if here is None:
        return []
    at, current = here
    found = [current] if not limits.exceeded(current.costs) else []
    while True:
        step = _best_step(space, at, current, limits)
        if step is None:
            return spread(front_of(found), rungs)
        at, current = step
        found.append(current)


def _lowest(space: BufferSpace, slowest: float) -> tuple[Levels, Candidate] | None:
    """The first levels, all raised together, whose tiles fit and are not too many or too slow."""
    for index in range(max(space.sizes)):
        top = space.sizes
        at = Levels(
            min(index, top.input - 1), min(index, top.mid - 1), min(index, top.output - 1), 0
        )
        candidate = space.candidate(at)
        if candidate is not None and candidate.bound <= slowest:
            return at, candidate
    return None


def _best_step(
    space: BufferSpace, at: Levels, current: Candidate, limits: Limits
) -> tuple[Levels, Candidate] | None:
    """Of the moves that stay within the limits the one that gains most for a block."""
    best: tuple[float, Levels, Candidate] | None = None
    for move in MOVES:
        to = Levels(*(a + b for a, b in zip(at, move, strict=True)))
        if any(index >= size for index, size in zip(to, space.sizes, strict=True)):
            continue
        candidate = space.candidate(to)
        if candidate is None or limits.exceeded(candidate.costs):
            continue
        blocks = max(0.5, candidate.bram18 - current.bram18)
        rate = (current.estimate - candidate.estimate) / blocks
        if best is None or rate > best[0]:
            best = rate, to, candidate
    return None if best is None else best[1:]


def front_of(found: list[Candidate]) -> list[Candidate]:
    """Those that none with as few blocks is estimated to beat, from the fewest blocks up."""
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda item: (item.bram18, item.estimate)):
        if not kept or candidate.estimate < kept[-1].estimate:
            kept.append(candidate)
    return kept


def spread(found: list[Candidate], count: int) -> list[Candidate]:
    """``count`` of them, evenly, the first and the last included."""
    if len(found) <= count:
        return found
    if count == 1:
        return found[-1:]
    last = len(found) - 1
    return [found[round(index * last / (count - 1))] for index in range(count)]


def levels(memory: tuple[Memory, ...], least: int, most: int) -> list[int]:
    """Depths from ``least`` to ``most``: the deepest of each cost of the memories of one key."""
    shape = tuple((m.width, m.depth, m.count, m.name == "parameter store") for m in memory)
    return list(_levels(shape, least, max(least, most)))


@cache
def _levels(
    shape: tuple[tuple[int, int, int, bool], ...], least: int, most: int
) -> tuple[int, ...]:
    found: list[int] = []
    depth = least
    while depth < most:
        low, high = depth, most
        same = _blocks(shape, depth)
        while low < high:  # cost grows with depth
            middle = (low + high + 1) // 2
            low, high = (middle, high) if _blocks(shape, middle) <= same else (low, middle - 1)
        found.append(low)
        depth = low + 1
    if not found or found[-1] != most:
        found.append(most)
    return tuple(found)


@cache
def _blocks(shape: tuple[tuple[int, int, int, bool], ...], depth: int) -> tuple[int, int]:
    """RAMB18 and LUTs of the memories of one key; their ``depth`` is that of a key of 1."""
    blocks = luts = 0
    for width, banks, count, parameters in shape:
        if parameters and depth <= DISTRIBUTED_WORDS:
            luts += count * lut_ram(width, depth)
        else:
            blocks += count * block_ram(width, banks * depth).bram18
    return blocks, luts


def memory_costs(design: Design) -> dict[str, tuple[Memory, ...]]:
    """The memories by the key that sizes them, for a depth of 1."""
    keys = Buffers.__dataclass_fields__
    unit = with_buffers(design, Buffers(**dict.fromkeys(keys, 1)))
    found: dict[str, list[Memory]] = {key: [] for key in keys}
    for memory in memories(unit):
        found[memory.key.removeprefix("buffers.")].append(memory)
    return {key: tuple(items) for key, items in found.items()}


def thinned(depths: list[int], ratio: float) -> list[int]:
    """A list that grows by at least ``ratio`` a step; its ends stay."""
    kept = depths[:1]
    for depth in depths[1:]:
        if depth >= kept[-1] * ratio:
            kept.append(depth)
    if kept[-1] != depths[-1]:
        kept.append(depths[-1])
    return kept


def _no_limits(design: Design) -> Design:
    keys = Buffers.__dataclass_fields__
    free = with_buffers(design, Buffers(**dict.fromkeys(keys, UNBOUNDED)))
    return replace(free, accelerator=replace(free.accelerator, tile_height=0, tile_width=0))


def walk(space: BufferSpace) -> Iterator[Levels]:
    """Every combination of levels."""
    sizes = space.sizes
    for first in range(sizes.input):
        for second in range(sizes.mid):
            for third in range(sizes.output):
                for fourth in range(sizes.weights):
                    yield Levels(first, second, third, fourth)
