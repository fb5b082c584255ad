"""What the studies write and print."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model.tables import headline, table
from quant import study_plots, study_precision, study_stability
from quant.study_journal import Outcome, Run, bits_name
from quant.study_precision import Answer, Point
from quant.study_stability import Steadiness

Outcomes = Mapping[Run, Outcome]
Metrics = Mapping[str, str]
KILO = 1000


@dataclass(frozen=True)
class Report:
    """A study's results in every form."""

    record: dict[str, Any]
    answers: list[str]
    csv: str
    tables: list[RenderableType]
    draw: Callable[[Path], None]  # path without suffix

    def describe(self) -> Iterator[RenderableType]:
        """Tables, then the answers."""
        yield from self.tables
        yield from map(headline, self.answers)


def precision_report(outcomes: Outcomes, tasks: Sequence[str], metrics: Metrics) -> Report:
    """Study "precision"."""
    sweeps = {
        task: (study_precision.points(outcomes, task), study_precision.answer(outcomes, task))
        for task in tasks
    }
    return Report(
        record=study_precision.summary(outcomes, tasks),
        answers=[_sensitivity(found, metrics[task]) for task, (_, found) in sweeps.items()],
        csv=_csv(_precision_rows(outcomes, metrics)),
        tables=[_sweep_table(task, metrics[task], points) for task, (points, _) in sweeps.items()],
        draw=lambda path: study_plots.precision_figure(path, sweeps, metrics),
    )


def stability_report(outcomes: Outcomes, tasks: Sequence[str], metrics: Metrics) -> Report:
    """Study "stability"."""
    found = {task: study_stability.steadiness(outcomes, task) for task in tasks}
    curves = {task: study_stability.curves(outcomes, task) for task in tasks}
    return Report(
        record=study_stability.summary(outcomes, tasks),
        answers=[_steadiness(task, metrics[task], lines) for task, lines in found.items()],
        csv=_csv(_stability_rows(outcomes, metrics)),
        tables=[_steadiness_table(task, metrics[task], lines) for task, lines in found.items()],
        draw=lambda path: study_plots.stability_figure(path, curves, metrics),
    )


REPORTS: Mapping[str, Callable[[Outcomes, Sequence[str], Metrics], Report]] = {
    "precision": precision_report,
    "stability": stability_report,
}


def _sensitivity(found: Answer, metric: str) -> str:
    gap = (
        f"{metric} at equal compression, weights compressed less feature maps compressed: "
        f"{found.gap.text()} points, mean over 1x to 32x, {found.seeds} seeds"
    )
    if not found.decided:
        return f"{found.task}: not decided ({gap})"
    return f"{found.task}: {found.sensitive} are the more sensitive side ({gap})"


def _steadiness(task: str, metric: str, lines: Sequence[Steadiness]) -> str:
    reference = lines[0].wobble.mean
    ratios = ", ".join(
        f"{one.setting} {one.wobble.mean / reference:.1f}x" for one in lines[1:] if reference
    )
    collapsed = sum(one.collapsed for one in lines)
    total = sum(one.runs for one in lines)
    return (
        f"{task}: epoch-to-epoch deviation of {metric} at the end, against float: "
        f"{ratios or 'float did not move'}; {collapsed} of {total} runs collapsed"
    )


def _sweep_table(task: str, metric: str, points: Sequence[Point]) -> RenderableType:
    columns = ("compressed side", "bits", "compression", "kB", f"{metric}, %", "loss, points")
    rows = [
        (
            point.side,
            bits_name(point.bits).strip(),
            f"{point.compression:.0f}x",
            f"{point.data_bytes / KILO:.1f}",
            point.metric.text(),
            point.loss.text(),
        )
        for point in points
    ]
    return table(task, columns, rows, rules=[len(rows) // 2])


def _steadiness_table(task: str, metric: str, lines: Sequence[Steadiness]) -> RenderableType:
    columns = (
        "setting", f"{metric} at the end, %", "deviation inside a run", "deepest drop",
        "epochs to 90 %", "collapsed",
    )  # fmt: skip
    rows = [
        (
            one.setting,
            one.final.text(),
            one.wobble.text(),
            f"{100 * one.deepest_drop:.1f}",
            one.epochs_to_90.text(1),
            f"{one.collapsed} of {one.runs}",
        )
        for one in lines
    ]
    return table(task, columns, rows)


def _precision_rows(outcomes: Outcomes, metrics: Metrics) -> Iterator[dict[str, Any]]:
    for run, outcome in outcomes.items():
        yield {
            **_head(run, metrics),
            "value": f"{outcome.final:.5f}",
            "weight_bytes": f"{outcome.weight_bytes:.0f}",
            "feature_bytes": f"{outcome.feature_bytes:.0f}",
            "core_seconds": outcome.seconds,
        }


def _stability_rows(outcomes: Outcomes, metrics: Metrics) -> Iterator[dict[str, Any]]:
    for run, outcome in outcomes.items():
        for epoch, (value, loss) in enumerate(zip(outcome.metric, outcome.loss, strict=True), 1):
            head = _head(run, metrics)
            yield {**head, "epoch": epoch, "value": f"{value:.5f}", "loss": f"{loss:.5f}"}


def _head(run: Run, metrics: Metrics) -> dict[str, Any]:
    return {
        "data": run.task,
        "metric": metrics[run.task],
        "weight_bits": run.weight_bits or "float",
        "feature_bits": run.feature_bits or "float",
        "seed": run.seed,
    }


def _csv(rows: Iterator[dict[str, Any]]) -> str:
    text = io.StringIO()
    first = next(rows)
    writer = csv.DictWriter(text, first, lineterminator="\n")
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(rows)
    return text.getvalue()
