"""Study "stability": is training with few bits less steady than training in float?

All settings are trained from the same random values with the same order of images, at a constant
learning rate: a rate that falls to 0 would hide the noise that is looked for.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from quant.study_journal import Outcome, Run
from quant.study_precision import Spread, spread

SETTINGS: tuple[tuple[int | None, int | None], ...] = ((None, None), (8, 8), (4, 4), (2, 4), (2, 2))
LAST_SHARE = 1 / 3  # of the epochs: the end of a curve
REACHED = 0.9  # of what a run ends at
COLLAPSED = 0.5  # of what float runs end at


@dataclass(frozen=True)
class Steadiness:
    """The curves of one setting over all seeds."""

    setting: str
    final: Spread  # mean metric of a run's last third; between seeds
    wobble: Spread  # standard deviation inside a run's last third; over seeds
    deepest_drop: float  # largest fall from one epoch to the next in the last third, of all runs
    epochs_to_90: Spread  # first epoch (from 1) at 90 % of the run's end
    collapsed: int  # runs that end below half of what float runs end at, or whose loss diverged
    runs: int


def plan(task: str, seeds: int, settings: Sequence[tuple[int | None, int | None]]) -> list[Run]:
    """All runs of one data set, seed by seed."""
    return [Run(task, w, f, seed) for seed in range(seeds) for w, f in settings]


def steadiness(outcomes: Mapping[Run, Outcome], task: str) -> list[Steadiness]:
    """Every setting of a data set, float first."""
    found = curves(outcomes, task)
    reference = statistics.fmean(_end(one) for one in found[Run(task, None, None, 0).setting])
    return [_steadiness(setting, runs, reference) for setting, runs in found.items()]


def curves(outcomes: Mapping[Run, Outcome], task: str) -> dict[str, list[Outcome]]:
    """Outcomes of a data set by setting, in the order of the plan."""
    found: dict[str, list[Outcome]] = {}
    for run, outcome in outcomes.items():
        if run.task == task:
            found.setdefault(run.setting, []).append(outcome)
    return found


def summary(outcomes: Mapping[Run, Outcome], tasks: Sequence[str]) -> dict[str, object]:
    """All numbers as one JSON object."""
    return {task: [asdict(one) for one in steadiness(outcomes, task)] for task in tasks}


def _steadiness(setting: str, runs: Sequence[Outcome], reference: float) -> Steadiness:
    last = [_last(one) for one in runs]
    return Steadiness(
        setting=setting,
        final=spread([_end(one) for one in runs]),
        wobble=spread([statistics.pstdev(values) for values in last]),
        deepest_drop=max(
            (a - b for values in last for a, b in itertools.pairwise(values)),
            default=0.0,
        ),
        epochs_to_90=spread([_reached(one) for one in runs]),
        collapsed=sum(
            _end(one) < COLLAPSED * reference or not all(map(math.isfinite, one.loss))
            for one in runs
        ),
        runs=len(runs),
    )


def _last(outcome: Outcome) -> tuple[float, ...]:
    return outcome.metric[-max(1, round(LAST_SHARE * len(outcome.metric))) :]


def _end(outcome: Outcome) -> float:
    return statistics.fmean(_last(outcome))


def _reached(outcome: Outcome) -> int:
    goal = REACHED * _end(outcome)
    return next(epoch for epoch, value in enumerate(outcome.metric, 1) if value >= goal)
