"""Tasks for the tests of journal and executors; worker processes import them from here."""

# ruff: noqa: ARG001  a task's function has three parameters

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.errors import TandemError
from search.executor import LocalExecutor
from search.trials import Evaluation, Journal, Task

FACTS = {"spec": "a1", "sources": "b2"}
Tick = Callable[[dict[str, Any]], None]


def square(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    """Leaves its folder's count of beginnings, evaluations and a step, and a result."""
    begun = begin(folder)
    x = payload["x"]
    tick({"epoch": 1, "evaluations": rows(4), "steps": [(0, time.time(), {"x": x})]})
    time.sleep(payload.get("seconds", 0))
    return {"y": x * x, "begun": begun}


def mortal(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    """Is killed in mid-trial the first so many times."""
    begun = begin(folder)
    tick({"evaluations": rows(3)})
    if begun <= payload["deaths"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"begun": begun}


def hungry(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    raise MemoryError


def mistaken(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    raise TandemError("data.csv: holds one image: give at least two")


def broken(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    return {"x": 1 // payload["zero"]}


def crowded(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    """The disk is full until a file appears."""
    if not Path(payload["room"]).exists():
        full = OSError(errno.ENOSPC, "No space left on device")
        raise TandemError("weights.npz: cannot be written") from full
    return {"stored": True}


def begin(folder: Path) -> int:
    """Which beginning of the trial this is."""
    count = len(list(folder.glob("begun.*"))) + 1
    (folder / f"begun.{count}").write_text(str(os.getpid()))
    return count


def rows(number: int, first: int = 0) -> list[Evaluation]:
    return [(f"g{n}", time.time(), {"fps": n / 7}) for n in range(first, first + number)]


def squares(number: int, seconds: float = 0.0) -> list[Task]:
    return [
        Task(f"square-{x}", "train", "executor_tasks:square", {"x": x, "seconds": seconds})
        for x in range(number)
    ]


def drive(folder: str, number: int, seconds: float) -> None:
    """A search of two workers, for a process that will be interrupted."""
    with Journal.open(Path(folder), FACTS) as journal:
        LocalExecutor(2, journal).run(squares(number, seconds))


if __name__ == "__main__":
    drive(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
