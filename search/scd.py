"""Stochastic coordinate descent (SCD) towards a target, every step simulated exactly.

The paper's rule: pick a coordinate at random, estimate from its own sensitivity how many unit steps
close the gap to the target, apply them, measure again (``plain``). Three things are added, each
because the plot of ``tandem study search`` asked for it:

* Sensitivities come from the analytic model (``search/analytic.py``, 0.5 % off on average), so that
  a move costs one simulation instead of two or three.
* A point that has reached the target is not left: the search goes along the surface of equal speed.
  One coordinate of the network is raised and another one pays for it; of the pairs that are
  predicted to stay at the target and to give a better network one of the best is drawn.
* What the accelerator can give is taken first: a start has the largest parallel factor that fits,
  and from the second on half of the starts are the best point so far, moved at random.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from search.coordinates import Coordinate, coordinates
from search.evaluator import BudgetSpent, Evaluated, Evaluator
from search.genome import Genome
from search.genome_space import GenomeSpace
from search.moves import Moves
from search.spec import Target

STEPS_MAX = 6  # units at once: sensitivities are local
HARDWARE_SHARE = 0.5  # of the draws while the target is not reached
PATIENCE = 40  # moves without progress until the chain starts anew
SURPLUS = 1.0  # tolerances above the target that still count as reached
DRAWN_FROM = 4  # the best predicted moves, of which one is drawn
TRIED = 10  # moves from a point until the chain starts anew
KICKS = 3  # random unit steps from the best point to a new start


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
    plain: bool = False  # the paper's rule alone

    def __post_init__(self) -> None:
        self.steps: list[Step] = []
        self.found: dict[tuple[object, ...], Evaluated] = {}
        self.moves = Moves(self.evaluate)
        self.tried: set[Genome] = set()

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
            drawn = self.space.random(self.rng)
            if not self.plain:
                drawn = self._kicked() or replace(drawn, lanes=len(self.space.lanes) - 1)
            genome: Genome | None = drawn
            while genome is not None:
                found = self.evaluate(genome)
                if found.feasible:
                    return found
                genome = self._smaller(genome)

    def _kicked(self) -> Genome | None:
        """The best point so far a few random steps away, for half of the starts."""
        if not self.found or self.rng.random() < 0.5:
            return None
        genome = self.rng.choice(self.best).genome
        for _ in range(KICKS):
            options = coordinates(genome, self.space)
            moved = self.rng.choice(options).step(genome, self.space, self.rng.choice((-1, 1)))
            genome = moved or genome
        return genome

    def _smaller(self, genome: Genome) -> Genome | None:
        """The accelerator of a genome that does not fit, a little smaller; None: at the end."""
        steps = (Coordinate("tile"), Coordinate("lanes"))
        options = [item.step(genome, self.space, -1) for item in steps]
        found = [item for item in options if item is not None]
        return self.rng.choice(found) if found else None

    def _descend(self, here: Evaluated) -> None:
        """From one start until nothing has become better for a while."""
        idle = 0
        self.moves.forget()
        while idle < PATIENCE:
            self._keep(here)
            if self._reached(here):
                there = self._climb(here) if self.plain else self._along(here)
                if there is None and not self.plain and not self.moves.forget():
                    break  # no move is left that promises anything
            else:
                there = self._close(here) if self.plain else self._jump(here)
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

    def _jump(self, here: Evaluated) -> Evaluated | None:
        """One coordinate, as far as its estimated sensitivity says, towards the target."""
        slow = here.fps < self.target.least_fps
        coordinate = self._draw(here.genome, slow)
        gap = here.gap(self.target)
        for direction in (1, -1):
            move = self.moves.unit(here.genome, coordinate, direction)
            if move is None or move.faster * gap <= 0:
                continue
            most = max(1, min(STEPS_MAX, round(gap / move.faster)))
            for count in range(most, 0, -1):
                genome = coordinate.step(here.genome, self.space, direction * count)
                if genome is None:
                    continue
                there = self.evaluate(genome)
                if there.feasible:
                    self._note(here, here, there, coordinate, direction * count, move.faster)
                    closer = abs(there.gap(self.target)) < abs(gap)
                    return there if closer else None
        return None

    def _along(self, here: Evaluated) -> Evaluated | None:
        """The best predicted pairs of moves at equal speed, one after the other, until one holds.

        None where none of those that are left is predicted to be better, or TRIED of them were not.
        """
        options = [
            pair for pair in self.moves.pairs(here, self.target) if pair.genome not in self.tried
        ]
        for _ in range(min(TRIED, len(options))):
            drawn = self.rng.randrange(min(DRAWN_FROM, len(options)))
            pair = options.pop(drawn)
            self.tried.add(pair.genome)
            there = self.evaluate(pair.genome)
            if not there.feasible:
                continue
            self._keep(there)
            self._note(here, here, there, pair.coordinate, pair.units, pair.faster)
            if there.meets(self.target) and there.quality > here.quality:
                return there
        return None

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
        better = there.meets(self.target) and there.quality > start.quality
        accepted = better if climbing else closer
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
