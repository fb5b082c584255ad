"""Draws docs/pictures/timing_model.svg from a simulation; the argument is the file to write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from model.evaluation import evaluate_file
from model.spans import BUSY
from model.timeline import Timeline, build_timeline

UNITS = ("load", "weight", "depthwise", "mac", "post", "store")
WIDTH, LEFT, ROW, TOP = 900, 80, 34, 30
FIRST, LAST = 1, 1400  # cycles shown
COLOURS = ("#1f5fa8", "#d9a441", "#2e8f83", "#b86b2b", "#8a4fa3", "#7d8f2e")


def draw(timeline: Timeline) -> Iterator[str]:
    """Busy spans of the units, coloured by tile; a wait is empty."""
    height = TOP + ROW * len(UNITS) + 12
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    )
    scale = (WIDTH - LEFT - 8) / (LAST - FIRST)
    for cycle in range(0, LAST + 1, 200):
        x = LEFT + (cycle - FIRST) * scale
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height}" stroke="#d8dee5"/>'
        yield f'<text x="{x:.1f}" y="{TOP - 10}" fill="#56616d">{cycle}</text>'
    for row, name in enumerate(UNITS):
        y = TOP + row * ROW
        yield f'<text x="4" y="{y + 18}">{name}</text>'
        spans = timeline.units[name]
        for start, end, cause, tag in zip(
            spans.start, spans.end, spans.cause, spans.tag, strict=True
        ):
            if cause != BUSY or start > LAST:
                continue
            x, wide = LEFT + (start - FIRST) * scale, (min(end, LAST) - start) * scale
            colour = COLOURS[(int(tag) & 0xFFFF) % len(COLOURS)]
            yield (
                f'<rect x="{x:.1f}" y="{y + 2}" width="{max(wide, 0.5):.1f}" height="{ROW - 8}" '
                f'fill="{colour}"/>'
            )
    yield "</svg>"


if __name__ == "__main__":
    found = evaluate_file(Path("designs/tiny.toml"), 1, "fast")
    drawn = draw(build_timeline(found.schedule, found.simulation))
    Path(sys.argv[1]).write_text("\n".join(drawn) + "\n", encoding="utf-8")
