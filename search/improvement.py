"""Improving what a guided search has found, from its best designs outwards."""

from __future__ import annotations

from search.buffers import TILE_KEYS, Candidate
from search.measure import Point
from search.neighbours import neighbours
from search.pareto import AXES
from search.search_run import SearchRun
from search.space import Structure
from search.survey import power_terms
from search.workers import climb

REFINED, FINE_RUNGS, FINE_RATIO = 2, 32, 1.12  # structures, and their finer ladders
STARTS = 3  # designs from which to improve the speed
NEARLY = 0.99  # of the fastest: what the cheapest design must reach where no speed is asked for


def improve(search: SearchRun) -> None:
    """Finer ladders; then from the fastest designs, and corner by corner, to the best neighbour."""
    refine(search)
    for point in starts(search):
        here: Point | None = point
        while here is not None and search.left > 0:
            here = _faster(search, here)
    for axis in AXES:
        corner = cheapest(search, axis)
        while corner is not None and search.left > 0:
            near = neighbours(corner.design(search.base), search.limits.dsp)
            search.measure([c for c in near if _cheaper(search, c, corner, axis)], prune=False)
            better = cheapest(search, axis)
            corner = better if better is not None and better.key != corner.key else None


def refine(search: SearchRun) -> None:
    """Finer ladders for the structures of the fastest designs."""
    fastest = dict.fromkeys(Structure.of(p.accelerator) for p in search.result.feasible)
    slowest = search.survey.slowest_cycles
    tasks = [
        (search.ported(item.apply(search.base)), search.limits, FINE_RUNGS, slowest, FINE_RATIO)
        for item in list(fastest)[:REFINED]
    ]
    rungs = [candidate for found in search.workers.map(climb, tasks) for candidate in found]
    search.measure(rungs)


def starts(search: SearchRun) -> list[Point]:
    """The fastest designs, of those with the same lanes and tile buffers only one."""
    found: dict[object, Point] = {}
    for point in search.result.feasible:
        depths = (getattr(point.accelerator.buffers, key) for key in TILE_KEYS)
        found.setdefault((Structure.of(point.accelerator), *depths), point)
    return list(found.values())[:STARTS]


def _faster(search: SearchRun, here: Point) -> Point | None:
    """The fastest neighbour, if it is faster."""
    near = [
        candidate
        for candidate in neighbours(here.design(search.base), search.limits.dsp)
        if candidate.bound < here.cycles_per_frame and not search.limits.exceeded(candidate.costs)
    ]
    found = [
        point
        for point in search.measure(near, prune=False)
        if point.cycles_per_frame < here.cycles_per_frame
        and not search.limits.exceeded(point.costs)
    ]
    return min(found, key=lambda p: (p.cycles_per_frame, p.key), default=None)


def cheapest(search: SearchRun, axis: str) -> Point | None:
    """The cheapest design on an axis that reaches the speed asked for, or nearly the best."""
    points = [p for p in search.result.feasible if p.fps >= _needed_fps(search)]
    return min(points, key=lambda p: (p.costs[axis], p.cycles_per_frame, p.key), default=None)


def _needed_fps(search: SearchRun) -> float:
    best = search.result.best
    return search.limits.fps or (NEARLY * best.fps if best is not None else 0.0)


def _cheaper(search: SearchRun, item: Candidate, than: Point, axis: str) -> bool:
    """Could it reach the speed and be cheaper? Its bound and its costs say so."""
    if search.limits.exceeded(item.costs):
        return False
    cycles = search.base.clock_khz * 1000 / _needed_fps(search)
    rest, energy = power_terms(item.design, item.work, item.costs)
    costs = item.costs | {"power_w": rest + energy / cycles}
    return item.bound <= cycles and costs[axis] < than.costs[axis]
