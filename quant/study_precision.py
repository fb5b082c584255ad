"""Study "precision": which side stands compression worse, weights or feature maps?

Weights are swept over float, 8, 4, 2 (ternary) and 1 bit while feature maps stay in float32, and
the other way round. Every network is trained from the same random values with the same order of
images for all settings of a seed, so differences are taken seed by seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from quant.study_journal import Outcome, Run

BITS = (None, 8, 4, 2, 1)
SIDES = ("weights", "feature maps")
FLOAT_BITS = 32
# Student's t for 95 % of both tails, by the number of seeds; more seeds take the last.
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and the standard deviation between them (0 with one seed)."""

    mean: float
    deviation: float

    def text(self, factor: float = 100.0) -> str:
        """In percent or points: ``81.2 +- 0.4``."""
        return f"{factor * self.mean:.1f} +- {factor * self.deviation:.1f}"


@dataclass(frozen=True)
class Point:
    """One setting of a sweep over all seeds."""

    side: str
    bits: int | None
    compression: float  # float32 data size of the side divided by this one's
    data_bytes: float  # of the swept side: all weights, or all feature maps of one image
    metric: Spread
    loss: Spread  # metric of the float run of the same seed less this one's


@dataclass(frozen=True)
class Answer:
    """Which side of a data set is the more sensitive one, and by how much.

    ``gap`` is the area between the two curves over log2 of the compression, divided by its length:
    how much higher the metric stays on average when weights are compressed instead of feature maps.
    """

    task: str
    seeds: int
    gap: Spread
    decided: bool  # 0 lies outside the 95 % confidence interval of the mean
    gap_at: dict[str, Spread]  # by compression, such as "16x"

    @property
    def sensitive(self) -> str:
        """``feature maps``, ``weights`` or ``neither``."""
        if not self.decided:
            return "neither"
        return "feature maps" if self.gap.mean > 0 else "weights"


def plan(task: str, seeds: int, bits: Sequence[int | None] = BITS) -> list[Run]:
    """All runs of one data set, seed by seed; the float run is shared by both sweeps."""
    swept = [number for number in bits if number is not None]
    settings = [(None, None), *((b, None) for b in swept), *((None, b) for b in swept)]
    return [Run(task, w, f, seed) for seed in range(seeds) for w, f in settings]


def side_of(run: Run) -> str:
    """Which side a run compresses; ``float`` where none."""
    if run.weight_bits is not None:
        return "weights"
    return "float" if run.feature_bits is None else "feature maps"


def points(outcomes: Mapping[Run, Outcome], task: str) -> list[Point]:
    """Both sweeps of a data set, each from float to the fewest bits."""
    seeds = sorted({run.seed for run in outcomes if run.task == task})
    found = []
    for side in SIDES:
        for bits in _bits(outcomes, task):
            runs = [_run(task, side, bits, seed) for seed in seeds]
            here = [outcomes[run] for run in runs]
            base = [outcomes[Run(task, None, None, seed)] for seed in seeds]
            size = here[0].weight_bytes if side == "weights" else here[0].feature_bytes
            found.append(
                Point(
                    side=side,
                    bits=bits,
                    compression=FLOAT_BITS / (bits or FLOAT_BITS),
                    data_bytes=size,
                    metric=spread([one.final for one in here]),
                    loss=spread([b.final - h.final for b, h in zip(base, here, strict=True)]),
                )
            )
    return found


def answer(outcomes: Mapping[Run, Outcome], task: str) -> Answer:
    """Compare the sides at equal compression, seed by seed."""
    seeds = sorted({run.seed for run in outcomes if run.task == task})
    bits = _bits(outcomes, task)
    steps = [math.log2(FLOAT_BITS / (b or FLOAT_BITS)) for b in bits]
    gaps = [
        [
            outcomes[_run(task, "weights", b, seed)].final
            - outcomes[_run(task, "feature maps", b, seed)].final
            for b in bits
        ]
        for seed in seeds
    ]
    area = spread([_mean_height(steps, gap) for gap in gaps])
    student = STUDENT.get(len(seeds), STUDENT[max(STUDENT)])
    error = student * area.deviation / math.sqrt(len(seeds))
    return Answer(
        task=task,
        seeds=len(seeds),
        gap=area,
        decided=len(seeds) > 1 and abs(area.mean) > error,
        gap_at={
            f"{2**step:.0f}x": spread([gap[index] for gap in gaps])
            for index, step in enumerate(steps)
            if step
        },
    )


def summary(outcomes: Mapping[Run, Outcome], tasks: Sequence[str]) -> dict[str, object]:
    """All points and answers as one JSON object."""
    return {
        task: {
            "points": [asdict(point) for point in points(outcomes, task)],
            "answer": asdict(found := answer(outcomes, task)) | {"sensitive": found.sensitive},
        }
        for task in tasks
    }


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(statistics.fmean(values), deviation)


def _bits(outcomes: Mapping[Run, Outcome], task: str) -> list[int | None]:
    widths = {run.weight_bits for run in outcomes if run.task == task}
    return sorted(widths, key=lambda bits: -(bits or FLOAT_BITS))


def _run(task: str, side: str, bits: int | None, seed: int) -> Run:
    return Run(task, bits, None, seed) if side == "weights" else Run(task, None, bits, seed)


def _mean_height(steps: Sequence[float], heights: Sequence[float]) -> float:
    """Area below straight lines through the points, over the length of the axis."""
    area = sum(
        (steps[i + 1] - steps[i]) * (heights[i] + heights[i + 1]) / 2 for i in range(len(steps) - 1)
    )
    return area / (steps[-1] - steps[0])
