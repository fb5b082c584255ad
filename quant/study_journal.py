"""Trainings of a study on disk, one JSON object a line, so that a stopped study goes on.

A line carries a mark of everything that decides its result: the sources that train, the setting,
the versions of the libraries. Lines with another mark are passed over, never mixed in.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = ("torch", "brevitas", "numpy", "scikit-learn")


@dataclass(frozen=True, order=True)
class Run:
    """One training: a data set, the bits of both sides (None: float32) and a seed."""

    task: str
    weight_bits: int | None
    feature_bits: int | None
    seed: int

    @property
    def setting(self) -> str:
        """The bits as plots and tables write them, such as ``W4 F8`` or ``W4 F float``."""
        return f"W{bits_name(self.weight_bits)} F{bits_name(self.feature_bits)}"


@dataclass(frozen=True)
class Outcome:
    """What a training left: its metric on unseen data after every epoch."""

    run: Run
    metric: tuple[float, ...]  # 0 to 1, one an epoch
    loss: tuple[float, ...]  # mean of the training loss, one an epoch; NaN where it diverged
    weight_bytes: float  # of all weights at the run's bits
    feature_bytes: float  # of all feature maps of one image at the run's bits
    seconds: float  # of one CPU core

    @property
    def final(self) -> float:
        """The metric after the last epoch."""
        return self.metric[-1]


def bits_name(bits: int | None) -> str:
    """``8``, ``4``, ... or `` float``."""
    return " float" if bits is None else str(bits)


def mark(settings: Mapping[str, Any], sources: Sequence[str]) -> str:
    """Of what decides an outcome: settings, the named files of this package, the libraries."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sources:
        digest.update((PACKAGE / name).read_bytes())
    digest.update(json.dumps(versions()).encode())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Of the libraries that a training uses; an absent one is left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Journal:
    """Outcomes of one mark in a file of JSON lines."""

    def __init__(self, path: Path, mark_text: str) -> None:
        self._path, self._mark = path, mark_text

    def read(self) -> dict[Run, Outcome]:
        """Outcomes with this mark; a line that a kill cut off, or that is none, is passed over."""
        found: dict[Run, Outcome] = {}
        lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        for line in lines:
            outcome = self._outcome(line)
            if outcome is not None:
                found[outcome.run] = outcome
        return found

    def _outcome(self, line: bytes) -> Outcome | None:
        try:
            item = json.loads(line)
            if item.pop("mark") != self._mark or set(item) != {f.name for f in fields(Outcome)}:
                return None
            run = Run(**item.pop("run"))
            series = {name: tuple(map(float, item.pop(name))) for name in ("metric", "loss")}
            return Outcome(run=run, **series, **item) if series["metric"] else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def append(self, outcome: Outcome) -> None:
        """Add a line in one go, on the disk when this returns; a cut-off line is ended first."""
        text = json.dumps({"mark": self._mark, **asdict(outcome)}) + "\n"
        with self._path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                text = text if file.read() == b"\n" else "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
