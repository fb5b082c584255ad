"""What a training run tells: a bar on the terminal, a line an epoch, a CSV, TensorBoard."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from model.console import progress
from model.network_file import write_atomically

Item = TypeVar("Item")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. ``wait_share`` is waiting for data, of ``seconds`` of training."""

    stage: str
    epoch: int  # from 1
    loss: float
    mean_iou: float  # of the validation images
    learning_rate: float
    images_per_second: float
    wait_share: float
    seconds: float  # of training
    cache_seconds: float  # making or checking the cache before it

    def line(self, epochs: int, best: bool) -> str:
        """For people."""
        cache = f" + {self.cache_seconds:.1f} s for the cache" if self.cache_seconds > 1 else ""
        return (
            f"{self.stage} {self.epoch}/{epochs}: loss {self.loss:.4f}, IoU {self.mean_iou:.4f}"
            f"{' (best)' if best else ''}, rate {self.learning_rate:.2e}, "
            f"{self.images_per_second:.1f} images/s, {100 * self.wait_share:.1f} % waiting, "
            f"{self.seconds:.1f} s{cache}"
        )


_COLUMNS = [f.name for f in fields(EpochRecord)]


class TrainLog:
    """The log of one run in its folder."""

    def __init__(
        self,
        out: Path,
        tensorboard: bool,
        report: Callable[[EpochRecord, int], None] | None = None,
    ) -> None:
        self._report = report
        self._path = out / "history.csv"
        self._writer = tensorboard_writer(out / "tensorboard") if tensorboard else None

    def start(self, stage: str, epochs_done: int) -> None:
        """Forget what stands in the history beyond the point that the stage goes on from."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in _read_rows(self._path):
            if row["stage"] != stage or int(row["epoch"]) <= epochs_done:
                writer.writerow(row)
        write_atomically(self._path, text.getvalue().encode())

    def epoch(self, record: EpochRecord, epochs: int, best: bool) -> None:
        """Add an epoch."""
        progress(record.line(epochs, best))
        if self._report is not None:
            self._report(record, epochs)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(",".join(str(value) for value in asdict(record).values()) + "\n")
        if self._writer is not None:
            for name in ("loss", "mean_iou", "learning_rate", "images_per_second", "wait_share"):
                self._writer.add_scalar(
                    f"{record.stage}/{name}", getattr(record, name), record.epoch
                )
            self._writer.flush()

    def close(self) -> None:
        """Close the TensorBoard log."""
        if self._writer is not None:
            self._writer.close()


def bar(items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """The items, with a bar on the terminal that goes when they end; none where none reads it."""
    if not sys.stderr.isatty():
        yield from items
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total)
        for item in items:
            yield item
            shown.advance(task)


def tensorboard_writer(folder: Path) -> Any:
    """What writes scalars into a folder; None, and a line about it, without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (may be missing)
    except ImportError:
        progress("no TensorBoard log: pip install tensorboard, or set run.tensorboard = false")
        return None
    return SummaryWriter(str(folder))


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of an earlier run; a damaged file is begun anew, it decides nothing."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    whole = [row for row in rows if list(row) == _COLUMNS and None not in row.values()]
    return [row for row in whole if row["epoch"].isdecimal()]
