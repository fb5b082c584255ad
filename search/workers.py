"""Work spread over processes, in an order that does not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from model.design import Design
from model.errors import TandemError
from search.buffers import Candidate, ladder
from search.measure import Limits, Point, evaluate

Item = TypeVar("Item")
Result = TypeVar("Result")

PARENT_CHECK_SECONDS = 1.0


class Workers:
    """Processes that measure designs; with one job the work is done here, without any."""

    def __init__(self, jobs: int) -> None:
        self.jobs = max(1, jobs)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.jobs > 1:
            self._pool = ProcessPoolExecutor(
                self.jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(os.getpid(),),
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
        """Results in the order of the items, each as soon as those before it are there.

        A single item is worked on here: so the simulator is compiled once, not in every process.
        """
        tasks = list(items)
        if self._pool is None or len(tasks) < 2:
            return map(function, tasks)
        return self._pool.map(function, tasks)


def measure(task: tuple[Design, int]) -> Point | None:
    """A design simulated for so many frames; None for one that turns out not to compile."""
    design, frames = task
    try:
        return evaluate(design, frames)
    except TandemError:
        return None


def climb(task: tuple[Design, Limits, int, float, float]) -> list[Candidate]:
    """The ladder of buffers of one structure."""
    try:
        return ladder(*task)
    except TandemError:
        return []


def _start(parent: int) -> None:
    """Ctrl-C is the parent's to handle; a parent that was killed takes its workers along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
