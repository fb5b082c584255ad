"""A worker process: claims trials from the journal one after the other and runs them.

A trial's function gets its payload, a folder of its own that outlives the worker (a training keeps
its checkpoints there and goes on from them), and ``tick``, with which it says how far it is. What
a tick holds under ``evaluations`` and ``steps`` goes into the journal's tables, under the trial's
key as the chain; the rest is shown as progress.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.errors import TandemError
from search.journal_db import DiskFull, disk_full, is_disk_full
from search.journal_lock import process_name
from search.trials import Journal, Task, Trial

Record = dict[str, Any]
Tick = Callable[[Record], None]
Function = Callable[[Record, Path, Tick], Record]

HEARTBEAT_SECONDS = 5.0
TICK_SECONDS = 0.5  # progress is written no more often
PARENT_CHECK_SECONDS = 0.5
DISK_FULL_EXIT, MEMORY_EXIT = errno.ENOSPC, errno.ENOMEM
LOG = "workers.log"  # in the search's folder: what workers print, away from the live view
ERROR_FILE = "error.txt"  # of a task that met an error of the program's
BATCHES = ("evaluations", "steps")


class TaskFailed(Exception):  # noqa: N818  a verdict
    """A task cannot be done; the others can. One line says why."""


def folder_of(root: Path, task: Task) -> Path:
    """Where a task may write."""
    return root / "trials" / task.kind / task.key


def perform(task: Task, root: Path, tick: Tick) -> Record:
    """Run a task here. TaskFailed, DiskFull; MemoryError goes through, for a retry elsewhere."""
    folder = folder_of(root, task)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result = _function(task.function)(json.loads(json.dumps(task.payload)), folder, tick)
        return dict(json.loads(json.dumps(result)))  # the same, whether new or from the journal
    except MemoryError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(folder) from error
        if isinstance(error, TandemError):
            raise TaskFailed(str(error)) from error
        (folder / ERROR_FILE).write_text(traceback.format_exc())
        raise TaskFailed(f"{type(error).__name__}: {error} ({folder / ERROR_FILE})") from error


def _function(path: str) -> Function:
    module, _, name = path.partition(":")
    found: Function = getattr(importlib.import_module(module), name)
    return found


class JournalTick:
    """Progress of one trial into the journal, batches at once, the rest now and then."""

    def __init__(self, journal: Journal, key: str, worker: str) -> None:
        self._journal, self._key, self._worker = journal, key, worker
        self._written = -TICK_SECONDS

    def __call__(self, record: Record) -> None:
        """Keep it."""
        put_batches(self._journal, self._key, record)
        progress = {name: value for name, value in record.items() if name not in BATCHES}
        now = time.monotonic()
        if progress and now - self._written >= TICK_SECONDS:
            self._written = now
            self._journal.heartbeat(self._key, self._worker, progress)


def put_batches(journal: Journal, chain: str, record: Record) -> None:
    """A tick's evaluations and steps into their tables."""
    if record.get("evaluations"):
        journal.put_evaluations(chain, record["evaluations"])
    if record.get("steps"):
        journal.put_steps(chain, record["steps"])


def run_trial_here(journal: Journal, trial: Trial, worker: str) -> None:
    """Run a claimed trial and write how it ended. DiskFull, MemoryError leave it claimed."""
    key = trial.task.key
    try:
        result = perform(trial.task, journal.folder, JournalTick(journal, key, worker))
    except TaskFailed as error:
        journal.fail(key, worker, str(error))
    else:
        journal.finish(key, worker, result)


def work(folder: str, parent: int) -> None:
    """A worker process's life: until no trial waits, or its parent ends."""
    _follow_parent(parent)
    worker, holder = process_name(), process_name(parent)
    try:
        with Journal.join(Path(folder)) as journal:
            while (trial := journal.claim(worker, holder)) is not None:
                heart = _Heart(journal, trial.task.key, worker)
                try:
                    run_trial_here(journal, trial, worker)
                finally:
                    heart.stop()
    except DiskFull:
        sys.exit(DISK_FULL_EXIT)
    except MemoryError:
        sys.exit(MEMORY_EXIT)


class _Heart:
    """Says every few seconds that the worker lives, also while its function says nothing."""

    def __init__(self, journal: Journal, key: str, worker: str) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(journal, key, worker), daemon=True)
        self._thread.start()

    def _beat(self, journal: Journal, key: str, worker: str) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                journal.heartbeat(key, worker)
            except TandemError:
                return  # whatever it is, the trial meets it too

    def stop(self) -> None:
        """No further beat."""
        self._stopped.set()
        self._thread.join()


def _follow_parent(parent: int) -> None:
    """Ctrl-C is the parent's to handle; a parent that was killed takes its workers along.

    A worker leads a group of its own, so that what it started (simulators, loaders of images) ends
    with it.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os.killpg(0, signal.SIGKILL)
