"""What a unit does in every cycle of a run: spans that follow each other without gaps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]

CAUSES = (
    "busy", "input", "output", "weights", "ddr_latency", "ddr_bandwidth", "arbitration", "refresh",
    "fill", "drain",
)  # fmt: skip
(
    BUSY, INPUT, OUTPUT, WEIGHTS, DDR_LATENCY, DDR_BANDWIDTH, ARBITRATION, REFRESH, FILL, DRAIN,
) = range(len(CAUSES))  # fmt: skip

CLASSES = ("busy", "wait_input", "wait_output", "wait_ddr")
CLASS_OF_CAUSE = np.array([0, 1, 2, 3, 3, 3, 3, 3, 1, 1])
"""The hardware counter that counts a cause: each counter is the sum of its causes."""

UNITS = ("sequencer", "load", "weight", "depthwise", "mac", "post", "store")


@dataclass(frozen=True)
class Spans:
    """The cycles 1 .. total of a unit: span i is [start[i], start[i + 1]), the last to the end.

    ``tag``: bundle << 16 | tile of the command concerned; of the one waited for, in a wait; -1 in a
    unit that has nothing to do in the whole run.
    """

    start: Column
    cause: Column
    tag: Column
    total: int

    @property
    def end(self) -> Column:
        """One past the last cycle of each span."""
        return np.append(self.start[1:], self.total + 1)

    @property
    def cycles(self) -> Column:
        """Length of each span."""
        return self.end - self.start

    def by_class(self) -> Spans:
        """The same with the number of the hardware counter as cause; equal neighbours are one."""
        return Spans(self.start, CLASS_OF_CAUSE[self.cause], self.tag * 0, self.total).merged()

    def merged(self) -> Spans:
        """Neighbours of one cause and tag become one span."""
        new = np.ones(len(self.start), bool)
        new[1:] = (self.cause[1:] != self.cause[:-1]) | (self.tag[1:] != self.tag[:-1])
        return Spans(self.start[new], self.cause[new], self.tag[new], self.total)


@dataclass
class SpanWriter:
    """Collects the spans of a unit in order of time; where it starts what, until when is implied.

    Python lists of numbers and numpy columns are both taken.
    """

    starts: list[Column] = field(default_factory=list)
    causes: list[Column] = field(default_factory=list)
    tags: list[Column] = field(default_factory=list)

    def put(self, start: Column, cause: Column | int, tag: Column | int) -> None:
        """From each of the cycles ``start`` on the unit does ``cause``."""
        self.starts.append(start)
        self.causes.append(np.broadcast_to(np.asarray(cause, np.int64), start.shape))
        self.tags.append(np.broadcast_to(np.asarray(tag, np.int64), start.shape))

    def close(self, total: int, first: int, last: int) -> Spans:
        """The spans of the cycles 1 .. total; of two with one start the one put later stands.

        ``first``, ``last``: the cycles of the unit's first start and last end. Waits for input that
        end before, or begin after them, are fill and drain.
        """
        if not self.starts:
            nothing = np.array([1]), np.array([FILL]), np.array([-1])
            return Spans(*nothing, total)
        start, cause, tag = (
            np.concatenate(columns) for columns in (self.starts, self.causes, self.tags)
        )
        order = np.argsort(start, kind="stable")
        start, cause, tag = start[order], cause[order].copy(), tag[order]
        keep = np.append(start[1:] > start[:-1], True) & (start <= total)
        start, cause, tag = start[keep], cause[keep], tag[keep]
        cause[(cause == INPUT) & (start < first)] = FILL
        cause[(cause == INPUT) & (start > last)] = DRAIN
        return Spans(start, cause, tag, total).merged()
