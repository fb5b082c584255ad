"""The roofline of a report: what multipliers and memory allow, and where the bundles are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 40.0, 468.0, 24.0, 256.0  # of the plot
STEPS = (1, 2, 5)


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis from ``low`` at the pixel ``start`` to ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """1, 2 and 5 of each power of ten; of a long axis the powers alone."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for power in range(first, last + 1):
            for step in STEPS if last - first < 4 else STEPS[:1]:
                if self.low <= step * 10.0**power <= self.high:
                    yield step * 10.0**power


def roofline(roof: Mapping[str, Any]) -> str:
    """Logarithmic in both directions."""
    top, slope, points = roof["multiplier_gmacs_per_s"], roof["ddr_gbytes_per_s"], roof["points"]
    corner = top / slope
    xs = [point["macs_per_byte"] for point in points] + [corner]
    ys = [point["gmacs_per_s"] for point in points] + [top]
    x = _Axis(min(xs) / 2.5, max(xs) * 2, LEFT, RIGHT)
    y = _Axis(min(ys) / 2.5, max(ys) * 2, BOTTOM, TOP)
    first = max(x.low, y.low / slope)  # where the memory's roof comes into the picture
    line = ((first, slope * first), (corner, top), (x.high, top))
    path = " ".join(f"{x.at(across):.1f},{y.at(up):.1f}" for across, up in line)
    marks = "".join(_marks(x, y, points))
    label = f"Roofline: {top:.1f} G MAC/s of the multipliers, {slope:.2f} GB/s of the memory"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'{"".join(_grid(x, y))}<polyline class="roof" points="{path}"/>{marks}'
        f"{_roof_names(x, y, top, slope)}"
        f'<text class="end" x="{RIGHT}" y="{HEIGHT - 8}">MACs a byte of DDR traffic</text>'
        f'<text x="0" y="14">G MAC/s</text></svg>'
        '<p class="soft">A point is a bundle; its figures are in the table above. Only what the '
        "MAC array does counts: depth-wise multipliers are beside it.</p>"
    )


def _roof_names(x: _Axis, y: _Axis, top: float, slope: float) -> str:
    """What each roof is: the multipliers' above its end, the memory's along its slope."""
    foot = max(x.low, y.low / slope)
    ends = (x.at(foot), y.at(slope * foot)), (x.at(top / slope), y.at(top))
    (x0, y0), (x1, y1) = ends
    turn = math.degrees(math.atan2(y1 - y0, x1 - x0))
    middle = f"translate({(x0 + x1) / 2:.1f} {(y0 + y1) / 2 - 7:.1f}) rotate({turn:.1f})"
    return (
        f'<text class="end" x="{RIGHT}" y="{y1 - 12:.1f}">multipliers, {top:.1f} G MAC/s</text>'
        f'<text class="middle" transform="{middle}">memory, {slope:.2f} GB/s</text>'
    )


def _marks(x: _Axis, y: _Axis, points: list[dict[str, Any]]) -> Iterator[str]:
    """A point a bundle; names below, each as far down as keeps it off those before."""
    put: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda item: item["macs_per_byte"]):
        across, up = x.at(point["macs_per_byte"]), y.at(point["gmacs_per_s"])
        low = up + 20
        while any(abs(across - other) < 18 and abs(low - level) < 14 for other, level in put):
            low += 14
        put.append((across, low))
        yield (
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="5.5"><title>bundle {point["bundle"]}: '
            f"{point['gmacs_per_s']:.2f} G MAC/s at {point['macs_per_byte']:.1f} MACs a byte"
            f'</title></circle><text class="middle" x="{across:.1f}" y="{low:.1f}">'
            f"{point['bundle']}</text>"
        )


def _grid(x: _Axis, y: _Axis) -> Iterator[str]:
    for tick in x.ticks():
        at = x.at(tick)
        yield f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
        yield f'<text class="tick middle" x="{at:.1f}" y="{BOTTOM + 15}">{tick:g}</text>'
    for tick in y.ticks():
        at = y.at(tick)
        yield f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="tick end" x="{LEFT - 6}" y="{at + 4:.1f}">{tick:g}</text>'
