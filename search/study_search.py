"""Study "search": coordinate descent beside random search, TPE, NSGA-II; equal budgets and seeds.

Each method spends the same number of exact simulations on each target, with the same evaluator and
the same predicted quality. Two figures: the hypervolume of (FPS, predicted IoU) over all that fits
the chip, and the best predicted IoU among designs that reach a target, against evaluations.
"""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model import console
from model.errors import TandemError
from model.network_file import write_atomically
from model.tables import headline, table
from quant.alignment import SKYNET_CHANNELS
from search.baselines import search_baseline
from search.bundle import Bundle
from search.evaluator import Evaluated, Evaluator
from search.genome import Genome
from search.genome_space import GenomeSpace
from search.hypervolume import Pair, growth
from search.quality import QualityModel
from search.scd import Chain
from search.spec import SearchSpec, Target, load_spec
from search.workers import Workers

METHODS = ("scd", "scd_plain", "tpe", "nsga2", "random")
MARKS = 20  # points of a curve
REFERENCE = (20.0, 0.3)  # FPS, predicted IoU
FPS_CAP = 120.0  # faster than any target needs is worth nothing more
CANDIDATES = 8


class _Traced(Evaluator):
    """Keeps every simulated design in order."""

    def __init__(self, space: GenomeSpace, quality: QualityModel, budget: int) -> None:
        super().__init__(space, quality.predict, budget)
        self.trace: list[tuple[float, float, bool]] = []  # FPS, quality, fits

    def _evaluate(self, genome: Genome) -> Evaluated:
        before = self.spent
        found = super()._evaluate(genome)
        if self.spent > before:
            self.trace.append((found.fps, found.quality, found.feasible))
        self.log.clear()
        return found


@dataclass(frozen=True)
class Run:
    """One method, target and seed."""

    method: str
    target: Target
    seed: int
    budget: int
    space: dict[str, Any]
    quality: dict[str, Any]


def run(item: Run) -> list[tuple[float, float, bool]]:
    """All designs that a method simulated, in order."""
    space = GenomeSpace.of_record(item.space)
    evaluate = _Traced(space, QualityModel.of_record(item.quality), item.budget)
    if item.method.startswith("scd"):
        plain = item.method == "scd_plain"  # the paper's rule
        rng = random.Random(item.seed)
        Chain(item.target, space, evaluate, rng, CANDIDATES, plain=plain).run()
    else:
        search_baseline(item.method, evaluate, item.target, item.seed, CANDIDATES)
    return evaluate.trace


def search_study_command(
    spec_file: Path, out: Path, evaluations: int, seeds: int, jobs: int, as_json: bool
) -> int:
    """Run all, write CSV, JSON and picture, print, return the exit status."""
    spec = load_spec(spec_file)
    if evaluations < MARKS or seeds < 1:
        raise TandemError(f"--evaluations must be {MARKS} at least, --seeds 1")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(f"{out}: cannot be made ({error.strerror}): choose another") from None
    record = compare(spec, evaluations, seeds, jobs)
    write_atomically(out / "search.json", (json.dumps(record, indent=1) + "\n").encode())
    write_atomically(out / "search.csv", _csv(record).encode())
    _draw(record, out / "search.png")
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(record))
    return console.HELD


def compare(spec: SearchSpec, evaluations: int, seeds: int, jobs: int) -> dict[str, Any]:
    """Curves of every method: mean and spread over the seeds."""
    space = GenomeSpace.of(spec, Bundle(("dw3", "conv1"))).record()
    quality = QualityModel(source=SKYNET_CHANNELS).record()
    runs = [
        Run(method, target, seed, evaluations, space, quality)
        for method in METHODS
        for seed in range(1, seeds + 1)
        for target in spec.targets
    ]
    traces: dict[tuple[str, int, float], list[tuple[float, float, bool]]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with (
        Workers(jobs) as workers,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("searches", total=len(runs))
        for item, trace in zip(runs, workers.map(run, runs), strict=True):
            traces[item.method, item.seed, item.target.fps] = trace
            bar.advance(task)
    marks = [round(evaluations * (index + 1) / MARKS) for index in range(MARKS)]
    return {
        "study": "search",
        "spec": spec.name,
        "evaluations": evaluations,
        "seeds": seeds,
        "targets": [asdict(target) for target in spec.targets],
        "reference": REFERENCE,
        "marks": marks,
        "methods": {m: _method(m, spec, seeds, marks, traces) for m in METHODS},
    }


def _method(
    method: str,
    spec: SearchSpec,
    seeds: int,
    marks: Sequence[int],
    traces: Mapping[tuple[str, int, float], list[tuple[float, float, bool]]],
) -> dict[str, Any]:
    volumes, best = [], {target.name: [] for target in spec.targets}  # type: ignore[var-annotated]
    for seed in range(1, seeds + 1):
        found = [traces[method, seed, target.fps] for target in spec.targets]
        volumes.append(_volume(found, marks))
        for target, trace in zip(spec.targets, found, strict=True):
            best[target.name].append(_best(trace, target, marks))
    return {
        "hypervolume": _spread(volumes),
        "best": {name: _spread(curves) for name, curves in best.items()},
    }


def _volume(
    found: Sequence[Sequence[tuple[float, float, bool]]], marks: Sequence[int]
) -> list[float]:
    """Of the designs of all targets together, each at so many evaluations."""
    order: list[Pair] = []
    ends = []
    start = 0
    for mark in marks:
        for trace in found:
            part = trace[start:mark]
            order += [(min(fps, FPS_CAP), quality) for fps, quality, fits in part if fits]
        start = mark
        ends.append(len(order))
    return growth(order, REFERENCE, ends)


def _best(
    trace: Sequence[tuple[float, float, bool]], target: Target, marks: Sequence[int]
) -> list[float]:
    """The highest predicted IoU that reached the target so far; the reference's before that."""
    found, top, start = [], REFERENCE[1], 0
    for mark in marks:
        met = [q for fps, q, fits in trace[start:mark] if fits and fps >= target.least_fps]
        top, start = max([top, *met]), mark
        found.append(top)
    return found


def _spread(curves: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    columns = list(zip(*curves, strict=True))
    return {
        "mean": [statistics.fmean(column) for column in columns],
        "low": [min(column) for column in columns],
        "high": [max(column) for column in columns],
    }


def describe(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The result for people."""
    yield headline(
        f"{record['spec']}: {record['evaluations']} evaluations a target, {record['seeds']} seeds"
    )
    targets = [f"fps{target['fps']:g}".replace(".", "_") for target in record["targets"]]
    rows = []
    for method, item in record["methods"].items():
        volume = item["hypervolume"]
        row = [method, f"{volume['mean'][-1]:.2f}", f"{volume['low'][-1]:.2f}"]
        rows.append(row + [f"{item['best'][name]['mean'][-1]:.4f}" for name in targets])
    columns = ["method", "hypervolume", "worst seed", *(f"IoU at {name[3:]}" for name in targets)]
    yield table("at the end, means over the seeds; IoU is predicted", columns, rows)


def _csv(record: Mapping[str, Any]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "curve", "evaluations", "mean", "low", "high"])
    for method, item in record["methods"].items():
        for name, curve in (("hypervolume", item["hypervolume"]), *item["best"].items()):
            for values in zip(
                record["marks"], curve["mean"], curve["low"], curve["high"], strict=True
            ):
                writer.writerow([method, name, *(f"{value:.6g}" for value in values)])
    return text.getvalue()


def _draw(record: Mapping[str, Any], path: Path) -> None:
    try:
        from quant.figures import COLOURS, panels, write_figure  # noqa: PLC0415
    except ImportError:
        console.progress("no picture: matplotlib comes with the extra [quant]")
        return
    names = ["hypervolume", *(f"fps{t['fps']:g}".replace(".", "_") for t in record["targets"])]
    figure, axes = panels(len(names), 3.6, 3.4)
    for axis, name in zip(axes, names, strict=True):
        for colour, (method, item) in zip(COLOURS, record["methods"].items(), strict=False):
            curve = item["hypervolume"] if name == "hypervolume" else item["best"][name]
            axis.plot(record["marks"], curve["mean"], color=colour, label=method)
            axis.fill_between(
                record["marks"], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0
            )
        title = "hypervolume of (FPS, IoU)" if name == "hypervolume" else f"IoU at {name[3:]} FPS"
        axis.set(xlabel="evaluations a target", title=f"predicted {title}")
        axis.title.set_fontsize(9)
    axes[0].legend(frameon=False, fontsize=8)
    write_figure(figure, path)
