"""The executors simulated in SimPy: what many workers cost, and what they wait for.

Local: worker processes take turns at the journal, each writes its own claim, heartbeats and result.
Ray: one process does all writing, in turns: hand out what waits, wait for an end, take the mail,
write what ended, count. Both follow ``search.executor`` and ``search.executor_ray`` step by step.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from search.executor import LOOK_SECONDS
from search.executor_load import LOCAL, Costs, Load, Machines, Outcome, Usage
from search.trial_worker import HEARTBEAT_SECONDS
from search.trials import MAX_ATTEMPTS

Steps = Generator[simpy.Event, Any, None]


def simulate(
    load: Load, machines: Machines, costs: Costs, workers: int, executor: str, seed: int = 1
) -> Outcome:
    """One run of ``load`` on so many workers."""
    kind = _Local if executor == LOCAL else _Ray
    run = kind(load, machines, costs, workers, seed)
    run.env.run(run.env.process(run.main()))
    return Outcome(load.name, executor, workers, run.total, run.env.now, run.usage)


@dataclass
class _Trial:
    seconds: float  # still to be done
    attempts: int = 0


@dataclass
class _Worker:
    machine: int
    warm: bool = False
    idle_since: float = 0.0


class _Run:
    """What both executors have in common: machines, data, trials that fail."""

    def __init__(
        self, load: Load, machines: Machines, costs: Costs, workers: int, seed: int
    ) -> None:
        self.load, self.machines, self.costs, self.workers = load, machines, costs, workers
        self.env = simpy.Environment()
        self.usage = Usage()
        self.failures = random.Random(f"{seed} failures")
        self.waiting = deque(_Trial(seconds) for seconds in load.durations(workers, seed))
        self.total = self.open = len(self.waiting)
        self.server = simpy.Resource(self.env)
        self.have_data: dict[int, simpy.Event] = {}

    def main(self) -> Steps:
        """The whole run."""
        raise NotImplementedError

    def warm_up(self, worker: _Worker, start: float) -> Steps:
        """A worker's first trial: process, data set of its machine, imports."""
        yield self.env.timeout(start)
        began = self.env.now
        if worker.machine not in self.have_data:
            self.have_data[worker.machine] = self.env.event()
            with self.server.request() as turn:
                yield turn
                yield self.env.timeout(
                    self.machines.data_bytes / self.machines.server_bytes_per_second
                )
            self.have_data[worker.machine].succeed()
        elif not self.have_data[worker.machine].processed:
            yield self.have_data[worker.machine]
        self.usage.data += self.env.now - began
        yield self.env.timeout(self.load.first_seconds)
        self.usage.starting += start + self.load.first_seconds
        worker.warm = True

    def fails_after(self) -> float:
        """Seconds until a worker that begins now is lost."""
        rate = self.machines.failures_per_worker_hour / 3600
        return self.failures.expovariate(rate) if rate else math.inf

    def break_off(self, trial: _Trial, ran: float) -> None:
        """A trial's worker is lost: what its checkpoints keep is done."""
        kept = ran - ran % self.load.checkpoint_seconds
        trial.seconds -= kept
        self.usage.useful += kept
        self.usage.lost += ran - kept + self.machines.detect_seconds

    def put_back(self, trial: _Trial) -> None:
        """It waits again, or is given up."""
        if trial.attempts < MAX_ATTEMPTS:
            self.usage.retried += 1
            self.waiting.append(trial)
        else:
            self.usage.given_up += 1
            self.open -= 1


class _Local(_Run):
    """Processes of one machine, a journal that one of them writes at a time."""

    def __init__(
        self, load: Load, machines: Machines, costs: Costs, workers: int, seed: int
    ) -> None:
        super().__init__(load, machines, costs, workers, seed)
        self.journal = simpy.Resource(self.env)

    def main(self) -> Steps:
        lives = []
        for _ in range(min(self.workers, self.total)):
            yield self.env.timeout(self.costs.spawn)
            lives.append(self.env.process(self.life()))
        yield self.env.all_of(lives)

    def life(self) -> Steps:
        """A worker, from its start until nothing waits; a lost one is followed by another."""
        worker = _Worker(0)
        yield from self.warm_up(worker, self.costs.start)
        while self.waiting:
            trial = self.waiting.popleft()
            yield from self.write(self.costs.claim)
            trial.attempts += 1
            if not (yield from self.attempt(trial)):
                yield from self.warm_up(worker, self.costs.spawn + self.costs.start)
        yield self.env.timeout(self.costs.leave)

    def write(self, seconds: float) -> Steps:
        """A transaction, when the others are done with theirs."""
        began = self.env.now
        with self.journal.request() as turn:
            yield turn
            yield self.env.timeout(seconds)
        self.usage.busy += seconds
        self.usage.handing += self.env.now - began

    def attempt(self, trial: _Trial) -> Generator[simpy.Event, Any, bool]:
        """Run a trial between its messages; False where the worker was lost."""
        fails, ran = self.fails_after(), 0.0
        pause = min(self.load.batch_seconds, HEARTBEAT_SECONDS)
        message = self.costs.heartbeat
        if self.load.rows_per_second:
            message = self.costs.batch + self.costs.row * self.load.rows_per_second * pause
        while ran < trial.seconds:
            step = min(pause, trial.seconds - ran, fails - ran)
            yield self.env.timeout(step)
            ran += step
            if ran >= fails:
                self.break_off(trial, ran)
                self.put_back(trial)
                return False
            if step > 0.999 * pause:  # sums of pauses are not exact
                yield from self.write(message)
        self.usage.useful += ran
        yield from self.write(self.costs.finish)
        self.open -= 1
        return True


