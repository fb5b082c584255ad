"""Fronts: which of many measured designs nothing else beats, axis by axis."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping

AXES = ("dsp", "bram18", "lut", "ff", "power_w")


class Front:
    """Of points (cycles, cost, key) those that no other beats in both; equal ones: the first."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float, str]] = []  # cycles rise, cost falls

    def dominated(self, cycles: float, cost: float) -> bool:
        """Is there a point at least as fast that costs no more?"""
        index = bisect_right(self._points, (cycles, float("inf"), ""))
        return index > 0 and self._points[index - 1][1] <= cost

    def above(self, cycles: float, floor: float, work: float, slowest: float) -> bool:
        """The same of a design that costs ``floor + work / c`` at c cycles a frame.

        c is not known but at least ``cycles``; beyond ``slowest`` it is of no interest. As the cost
        falls with c, of the stretch that a point rules, up to the next one, the end decides.
        """
        index = bisect_right(self._points, (cycles, float("inf"), "")) - 1
        if index < 0:
            return False
        ends = [point[0] for point in self._points[index + 1 :] if point[0] < slowest]
        costs = [point[1] for point in self._points[index:]]
        return all(
            cost <= floor + work / end for cost, end in zip(costs, (*ends, slowest), strict=False)
        )

    def add(self, cycles: float, cost: float, key: str) -> bool:
        """Take the point in, unless one there is as good; those it beats leave."""
        if self.dominated(cycles, cost):
            return False
        self._points = [
            point for point in self._points if not (point[0] >= cycles and point[1] >= cost)
        ]
        insort(self._points, (cycles, cost, key))
        return True

    @property
    def keys(self) -> list[str]:
        """Of the points, the fastest first."""
        return [key for _, _, key in self._points]


class Fronts:
    """A front of cycles a frame against each resource and against power."""

    def __init__(self, axes: Iterable[str] = AXES) -> None:
        self.by_axis = {axis: Front() for axis in axes}

    def add(self, cycles: float, costs: Mapping[str, float], key: str) -> bool:
        """Take a measured point in; says whether it is on any front now."""
        joined = [front.add(cycles, costs[axis], key) for axis, front in self.by_axis.items()]
        return any(joined)

    def closed_to(
        self, cycles: float, costs: Mapping[str, float], energy: float, slowest: float
    ) -> bool:
        """Can a design with at least these cycles and costs be on no front?

        Its power is at least ``costs["power_w"] + energy / cycles`` at whatever cycles it takes.
        """
        return all(
            front.above(cycles, costs[axis], energy, slowest)
            if axis == "power_w"
            else front.dominated(cycles, costs[axis])
            for axis, front in self.by_axis.items()
        )

    @property
    def keys(self) -> list[str]:
        """Of every point on some front, without repetition, in the order of the axes."""
        return list(dict.fromkeys(key for front in self.by_axis.values() for key in front.keys))
