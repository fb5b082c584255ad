"""How a search stands: a live view, and the same from another terminal; both read the journal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from model import console
from model.tables import facts, headline, table
from search.executor import Event
from search.spec import SearchSpec
from search.trials import DONE, FAILED, RUNNING, Journal

STAGES = ("prototype", "sample", "chain", "candidate", "winner", "finish")
REFRESH_SECONDS = 1.0
LINES = 6  # of what was said last
Status = dict[str, Any]


class SearchView:
    """A live view on a terminal; a line a stage where standard error is none."""

    def __init__(self, spec: SearchSpec, journal: Journal) -> None:
        self.spec, self.journal = spec, journal
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._lines: list[str] = []
        self._stage, self._told, self._drawn = "", "", 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """One line."""
        self._lines = [*self._lines, text][-LINES:]
        if not self._console.is_terminal:
            console.progress(text)

    def watch(self, stage: str, event: Event) -> None:
        """After every change, and twice a second."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage = stage
        if self._console.is_terminal:
            if now - self._drawn >= REFRESH_SECONDS or not event.open:
                self._drawn = now
                status = status_of(self.journal)
                lines = [Text(line) for line in self._lines]
                self._live.update(Group(*describe_status(status), *lines), refresh=True)
            return
        text = f"{stage}: {event.done} of {event.total} done"
        if event.failed:
            text += f", {event.failed} failed"
        if text != self._told:
            self._told = text
            console.progress(text)


def status_of(journal: Journal) -> Status:
    """Counts of every stage, what runs, the best so far, and about how long it will take."""
    counts = journal.counts()
    trials = journal.trials()
    stages = {}
    for stage in STAGES:
        known = counts.get(stage, {})
        times = [
            (t.finished_at or 0.0) - (t.claimed_at or 0.0)
            for t in trials
            if t.task.kind == stage and t.state == DONE
        ]
        mean = sum(times) / len(times) if times else None
        total = sum(known.values())
        if total:
            stages[stage] = {
                "total": total,
                "done": known.get(DONE, 0),
                "running": known.get(RUNNING, 0),
                "failed": known.get(FAILED, 0),
                "seconds_each": mean,
            }
    running = [t for t in trials if t.state == RUNNING]
    workers = max(1, len(running))
    left = [
        (s["total"] - s["done"] - s["failed"]) * s["seconds_each"] / workers
        for s in stages.values()
        if s["seconds_each"] is not None
    ]
    return {
        "folder": str(journal.folder),
        "stages": stages,
        "running": [_running(t.task.kind, t.task.key, t.progress) for t in running],
        "best": best_so_far(journal),
        "evaluations": sum(journal.chains().values()),
        "seconds_left": sum(left) if left else None,
        "failures": journal.failures(),
    }


def _running(kind: str, key: str, progress: Mapping[str, Any]) -> Status:
    return {"kind": kind, "key": key, **progress}


def best_so_far(journal: Journal) -> dict[str, float]:
    """The highest IoU of each kind of training."""
    found: dict[str, float] = {}
    for kind in ("prototype", "sample", "candidate", "winner"):
        values = [float(r["mean_iou"]) for r in journal.results(kind).values()]
        if values:
            found[kind] = max(values)
    return found


def describe_status(status: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The status for people."""
    yield headline(f"search in {status['folder']}")
    rows = [
        [
            name,
            f"{item['done']} of {item['total']}",
            str(item["running"]),
            str(item["failed"]),
            f"{item['seconds_each']:.0f} s" if item["seconds_each"] is not None else "",
            f"{status['best'][name]:.4f}" if name in status["best"] else "",
        ]
        for name, item in status["stages"].items()
    ]
    yield table(None, ["stage", "done", "running", "failed", "each", "best IoU"], rows)
    running = [[item["kind"], item["key"], _progress(item)] for item in status["running"]]
    if running:
        yield table(None, ["running", "key", "at"], running, left=(0, 1, 2))
    left = status["seconds_left"]
    pairs = [("evaluations", f"{status['evaluations']:,}")]
    if left is not None:
        pairs.append(("time left in the stages begun", f"{left / 60:.0f} min"))
    if damage := status.get("damage"):
        pairs.append(("journal", str(damage)))
    yield facts(pairs)


def _progress(item: Mapping[str, Any]) -> str:
    if "epoch" in item:
        iou = f", IoU {item['mean_iou']:.4f}" if item.get("mean_iou") is not None else ""
        return f"{item.get('stage', '')} epoch {item['epoch']} of {item['epochs']}{iou}"
    if "spent" in item:
        return f"{item['spent']:,} of {item['budget']:,} evaluations"
    return str(item.get("step", ""))
