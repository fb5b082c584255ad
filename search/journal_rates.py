"""How fast a search evaluates, from the times that its evaluations carry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MINUTE_SECONDS = 60.0


@dataclass(frozen=True)
class Rate:
    """Evaluations and their pace."""

    evaluations: int
    seconds: float  # between the first and the last
    best_minute: int  # most within any 60 seconds, no less and no more

    @property
    def per_minute(self) -> float:
        """Mean over the whole time, pauses included; 0 for fewer than two evaluations."""
        return self.evaluations * MINUTE_SECONDS / self.seconds if self.seconds > 0 else 0.0


def rate(times: Iterable[float]) -> Rate:
    """Of evaluations that ended at these times, in seconds, in any order."""
    ordered = sorted(times)
    best = first = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= MINUTE_SECONDS:
            first += 1
        best = max(best, last - first + 1)
    return Rate(len(ordered), ordered[-1] - ordered[0] if ordered else 0.0, best)
