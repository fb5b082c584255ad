"""Seconds of the executors' steps, measured here: the numbers that their model is made of."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from search.executor import LocalExecutor, event
from search.executor_load import Costs
from search.scaling_tasks import evaluations
from search.trials import Journal, Task
from search.worker_process import WorkerProcess

FACTS = {"study": "scaling"}
ROWS = 200  # of a large batch
PAUSE_SECONDS = 0.02
WORKER_SECONDS = 60.0  # that a worker of one short task may take
LARGE = 20  # repeats of what takes long
# Of Ray on this project's reference machine, for where it is not installed.
RAY = {
    "submit": 0.0002, "end": 0.00002, "wait": 0.000003, "post": 0.0003, "post_row": 0.000002,
    "mail": 0.0006, "mail_row": 0.000002, "ray_start": 4.0, "ray_worker": 0.1,
}  # fmt: skip


def measure(folder: Path, repeats: int) -> Costs:
    """All of them. The journals that this takes are below ``folder`` and gone afterwards."""
    costs = Costs(**_journal(folder, repeats), **_process(folder, 2 + repeats // 50), **RAY)
    if importlib.util.find_spec("ray") is None:
        return costs
    return replace(costs, **_ray(folder, repeats))


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder, on the disk that is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="measured-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def resting(number: int, seconds: float, **more: Any) -> list[Task]:
    """Tasks that do nothing for so long."""
    return [
        Task(f"rest-{n}", "rest", "search.scaling_tasks:rest", {"seconds": seconds, **more})
        for n in range(number)
    ]


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _median(actions: Sequence[Callable[[], object]]) -> float:
    return median(_seconds(action) for action in actions)


def _mean(actions: Sequence[Callable[[], object]]) -> float:
    """With pauses, as between a trial's writes: a process that slept is slower than one at work.

    The mean, since SQLite does now and then what it put off.
    """
    total = 0.0
    for action in actions:
        time.sleep(PAUSE_SECONDS)
        total += _seconds(action)
    return total / len(actions)


def _journal(folder: Path, repeats: int) -> dict[str, float]:
    numbers = range(repeats)
    result = {"history": [0.5] * 40, "mean_iou": 0.5}
    with scratch(folder) as own, Journal.open(own, FACTS) as journal:
        tasks = resting(repeats, 0)
        journal.add_trials(tasks)
        claim = _mean([partial(journal.claim, f"w{n}") for n in numbers])
        beat = _mean(
            [partial(journal.heartbeat, f"rest-{n}", f"w{n}", {"epoch": n}) for n in numbers]
        )
        finish = _mean([partial(journal.finish, f"rest-{n}", f"w{n}", result) for n in numbers])
        look = _mean([partial(event, journal, tasks)] * LARGE) / repeats
        small = _mean(
            [partial(journal.put_evaluations, "small", evaluations(n, 1)) for n in numbers]
        )
        large = _mean(
            [
                partial(journal.put_evaluations, "large", evaluations(n * ROWS, ROWS))
                for n in range(LARGE)
            ]
        )
        again = resting(repeats, 1)
        journal.add_trials([replace(task, key=f"again-{n}") for n, task in enumerate(again)])
        note = _seconds(partial(_claim_all, journal, repeats)) / repeats
    row = max(0.0, large - small) / (ROWS - 1)
    return {
        "claim": claim, "finish": finish, "heartbeat": beat, "batch": max(0.0, small - row),
        "note": note, "row": row, "look": look,
    }  # fmt: skip


def _claim_all(journal: Journal, number: int) -> None:
    with journal.together():
        for _ in range(number):
            journal.claim("one")


def _process(folder: Path, repeats: int) -> dict[str, float]:
    """Starting a worker, until it claims, until it has ended."""
    spawns, starts, leaves = [], [], []
    with scratch(folder) as own, Journal.open(own, FACTS) as journal:
        for task in resting(repeats, 0):
            journal.add_trials([task])
            began = time.time()
            process = WorkerProcess(own)
            spawns.append(time.time() - began)
            process.end(WORKER_SECONDS)
            trial = journal.trials()[-1]
            starts.append((trial.claimed_at or 0) - began - spawns[-1])
            leaves.append(time.time() - (trial.finished_at or 0))
    return {"spawn": median(spawns), "start": median(starts), "leave": median(leaves)}


def _ray(folder: Path, repeats: int) -> dict[str, float]:
    from search.executor_ray import Cluster, import_ray  # noqa: PLC0415  the extra [cluster]

    ray = import_ray()
    began = time.perf_counter()
    with scratch(folder) as own:
        cluster = Cluster(ray, 2, own)
        try:
            cluster.mail()
            start = time.perf_counter() - began
            first, *tasks = resting(repeats + 1, 0)
            worker = _seconds(lambda: ray.get(cluster.start(first, own)))
            references: list[Any] = []
            submit = _median([partial(_hand_out, cluster, t, own, references) for t in tasks])
            wait = _median([partial(ray.wait, references, timeout=0)] * LARGE) / repeats
            ray.wait(references, num_returns=repeats)
            end = _median([partial(ray.get, reference) for reference in references])
            mail = _median([cluster.mail] * repeats)
            post = _seconds(partial(_write, ray, cluster, repeats, 0)) / repeats
            cluster.mail()
            post_row = _seconds(partial(_write, ray, cluster, LARGE, ROWS)) / LARGE / ROWS
            mail_row = _seconds(cluster.mail) / LARGE / ROWS
        finally:
            cluster.close()
    return {
        "submit": submit, "end": end, "wait": wait, "post": post, "post_row": post_row,
        "mail": mail, "mail_row": mail_row, "ray_start": start, "ray_worker": worker,
    }  # fmt: skip


def _hand_out(cluster: Any, task: Task, root: Path, references: list[Any]) -> None:
    references.append(cluster.start(task, root))


def _write(ray: Any, cluster: Any, number: int, rows: int) -> None:
    letter = {"epoch": 1, "evaluations": evaluations(0, rows)}
    ray.get([cluster.post("rest", letter) for _ in range(number)])


def run_for_real(
    folder: Path, tasks: Sequence[Task], workers: int
) -> tuple[float, tuple[float, ...]]:
    """Seconds that local workers need for resting tasks, and those of every task's own work."""
    with scratch(folder) as own, Journal.open(own, FACTS) as journal:
        began = time.perf_counter()
        found = LocalExecutor(workers, journal).run(tasks)
        return time.perf_counter() - began, tuple(one["seconds"] for one in found.values())