class _Ray(_Run):
    """One process that writes, workers that send letters."""

    def __init__(
        self, load: Load, machines: Machines, costs: Costs, workers: int, seed: int
    ) -> None:
        super().__init__(load, machines, costs, workers, seed)
        cores = machines.cores_per_machine
        self.free = deque(_Worker(number // cores) for number in range(workers))
        self.ended: list[tuple[_Worker, _Trial, bool]] = []
        self.news = self.env.event()
        self.running = 0
        self.sent = 0.0  # running worker-seconds whose letters are still in the mailbox
        self.counted = 0.0  # until when

    def main(self) -> Steps:
        one_machine = self.workers <= self.machines.cores_per_machine
        yield self.env.timeout(
            self.costs.ray_start if one_machine else self.machines.machine_start_seconds
        )
        self.usage.starting += self.env.now * self.workers
        for worker in self.free:
            worker.idle_since = self.env.now
        while self.open:
            yield from self.hand_out()
            yield from self.work(self.costs.wait * (self.workers - len(self.free)))
            if not self.ended:
                self.news = self.env.event()
                yield self.news | self.env.timeout(LOOK_SECONDS)
            yield from self.read_mail()
            yield from self.write_ends()
            yield from self.work(self.costs.look * self.total)

    def work(self, seconds: float) -> Steps:
        """The writer is busy."""
        self.usage.busy += seconds
        yield self.env.timeout(seconds)

    def hand_out(self) -> Steps:
        """All that wait, in one transaction."""
        if self.free and self.waiting:
            yield from self.work(self.costs.claim)
        while self.free and self.waiting:
            yield from self.work(self.costs.note + self.costs.submit)
            worker, trial = self.free.popleft(), self.waiting.popleft()
            trial.attempts += 1
            self.usage.handing += self.env.now - worker.idle_since
            self.env.process(self.attempt(worker, trial))

    def attempt(self, worker: _Worker, trial: _Trial) -> Steps:
        """A task on a worker."""
        if not worker.warm:
            yield from self.warm_up(worker, self.costs.ray_worker)
        fails = self.fails_after()
        done = fails >= trial.seconds
        self.count()
        self.running += 1
        yield self.env.timeout(min(fails, trial.seconds))
        self.count()
        self.running -= 1
        if done:
            self.usage.useful += trial.seconds
        else:
            self.break_off(trial, fails)
            yield self.env.timeout(self.machines.detect_seconds)
            worker.warm = False
        worker.idle_since = self.env.now
        self.ended.append((worker, trial, done))
        if not self.news.triggered:
            self.news.succeed()

    def count(self) -> None:
        """Letters that came since the last time, as worker-seconds."""
        self.sent += self.running * (self.env.now - self.counted)
        self.counted = self.env.now

    def read_mail(self) -> Steps:
        """All letters that are there, and all ends, in one transaction."""
        self.count()
        seconds, self.sent = self.sent, 0.0
        rows = seconds * self.load.rows_per_second
        letters = seconds * (1 / HEARTBEAT_SECONDS + 1 / self.load.batch_seconds)
        self.usage.behind = max(self.usage.behind, rows)
        self.usage.mailbox += letters * self.costs.post + rows * self.costs.post_row
        yield from self.work(
            self.costs.mail
            + self.costs.heartbeat
            + (letters if rows else min(letters, self.running)) * self.costs.note
            + rows * (self.costs.mail_row + self.costs.row)
        )

    def write_ends(self) -> Steps:
        """What has ended so far."""
        ended, self.ended = self.ended, []
        for worker, trial, done in ended:
            yield from self.work(self.costs.end + self.costs.note)
            if done:
                self.open -= 1
            else:
                self.put_back(trial)
            self.free.append(worker)
