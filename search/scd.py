"""Stochastic coordinate descent (SCD) towards a target, every step simulated exactly.

The paper's rule: pick a coordinate at random, estimate from its own sensitivity how many unit steps
close the gap to the target, apply them, measure again. Here the sensitivity is measured by one
simulated unit step, and two things are added. A point that has reached the target is not left: the
search goes along the surface of equal speed, one coordinate of the network raised and another one,
drawn at random, moved as far as its sensitivity says to pay for it, and keeps what is predicted to
be the better network. And what the accelerator can give is taken first: while it is too slow, every
second draw is one of its own coordinates.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from search.coordinates import Coordinate, coordinates
from search.evaluator import BudgetSpent, Evaluated, Evaluator
from search.genome import Genome
from search.genome_space import GenomeSpace
from search.spec import Target

STEPS_MAX = 6  # units at once: sensitivities are local
HARDWARE_SHARE = 0.5  # of the draws while the target is not reached
PATIENCE = 40  # moves without progress until the chain starts anew
SURPLUS = 1.0  # tolerances above the target that still count as reached


@dataclass(frozen=True)
class Step:
    """One move, as the trace keeps it."""

    index: int
    coordinate: str
    before: float
    after: float
    units: int
    sensitivity: float  # change of log FPS a unit
    gap_before: float  # log of target FPS over FPS
    gap_after: float | None  # None: could not be simulated
    quality: float | None
    accepted: bool
    reason: str
    genome: dict[str, Any]  # that was proposed
    cycles: float

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class Chain:
    """One descent for one target; deterministic from its seed."""

    target: Target
    space: GenomeSpace
    evaluate: Evaluator
    rng: random.Random
    candidates: int  # distinct ones that are kept
    report: Callable[[Step], None] = lambda _: None

    def __post_init__(self) -> None:
        self.steps: list[Step] = []
        self.found: dict[tuple[object, ...], Evaluated] = {}

    def run(self) -> list[Evaluated]:
        """Until the budget is spent; the best candidates, the highest quality first."""
        try:
            while True:
                self._descend(self._start())
        except BudgetSpent:
            pass
        return self.best

    @property
    def best(self) -> list[Evaluated]:
        """The best ``candidates`` so far, one a network."""
        order = sorted(self.found.values(), key=lambda e: (-e.quality, -e.fps, e.genome.key))
        return order[: self.candidates]

    def _start(self) -> Evaluated:
        """A random genome, its accelerator made smaller until it fits the chip."""
        while True:
            genome: Genome | None = self.space.random(self.rng)
            while genome is not None:
                found = self.evaluate(genome)
                if found.feasible:
                    return found
                smaller = [
                    Coordinate("tile").step(genome, self.space, -1),
                    Coordinate("lanes").step(genome, self.space, -1),
                ]
                options = [item for item in smaller if item is not None]
                genome = self.rng.choice(options) if options else None

    def _descend(self, here: Evaluated) -> None:
        """From one start until nothing has become better for a while."""
        idle = 0
        while idle < PATIENCE:
            self._keep(here)
            there = self._climb(here) if self._reached(here) else self._close(here)
            better = there is not None
            idle = 0 if better else idle + 1
            here = there or here
        self._keep(here)

    def _reached(self, point: Evaluated) -> bool:
        """Within the tolerance of the target, on either side."""
        slack = self.target.tolerance
        return self.target.least_fps <= point.fps <= self.target.fps * (1 + SURPLUS * slack)

    def _keep(self, point: Evaluated) -> None:
        if not point.meets(self.target):
            return
        key = point.genome.network_key
        known = self.found.get(key)
        if known is None or point.fps > known.fps:
            self.found[key] = point

    def _close(self, here: Evaluated) -> Evaluated | None:
        """The paper's move: one coordinate, as far as its sensitivity says, towards the target."""
        coordinate = self._draw(here.genome, slow=here.fps < self.target.least_fps)
        there = self._towards(here, here, coordinate)
        if there is None or not there.feasible:
            return None
        return there if abs(there.gap(self.target)) < abs(here.gap(self.target)) else None

    def _climb(self, here: Evaluated) -> Evaluated | None:
        """One coordinate of the network changed, another one pays; kept if predicted better."""
        options = coordinates(here.genome, self.space)
        network = [item for item in options if item.of_network]
        raised = self.rng.choice(network)
        units = self.rng.choice((1, 1, 1, 2, -1))
        genome = raised.step(here.genome, self.space, units)
        if genome is None:
            return None
        middle = self.evaluate(genome)
        if not middle.feasible:
            return None
        there: Evaluated | None = middle
        if not self._reached(middle):
            others = [item for item in coordinates(genome, self.space) if item != raised]
            there = self._towards(here, middle, self.rng.choice(others))
        if there is None or not there.feasible or not there.meets(self.target):
            return None
        self._keep(there)
        return there if self._prefers(there, here) else None

    def _prefers(self, there: Evaluated, here: Evaluated) -> bool:
        return self._reached(there) and there.quality > here.quality

    def _draw(self, genome: Genome, slow: bool) -> Coordinate:
        options = coordinates(genome, self.space)
        if slow and self.rng.random() < HARDWARE_SHARE:
            return self.rng.choice([item for item in options if not item.of_network])
        return self.rng.choice(options)

    def _towards(
        self, start: Evaluated, here: Evaluated, coordinate: Coordinate
    ) -> Evaluated | None:
        """``here`` moved along a coordinate to close its gap to the target; None: no such way."""
        gap = here.gap(self.target)
        for direction in (1, -1):
            unit = coordinate.step(here.genome, self.space, direction)
            if unit is None:
                continue
            probe = self.evaluate(unit)
            if not probe.feasible:
                continue
            sensitivity = here.gap(self.target) - probe.gap(self.target)
            if sensitivity * gap <= 0:
                continue
            units = max(1, min(STEPS_MAX, round(gap / sensitivity)))
            return self._apply(start, here, coordinate, direction * units, sensitivity, probe)
        return None

    def _apply(
        self,
        start: Evaluated,
        here: Evaluated,
        coordinate: Coordinate,
        units: int,
        sensitivity: float,
        probe: Evaluated,
    ) -> Evaluated:
        """So many units, or as many as the space and the chip have room for; one at the least."""
        found, sign = probe, 1 if units > 0 else -1
        for count in range(abs(units), 1, -1):
            genome = coordinate.step(here.genome, self.space, sign * count)
            if genome is None:
                continue
            there = self.evaluate(genome)
            if there.feasible:
                found, units = there, sign * count
                break
        else:
            units = sign
        self._note(start, here, found, coordinate, units, sensitivity)
        return found

    def _note(
        self,
        start: Evaluated,
        here: Evaluated,
        there: Evaluated,
        coordinate: Coordinate,
        units: int,
        sensitivity: float,
    ) -> None:
        closer = abs(there.gap(self.target)) < abs(here.gap(self.target))
        climbing = self._reached(start)
        accepted = self._prefers(there, start) if climbing else closer
        step = Step(
            index=len(self.steps),
            coordinate=coordinate.name,
            before=coordinate.value(here.genome),
            after=coordinate.value(there.genome),
            units=units,
            sensitivity=sensitivity,
            gap_before=here.gap(self.target),
            gap_after=there.gap(self.target),
            quality=there.quality,
            accepted=accepted,
            reason="along the target" if climbing else "towards the target",
            genome=there.genome.record(),
            cycles=there.cycles,
        )
        self.steps.append(step)
        self.report(step)


def replay(records: list[dict[str, Any]], evaluate: Evaluator) -> list[tuple[int, float, float]]:
    """Simulate every step of a trace again: (index, cycles then, cycles now) where they differ."""
    found = []
    for record in records:
        now = evaluate(Genome.of_record(record["genome"])).cycles
        if now != record["cycles"]:
            found.append((int(record["index"]), float(record["cycles"]), now))
    return found
