"""The live view of a search, and the same picture from another terminal; both read the journal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from model import console
from model.tables import count, facts, headline, share, table
from search.executor import Event
from search.search_log import SearchLog
from search.search_status import Status, put_ended, put_facts, status_of
from search.spec import SearchSpec
from search.trials import DONE, FAILED, RUNNING, Journal

__all__ = ["SearchView", "describe_status", "status_of"]

REFRESH_SECONDS = 1.0
LINES = 6  # of what was said last
NEVER = float("-inf")


class SearchView:
    """A live view on a terminal; a line for every change where standard error is none.

    It also keeps the TensorBoard log of the search, where TensorBoard is installed.
    """

    def __init__(self, spec: SearchSpec, journal: Journal, terminal: Console | None = None) -> None:
        self.spec, self.journal = spec, journal
        self._console = terminal or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._log: SearchLog | None = None
        self._lines: list[str] = []
        self._told, self._drawn = "", NEVER

    def __enter__(self) -> Self:
        put_facts(self.journal, self.spec)
        self._log = SearchLog(self.journal.folder / "tensorboard")
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
        if kind is None:
            put_ended(self.journal)
        if self._log is not None:
            if kind is None:
                self._log.update(self.journal)
            self._log.close()

    def say(self, text: str) -> None:
        """One line."""
        self._lines = [*self._lines, text][-LINES:]
        if self._console.is_terminal:
            self._draw()
        else:
            console.progress(text)

    def watch(self, stage: str, event: Event) -> None:
        """How a stage stands: after every change, and twice a second."""
        for key in event.retried:
            self.say(f"{stage} {key}: its worker was lost, it begins again")
        now = time.monotonic()
        if now - self._drawn >= REFRESH_SECONDS or not event.open:
            self._drawn = now
            if self._log is not None:
                self._log.update(self.journal)
            if self._console.is_terminal:
                self._draw()
        if not self._console.is_terminal:
            self._tell(stage, event)

    def _draw(self) -> None:
        lines = [Text(line) for line in self._lines]
        parts = describe_status(status_of(self.journal))
        self._live.update(Group(*parts, *lines), refresh=True)

    def _tell(self, stage: str, event: Event) -> None:
        text = f"{stage}: {event.done} of {event.total} done"
        if event.failed:
            text += f", {event.failed} failed"
        if text != self._told:
            self._told = text
            left = status_of(self.journal)["seconds_left"] if event.open else None
            console.progress(text + (f", about {duration(left)} left" if left else ""))


def describe_status(status: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The status for people."""
    name = status["name"] or "search"
    yield headline(f"{name} in {status['folder']}: {status['state']}", status["state"] != "stopped")
    yield _stages(status)
    if status["running"]:
        rows = [
            [item["kind"], str(item["what"]), _progress(item), duration(item["seconds"])]
            for item in status["running"]
        ]
        yield table(None, ["running", "what", "at", "for"], rows, left=(0, 1, 2))
    if status["groups"]:
        yield _groups(status)
    if any(item["chains"] for item in status["best_by_target"]):
        yield _targets(status)
    yield facts(_facts(status))


def _stages(status: Mapping[str, Any]) -> RenderableType:
    rows = []
    for name, item in status["stages"].items():
        best = status["best"].get(name)
        total = "?" if item["total"] is None else str(item["total"])
        if not item["begun"]:
            rows.append([name, f"at most {total}" if total != "?" else "", "", "", "", ""])
            continue
        each = item["seconds_each"]
        rows.append(
            [
                name,
                f"{item[DONE]} of {total}",
                str(item[RUNNING] or ""),
                str(item[FAILED] or ""),
                "" if each is None else duration(each),
                "" if best is None else f"{best:.4f}",
            ]
        )
    return table(None, ["stage", "done", "running", "failed", "each", "best IoU"], rows)


def _groups(status: Mapping[str, Any]) -> RenderableType:
    rows = []
    for item in status["groups"]:
        low, high = item["latency_ms"]
        best = item["best"]
        rows.append(
            [
                f"{low:.3g} ms" if low == high else f"{low:.3g} to {high:.3g} ms",
                f"{item['trained']} of {item['prototypes']}",
                best.get("bundle", ""),
                f"{best['iou']:.4f}" if best else "",
                f"{best['fps']:.1f}" if best else "",
            ]
        )
    columns = ["prototypes of", "trained", "best so far", "IoU", "FPS"]
    return table(None, columns, rows, left=(0, 2))


def _targets(status: Mapping[str, Any]) -> RenderableType:
    rows = []
    for item in status["best_by_target"]:
        gap, best = item["smallest_gap"], item["candidate"]
        winner = item["winner"]
        rows.append(
            [
                f"{item['fps']:g} FPS",
                count(item["candidates"]),
                "" if gap is None else share(gap),
                str(best["trained"]),
                best.get("bundle", ""),
                f"{best['fps']:.1f}" if "fps" in best else "",
                f"{best['iou']:.4f}" if "iou" in best else "",
                f"{winner['iou']:.4f}" if "iou" in winner else "",
            ]
        )
    columns = ["target", "candidates", "gap", "trained", "best so far", "FPS", "IoU", "winner"]
    return table(None, columns, rows, left=(0, 4))


def _facts(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "evaluations", count(status["evaluations"])
    left = status["seconds_left"]
    if status["state"] != "ended":
        text = duration(left) if left else ""
        if unknown := status["not_known"]:
            text += f"{', and' if text else 'that of'} {', '.join(unknown)}: none has ended yet"
        yield "time left", text or "none"
    for key, reason in status["failures"].items():
        yield f"failed {key}", reason
    if damage := status.get("damage"):
        yield "journal", str(damage)


def _progress(item: Status) -> str:
    if "epoch" in item:
        iou = f", IoU {item['mean_iou']:.4f}" if item.get("mean_iou") is not None else ""
        return f"{item.get('stage', '')} epoch {item['epoch']} of {item['epochs']}{iou}"
    if "spent" in item:
        return f"{item['spent']:,} of {item['budget']:,} evaluations"
    return str(item.get("step", ""))


def duration(seconds: float) -> str:
    """``3.1 s``, ``42 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
