"""Hypervolume of two objectives, both to be made large, and how it grows with evaluations."""

from __future__ import annotations

from collections.abc import Sequence

Pair = tuple[float, float]


def hypervolume(points: Sequence[Pair], reference: Pair) -> float:
    """The area that is dominated by the points and lies above the reference."""
    area, top = 0.0, reference[1]
    for x, y in sorted(points, key=lambda p: (-p[0], -p[1])):
        if x > reference[0] and y > top:
            area += (x - reference[0]) * (y - top)
            top = y
    return area


def growth(points: Sequence[Pair], reference: Pair, marks: Sequence[int]) -> list[float]:
    """The hypervolume of the first ``mark`` points, for rising marks."""
    found: list[float] = []
    front: list[Pair] = []
    done = 0
    for mark in marks:
        front = front_of([*front, *points[done:mark]])
        done = max(done, mark)
        found.append(hypervolume(front, reference))
    return found


def front_of(points: Sequence[Pair]) -> list[Pair]:
    """The points that no other one dominates."""
    kept: list[Pair] = []
    for point in sorted(points, key=lambda p: (-p[0], -p[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept
