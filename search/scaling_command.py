"""``tandem study scaling``: what a search costs on 1 to 1000 workers, and what they wait for.

Measures the executors' steps on this machine, puts them into the model of ``executor_model``,
compares the model with real runs on one and two workers, and simulates many.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.errors import TandemError
from model.network_file import write_atomically
from model.tables import headline, table
from search.executor_costs import measure, resting, run_for_real
from search.executor_load import LOCAL, RAY, Costs, Load, Machines, Outcome
from search.executor_model import simulate
from search.trials import DONE, Journal

LOADS = Path(__file__).resolve().with_name("scaling_loads.toml")
WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
QUICK_WORKERS = (1, 10, 100)
KINDS = {"training": ("candidate", "winner"), "chain": ("chain",), "prototypes": ("prototype",)}
SHARES = ("useful", "starting", "data", "handing", "lost", "idle")
CLOSE = 0.25  # of the real time: the model holds
COLUMNS = (
    "load", "executor", "workers", "trials", "seconds", *SHARES, "writer", "mailbox", "rows_behind",
    "retried", "given_up", "core_hours", "dollars",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The model beside a real run."""

    name: str
    workers: int
    real_seconds: float
    model_seconds: float

    @property
    def error(self) -> float:
        """Of the model, as a share of the real time."""
        return self.model_seconds / self.real_seconds - 1


def scaling_command(out: Path, run: Path | None, quick: bool, as_json: bool) -> int:
    """Measure, check, simulate, write, print; exit status 1 where the model is off."""
    loads, machines = load_data(run)
    console.progress("measuring the journal, worker processes and, where it is installed, Ray")
    costs = measure(out, 20 if quick else 200)
    console.progress("real runs on one and two workers")
    checks = check(out, costs, quick)
    outcomes = [
        simulate(load, machines, costs, workers, executor)
        for load in loads
        for executor, workers in runs(machines, quick)
    ]
    record = {
        "study": "scaling",
        "machine": {"cores": os.cpu_count(), **asdict(machines)},
        "loads": [asdict(load) for load in loads],
        "costs": asdict(costs),
        "checks": [asdict(one) | {"error": one.error} for one in checks],
        "runs": [dict(zip(COLUMNS, row, strict=True)) for row in _rows(outcomes, machines)],
    }
    _write(out, record, outcomes, machines)
    if as_json:
        console.put_json(record)
    else:
        console.put(*_described(costs, checks, outcomes), f"Written to {out}: scaling .csv, .json")
    return console.HELD if all(abs(one.error) <= CLOSE for one in checks) else console.FAILED


def load_data(run: Path | None) -> tuple[list[Load], Machines]:
    """Loads and machines of the data file; with ``run``, the durations of that search's trials."""
    tables = tomllib.loads(LOADS.read_text())
    machines = Machines(**tables.pop("cluster"))
    loads = [
        Load(name=name, **{**values, "seconds": tuple(values["seconds"])})
        for name, values in tables.items()
    ]
    if run is None:
        return loads, machines
    with Journal.open(run, {}, read_only=True) as journal:
        found = {
            name: tuple(seconds for kind in kinds for seconds in durations(journal, kind))
            for name, kinds in KINDS.items()
        }
    if not any(found.values()):
        raise TandemError(f"{run}: no trial of this search is done: wait for some")
    return [replace(load, seconds=found[load.name] or load.seconds) for load in loads], machines


def durations(journal: Journal, kind: str) -> Iterator[float]:
    """Seconds of a kind's trials that are done."""
    for trial in journal.trials(kind):
        if trial.state == DONE and trial.claimed_at is not None and trial.finished_at is not None:
            yield max(0.0, trial.finished_at - trial.claimed_at)


def runs(machines: Machines, quick: bool) -> Iterator[tuple[str, int]]:
    """Local on the cores of one machine, Ray on any number."""
    for workers in QUICK_WORKERS if quick else WORKERS:
        if workers <= machines.cores_per_machine:
            yield LOCAL, workers
    for workers in QUICK_WORKERS if quick else WORKERS:
        yield RAY, workers


def check(folder: Path, costs: Costs, quick: bool) -> list[Check]:
    """Real runs of short tasks on one and two local workers, with few and with many rows."""
    number, seconds = (10, 0.1) if quick else (40, 0.25)
    here = Machines(os.cpu_count() or 1, 0, 0, 1, 0, 0, 0)
    found = []
    for name, letters, rows in (("no rows", 0, 0), ("rows", 5, 200)):
        tasks = resting(number, seconds, letters=letters, rows=rows)
        for workers in (1, 2):
            real, spent = run_for_real(folder, tasks, workers)
            each = sum(spent) / number
            rate, pause = letters * rows / each, each / max(1, letters)
            load = Load(name, (each,), 0, math.inf, rate, pause, number)
            model = simulate(load, here, costs, workers, LOCAL).seconds
            found.append(Check(name, workers, real, model))
    return found


def _rows(outcomes: Sequence[Outcome], machines: Machines) -> Iterator[tuple[Any, ...]]:
    for one in outcomes:
        yield (
            one.load, one.executor, one.workers, one.trials, round(one.seconds, 2),
            *(round(one.share(name), 5) for name in SHARES), round(one.writer_share, 5),
            round(one.mailbox_share, 5),
            round(one.usage.behind), one.usage.retried, one.usage.given_up,
            round(one.core_hours, 3),
            round(one.core_hours * machines.dollars_per_core_hour, 3),
        )  # fmt: skip


def _write(
    out: Path, record: dict[str, Any], outcomes: Sequence[Outcome], machines: Machines
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(outcomes, machines))
    write_atomically(out / "scaling.csv", text.getvalue().encode())
    write_atomically(out / "scaling.json", (json.dumps(record, indent=1) + "\n").encode())
    try:
        from search.scaling_figure import scaling_figure  # noqa: PLC0415  matplotlib
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        console.progress("no figure: matplotlib is missing, pip install 'tandem-codesign[quant]'")
    else:
        scaling_figure(out / "scaling", outcomes)


def _described(
    costs: Costs, checks: Sequence[Check], outcomes: Sequence[Outcome]
) -> Iterator[RenderableType]:
    worst = max(abs(one.error) for one in checks)
    yield headline(f"scaling: the model is within {worst:.1%} of real runs", worst <= CLOSE)
    yield table(
        "steps, measured",
        ("step", "ms"),
        [(name, f"{1e3 * seconds:.4f}") for name, seconds in asdict(costs).items()],
        left=(0,),
    )
    yield table(
        "model and real runs",
        ("tasks", "workers", "real s", "model s", "error"),
        [
            (one.name, str(one.workers), f"{one.real_seconds:.2f}", f"{one.model_seconds:.2f}",
             f"{one.error:+.1%}")
            for one in checks
        ],
        left=(0,),
    )  # fmt: skip
    yield table(
        "simulated",
        ("load", "executor", "workers", "hours", "useful", "most else", "share",
         "writer", "mailbox"),
        [
            (one.load, one.executor, str(one.workers), f"{one.seconds / 3600:.2f}",
             f"{one.share('useful'):.1%}", *_most(one), f"{one.writer_share:.1%}",
             f"{one.mailbox_share:.1%}")
            for one in outcomes
        ],
        left=(0, 1, 5),
    )  # fmt: skip


def _most(one: Outcome) -> tuple[str, str]:
    """What takes the most of the workers' time besides the trials, and its share."""
    name = max(SHARES[1:], key=one.share)
    return name, f"{one.share(name):.1%}"
