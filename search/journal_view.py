"""What a journal holds, as anyone may read it: trials, results, evaluations, steps, counts."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.journal_db import FILE, told
from search.journal_rates import Rate, rate

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
PARKED = "parked"  # of an earlier run, until it is asked for again
Evaluation = tuple[str, float, Mapping[str, Any]]  # key, time, record
Step = tuple[int, float, Mapping[str, Any]]  # index, time, record


@dataclass(frozen=True)
class Task:
    """Work whose result depends on nothing but its payload."""

    key: str  # names it for good; letters, digits, "-", "_", "."
    kind: str  # such as "train"
    function: str  # "package.module:name", called with (payload, folder, tick)
    payload: Mapping[str, Any]  # JSON


@dataclass(frozen=True)
class Trial:
    """A task in the journal."""

    task: Task
    state: str
    worker: str | None
    attempts: int  # times it was claimed in this search
    claimed_at: float | None
    heartbeat_at: float | None
    finished_at: float | None
    progress: dict[str, Any]
    error: str | None


class JournalView:
    """The reading half of a journal."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.path = folder, folder / FILE
        self._connection = connection
        self._turn = threading.RLock()  # a worker's heart beats in a thread of its own

    def results(self, kind: str | None = None) -> dict[str, dict[str, Any]]:
        """Results of all trials that are done, by key, in the order in which they were added."""
        rows = self._read(
            "SELECT key, result FROM trials WHERE state = ? AND (? IS NULL OR kind = ?) "
            "ORDER BY number",
            (DONE, kind, kind),
        )
        return {key: json.loads(result) for key, result in rows}

    def trials(self, kind: str | None = None) -> list[Trial]:
        """All trials of this search, in the order in which they were added."""
        rows = self._read(
            "SELECT * FROM trials WHERE state != ? AND (? IS NULL OR kind = ?) ORDER BY number",
            (PARKED, kind, kind),
        )
        return [trial_of_row(row) for row in rows]

    def states(self) -> dict[str, str]:
        """State of every trial, by key."""
        return dict(self._read("SELECT key, state FROM trials"))

    def failures(self) -> dict[str, str]:
        """Why trials failed, by key."""
        rows = self._read(
            "SELECT key, error FROM trials WHERE state = ? ORDER BY number", (FAILED,)
        )
        return {key: str(error) for key, error in rows}

    def counts(self) -> dict[str, dict[str, int]]:
        """Trials by kind and state; kinds in the order in which they began."""
        found: dict[str, dict[str, int]] = {}
        for kind, state, number in self._read(
            "SELECT kind, state, count(*) FROM trials WHERE state != ? GROUP BY kind, state "
            "ORDER BY min(number)",
            (PARKED,),
        ):
            empty = dict.fromkeys((WAITING, RUNNING, DONE, FAILED), 0)
            found.setdefault(kind, empty)[state] = number
        return found

    def steps(self, chain: str) -> list[dict[str, Any]]:
        """Records of a chain's steps in their order."""
        rows = self._read("SELECT record FROM steps WHERE chain = ? ORDER BY step", (chain,))
        return [json.loads(record) for (record,) in rows]

    def evaluations(self, chain: str) -> list[Evaluation]:
        """A chain's evaluations in the order in which they were kept."""
        rows = self._read(
            "SELECT key, time, record FROM evaluations WHERE chain = ? ORDER BY number", (chain,)
        )
        return [(key, at, json.loads(record)) for key, at, record in rows]

    def chains(self) -> dict[str, int]:
        """Evaluations of every chain that has any."""
        return dict(self._read("SELECT chain, count(*) FROM evaluations GROUP BY chain"))

    def evaluations_per_minute(self, chains: Sequence[str] | None = None) -> Rate:
        """How fast evaluations were made, from the times that they themselves carry."""
        rows = self._read("SELECT chain, time FROM evaluations")
        return rate(at for chain, at in rows if chains is None or chain in chains)

    def meta(self, name: str) -> str | None:
        """A fact, or what :meth:`put_meta` kept."""
        rows = self._read("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def _read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._turn, told(self.path):
            return self._connection.execute(query, values).fetchall()


def trial_of_row(row: sqlite3.Row) -> Trial:
    """A trial from a row of the table of trials."""
    task = Task(row["key"], row["kind"], row["function"], json.loads(row["payload"]))
    return Trial(
        task,
        row["state"],
        row["worker"],
        row["attempts"],
        row["claimed_at"],
        row["heartbeat_at"],
        row["finished_at"],
        json.loads(row["progress"] or "{}"),
        row["error"],
    )
