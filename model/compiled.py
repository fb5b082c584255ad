# mypy: disable-error-code="no-untyped-call"
"""Compilation of kernels by numba, and the version that keeps their cache honest.

Numba keeps the machine code of a function under the time stamp of that function's own file, but it
contains the code of every function called. A kernel that spans several files therefore has an entry
function that closes over ``version(...)`` of them all: numba's cache key includes closures.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from model.console import said_after

_Function = TypeVar("_Function", bound=Callable[..., Any])


def part(function: _Function) -> _Function:
    """A function of a kernel, called by compiled functions only."""
    return cast(_Function, njit(error_model="numpy", forceinline=True)(function))


def entry(function: _Function) -> _Function:
    """What Python calls: its machine code is kept on disk."""
    return cast(_Function, njit(cache=True, error_model="numpy")(function))


def told() -> AbstractContextManager[None]:
    """While a kernel is compiled or loaded: says so where it takes longer than loading does."""
    return said_after(1.5, "compiling the simulator, once for this installation ...")


def _first_place(_context: Any, array: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(types.int64)(array), code


_pointer: Any = intrinsic(_first_place)


@part
def pointer(state: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where an int64 array begins, indexed like the array, without reference counts and checks.

    For compiled code; the caller keeps the array.
    """
    found: NDArray[np.int64] = _pointer(state)
    return found


def version(*modules: ModuleType) -> int:
    """Check sum of the sources of ``modules``, and of this one."""
    total = zlib.crc32(Path(__file__).read_bytes())
    for module in modules:
        assert module.__file__ is not None
        total = zlib.crc32(Path(module.__file__).read_bytes(), total)
    return total
