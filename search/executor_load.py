"""What the model of the executors is given, and what it returns.

Times of the steps are measured (``search.executor_costs``), trials and machines are data.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class Load:
    """Trials of one kind."""

    name: str
    seconds: tuple[float, ...]  # a trial takes one of these, with equal chances
    first_seconds: float  # more, for a worker's first trial
    checkpoint_seconds: float  # a trial that is begun again loses no more
    rows_per_second: float  # evaluations into the journal
    batch_seconds: float  # between two of a trial's messages
    trials: int = 0  # in all; 0: as many as workers times trials_per_worker
    trials_per_worker: int = 0

    def number(self, workers: int) -> int:
        """Trials of a run on so many workers."""
        return self.trials or workers * self.trials_per_worker

    def durations(self, workers: int, seed: int) -> list[float]:
        """Seconds of every trial."""
        draw = random.Random(seed)
        return [draw.choice(self.seconds) for _ in range(self.number(workers))]


@dataclass(frozen=True)
class Machines:
    """What the workers run on."""

    cores_per_machine: int
    machine_start_seconds: float
    data_bytes: float  # to every machine, from one server
    server_bytes_per_second: float
    failures_per_worker_hour: float
    detect_seconds: float
    dollars_per_core_hour: float


@dataclass(frozen=True)
class Costs:
    """Seconds of an executor's steps."""

    claim: float  # a transaction of the journal
    finish: float
    heartbeat: float
    batch: float  # of evaluations, besides its rows
    note: float  # a change more in a transaction
    row: float  # an evaluation
    look: float  # counting, for each trial in the journal
    spawn: float  # local: until a process is started, its parent busy
    start: float  # local: until it claims
    leave: float  # local: until it has ended
    submit: float  # Ray: a task handed out
    end: float  # an outcome fetched
    wait: float  # asking for an end, for each task at work
    post: float  # the mailbox: a letter put into it
    post_row: float  # and for each row in the letter
    mail: float  # it is emptied
    mail_row: float  # and for each row in it
    ray_start: float  # the cluster of one machine
    ray_worker: float  # until a worker of it runs its first task


@dataclass
class Usage:
    """Where a run's time went, in seconds; worker-seconds unless it says otherwise."""

    useful: float = 0.0
    starting: float = 0.0  # processes, imports
    data: float = 0.0  # waiting for the data set
    handing: float = 0.0  # waiting for a claim, or to be rid of a result
    lost: float = 0.0  # repeated after a failure, and until it was noticed
    busy: float = 0.0  # seconds in which the journal's writer worked
    mailbox: float = 0.0  # seconds in which the mailbox worked
    behind: float = 0.0  # rows that waited for the journal, at the most
    retried: int = 0
    given_up: int = 0


@dataclass(frozen=True)
class Outcome:
    """A simulated run."""

    load: str
    executor: str
    workers: int
    trials: int
    seconds: float
    usage: Usage

    def share(self, name: str) -> float:
        """Of all worker-seconds; ``idle`` is what is left, where no trial was."""
        total = self.workers * self.seconds
        if name == "idle":
            known = ("useful", "starting", "data", "handing", "lost")
            return max(0.0, 1 - sum(self.share(other) for other in known))
        return float(getattr(self.usage, name)) / total

    @property
    def writer_share(self) -> float:
        """Of the time, the share in which the journal's writer worked."""
        return self.usage.busy / self.seconds

    @property
    def mailbox_share(self) -> float:
        """As much of the time takes the mailbox; it cannot take more than all of it."""
        return self.usage.mailbox / self.seconds

    @property
    def core_hours(self) -> float:
        """That are paid for."""
        return self.workers * self.seconds / 3600
