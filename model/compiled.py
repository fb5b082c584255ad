"""Compilation of kernels by numba, and the version that keeps their cache honest.

Numba keeps the machine code of a function under the time stamp of that function's own file, but it
contains the code of every function called. A kernel that spans several files therefore has an entry
function that closes over ``version(...)`` of them all: numba's cache key includes closures.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


def part(function: _Function) -> _Function:
    """A function of a kernel, called by compiled functions only."""
    return cast(_Function, njit(function))


def entry(function: _Function) -> _Function:
    """What Python calls: its machine code is kept on disk."""
    return cast(_Function, njit(cache=True)(function))


def version(*modules: ModuleType) -> int:
    """Check sum of the sources of ``modules``."""
    total = 0
    for module in modules:
        assert module.__file__ is not None
        total = zlib.crc32(Path(module.__file__).read_bytes(), total)
    return total
