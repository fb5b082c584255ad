"""Genomes evaluated for a search: exact cycles and demand, a predicted quality, a budget.

Demand comes first, for it needs no simulation: what the chip cannot hold is refused at once and
costs no evaluation. Everything else is simulated to the cycle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model.design import Design
from model.errors import TandemError
from search.genome import Genome
from search.genome_space import GenomeSpace, Work
from search.inloop import evaluate_exact
from search.measure import RESOURCES
from search.spec import Target

Quality = Callable[[Design], float]  # predicted IoU
FRAMES = 1  # its latency; a steady state is faster by 0.1 to 0.3 %, so what is met stays met


WORKS_KEPT = 128


class BudgetSpent(Exception):  # noqa: N818  (no error: the search ends here)
    """All evaluations are used."""


@dataclass(frozen=True)
class Evaluated:
    """A genome and what became of it. ``fps`` is 0 where it could not be simulated."""

    genome: Genome
    feasible: bool  # fits the limits
    reason: str  # why not, "" where it does
    fps: float = 0.0
    latency_ms: float = 0.0
    quality: float = -math.inf
    costs: dict[str, float] = field(default_factory=dict)
    cycles: float = 0.0  # a frame, steady state
    latency_cycles: int = 0

    def gap(self, target: Target) -> float:
        """How much faster it must become, as a logarithm; below 0 where it is too fast."""
        return math.log(target.fps / self.fps)

    def meets(self, target: Target) -> bool:
        """Fits the limits and reaches the target within its tolerance, or is above it."""
        return self.feasible and self.fps >= target.least_fps

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "genome": self.genome.record(),
            "feasible": self.feasible,
            "reason": self.reason,
            "fps": self.fps,
            "latency_ms": self.latency_ms,
            "quality": self.quality if math.isfinite(self.quality) else None,
            "cycles": self.cycles,
            "latency_cycles": self.latency_cycles,
            **self.costs,
        }


class Evaluator:
    """Evaluates genomes of one space, each once; counts what it simulates."""

    def __init__(self, space: GenomeSpace, quality: Quality, budget: int) -> None:
        self.space, self.quality, self.budget = space, quality, budget
        self.spent = 0
        self.refused = 0
        self.log: list[tuple[str, float, dict[str, Any]]] = []  # key, time, record: not yet stored
        self._known: dict[Genome, Evaluated] = {}
        self._works: dict[Genome, Work] = {}

    def work(self, genome: Genome) -> Work:
        """A genome's design and what follows from it; up to WORKS_KEPT of them are kept."""
        found = self._works.get(genome)
        if found is None:
            if len(self._works) >= WORKS_KEPT:
                self._works.clear()
            found = self._works[genome] = Work(self.space, genome)
        return found

    def __call__(self, genome: Genome) -> Evaluated:
        """What a genome is worth. BudgetSpent where it is new and nothing may be simulated."""
        found = self._known.get(genome)
        if found is None:
            found = self._evaluate(genome)
            self._known[genome] = found
        return found

    def _evaluate(self, genome: Genome) -> Evaluated:
        try:
            work = self.work(genome)
            if work.dsp > self.space.limits.dsp:
                return self._refuse(genome, "too much dsp", {"dsp": float(work.dsp)})
            demand = work.resources.totals()
        except TandemError as error:
            return self._refuse(genome, str(error), {})
        costs = {name: float(demand[name]) for name in RESOURCES}
        if over := self.space.limits.exceeded(costs):
            return self._refuse(genome, f"too much {', '.join(over)}", costs)
        if self.spent >= self.budget:
            raise BudgetSpent
        self.spent += 1
        try:
            run = evaluate_exact(work.design, FRAMES, work.resources, work.planned)
        except TandemError as error:
            return Evaluated(genome, False, str(error), costs=costs)
        costs["power_w"] = run.power_w
        over = self.space.limits.exceeded(costs)
        found = Evaluated(
            genome=genome,
            feasible=not over,
            reason=f"too much {', '.join(over)}" if over else "",
            fps=run.fps,
            latency_ms=run.latency_cycles / work.design.clock_khz,
            quality=self.quality(work.design),
            costs=costs,
            cycles=run.cycles_per_frame,
            latency_cycles=run.latency_cycles,
        )
        self.log.append((genome.key, time.time(), found.record()))
        return found

    def _refuse(self, genome: Genome, reason: str, costs: dict[str, float]) -> Evaluated:
        self.refused += 1
        return Evaluated(genome, False, reason, costs=costs)
