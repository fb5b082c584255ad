"""One training of a study.

A training depends on its run and the setting alone: one thread, its own generators. The same run
gives the same figures whatever else runs, so a resumed study ends as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quant.memory import keep_memory
from quant.network import normalise
from quant.study_journal import Outcome, Run
from quant.study_network import (
    StudyNetwork,
    feature_bytes,
    weight_bytes,
)
from quant.study_scores import criterion, score
from quant.study_tasks import Task, TaskSettings, build_task

LARGEST_GRADIENT = 5.0  # norm; one bad batch must not throw a run off its way


@dataclass(frozen=True)
class Job:
    """A run and all that it needs; small, as it goes to another process."""

    run: Run
    settings: TaskSettings
    annealed: bool  # half a cosine down to 0; else a constant rate, which leaves the noise visible


def train(job: Job) -> Outcome:
    """Train from random values and score unseen data after every epoch."""
    torch.set_num_threads(1)
    keep_memory()
    run, settings = job.run, job.settings
    task = cached_task(settings)
    torch.manual_seed(run.seed)
    network = StudyNetwork(task.network, run.weight_bits, run.feature_bits)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    rng = np.random.default_rng(run.seed)
    steps = len(task.train_images) // settings.batch * settings.epochs
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _share(step, steps) if job.annealed else 1.0
    )
    losses: list[float] = []
    metrics: list[float] = []
    start = time.process_time()
    for _ in range(settings.epochs):
        losses.append(_epoch(network, task, settings.batch, optimiser, rate, rng))
        metrics.append(score(network, task))
    return Outcome(
        run=run,
        metric=tuple(metrics),
        loss=tuple(losses),
        weight_bytes=weight_bytes(task.network, run.weight_bits),
        feature_bytes=feature_bytes(task.network, run.feature_bits),
        seconds=round(time.process_time() - start, 2),
    )


@lru_cache(maxsize=2)
def cached_task(settings: TaskSettings) -> Task:
    """The data set of a setting, made once a process."""
    return build_task(settings)


def _share(step: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def _epoch(
    network: StudyNetwork,
    task: Task,
    batch: int,
    optimiser: torch.optim.Optimizer,
    rate: torch.optim.lr_scheduler.LRScheduler,
    rng: np.random.Generator,
) -> float:
    """All training images once in random order; the mean loss."""
    network.train()
    order = rng.permutation(len(task.train_images))
    total, count = 0.0, len(order) // batch
    for index in range(count):
        chosen = order[index * batch : (index + 1) * batch]
        images, targets = _batch(task, chosen, rng)
        loss = criterion(network(normalise(images)), targets, task)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        rate.step()
        total += loss.item()
    return total / count


def _batch(
    task: Task, chosen: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images and targets; half of the scenes mirrored, digits never."""
    images, targets = task.train_images[chosen], task.train_targets[chosen]
    if task.kind == "detect":
        flip = rng.random(len(chosen)) < 0.5
        images[flip] = images[flip, :, :, ::-1]
        left, right = targets[flip, 0], targets[flip, 2]
        targets[flip, 0], targets[flip, 2] = 1 - right, 1 - left
    return torch.from_numpy(images), torch.from_numpy(targets)
