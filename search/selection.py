"""Selection: prototypes grouped by similar quality of service, the best of each group kept.

Groups are those of the logarithm of the latency that leave the least squared distance to their
means (Jenks' natural breaks, found exactly by dynamic programming): bundles compete with bundles
that cost about the same, so a slow accurate one does not push out a fast one.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model.network_file import write_atomically
from model.tables import table

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
    Deterministic: the order of the records makes no difference.
    """
    order = sorted(records, key=lambda item: (item["latency_ms"], item["bundle"]))
    numbers = group_latencies([item["latency_ms"] for item in order], groups)
    kept: set[str] = set()
    for group in set(numbers):
        members = [item for item, number in zip(order, numbers, strict=True) if number == group]
        members.sort(key=_rank)
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


def _rank(item: Record) -> tuple[float, float, float, float, str]:
    """The highest IoU first; of equals the faster, then the one with fewer DSPs and blocks."""
    return (-item["iou"], item["latency_ms"], item["dsp"], item["bram18"], item["bundle"])


def group_latencies(latencies: Sequence[float], groups: int) -> list[int]:
    """The group of each of the rising latencies: natural breaks of their logarithms.

    Logarithms, so that 2 and 3 ms are as far apart as 20 and 30.
    """
    return natural_breaks([math.log(value) for value in latencies], groups)


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
    """``prototypes.csv``, ``prototypes.json`` and, with matplotlib, ``prototypes.png`` and SVG."""
    text = io.StringIO(newline="")
    rows = selection.record()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["bundle"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "prototypes.csv", text.getvalue().encode())
    write_atomically(folder / "prototypes.json", (json.dumps(rows, indent=1) + "\n").encode())
    from search.search_figures import draw_prototypes  # noqa: PLC0415  matplotlib is optional

    draw_prototypes(folder / "prototypes", rows)


def selection_table(selection: Selection) -> RenderableType:
    """All prototypes for people: a block a group, the fastest first; survivors are marked."""
    items = selection.prototypes
    rows = [
        [
            item.bundle,
            str(item.group + 1),
            f"{item.latency_ms:.2f}",
            f"{item.fps:.1f}",
            f"{item.iou:.4f}",
            f"{item.dsp:.0f}",
            f"{item.bram18:.0f}",
            "front" if item.front else "",
            "survives" if item.kept else "",
        ]
        for item in items
    ]
    rules = [at for at in range(1, len(items)) if items[at].group != items[at - 1].group]
    columns = ["bundle", "group", "ms", "FPS", "IoU", "DSP", "RAMB18", "Pareto", ""]
    return table(None, columns, rows, left=(0,), rules=rules)
