"""All trainings of a study: those the journal has are kept, the others run side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quant.study_journal import Journal, Outcome, Run
from quant.study_training import Job, train

PARENT_CHECK_SECONDS = 1.0


def run_all(jobs: Sequence[Job], journal: Journal, processes: int) -> dict[Run, Outcome]:
    """Outcomes of all jobs; each goes to the journal before the next is waited for.

    Progress goes to standard error: trainings done, the last one's result, the time.
    """
    known = journal.read()
    done = {job.run: known[job.run] for job in jobs if job.run in known}
    left = [job for job in jobs if job.run not in done]
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TextColumn("{task.fields[last]}"), console=console) as bar:
        task = bar.add_task("trainings", total=len(jobs), completed=len(done), last="")
        for outcome in _outcomes(left, min(processes, len(left))):
            journal.append(outcome)
            done[outcome.run] = outcome
            run = outcome.run
            last = f"{run.task} {run.setting} seed {run.seed}: {outcome.final:.3f}"
            bar.update(task, advance=1, last=last)
    return {job.run: done[job.run] for job in jobs}


def _outcomes(jobs: Sequence[Job], processes: int) -> Iterator[Outcome]:
    if processes <= 1:
        yield from map(train, jobs)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with context.Pool(processes, initializer=_start_worker, initargs=(os.getpid(),)) as pool:
        yield from pool.imap_unordered(train, jobs)


def _start_worker(parent: int) -> None:
    """Ctrl-C is the parent's to handle; a parent that was killed takes its workers along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
