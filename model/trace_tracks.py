"""What tracks of a trace are made of: free lanes for slices that overlap, curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.spans import Column


def lanes(start: Column, end: Column) -> list[int]:
    """The track of each slice, so that none overlap on one; ``end``: the last cycle, inclusive."""
    if np.all(start[1:] > end[:-1]):
        return [0] * len(start)
    free: list[int] = []  # the last cycle taken of each lane
    found = []
    for begin, last in zip(start.tolist(), end.tolist(), strict=True):
        lane = next((index for index, taken in enumerate(free) if taken < begin), len(free))
        if lane == len(free):
            free.append(0)
        free[lane] = last
        found.append(lane)
    return found


def port_beats(first: Column, last: Column, total: int, window: int) -> Column:
    """Beats in each window of cycles: window i is [i * window, (i + 1) * window)."""
    count = total // window + 1
    change = np.zeros(count * window + 1, np.int64)
    np.add.at(change, first, 1)
    np.subtract.at(change, np.minimum(last + 1, count * window), 1)
    found: Column = np.cumsum(change[:-1]).reshape(count, window).sum(1)
    return found


def counter_lines(pid: int, name: str, cycles: Column, values: NDArray[np.generic]) -> list[str]:
    """The points of a curve."""
    return [
        f'{{"ph":"C","name":"{name}","ts":{cycle},"pid":{pid},"args":{{"value":{value}}}}}'
        for cycle, value in zip(cycles.tolist(), values.tolist(), strict=True)
    ]
