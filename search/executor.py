"""Runs tasks on worker processes, from the journal and into it.

The result of a task depends on its payload alone, so neither the number of workers nor the order
in which they end changes an answer. A worker that is killed loses its own trial, which another
one begins again; a task that cannot be done fails with its reason, and the others go on.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from model.errors import TandemError
from search.journal_db import disk_full
from search.journal_lock import process_name
from search.trial_worker import DISK_FULL_EXIT, LOG, MEMORY_EXIT, run_trial_here
from search.trials import DONE, FAILED, RUNNING, WAITING, Journal, Task
from search.worker_process import WorkerProcess, wait_for_end

__all__ = ["Event", "Executor", "HereExecutor", "LocalExecutor", "Task", "make_executor"]

EXECUTORS = ("local", "ray")
LOOK_SECONDS = 0.5  # between two reports of what has ended
LEAVE_SECONDS = 5.0  # for a worker to leave by itself when all is done
BARREN_MAX = 3  # workers that end one after the other without a trial


@dataclass(frozen=True)
class Event:
    """How the tasks of a run stand, whenever that changed and every half second."""

    done: int
    failed: int
    running: int
    total: int
    retried: tuple[str, ...] = ()  # keys of trials whose worker was lost

    @property
    def open(self) -> int:
        """Tasks that are not at an end."""
        return self.total - self.done - self.failed


Report = Callable[[Event], None]


class Executor(Protocol):
    """Runs tasks wherever it does."""

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> dict[str, dict[str, Any]]:
        """Results of the tasks that are done, by key, in the order of the tasks.

        Tasks that the journal holds as done are not run. Why others failed is in
        ``journal.failures()``. TandemError where no task could go on: no disk, a damaged journal,
        workers that do not start.
        """

    def close(self) -> None:
        """End what is kept between runs."""


def make_executor(name: str, jobs: int, journal: Journal) -> Executor:
    """``local``: processes of this machine; ``ray``: a Ray cluster; 0 jobs: in this process."""
    if name not in EXECUTORS:
        raise TandemError(f"--executor {name}: is none of {', '.join(EXECUTORS)}")
    if name == "ray":
        from search.executor_ray import RayExecutor  # noqa: PLC0415  the extra [cluster]

        return RayExecutor(jobs, journal)
    return LocalExecutor(jobs, journal) if jobs > 0 else HereExecutor(journal)


class HereExecutor:
    """In this process, one after the other; for tests and for looking into a task."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> dict[str, dict[str, Any]]:
        """As :class:`Executor` has it."""
        worker = process_name()
        self._journal.add_trials(tasks)
        try:
            while (trial := self._journal.claim(worker)) is not None:
                run_trial_here(self._journal, trial, worker)
                if report is not None:
                    report(event(self._journal, tasks))
        finally:
            self._journal.release(worker)
        return results(self._journal, tasks)

    def close(self) -> None:
        """Nothing is kept."""


class LocalExecutor:
    """Processes of this machine; each claims what waits next."""

    def __init__(self, jobs: int, journal: Journal) -> None:
        self.jobs, self._journal = jobs, journal
        self._workers: list[WorkerProcess] = []
        self._barren = 0

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> dict[str, dict[str, Any]]:
        """As :class:`Executor` has it. On Ctrl-C the workers end, and their trials wait again."""
        self._journal.add_trials(tasks)
        self._barren = 0
        patience = 0.0
        try:
            now = event(self._journal, tasks)
            while now.open:
                self._hire(now.open)
                wait_for_end(self._workers, LOOK_SECONDS)
                now = event(self._journal, tasks, self._bury())
                if report is not None:
                    report(now)
            patience = LEAVE_SECONDS
        finally:
            self._dismiss(patience)
        return results(self._journal, tasks)

    def close(self) -> None:
        """Nothing is kept: workers end with the run."""

    def _hire(self, open_trials: int) -> None:
        """As many workers as there are jobs, or trials that are not at an end."""
        while len(self._workers) < min(self.jobs, open_trials):
            self._workers.append(WorkerProcess(self._journal.folder))

    def _bury(self) -> tuple[str, ...]:
        """Free the trials of workers that have ended; which these are."""
        freed: list[str] = []
        for process in list(self._workers):
            code = process.exit_code()
            if code is None:
                continue
            self._workers.remove(process)
            if code == DISK_FULL_EXIT:
                self._journal.release(process.name)
                raise disk_full(self._journal.folder)
            if code:
                freed += self._lost(process.name, code)
        return tuple(freed)

    def _lost(self, name: str, code: int) -> list[str]:
        """What a worker that was killed had claimed."""
        why = f"its worker {_death(code)}"
        freed = self._journal.release(name, why)
        self._barren = 0 if freed else self._barren + 1
        if self._barren == BARREN_MAX:
            raise TandemError(
                f"{self._journal.folder}: {BARREN_MAX} workers in turn {_death(code)} before they "
                f"began a trial: what they said is in {LOG} there"
            )
        return [trial.task.key for trial in freed if trial.state == WAITING]

    def _dismiss(self, patience_seconds: float) -> None:
        """End all workers, by force those that do not leave; what they had claimed waits again."""
        for process in self._workers:
            process.end(patience_seconds)
            self._journal.release(process.name)
        self._workers.clear()


def event(journal: Journal, tasks: Sequence[Task], retried: tuple[str, ...] = ()) -> Event:
    """How the tasks stand now."""
    states = journal.states()
    found = Counter(states.get(task.key) for task in tasks)
    return Event(found[DONE], found[FAILED], found[RUNNING], len(tasks), retried)


def results(journal: Journal, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Of the tasks that are done, in their order."""
    known = journal.results()
    return {task.key: known[task.key] for task in tasks if task.key in known}


def _death(code: int) -> str:
    """How a process ended, from its exit code."""
    if code == MEMORY_EXIT:
        return "ran out of memory"
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL, as the system does when memory runs out)"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
