"""Runs tasks on a Ray cluster: this machine's, made for the run, or the one at RAY_ADDRESS.

Only this process writes the journal: what the workers say comes through a mailbox, an actor beside
this process. A task has one worker at a time; Ray's own retries are off, since the journal counts
the attempts. The search's folder must be seen by every machine under the same path, because a
trial that is begun again elsewhere goes on from its checkpoints.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.errors import TandemError
from search.executor import LOOK_SECONDS, Event, Report, event, results
from search.journal_db import DiskFull, disk_full
from search.journal_lock import process_name
from search.trial_worker import (
    BATCHES,
    HEARTBEAT_SECONDS,
    TICK_SECONDS,
    Record,
    TaskFailed,
    perform,
    put_batches,
)
from search.trials import WAITING, Journal, Task, Trial

STORE_BYTES = 80 * 2**20  # of objects; results are small, Ray's least is 75 MB
SOCKET_PATH_MAX = 40  # characters; Ray adds 60 and a socket's path has 107
ADDRESS = "RAY_ADDRESS"  # of a cluster that is there; Ray's own name
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
Outcome = tuple[str, Any]


def import_ray() -> Any:
    """The module. TandemError without the extra."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if ADDRESS not in os.environ and "ray" not in sys.modules:  # which reads them once
        # Of the cluster that is made for the run; Ray would keep one in the user's home.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise TandemError(
            "--executor ray: Ray is not installed: pip install 'tandem-codesign[cluster]', or "
            "leave --executor out to use this machine's processes"
        ) from None


class RayExecutor:
    """A Ray cluster, with at most ``jobs`` tasks at a time."""

    def __init__(self, jobs: int, journal: Journal) -> None:
        self._ray = import_ray()
        self.jobs, self._journal = max(1, jobs), journal
        self._open: dict[Any, tuple[Trial, str]] = {}  # reference -> trial, worker's name
        self._claims = 0
        self._full = False  # a task found no room on the disk
        self._cluster: Cluster | None = None  # from the first run to close()
        atexit.register(self.close)

    def run(self, tasks: Sequence[Task], report: Report | None = None) -> dict[str, dict[str, Any]]:
        """As :class:`Executor` has it. On Ctrl-C the tasks are cancelled and wait again."""
        self._journal.add_trials(tasks)
        now = event(self._journal, tasks)
        self._full = False
        try:
            with contextlib.redirect_stdout(sys.stderr):  # Ray tells there of a worker that died
                while now.open:
                    now = self._turn(tasks)
                    if report is not None:
                        report(now)
        except BaseException:
            self.close()
            raise
        return results(self._journal, tasks)

    def close(self) -> None:
        """End what still runs, and the cluster; the trials wait again."""
        for reference, (_, worker) in self._open.items():
            self._ray.cancel(reference, force=True)
            self._journal.release(worker)
        self._open.clear()
        if self._cluster is not None:
            with contextlib.redirect_stdout(sys.stderr):
                self._cluster.close()
            self._cluster = None

    def _turn(self, tasks: Sequence[Task]) -> Event:
        """Hand out what waits, look what has ended."""
        if self._cluster is None:
            self._cluster = Cluster(self._ray, self.jobs, self._journal.folder)
        self._hand_out(self._cluster)
        ended, left = self._ray.wait(list(self._open), timeout=LOOK_SECONDS)
        if ended and left:  # Ray stops at the first; all that are there cost one look
            ended += self._ray.wait(left, num_returns=len(left), timeout=0)[0]
        letters = self._cluster.mail()
        with self._journal.together():
            self._read(letters)
            retried = [key for reference in ended for key in self._end(reference)]
        if self._full:  # after the transaction, so that what has ended beside it is kept
            raise disk_full(self._journal.folder)
        return event(self._journal, tasks, tuple(retried))

    def _hand_out(self, cluster: Cluster) -> None:
        with self._journal.together():
            while len(self._open) < self.jobs:
                self._claims += 1
                worker = f"ray-{self._claims}/{process_name()}"
                trial = self._journal.claim(worker)
                if trial is None:
                    break
                reference = cluster.start(trial.task, self._journal.folder)
                self._open[reference] = trial, worker

    def _read(self, letters: Sequence[tuple[str, Record]]) -> None:
        """Letters into the journal; of a trial's progress only the last."""
        workers = {trial.task.key: worker for trial, worker in self._open.values()}
        progress: dict[str, Record] = {}
        for key, record in letters:
            put_batches(self._journal, key, record)
            shown = {name: value for name, value in record.items() if name not in BATCHES}
            progress[key] = shown or progress.get(key, {})
        for key, shown in progress.items():
            if key in workers:
                self._journal.heartbeat(key, workers[key], shown or None)

    def _end(self, reference: Any) -> list[str]:
        """Write how a task ended; what waits again."""
        trial, worker = self._open.pop(reference)
        try:
            how, value = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            how, value = "lost", f"its worker was lost ({type(error).__name__})"
        if how == "done":
            self._journal.finish(trial.task.key, worker, value)
        elif how == "failed":
            self._journal.fail(trial.task.key, worker, value)
        elif how == "full":
            self._journal.release(worker)
            self._full = True
        else:
            freed = self._journal.release(worker, value)
            return [item.task.key for item in freed if item.state == WAITING]
        return []


