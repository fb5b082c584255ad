"""The SQLite file of a search: its tables, how it is opened, and its faults told in a sentence.

Write-ahead logging lets other processes read while one writes; writers wait for each other. A
transaction is on the disk when it ends, so a killed process loses only what it had not written.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.errors import TandemError

FILE = "journal.sqlite"
BUSY_SECONDS = 60.0  # a writer waits so long for the others
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (
  number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trials (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
  function TEXT NOT NULL, payload TEXT NOT NULL, state TEXT NOT NULL, worker TEXT,
  attempts INTEGER NOT NULL DEFAULT 0, claimed_at REAL, heartbeat_at REAL, finished_at REAL,
  progress TEXT, result TEXT, error TEXT);
CREATE INDEX IF NOT EXISTS trials_of_state ON trials (state, number);
CREATE TABLE IF NOT EXISTS evaluations (
  number INTEGER PRIMARY KEY AUTOINCREMENT, chain TEXT NOT NULL, key TEXT NOT NULL,
  time REAL NOT NULL, record TEXT NOT NULL, UNIQUE (chain, key));
CREATE TABLE IF NOT EXISTS steps (
  number INTEGER PRIMARY KEY AUTOINCREMENT, chain TEXT NOT NULL, step INTEGER NOT NULL,
  time REAL NOT NULL, record TEXT NOT NULL, UNIQUE (chain, step));
"""
# What is copied from a damaged file, in this order.
COLUMNS = {
    "meta": ("number", "name", "value"),
    "trials": (
        "number", "key", "kind", "function", "payload", "state", "worker", "attempts",
        "claimed_at", "heartbeat_at", "finished_at", "progress", "result", "error",
    ),
    "evaluations": ("number", "chain", "key", "time", "record"),
    "steps": ("number", "chain", "step", "time", "record"),
}  # fmt: skip


class DiskFull(TandemError):  # noqa: N818  what it is
    """There is no room for another row; what was written before is safe."""


class DamagedFile(TandemError):  # noqa: N818  what it is
    """The file is not what SQLite wrote."""


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; transactions are begun by hand."""
    mode = "ro" if read_only else "rwc"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last ones
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """All tables that are missing."""
    connection.executescript(SCHEMA)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's errors as sentences: DiskFull, DamagedFile, TandemError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _operational(path, error) from error
    except sqlite3.DatabaseError as error:
        raise DamagedFile(
            f"{path}: damaged ({error}): start the same command again, it says what is lost"
        ) from error


def _operational(path: Path, error: sqlite3.OperationalError) -> TandemError:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL or "disk is full" in str(error):
        return disk_full(path)
    if "locked" in str(error) or "busy" in str(error):
        return TandemError(
            f"{path}: another process has written for more than {BUSY_SECONDS:.0f} s: look for one "
            "that hangs, then start the same command again; nothing is lost"
        )
    return TandemError(f"{path}: cannot be used ({error}): look at its rights and its disk")


def disk_full(path: Path) -> DiskFull:
    """The sentence."""
    return DiskFull(
        f"{path}: the disk is full: make room and start the same command again; nothing that was "
        "finished is lost"
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Does an error, or what it came from, say that there is no room?"""
    while error is not None:
        if isinstance(error, DiskFull):
            return True
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__cause__ or error.__context__
    return False
