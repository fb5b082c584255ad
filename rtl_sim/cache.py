"""Directories that are either complete or absent, also after a crash and under concurrent use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the exclusive lock of `directory`; the system releases it however the process ends."""
    with directory.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A scratch directory that becomes `directory` if the body succeeds, and else is removed.

    The caller holds the lock of `directory`, so what is found half done here was left by a killed
    process.
    """
    for stale in directory.parent.glob(f"{directory.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = directory.with_suffix(f".tmp-{os.getpid()}")
    scratch.mkdir()
    try:
        yield scratch
        if directory.exists():
            shutil.rmtree(directory)
        scratch.rename(directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
