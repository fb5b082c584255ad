"""``tandem study precision`` and ``tandem study stability``: train, write, tell what was found.

A study leaves NAME.png, NAME.svg, NAME.csv and NAME.json in its folder, and NAME.jsonl, from which
the same command goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import console
from model.errors import TandemError
from model.network_file import write_atomically
from quant.study_journal import Journal, Outcome, Run, mark, versions

if TYPE_CHECKING:
    from quant.study_tasks import TaskSettings

FULL_SEEDS = {"precision": 3, "stability": 4}
SMALL_SEEDS = 2
SEEDS_MAX = 100
SOURCES = (
    "loss.py", "network.py", "quantisers.py", "study_network.py", "study_scores.py",
    "study_tasks.py", "study_training.py",
)  # fmt: skip


@dataclass(frozen=True)
class StudyArguments:
    """What the command line says."""

    out: Path
    small: bool = False
    seeds: int | None = None
    data: str | None = None
    val: str | None = None
    jobs: int = 2


def study_command(name: str, arguments: StudyArguments, as_json: bool) -> int:
    """Train what is not trained yet, write, print, return the exit status."""
    seeds = _seeds(name, arguments)
    try:
        import brevitas  # noqa: F401, PLC0415
        import matplotlib as mpl  # noqa: F401, PLC0415
        import sklearn  # noqa: F401, PLC0415
        import torch  # noqa: F401, PLC0415

        from quant import study_report  # noqa: PLC0415
        from quant.study_tasks import METRICS  # noqa: PLC0415
    except ImportError as error:
        raise TandemError(
            f"studies need the [quant] extra ({error}): pip install 'tandem-codesign[quant]'"
        ) from error
    settings = task_settings(arguments)
    outcomes = train_all(name, settings, seeds, arguments)
    tasks = [one.name for one in settings]
    found = study_report.REPORTS[name](outcomes, tasks, {task: METRICS[task] for task in tasks})
    record = {
        "study": name,
        "setting": "small" if arguments.small else "full",
        "seeds": seeds,
        "tasks": {one.name: asdict(one) for one in settings},
        "versions": versions(),
        "trainings": len(outcomes),
        "core_seconds": round(sum(one.seconds for one in outcomes.values()), 1),
        "results": found.record,
        "answers": found.answers,
    }
    out = arguments.out
    write_atomically(out / f"{name}.csv", found.csv.encode())
    write_atomically(out / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    found.draw(out / name)
    if as_json:
        console.put_json(record)
    else:
        console.put(*found.describe(), f"Written to {out}: {name}.png, .svg, .csv, .json")
    return console.HELD


def train_all(
    name: str, settings: list[TaskSettings], seeds: int, arguments: StudyArguments
) -> Mapping[Run, Outcome]:
    """Outcomes of all trainings of a study, from its journal as far as it has them."""
    from quant.study_plan import plan  # noqa: PLC0415
    from quant.study_runner import run_all  # noqa: PLC0415
    from quant.study_training import Job  # noqa: PLC0415

    annealed = name == "precision"
    decisive: dict[str, Any] = {
        "annealed": annealed,
        "tasks": {one.name: asdict(one) for one in settings},
        "data": [_digest(path) for path in (arguments.data, arguments.val)],
    }
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{arguments.out}: cannot be written ({error.strerror}): choose another --out"
        ) from None
    jobs = [
        Job(run, one, annealed)
        for one in settings
        for run in plan(name, one.name, seeds, arguments.small)
    ]
    journal = Journal(arguments.out / f"{name}.jsonl", mark(decisive, SOURCES))
    return run_all(jobs, journal, arguments.jobs)


def task_settings(arguments: StudyArguments) -> list[TaskSettings]:
    """The classification set, then the detection set: scenes, or the user's images."""
    from quant.study_tasks import TaskSettings  # noqa: PLC0415

    detection = "scenes" if arguments.data is None else "photos"
    own = {"data": arguments.data, "val": arguments.val}
    if arguments.small:
        return [
            TaskSettings("digits", 256, 128, epochs=2, batch=32, learning_rate=4e-3),
            TaskSettings(detection, 12, 12, epochs=2, batch=12, learning_rate=4e-3, **own),
        ]
    return [
        TaskSettings("digits", 1348, 449, epochs=15, batch=64, learning_rate=2e-3),
        TaskSettings(detection, 256, 128, epochs=12, batch=32, learning_rate=3e-3, **own),
    ]


def _seeds(name: str, arguments: StudyArguments) -> int:
    """How many seeds. TandemError where the arguments make no study."""
    if arguments.val is not None and arguments.data is None:
        raise TandemError("--val: names images to score --data with, give --data too")
    if arguments.jobs < 1:
        raise TandemError(f"--jobs {arguments.jobs}: must be at least 1")
    seeds = arguments.seeds
    if seeds is None:
        seeds = SMALL_SEEDS if arguments.small else FULL_SEEDS[name]
    if not 1 <= seeds <= SEEDS_MAX:
        raise TandemError(f"--seeds {seeds}: must be from 1 to {SEEDS_MAX}")
    return seeds


def _digest(path: str | None) -> str | None:
    """Of the annotations, so that other boxes are other data; a folder is known by its files."""
    if path is None:
        return None
    digest = hashlib.sha256(path.encode())
    place = Path(path)
    if place.is_file():
        digest.update(place.read_bytes())
    elif place.is_dir():
        for file in sorted(place.rglob("*.xml")):
            digest.update(os.fsencode(file.relative_to(place)) + file.read_bytes())
    return digest.hexdigest()[:16]
