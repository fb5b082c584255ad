"""Files that ``tandem verify`` writes: tried before minutes of work, handed over whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from model.errors import TandemError


def hand_over(made: Path, wanted: Path) -> None:
    """Move the waveform to where it is wanted, whole."""
    part = wanted.with_name(f".{wanted.name}.part")
    try:
        shutil.move(made, part)
        part.replace(wanted)
    except OSError as error:
        raise TandemError(f"{wanted}: cannot be written ({error.strerror})") from error


def writable(path: Path) -> None:
    """TandemError where no file can be made at ``path``: said before minutes of work."""
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise TandemError(f"{path}: cannot be written: choose a file in a folder that is there")


def output_folder(path: Path) -> Path:
    """The folder, made and tried. TandemError where nothing can be written there."""
    path = path.resolve()
    trial = path / ".tandem_trial"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise TandemError(
            f"{path}: cannot write there ({error.strerror}): choose another folder with --out"
        ) from error
    return path
