"""TensorBoard scalars of a search, written from its journal.

The journal is the record and the log a picture of it: each search that goes on writes its log
anew, so nothing stands in it twice. Steps are numbers of trials of a kind, steps of a chain, or
evaluations; wall times are those of the journal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quant.train_log import tensorboard_writer
from search.search_status import TRAINED
from search.trials import DONE, JournalView, Trial

EVENTS = "events.out.tfevents.*"  # what TensorBoard calls its files


class SearchLog:
    """Scalars in a folder; nothing at all where TensorBoard is not installed."""

    def __init__(self, folder: Path) -> None:
        self._writer = _writer(folder)
        self._seen: set[str] = set()  # keys of trials that are in the log
        self._counts: dict[str, int] = {}
        self._best: dict[str, float] = {}
        self._evaluations = -1

    def update(self, journal: JournalView) -> None:
        """Add what has come to an end since the last call."""
        if self._writer is None:
            return
        evaluations = sum(journal.chains().values())
        if evaluations != self._evaluations:
            self._evaluations = evaluations
            self._writer.add_scalar("search/evaluations", evaluations, evaluations)
        new = [
            trial
            for trial in journal.trials()
            if trial.state == DONE and trial.task.key not in self._seen
        ]
        for kind in {trial.task.kind for trial in new}:
            results = journal.results(kind)
            mine = [trial for trial in new if trial.task.kind == kind]
            for trial in sorted(mine, key=lambda item: (item.finished_at or 0.0, item.task.key)):
                self._seen.add(trial.task.key)
                self._ended(trial, results[trial.task.key], journal)
        if new:
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _ended(self, trial: Trial, result: Mapping[str, Any], journal: JournalView) -> None:
        kind, at = trial.task.kind, trial.finished_at
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        if kind in TRAINED:
            iou = float(result["mean_iou"])
            self._best[kind] = max(iou, self._best.get(kind, -math.inf))
            self._writer.add_scalar(f"iou/{kind}", iou, number, walltime=at)
            self._writer.add_scalar(f"best_iou/{kind}", self._best[kind], number, walltime=at)
        elif kind == "chain":
            self._chain(trial, journal)
        if trial.claimed_at and at:
            self._writer.add_scalar(f"seconds/{kind}", at - trial.claimed_at, number, walltime=at)

    def _chain(self, trial: Trial, journal: JournalView) -> None:
        """The smallest gap to the target after every step of a chain."""
        key = trial.task.key
        for index, gap in enumerate(best_gaps(journal.steps(key))):
            if gap is not None:
                self._writer.add_scalar(f"best_fps_gap/{key}", gap, index)


def best_gaps(steps: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """After every step of a trace the smallest |log(target FPS / FPS)| so far."""
    found: list[float | None] = []
    best: float | None = None
    for step in steps:
        gap = step.get("gap_after")
        if gap is not None and (best is None or abs(gap) < best):
            best = abs(gap)
        found.append(best)
    return found


def _writer(folder: Path) -> Any:
    """TensorBoard's writer in an empty log; None where it is not installed."""
    before = list(folder.glob(EVENTS))
    writer = tensorboard_writer(folder)
    if writer is not None:
        for old in before:
            old.unlink()
    return writer
