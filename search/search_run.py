"""One run over a design's space: see ``search/sizing.py`` for its order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from model.design import Design
from search.buffers import LADDER_RATIO, BufferSpace, Candidate, trimmed, walk
from search.exploration import Exploration, Settings
from search.exploration_journal import Journal
from search.measure import Limits, Point, accelerator_key
from search.pareto import Fronts
from search.space import (
    COMMAND_DEPTHS,
    OUTSTANDING,
    port_maps,
    tile_limits,
    with_buffers,
)
from search.survey import Survey, Surveyed, power_terms
from search.workers import Workers, climb, measure

EXHAUSTIVE_SECONDS = 60.0
BATCH_STRUCTURES = 8
BATCH_POINTS = 8
TIMED_BATCH = 4  # simulations: fewer at a time say little about how long one takes
OPENING_SHARE = 0.6  # of the simulations: the rest is for improving what they found
PLANNED_MAX = 200_000  # points: more are not even looked at one by one

Report = Callable[[str, int, int], None]
"""Told of progress: what is done, how much of how much."""


class SearchRun:
    """One run over the space."""

    def __init__(
        self,
        base: Design,
        limits: Limits,
        settings: Settings,
        journal: Journal,
        workers: Workers,
        found: Survey,
        report: Report,
    ) -> None:
        self.base, self.limits, self.settings = base, limits, settings
        self.journal, self.workers, self.survey = journal, workers, found
        self.report = report
        self.result = Exploration(found, limits, {}, Fronts())
        self.counts = self.result.counts
        self._best: Point | None = None
        self._each = float("inf")  # seconds of a simulation, in the quickest batch yet

    @property
    def left(self) -> int:
        """Simulations that a guided search may still make."""
        return self.settings.evaluations - self.counts["evaluated"]

    def seed(self, design: Design) -> None:
        """Measure the design given, as it is and trimmed, where it can be compiled."""
        known = [trimmed(design), trimmed(with_kernels(design, self.base))]
        self.measure([candidate for candidate in known if candidate is not None], prune=False)
        self.counts["seeds"] = len(self.result.points)

    def measure(self, candidates: Sequence[Candidate], prune: bool = True) -> list[Point]:
        """Simulate what could matter, best estimate first; points come back in that order."""
        chosen: dict[str, Candidate] = {}
        done: list[Point] = []
        for item in sorted(candidates, key=lambda c: (c.estimate, c.costs["bram18"])):
            key = accelerator_key(item.design.accelerator)
            if key in chosen:
                continue
            if key in self.result.points:
                done.append(self.result.points[key])
            elif self.limits.exceeded(item.costs):
                self.counts["over a limit"] += 1
            elif prune and self.hopeless(item):
                self.counts["pruned"] += 1
            else:
                chosen[key] = item
        new = list(chosen.values())
        for start in range(0, len(new), BATCH_POINTS):
            batch = new[start : start + BATCH_POINTS]
            if prune and start:
                useful = [item for item in batch if not self.hopeless(item)]
                self.counts["pruned"] += len(batch) - len(useful)
                batch = useful
            if self.settings.method != "exhaustive" and self.result.method == "guided":
                batch = batch[: max(0, self.left)]
            done += self._simulate(batch)
        return done

    def hopeless(self, item: Candidate) -> bool:
        """Is it slower than of interest, or beaten on every axis whatever its cycles are?"""
        slowest = self.survey.slowest_cycles
        if item.bound > slowest:
            return True
        rest, energy = power_terms(item.design, item.work, item.costs)
        costs = item.costs | {"power_w": rest}
        return self.result.fronts.closed_to(item.bound, costs, energy, slowest)

    def _simulate(self, batch: Sequence[Candidate]) -> list[Point]:
        found: list[Point] = []
        known = self.journal.points
        keys = [accelerator_key(item.design.accelerator) for item in batch]
        tasks = [
            (item.design, self.settings.frames)
            for item, key in zip(batch, keys, strict=True)
            if key not in known
        ]
        started = time.perf_counter()
        fresh = iter(self.workers.map(measure, tasks))
        for key in keys:
            point = known[key] if key in known else next(fresh)
            if point is None:
                self.counts["not compiled"] += 1
                continue
            if key not in known:
                self.journal.add(point)
            found.append(point)
            self._take(point)
        if len(tasks) >= TIMED_BATCH:
            self._each = min(self._each, (time.perf_counter() - started) / len(tasks))
        return found

    def _take(self, point: Point) -> None:
        self.result.points[point.key] = point
        self.counts["evaluated"] += 1
        if not self.limits.exceeded(point.costs):
            self.result.fronts.add(point.cycles_per_frame, point.costs, point.key)
            if self._best is None or point.cycles_per_frame < self._best.cycles_per_frame:
                self._best = point
        text = f"best {self._best.fps:.2f} FPS" if self._best is not None else "none fits yet"
        self.report(text, self.counts["evaluated"], self.settings.evaluations)

    def open_structures(self) -> None:
        """A ladder of buffers for every structure that could still be on a front."""
        todo = list(self.survey.open)
        if self.settings.max_structures is not None:
            todo = todo[: self.settings.max_structures]
        reserve = (1 - OPENING_SHARE) * self.settings.evaluations
        while todo and self.left > reserve:
            batch: list[Surveyed] = []
            while todo and len(batch) < BATCH_STRUCTURES:
                item = todo.pop(0)
                if self.closed(item):
                    self.counts["structures pruned"] += 1
                else:
                    batch.append(item)
            tasks = [
                (
                    self.ported(item.structure.apply(self.base)),
                    self.limits,
                    self.settings.rungs,
                    self.survey.slowest_cycles,
                    LADDER_RATIO,
                )
                for item in batch
            ]
            rungs = [candidate for found in self.workers.map(climb, tasks) for candidate in found]
            self.counts["structures opened"] += len(batch)
            self.measure(rungs)
        self.counts["structures not reached"] = len(todo)

    def closed(self, item: Surveyed) -> bool:
        """Is no design around this structure on any front?"""
        slowest = self.survey.slowest_cycles
        return self.result.fronts.closed_to(item.bound, item.costs, item.energy, slowest)

    def ported(self, design: Design) -> Design:
        """Ports, bursts and command depth with which ladders are climbed."""
        ports = port_maps(design.device.axi_ports)[0]
        acc = replace(
            design.accelerator,
            ports=ports,
            outstanding_bursts=max(OUTSTANDING),
            command_depth=COMMAND_DEPTHS[1],
        )
        return replace(design, accelerator=acc)

    def exhaust(self) -> bool:
        """Go through all that is left, where it is little. Says whether it was."""
        left = [item for item in self.survey.open if not self.closed(item)]
        self.counts["points left"] = sum(item.points for item in left)
        rest = None if self.settings.method == "guided" else self._rest(left)
        if rest is None:
            return False
        self.result.method = "exhaustive"
        self.counts["points left"] = 0
        self.measure(rest)
        return True

    def _rest(self, left: Sequence[Surveyed]) -> list[Candidate] | None:
        """All points that could still be on a front; None where going through them takes long."""
        forced = self.settings.method == "exhaustive"
        until = time.perf_counter() + EXHAUSTIVE_SECONDS
        found: list[Candidate] = []
        if self.counts["points left"] > PLANNED_MAX and not forced:
            return None
        for done, item in enumerate(left):
            self.report(f"planning structure {done + 1} of {len(left)}", done, len(left))
            points = list(self._around(item))
            useful = [point for point in points if not self.hopeless(point)]
            self.counts["alike"] += item.points - len(points)
            self.counts["pruned"] += len(points) - len(useful)
            found += useful
            long = time.perf_counter() > until or len(found) * self._each > EXHAUSTIVE_SECONDS
            if long and not forced:
                return None
        return found

    def _around(self, item: Surveyed) -> Iterable[Candidate]:
        """Every point of a structure; the same accelerator only once."""
        design = item.structure.apply(self.base)
        space = BufferSpace(design, ratio=1.0)
        seen: set[str] = set()
        for at in walk(space):
            sized = with_buffers(design, space.buffers(at))
            for height, width in tile_limits(design):
                acc = replace(sized.accelerator, tile_height=height, tile_width=width)
                candidate = trimmed(replace(sized, accelerator=acc))
                if candidate is None:
                    continue
                for around in self._surroundings(candidate):
                    key = accelerator_key(around.design.accelerator)
                    if key not in seen:
                        seen.add(key)
                        yield around

    def _surroundings(self, candidate: Candidate) -> Iterable[Candidate]:
        for ports in port_maps(self.base.device.axi_ports):
            for bursts in OUTSTANDING:
                for depth in COMMAND_DEPTHS:
                    acc = replace(
                        candidate.design.accelerator,
                        ports=ports,
                        outstanding_bursts=bursts,
                        command_depth=depth,
                    )
                    design = replace(candidate.design, accelerator=acc)
                    if ports == candidate.design.accelerator.ports:
                        yield replace(candidate, design=design)
                    else:
                        other = trimmed(design)
                        if other is not None:
                            yield other


def with_kernels(design: Design, base: Design) -> Design:
    """The design with the base's kernels and without tile limits."""
    acc = replace(
        design.accelerator,
        dw_kernel_max=base.accelerator.dw_kernel_max,
        conv_kernel_max=base.accelerator.conv_kernel_max,
        tile_height=0,
        tile_width=0,
    )
    return replace(design, accelerator=acc)
