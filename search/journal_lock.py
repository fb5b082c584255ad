"""Who works in a folder: one search at a time, and worker processes told apart for certain."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from model.errors import TandemError

FILE = "journal.lock"


class FolderLock:
    """One process holds a folder; the lock goes with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        """TandemError where another process holds it, or the folder cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] | None = (folder / FILE).open("a+")
        except OSError as error:
            raise TandemError(
                f"{folder}: cannot be written ({error.strerror}): choose another folder with --out"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise TandemError(
                f"{folder}: process {holder} searches in this folder: wait for it, watch it with "
                "'tandem search --status', or choose another folder with --out"
            ) from None
        with contextlib.suppress(OSError):  # a full disk; the lock holds without the number
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()

    def release(self) -> None:
        """Give the folder back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def process_name(pid: int | None = None) -> str:
    """Host, process and the tick at which it began: no other process ever has this name."""
    number = os.getpid() if pid is None else pid
    _, began = _state(number)
    return f"{socket.gethostname()}:{number}:{began}"


def is_alive(name: str) -> bool:
    """Does the process of this name run on this machine? One of another machine does not."""
    host, number, began = name.rsplit(":", 2)
    state, found = _state(int(number))
    return host == socket.gethostname() and found == int(began) and state not in "ZX"


def process_id(name: str) -> int:
    """The process's number."""
    return int(name.rsplit(":", 2)[1])


def _state(pid: int) -> tuple[str, int]:
    """State and start, in clock ticks since the machine's; X and 0 where there is no process."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return state, int(fields[18])  # proc(5): starttime, field 22; the state is field 3
