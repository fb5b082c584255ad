"""Learning rates over a stage: a linear warm-up, then half a cosine down to a floor."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RateSchedule:
    """The share of the full learning rate at each step, a function of the step alone."""

    steps: int  # of the whole stage
    warmup_steps: int
    floor: float  # share that the cosine ends at, 0 to 1

    def share(self, step: int) -> float:
        """Share of the full rate at a step counted from 0, in (0, 1]."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        span = max(self.steps - self.warmup_steps, 1)
        done = min((step - self.warmup_steps) / span, 1.0)
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done))
