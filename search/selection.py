"""Selection: prototypes grouped by similar quality of service, the best of each group kept.

Groups are those of the logarithm of the latency that leave the least squared distance to their
means (Jenks' natural breaks, found exactly by dynamic programming): bundles compete with bundles
that cost about the same, so a slow accurate one does not push out a fast one.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.network_file import write_atomically

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Prototype:
    """A bundle's prototype with its cost and its IoU."""

    bundle: str
    latency_ms: float
    fps: float
    iou: float
    dsp: float
    bram18: float
    group: int  # from 0, the fastest
    kept: bool
    front: bool  # none is both faster and better


@dataclass(frozen=True)
class Selection:
    """All prototypes, the fastest first."""

    prototypes: tuple[Prototype, ...]

    @property
    def kept(self) -> list[str]:
        """The bundles that survive, the best first."""
        order = sorted(self.prototypes, key=lambda item: (-item.iou, item.latency_ms))
        return [item.bundle for item in order if item.kept]

    def record(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [asdict(item) for item in self.prototypes]


def select(records: Sequence[Record], groups: int, keep: int) -> Selection:
    """Group records (``bundle``, ``latency_ms``, ``fps``, ``iou``, ``dsp``, ``bram18``).

    ``groups`` at most; ``keep`` survive in each, the highest IoU first, the faster one of equals.
    """
    order = sorted(records, key=lambda item: (item["latency_ms"], item["bundle"]))
    numbers = natural_breaks([math.log(item["latency_ms"]) for item in order], groups)
    kept: set[str] = set()
    for group in set(numbers):
        members = [item for item, number in zip(order, numbers, strict=True) if number == group]
        members.sort(key=lambda item: (-item["iou"], item["latency_ms"], item["bundle"]))
        kept |= {item["bundle"] for item in members[:keep]}
    found = []
    best = -math.inf
    for item, number in zip(order, numbers, strict=True):
        on_front = item["iou"] > best
        best = max(best, item["iou"])
        found.append(
            Prototype(
                item["bundle"], item["latency_ms"], item["fps"], item["iou"], item["dsp"],
                item["bram18"], number, item["bundle"] in kept, on_front,
            )
        )  # fmt: skip
    return Selection(tuple(found))


def natural_breaks(values: Sequence[float], groups: int) -> list[int]:
    """The group of each of the rising ``values``, at most ``groups``, as many as are distinct."""
    count = len(values)
    groups = min(groups, len(set(values)))
    sums, squares = [0.0], [0.0]
    for value in values:
        sums.append(sums[-1] + value)
        squares.append(squares[-1] + value * value)

    def spread(start: int, end: int) -> float:
        total = sums[end] - sums[start]
        return squares[end] - squares[start] - total * total / (end - start)

    best = [[math.inf] * (count + 1) for _ in range(groups + 1)]
    cut = [[0] * (count + 1) for _ in range(groups + 1)]
    best[0][0] = 0.0
    for group in range(1, groups + 1):
        for end in range(group, count + 1):
            for start in range(group - 1, end):
                cost = best[group - 1][start] + spread(start, end)
                if cost < best[group][end] - 1e-12:
                    best[group][end], cut[group][end] = cost, start
    found = [0] * count
    end = count
    for group in range(groups, 0, -1):
        start = cut[group][end]
        found[start:end] = [group - 1] * (end - start)
        end = start
    return found


def write_selection(selection: Selection, folder: Path) -> None:
    """``prototypes.csv``."""
    text = io.StringIO(newline="")
    rows = selection.record()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["bundle"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "prototypes.csv", text.getvalue().encode())
