"""``tandem search --rescue RUN``: what can be read of a damaged journal, put in its place."""

from __future__ import annotations

from pathlib import Path

from model import console
from model.errors import TandemError
from model.tables import facts, headline
from search.journal_db import FILE
from search.journal_lock import FolderLock
from search.journal_salvage import rescue, salvage


def rescue_command(folder: Path, as_json: bool) -> int:
    """Save the readable rows; the damaged file stays beside them. TandemError where none is."""
    if not (folder / FILE).exists():
        raise TandemError(f"{folder}: there is no search in it ({FILE} is missing)")
    lock = FolderLock(folder)
    try:
        damage = salvage(folder / FILE)
        if damage is None:
            raise TandemError(f"{folder / FILE}: is in order, there is nothing to rescue")
        kept = rescue(folder, damage)
    finally:
        lock.release()
    tables = {name: str(saved) for name, saved in damage.tables.items()}
    if as_json:
        console.put_json({"journal": str(damage.path), "damaged": str(kept), "tables": tables})
    else:
        rows = [*tables.items(), ("damaged file", str(kept))]
        console.put(headline(f"{damage.path}: saved what could be read"), facts(rows))
    return console.HELD
