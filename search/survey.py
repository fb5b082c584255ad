"""All structures of a design's space: what each can do at best, and what it takes at least.

Both hold whatever buffers, ports and tile limits are put around the structure: the bound counts a
frame's work without halos, the costs are those of the smallest buffers with which it runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from model.design import Design
from model.errors import TandemError
from model.memories import DISTRIBUTED_WORDS, memories
from model.plan import PassPlan
from model.resources import Part, Resources, estimate_resources
from model.tiling import TileShape
from search.bounds import FrameWork, frame_work, structure_cycles
from search.buffers import BufferSpace
from search.fit import sized, tile_needs, unbounded_plans, weight_needs
from search.measure import RESOURCES, Limits, power_of
from search.pareto import AXES
from search.space import (
    COMMAND_DEPTHS,
    OUTSTANDING,
    Structure,
    port_maps,
    structures,
    tile_limits,
    with_buffers,
)

SLOWEST_SHARE = 0.25  # of the best bound: slower designs are of no interest
PARAMETER_KEYS = ("param_words", "dw_param_words")
WIDER = 3  # times the limit of DSP: how far to look for what a target would take


@dataclass(frozen=True)
class Surveyed:
    """A structure: no design around it is faster than the bound or cheaper than the costs."""

    structure: Structure
    bound: int
    busiest: str
    estimate: int  # cycles a frame, each pass at its busiest unit's pace
    costs: dict[str, float]  # power_w: at rest
    energy: float  # watts x cycles a frame that come on top, at the least
    points: int  # designs around it


@dataclass(frozen=True)
class Survey:
    """The space of a design: what is left of it after what needs no simulation."""

    open: tuple[Surveyed, ...]  # the most promising first
    structures: int
    points: int  # of all structures
    infeasible: dict[str, int]  # structures by what they take too much of
    infeasible_structures: int
    too_slow: int  # structures slower than what is of interest
    slowest_cycles: float  # a frame: slower designs are of no interest

    @property
    def best_bound(self) -> int:
        """Cycles a frame that no feasible design beats."""
        return min((item.bound for item in self.open), default=0)


def survey(design: Design, limits: Limits, most: int | None = None) -> Survey:
    """Look at every structure. TandemError where not one can run the network at all.

    ``most``: stop at so many feasible ones, the fastest by estimate first.
    """
    surroundings = len(port_maps(design.device.axi_ports)) * len(OUTSTANDING) * len(COMMAND_DEPTHS)
    surroundings *= len(tile_limits(design))
    sketches = sorted(_sketches(design, limits), key=lambda s: (s.estimate, repr(s.structure)))
    if not sketches:
        raise TandemError(f"design {design.name}: no accelerator of the space runs its network")
    infeasible: Counter[str] = Counter()
    found: list[Surveyed] = []
    feasible: list[Surveyed] = []
    for sketch in sketches:
        if len(feasible) == most:
            break
        item = sketch.complete(design, surroundings)
        found.append(item)
        over = limits.exceeded(item.costs)
        infeasible.update(over)
        if not over:
            feasible.append(item)
    hertz = design.clock_khz * 1000
    slowest = min((item.bound for item in feasible), default=0) / SLOWEST_SHARE
    if limits.fps:
        slowest = hertz / limits.fps
    kept = [item for item in feasible if item.bound <= slowest]
    return Survey(
        open=tuple(in_layers(kept)),
        structures=len(found),
        points=sum(item.points for item in found),
        infeasible=dict(infeasible),
        infeasible_structures=len(found) - len(feasible),
        too_slow=len(feasible) - len(kept),
        slowest_cycles=slowest,
    )


def in_layers(found: list[Surveyed]) -> list[Surveyed]:
    """The most promising first: those on a front of estimate and costs, then those behind them.

    In a layer the fastest comes first.
    """
    left = sorted(
        found, key=lambda s: (s.estimate, s.bound, sorted(s.costs.items()), repr(s.structure))
    )
    ordered: list[Surveyed] = []
    while left:
        layer: list[Surveyed] = []
        behind: list[Surveyed] = []
        least = dict.fromkeys(AXES, float("inf"))
        for item in left:  # the fastest first: on a front is who costs less than all before
            if any(item.costs[axis] < least[axis] for axis in AXES):
                layer.append(item)
            else:
                behind.append(item)
            for axis in AXES:
                least[axis] = min(least[axis], item.costs[axis])
        ordered += layer
        left = behind
    return ordered


def nearest_demand(design: Design, limits: Limits) -> list[str]:
    """Why no design reaches the targets, in words: what those fast enough by bound would take."""
    target = design.clock_khz * 1000 / limits.fps if limits.fps else float("inf")
    wide = replace(limits, dsp=WIDER * limits.dsp)
    sketches = _sketches(design, wide)
    fast = [item.complete(design, 1) for item in sketches if item.work.bound <= target]
    if not fast:
        return [f"{limits.fps:g} FPS: no structure with up to {wide.dsp} DSP48E1 has such a bound"]
    fitting = [item for item in fast if not limits.exceeded(item.costs)]
    if fitting:
        item = fitting[0]
        return [
            (
                f"the bound excludes nothing: {len(fitting)} structures may reach the targets by "
                f"their bound, set by {item.busiest}, but with waiting, or with buffers that fit, "
                "none did: raise --bram18, or --evaluations"
            )
        ]
    lines = []
    for name in (*RESOURCES, "power_w"):
        limit = getattr(limits, name)
        least = min(item.costs[name] for item in fast)
        if limit is not None and least > limit:
            what = f"{least:.2f} W" if name == "power_w" else f"{least:,.0f} {name}"
            lines.append(
                f"too little {name}: the targets take at least {what}, the limit is {limit}"
            )
    return lines or [
        "each structure that is fast enough exceeds some limit, no one limit is to blame"
    ]


@dataclass(frozen=True)
class _Core:
    """What structures with the same lanes have in common."""

    plans: list[PassPlan]  # empty: these lanes do not run the network
    smallest: Design
    levels: int  # combinations of buffer depths

    @staticmethod
    def of(design: Design) -> _Core:
        try:
            plans = unbounded_plans(design)
            acc = design.accelerator
            unit = [TileShape(plan.item.scale, plan.item.scale) for plan in plans]
            needs = tile_needs(acc, plans, unit) | weight_needs(acc.buffers, plans, "one")
            smallest = with_buffers(design, sized(design, needs))
            sizes = BufferSpace(design, ratio=1.0).sizes
        except TandemError:
            return _Core([], design, 0)
        return _Core(plans, smallest, sizes.input * sizes.mid * sizes.output * sizes.weights)


@dataclass(frozen=True)
class _Sketch:
    """A structure before its demand is known."""

    structure: Structure
    core: _Core
    work: FrameWork
    estimate: int

    def complete(self, design: Design, surroundings: int) -> Surveyed:
        """With what it takes at least."""
        built = self.structure.apply(design)
        costs = least_costs(with_buffers(built, self.core.smallest.accelerator.buffers))
        costs["power_w"], energy = power_terms(built, self.work, costs)
        return Surveyed(
            self.structure,
            self.work.bound,
            self.work.busiest,
            self.estimate,
            costs,
            energy,
            self.core.levels * surroundings,
        )


def _sketches(design: Design, limits: Limits) -> Iterator[_Sketch]:
    """Every structure that runs the network, whatever it takes."""
    cores: dict[tuple[object, ...], _Core] = {}
    for structure in structures(design, limits.dsp):
        built = structure.apply(design)
        lanes = (structure.in_lanes, structure.out_lanes, structure.requant_lanes)
        key = (*lanes, structure.mac_packing)
        if key not in cores:
            cores[key] = _Core.of(built)
        core = cores[key]
        if core.plans:
            work = frame_work(built, core.plans)
            yield _Sketch(structure, core, work, structure_cycles(built, core.plans))


def least_costs(smallest: Design) -> dict[str, float]:
    """What the design takes, whatever deeper buffers it gets instead of these.

    DSP does not depend on buffers and block RAM grows with them. LUT and FF need not: parameter
    memories take fewer once they are too deep for LUTs, and fewer rows of blocks less choosing.
    """
    buffers = smallest.accelerator.buffers
    deep = {key: max(getattr(buffers, key), DISTRIBUTED_WORDS + 1) for key in PARAMETER_KEYS}
    found: dict[str, float] = {}
    for design in (smallest, with_buffers(smallest, replace(buffers, **deep))):
        totals = dict(estimate_resources(design).totals())
        totals["lut"] -= sum(memory.lut for memory in memories(design))
        found = {name: min(found.get(name, value), value) for name, value in totals.items()}
    return found


def power_terms(design: Design, work: FrameWork, costs: Mapping[str, float]) -> tuple[float, float]:
    """The least power of a design: watts at rest, and watts x cycles a frame on top.

    At c cycles a frame it takes at least ``rest + energy / c``. The terms are those of
    ``model/power.py``, whose shares of use and of traffic are proportional to 1 / c.
    """
    acc = design.accelerator
    resources = Resources((Part("all", *(int(costs[name]) for name in RESOURCES)),), {}, design)
    one = max(1, work.array_macs) / (acc.in_lanes * acc.out_lanes)  # cycles at full use
    rest = power_of(design, resources, 0.0, 0.0, one)
    return rest, one * (power_of(design, resources, 1.0, work.bytes_moved, one) - rest)