class Cluster:
    """A connection to Ray, and the mailbox."""

    def __init__(self, ray: Any, jobs: int, folder: Path) -> None:
        self._ray = ray
        self._own_folder = None if ADDRESS in os.environ else _ray_folder(folder)
        try:
            self._connect(jobs)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            self.close()
            place = os.environ.get(ADDRESS, "this machine")
            reason = str(error).strip().split("\n")[0]
            raise TandemError(
                f"--executor ray: no Ray cluster at {place} ({reason}): look at {ADDRESS}, or use "
                "--executor local"
            ) from error
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._mailbox = ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here).remote()
        self._work = ray.remote(num_cpus=1, max_retries=0)(work_in_ray)

    def _connect(self, jobs: int) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        if self._own_folder is None:
            self._ray.init(**quiet)
            return
        self._ray.init(
            address="local",
            num_cpus=jobs,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(self._own_folder),
            **quiet,
        )

    def start(self, task: Task, root: Path) -> Any:
        """A reference to the task's outcome."""
        return self._work.remote(task, str(root.resolve()), self._mailbox)

    def post(self, key: str, record: Record) -> Any:
        """A letter, as tasks send them; a reference to its arrival."""
        return self._mailbox.put.remote(key, record)

    def mail(self) -> list[tuple[str, Record]]:
        """What tasks have said since the last time."""
        letters: list[tuple[str, Record]] = self._ray.get(self._mailbox.take.remote())
        return letters

    def close(self) -> None:
        """Leave the cluster; the one that was made for the run ends."""
        self._ray.shutdown()
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)


class Mailbox:
    """What tasks say, until the journal's process takes it."""

    def __init__(self) -> None:
        self._letters: list[tuple[str, Record]] = []

    def put(self, key: str, record: Record) -> None:
        """From a task."""
        self._letters.append((key, record))

    def take(self) -> list[tuple[str, Record]]:
        """All, oldest first."""
        letters, self._letters = self._letters, []
        return letters


def work_in_ray(task: Task, root: str, mailbox: Any) -> Outcome:
    """Run a task in a Ray worker."""
    post = _Post(task.key, mailbox)
    try:
        return "done", perform(task, Path(root), post)
    except TaskFailed as error:
        return "failed", str(error)
    except DiskFull:
        return "full", root
    except MemoryError:
        return "lost", "its worker ran out of memory"
    finally:
        post.stop()


class _Post:
    """A task's ``tick``, and its heart."""

    def __init__(self, key: str, mailbox: Any) -> None:
        self._key, self._mailbox = key, mailbox
        self._sent = -TICK_SECONDS
        self._stopped = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def __call__(self, record: Record) -> None:
        """Send it; batches have arrived when this returns."""
        if any(record.get(name) for name in BATCHES):
            import_ray().get(self._mailbox.put.remote(self._key, record))
        elif time.monotonic() - self._sent >= TICK_SECONDS:
            self._sent = time.monotonic()
            self._mailbox.put.remote(self._key, record)

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            self._mailbox.put.remote(self._key, {})

    def stop(self) -> None:
        """No further beat."""
        self._stopped.set()


def _ray_folder(folder: Path) -> Path:
    """For Ray's logs and sockets: in the search's folder, where sockets can have names so long."""
    own = folder.resolve() / "ray"
    if len(str(own)) <= SOCKET_PATH_MAX:
        return own
    return Path(tempfile.mkdtemp(prefix="ray-"))
