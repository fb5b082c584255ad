"""What to search for and how, and what a search found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from model.errors import TandemError
from search.measure import RESOURCES, STEADY_FRAMES, Limits, Point
from search.pareto import Fronts
from search.survey import Survey

METHODS = ("auto", "guided", "exhaustive")
RUNGS = 8
NEAR = 1.001  # times the least cycles: as good as the fastest


@dataclass
class Settings:
    """How to search. ``evaluations``: most simulations of a guided search."""

    frames: int = STEADY_FRAMES
    evaluations: int = 1500
    jobs: int = 1
    method: str = "auto"  # auto | guided | exhaustive
    rungs: int = RUNGS
    max_structures: int | None = None  # opened at most; None: all that could matter


@dataclass
class Exploration:
    """What a search found and how."""

    survey: Survey
    limits: Limits
    points: dict[str, Point]  # all measured, those that exceed a limit too
    fronts: Fronts
    method: str = "guided"
    excluded: bool = False  # no point of the space reaches the speed asked for: all were looked at
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def feasible(self) -> list[Point]:
        """Points within every limit, the fastest first; equally fast ones: the fewest RAMB18."""
        kept = [p for p in self.points.values() if not self.limits.exceeded(p.costs)]
        return sorted(kept, key=lambda p: (p.cycles_per_frame, p.bram18, p.lut, p.key))

    @property
    def best(self) -> Point | None:
        """The fastest within the limits."""
        return next(iter(self.feasible), None)

    @property
    def recommended(self) -> Point | None:
        """Of those within 0.1 % of the fastest the one that takes least, all shares summed."""
        best = self.best
        if best is None:
            return None
        near = [p for p in self.feasible if p.cycles_per_frame <= NEAR * best.cycles_per_frame]
        return min(near, key=self._share)

    def _share(self, point: Point) -> tuple[float, float, str]:
        limits = self.limits
        parts = (getattr(point, name) / getattr(limits, name) for name in RESOURCES)
        return sum(parts), point.cycles_per_frame, point.key

    @property
    def held(self) -> bool:
        """Is there a design that meets every target?"""
        best = self.best
        return best is not None and best.fps >= self.limits.fps


def check_settings(settings: Settings) -> None:
    """TandemError for settings that make no sense."""
    if settings.method not in METHODS:
        raise TandemError(f"--method {settings.method}: must be one of {', '.join(METHODS)}")
    if settings.evaluations < 1:
        raise TandemError(f"--evaluations {settings.evaluations}: must be at least 1")
    if settings.jobs < 1:
        raise TandemError(f"--jobs {settings.jobs}: must be at least 1")
