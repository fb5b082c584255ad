"""Short tasks with which the executors' own time is measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from search.trial_worker import Tick


def rest(payload: dict[str, Any], _folder: Path, tick: Tick) -> dict[str, Any]:
    """Do nothing for ``seconds``, with ``letters`` batches of ``rows`` evaluations on the way.

    Returns the ``seconds`` that this took without what the executor does with the letters: a
    system that is busy wakes a process late.
    """
    letters = int(payload.get("letters", 0))
    spent = 0.0
    for letter in range(max(1, letters)):
        began = time.perf_counter()
        time.sleep(payload["seconds"] / max(1, letters))
        rows = evaluations(letter * payload["rows"], payload["rows"]) if letters else []
        spent += time.perf_counter() - began
        tick({"evaluations": rows})
    return {"seconds": spent}


def evaluations(first: int, number: int) -> list[tuple[str, float, dict[str, Any]]]:
    """Rows as large as a search's."""
    record = {"genome": "x" * 200, "fps": 41.25, "dsp": 206, "bram18": 210, "lut": 33_000}
    return [(f"{n:016x}", time.time(), record) for n in range(first, first + number)]
