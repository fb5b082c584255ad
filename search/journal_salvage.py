"""What can still be read of a damaged journal, and what is lost.

SQLite reads a table page by page; a page that was overwritten hides its rows and nothing else. So
rows are looked for one by one past a damaged page, by their numbers, which have no gaps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.journal_db import COLUMNS, connect, create_tables

MAGIC = b"SQLite format 3\0"
MISSING_MAX_BYTES = 2**31  # a larger number is none that was written


@dataclass(frozen=True)
class Saved:
    """A table: rows that were read, rows that are known to be missing."""

    readable: int
    lost: int
    complete: bool  # False: there may have been more, nobody knows how many

    def __str__(self) -> str:
        if not self.lost and self.complete:
            return f"all {self.readable} rows"
        more = "" if self.complete else " or more"
        return f"{self.readable} rows, {self.lost}{more} lost"


@dataclass(frozen=True)
class Damage:
    """A damaged journal: where what could be read is now, and a sentence about it."""

    path: Path
    what: str  # SQLite's words
    tables: dict[str, Saved]
    connection: sqlite3.Connection  # in memory

    @property
    def sentence(self) -> str:
        """What is readable and what is lost, and what to do."""
        tables = ", ".join(f"{name}: {saved}" for name, saved in self.tables.items())
        return (
            f"{self.path}: damaged ({self.what}), so it is opened for reading only; still readable "
            f"are of {tables}: save these with 'tandem search --rescue {self.path.parent}', then "
            "start the same command again, which does only what was lost"
        )


def salvage(path: Path) -> Damage | None:
    """None for a journal in order, or none at all."""
    if not path.exists():
        return None
    what = fault(path)
    if what is None:
        return None
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    memory.row_factory = sqlite3.Row
    create_tables(memory)
    source = _source(path)
    if source is None:
        return Damage(path, what, dict.fromkeys(COLUMNS, Saved(0, 0, complete=False)), memory)
    try:
        tables = {name: _copy(source, memory, name) for name in COLUMNS}
    finally:
        source.close()
    return Damage(path, what, tables, memory)


def fault(path: Path) -> str | None:
    """What SQLite's own check says; None where all is well."""
    try:
        connection = connect(path, read_only=True)
        try:
            rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
            missing = set(COLUMNS) - _tables(connection)
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        # A file that is being made, or one without rights, is not damaged: opening it says more.
        return str(error) if "malformed" in str(error) or "disk I/O" in str(error) else None
    except sqlite3.DatabaseError as error:
        return str(error)
    if rows != ["ok"]:
        return " ".join(rows[0].split())
    return None if not missing or len(missing) == len(COLUMNS) else f"no table {min(missing)}"


def rescue(folder: Path, damage: Damage) -> Path:
    """Put what was read in the journal's place; the damaged file stays, under the name returned."""
    kept = damage.path.with_suffix(".damaged.sqlite")
    fresh = damage.path.with_suffix(".new.sqlite")
    fresh.unlink(missing_ok=True)
    target = sqlite3.connect(fresh)
    try:
        damage.connection.backup(target)
    finally:
        target.close()
    for suffix in ("-wal", "-shm"):
        (folder / (damage.path.name + suffix)).unlink(missing_ok=True)
    damage.path.replace(kept)
    fresh.replace(damage.path)
    return kept


def _source(path: Path) -> sqlite3.Connection | None:
    """A connection that knows the tables; None where not even those can be read."""
    for opened in (_as_it_is, _filled_up):
        try:
            connection = opened(path)
            if _tables(connection):
                return connection
            connection.close()
        except (sqlite3.Error, OSError, ValueError):
            continue
    return None


def _as_it_is(path: Path) -> sqlite3.Connection:
    return connect(path, read_only=True)


def _filled_up(path: Path) -> sqlite3.Connection:
    """A file that was cut off, filled up in memory: SQLite reads nothing of a shorter one.

    Offsets are those of SQLite's file format: 16 page size, 18 and 19 write-ahead log, 28 pages.
    """
    content = bytearray(path.read_bytes())
    page_bytes = int.from_bytes(content[16:18], "big")
    missing = page_bytes * int.from_bytes(content[28:32], "big") - len(content)
    if not content.startswith(MAGIC) or missing > MISSING_MAX_BYTES:
        raise ValueError("no header")
    content += bytes(max(0, missing))
    content[18:20] = b"\1\1"
    connection = sqlite3.connect(":memory:")
    connection.deserialize(bytes(content))
    return connection


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> Saved:
    columns = ", ".join(COLUMNS[table])
    marks = ", ".join("?" * len(COLUMNS[table]))
    last, whole = _last_number(source, table)
    read = 0
    highest = 0
    for row in _rows(source, table, columns, last):
        try:
            target.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)  # noqa: S608
        except sqlite3.Error:
            continue  # a row whose bytes are not what was written
        read += 1
        highest = max(highest, int(row[0]))
    return Saved(read, max(last, highest) - read, whole)


def _last_number(source: sqlite3.Connection, table: str) -> tuple[int, bool]:
    """The highest number a row ever had, and whether that is certain."""
    try:
        row = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    except sqlite3.Error:
        return 0, False
    return (int(row[0]), True) if row else (0, True)


def _rows(
    source: sqlite3.Connection, table: str, columns: str, last: int
) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, in the order of the numbers."""
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE number > ? ORDER BY number"  # noqa: S608
    after = 0
    while True:
        try:
            for row in source.execute(query, (after,)):
                if not isinstance(row[0], int) or row[0] <= after:
                    break
                after = row[0]
                yield row
            else:
                return
        except sqlite3.Error:
            pass
        after += 1  # the rows of a page that cannot be read, one by one
        if after > last:
            return
