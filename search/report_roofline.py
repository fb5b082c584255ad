"""The roofline of a report: what multipliers and memory allow, and where the bundles are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def roofline(roof: Mapping[str, Any]) -> str:
    """Logarithmic in both directions."""
    width, height, left, low = 640, 320, 56, 40
    top, slope = roof["multiplier_gmacs_per_s"], roof["ddr_gbytes_per_s"]
    points = roof["points"]
    xs = [point["macs_per_byte"] for point in points] + [top / slope]
    ys = [point["gmacs_per_s"] for point in points] + [top]
    x0, x1 = math.log10(min(xs) / 3), math.log10(max(xs) * 3)
    y0, y1 = math.log10(min(ys) / 3), math.log10(max(ys) * 2)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x0) / (x1 - x0) * (width - left - 12)
        up = (math.log10(y) - y0) / (y1 - y0) * (height - low - 12)
        return left + across, height - low - up

    corner = top / slope
    line = [at(10**x0, max(10**y0, slope * 10**x0)), at(corner, top), at(10**x1, top)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"><title>bundle {point["bundle"]}: '
        f"{point['gmacs_per_s']:.2f} G MAC/s at {point['macs_per_byte']:.1f} MACs a byte</title>"
        f'</circle><text x="{x + 9:.1f}" y="{y + 4 + 14 * (index % 2):.1f}">'
        f"{point['bundle']}</text>"
        for index, point in enumerate(points)
        for x, y in [at(point["macs_per_byte"], point["gmacs_per_s"])]
    )
    ticks = "".join(_ticks(at, (x0, x1), (y0, y1), (left, height - low)))
    x, y = at(corner, top)
    return (
        '<div class="wide" tabindex="0" role="group" aria-label="roofline">'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Roofline: {top:.1f} '
        f'G MAC/s of the multipliers, {slope:.2f} GB/s of the memory">'
        f'{ticks}<polyline class="roof" '
        f'points="{path}"/>{marks}<text x="{min(x, width - 260):.1f}" y="{y - 8:.1f}">'
        f"multipliers, {top:.1f} G MAC/s</text>"
        f'<text x="{left + 8}" y="{height - low - 8}">memory, {slope:.2f} GB/s peak</text>'
        f'<text x="{width - 190}" y="{height - 8}">MACs a byte of DDR traffic</text>'
        '<text x="4" y="14">G MAC/s</text></svg></div>'
        '<p class="soft">A point is a bundle; its number is that of the table above. Only what the '
        "MAC array does counts: depth-wise multipliers are beside it.</p>"
    )


def _ticks(
    at: Any, across: tuple[float, float], up: tuple[float, float], corner: tuple[float, float]
) -> Iterator[str]:
    left, bottom = corner
    for power in range(math.ceil(across[0]), math.floor(across[1]) + 1):
        x = at(10.0**power, 10 ** up[0])[0]
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="12" y2="{bottom}"/>'
        yield f'<text x="{x - 8:.1f}" y="{bottom + 15}">{10.0**power:g}</text>'
    for power in range(math.ceil(up[0]), math.floor(up[1]) + 1):
        y = at(10 ** across[0], 10.0**power)[1]
        yield f'<line class="axis" x1="{left}" x2="628" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{left - 34}" y="{y + 4:.1f}">{10.0**power:g}</text>'
