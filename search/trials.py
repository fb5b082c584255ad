"""The journal of a search: every trial, evaluation and step on disk, so that a killed search
goes on where it was and no trial is ever done twice.

A trial waits, runs, and is done or failed. Claiming one is atomic over all processes. Trials that
were begun but not finished when a search ended wait again in the next, with their attempts
forgotten. The folder is held by one search at a time; its worker processes join it, and any number
of readers may look on. The times are the writers' own, in seconds since 1970.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model.errors import TandemError
from search.journal_db import FILE, connect, create_tables, told
from search.journal_lock import FolderLock, is_alive, process_id, process_name
from search.journal_salvage import Damage, salvage
from search.journal_view import (
    DONE,
    FAILED,
    PARKED,
    RUNNING,
    WAITING,
    Evaluation,
    JournalView,
    Step,
    Task,
    Trial,
    trial_of_row,
)

MAX_ATTEMPTS = 3
HOLDER = "holder"  # meta: name of the process that holds the folder
ORPHAN_SECONDS = 5.0  # a killed search's workers have ended by then


__all__ = [
    "DONE",
    "FAILED",
    "RUNNING",
    "WAITING",
    "Evaluation",
    "Journal",
    "JournalView",
    "Step",
    "Task",
    "Trial",
]


class Journal(JournalView):
    """An open journal. A damaged one is read-only, and holds what could be read."""

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        lock: FolderLock | None = None,
        damage: Damage | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__(folder, connection)
        self.damage, self._lock, self._read_only = damage, lock, read_only

    @staticmethod
    def open(folder: Path, facts: Mapping[str, str], read_only: bool = False) -> Journal:
        """The folder's journal, begun if there is none.

        ``facts`` identify the search; an existing journal must hold the same ones (none are
        compared when reading only). TandemError for another search's folder, one that a process
        uses, one that cannot be written. A damaged journal is opened read-only, with ``damage``.
        """
        path = folder / FILE
        if read_only:
            return _look(folder)
        lock = FolderLock(folder)
        try:
            damage_or_connection = salvage(path) or _writable(path)
            if isinstance(damage_or_connection, Damage):
                damage = damage_or_connection
                return Journal(folder, damage.connection, lock, damage, read_only=True)
            journal = Journal(folder, damage_or_connection, lock)
            journal._identify(facts)
            journal.put_meta(HOLDER, process_name())
            journal._park()
        except BaseException:
            lock.release()
            raise
        return journal

    @staticmethod
    def join(folder: Path) -> Journal:
        """For a worker process of the search that holds the folder."""
        with told(folder / FILE):
            return Journal(folder, connect(folder / FILE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the folder back."""
        with self._turn:
            self._connection.close()
        if self._lock is not None:
            self._lock.release()

    def add_trials(self, tasks: Iterable[Task]) -> None:
        """Make tasks wait, unless they are known. A parked one waits again."""
        with self._writing() as db:
            for task in tasks:
                known = db.execute("SELECT state FROM trials WHERE key = ?", (task.key,)).fetchone()
                if known is None:
                    row = (task.key, task.kind, task.function, _text(task.payload), WAITING)
                    db.execute(
                        "INSERT INTO trials (key, kind, function, payload, state) "
                        "VALUES (?, ?, ?, ?, ?)",
                        row,
                    )
                elif known[0] == PARKED:
                    db.execute(
                        "UPDATE trials SET state = ?, function = ?, payload = ? WHERE key = ?",
                        (WAITING, task.function, _text(task.payload), task.key),
                    )

    def claim(self, worker: str, holder: str | None = None) -> Trial | None:
        """The first trial that waits, now this worker's and no other's; None where none waits.

        With ``holder``, the process that started the worker, none waits for it once another process
        holds the folder.
        """
        now = time.time()
        with self._writing() as db:
            rows = db.execute(
                "UPDATE trials SET state = ?, worker = ?, attempts = attempts + 1, claimed_at = ?, "
                "heartbeat_at = ?, progress = NULL WHERE number = (SELECT number FROM trials "
                "WHERE state = ? ORDER BY number LIMIT 1) "
                "AND NOT EXISTS (SELECT 1 FROM meta WHERE name = ? AND value != ?) RETURNING *",
                (RUNNING, worker, now, now, WAITING, HOLDER, holder),
            ).fetchall()
        return trial_of_row(rows[0]) if rows else None

    def heartbeat(self, key: str, worker: str, progress: Mapping[str, Any] | None = None) -> bool:
        """Say that the worker is at it, and how far. False where the trial is not its any more."""
        with self._writing() as db:
            done = db.execute(
                "UPDATE trials SET heartbeat_at = ?, progress = coalesce(?, progress) "
                "WHERE key = ? AND worker = ? AND state = ?",
                (time.time(), None if progress is None else _text(progress), key, worker, RUNNING),
            )
            return done.rowcount == 1

    def finish(self, key: str, worker: str, result: Mapping[str, Any]) -> bool:
        """Keep a result. False, and nothing kept, where the trial is not the worker's any more."""
        return self._end(key, worker, DONE, _text(result), None)

    def fail(self, key: str, worker: str, error: str) -> bool:
        """Give a trial up, with the reason."""
        return self._end(key, worker, FAILED, None, error)

    def _end(
        self, key: str, worker: str, state: str, result: str | None, error: str | None
    ) -> bool:
        now = time.time()
        with self._writing() as db:
            done = db.execute(
                "UPDATE trials SET state = ?, result = ?, error = ?, finished_at = ?, "
                "heartbeat_at = ? WHERE key = ? AND worker = ? AND state = ?",
                (state, result, error, now, now, key, worker, RUNNING),
            )
            return done.rowcount == 1

    def release(self, worker: str, blamed: str | None = None) -> list[Trial]:
        """A worker has ended: what it had claimed waits again, as returned.

        With ``blamed``, why it ended, a trial that has been tried MAX_ATTEMPTS times fails;
        without, the attempt does not count.
        """
        with self._writing() as db:
            rows = db.execute(
                "UPDATE trials SET attempts = attempts - ? , worker = NULL, error = ?, "
                "state = CASE WHEN ? AND attempts >= ? THEN ? ELSE ? END "
                "WHERE worker = ? AND state = ? RETURNING *",
                (
                    int(blamed is None), blamed, blamed is not None, MAX_ATTEMPTS, FAILED, WAITING,
                    worker, RUNNING,
                ),
            ).fetchall()  # fmt: skip
            for row in rows:
                if row["state"] == FAILED:
                    reason = f"given up after {row['attempts']} attempts, the last time: {blamed}"
                    db.execute("UPDATE trials SET error = ? WHERE key = ?", (reason, row["key"]))
        return [trial_of_row(row) for row in rows]

    def put_evaluations(self, chain: str, rows: Iterable[Evaluation]) -> None:
        """Keep a batch, in one transaction. What the chain evaluated before keeps its record."""
        values = [(chain, key, at, _text(record), chain, key) for key, at, record in rows]
        with self._writing() as db:
            db.executemany(
                "INSERT INTO evaluations (chain, key, time, record) SELECT ?, ?, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM evaluations WHERE chain = ? AND key = ?)",
                values,
            )

    def put_steps(self, chain: str, rows: Iterable[Step]) -> None:
        """Keep a batch, in one transaction. A step that is there already is replaced."""
        with self._writing() as db:
            for index, at, record in rows:
                # Not INSERT ... ON CONFLICT: it uses up a number, and numbers shall have no gaps.
                values = (at, _text(record), chain, index)
                done = db.execute(
                    "UPDATE steps SET time = ?, record = ? WHERE chain = ? AND step = ?", values
                )
                if not done.rowcount:
                    db.execute(
                        "INSERT INTO steps (time, record, chain, step) VALUES (?, ?, ?, ?)", values
                    )

    def put_meta(self, name: str, value: str) -> None:
        """Keep a text under a name."""
        with self._writing() as db:
            done = db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
            if not done.rowcount:
                db.execute("INSERT INTO meta (value, name) VALUES (?, ?)", (value, name))

    def _identify(self, facts: Mapping[str, str]) -> None:
        """Write the facts of a new search; TandemError where the folder holds another one."""
        known = {
            str(name)[len(_FACT) :]: str(value)
            for name, value in self._read(
                "SELECT name, value FROM meta WHERE name LIKE ?", (f"{_FACT}%",)
            )
        }
        if not known:
            for name, value in facts.items():
                self.put_meta(_FACT + name, value)
            return
        differing = [
            f"{name} is {known.get(name, 'absent')} there and {facts.get(name, 'absent')} here"
            for name in sorted({*known, *facts})
            if known.get(name) != facts.get(name)
        ]
        if differing:
            raise TandemError(
                f"{self.folder}: holds another search ({'; '.join(differing)}): choose another "
                "folder with --out, or remove this one"
            )

    def _park(self) -> None:
        """Trials that were not finished, once the processes that ran them have ended."""
        end = time.monotonic() + ORPHAN_SECONDS
        while alive := sorted(self._living()):
            if time.monotonic() > end:
                numbers = ", ".join(str(process_id(name)) for name in alive)
                raise TandemError(
                    f"{self.folder}: a worker of an earlier search still runs (process {numbers}): "
                    "end it, then start the same command again"
                )
            time.sleep(0.05)
        with self._writing() as db:
            db.execute(
                "UPDATE trials SET state = ?, worker = NULL, attempts = 0, error = NULL "
                "WHERE state != ?",
                (PARKED, DONE),
            )

    def _living(self) -> set[str]:
        rows = self._read("SELECT DISTINCT worker FROM trials WHERE state = ?", (RUNNING,))
        return {name for (name,) in rows if is_alive(name)}

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is one transaction: on the disk at its end, or none of it is."""
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, or a part of the one that is open in this thread."""
        if self.damage is not None:
            raise TandemError(self.damage.sentence)
        if self._read_only:
            raise TandemError(f"{self.path}: is open for reading only")
        with self._turn, told(self.path):
            within = self._connection.in_transaction
            if within:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


_FACT = "fact "


def _look(folder: Path) -> Journal:
    path = folder / FILE
    if not path.exists():
        raise TandemError(f"{folder}: there is no search in it ({FILE} is missing)")
    damage = salvage(path)
    if damage is not None:
        return Journal(folder, damage.connection, damage=damage, read_only=True)
    with told(path):
        return Journal(folder, connect(path, read_only=True), read_only=True)


def _writable(path: Path) -> sqlite3.Connection:
    with told(path):
        connection = connect(path)
        create_tables(connection)
        return connection


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"))
