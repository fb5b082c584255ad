"""Pictures of a search: prototypes, traces of the descent, designs beside published ones.

All are drawn from plain records, so a finished search can be drawn again from its folder. Without
matplotlib nothing is drawn and nothing is said: the tables hold the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from search.references import PAPER_POINTS, TANDEM_POINTS

Record = Mapping[str, Any]
GREY = "0.55"
LABEL_HEIGHT = 0.028  # of a panel's height, and of its width that of a letter
LETTER_WIDTH = 0.0078
# Beside a point: right or left, lines above it. The first that is free is taken.
PLACES = (
    *((1, -0.5), (-1, -0.5), (1, 0.5), (-1, 0.5), (1, -1.5), (-1, -1.5)),
    *((1, 1.6), (-1, 1.6), (1, -2.6), (-1, -2.6), (1, 2.8), (-1, 2.8), (1, -3.8), (-1, -3.8)),
    *((1, 4.0), (-1, 4.0), (1, -5.0), (-1, -5.0)),
)
FAR = 1.5  # lines from which on a stroke leads to the point
TRACES_MAX = 6  # panels of a picture of traces
STEPS_DRAWN = 60  # of a chain: later ones only go along the target, or start anew
TRACE_RANGE = (12.0, 5.0)  # times the target, down and up


def draw_prototypes(path: Path, records: Sequence[Record]) -> bool:
    """IoU against latency: a colour a group, a ring round survivors, the Pareto front a line.

    ``records`` as of :class:`search.selection.Prototype`. Writes PNG and SVG under ``path``; False
    without matplotlib.
    """
    tools = _tools()
    if tools is None or not records:
        return False
    panels, write_figure, colours = tools
    figure, (axis,) = panels(1, 8.6, 5.8)
    names, common = short_names([str(item["bundle"]) for item in records])
    for item in records:
        colour = colours[item["group"] % len(colours)]
        axis.scatter(item["latency_ms"], item["iou"], s=34, color=colour, zorder=3)
        if item["kept"]:
            axis.scatter(
                item["latency_ms"], item["iou"], s=150, facecolor="none", edgecolor=colour,
                linewidth=1.8, zorder=3,
            )  # fmt: skip
    front = [item for item in records if item["front"]]
    axis.plot(
        [item["latency_ms"] for item in front], [item["iou"] for item in front],
        drawstyle="steps-post", color=GREY, linewidth=1, zorder=2,
    )  # fmt: skip
    axis.set_xscale("log")
    _plain_log(axis)
    axis.set_xlabel("simulated latency of a frame, ms")
    axis.set_ylabel("mean IoU after quick training")
    title = "prototypes by bundle; colours: groups of latency; ringed: survive"
    axis.set_title(title + (f"; all end with {common}" if common else ""), fontsize=10)
    axis.margins(0.12)
    points = [(r["latency_ms"], r["iou"], name) for r, name in zip(records, names, strict=True)]
    _label(axis, points, _corners([(r["latency_ms"], r["iou"]) for r in front]))
    write_figure(figure, path)
    return True


def draw_traces(
    path: Path, traces: Mapping[str, Sequence[Record]], target_fps: Mapping[str, float],
    tolerance: float,
) -> bool:  # fmt: skip
    """FPS along the first descents of every chain with the band of its target; a panel a target.

    ``traces`` by chain: records of :class:`search.scd.Step`; ``target_fps`` of every chain. Of
    chains that differ in their number only, the first is drawn.
    """
    tools = _tools()
    if tools is None or not any(traces.values()):
        return False
    panels, write_figure, colours = tools
    targets = sorted(set(target_fps.values()))[:TRACES_MAX]
    figure, axes = panels(len(targets), 5.2, 4.2)
    for axis, fps in zip(axes, targets, strict=True):
        axis.axhspan(fps * (1 - tolerance), fps * (1 + tolerance), color="0.85", zorder=0)
        mine = _first_chains([name for name in sorted(traces) if target_fps[name] == fps])
        for number, name in enumerate(mine):
            colour = colours[number % len(colours)]
            for part, descent in enumerate(descents(traces[name][:STEPS_DRAWN])):
                x = [index for index, _ in descent]
                y = [fps * math.exp(-gap) for _, gap in descent]
                label = _of_chain(name) if part == 0 else None
                axis.plot(x, y, "o-", markersize=3, linewidth=0.9, color=colour, label=label)
        axis.set_xlabel("step")
        axis.set_ylabel("FPS, simulated")
        axis.set_yscale("log")
        axis.set_ylim(fps / TRACE_RANGE[0], fps * TRACE_RANGE[1])
        _plain_log(axis, "y")
        axis.set_title(f"target {fps:g} FPS: steps taken, of the first {STEPS_DRAWN}", fontsize=10)
        if len(mine) <= len(colours) and axis.lines:
            axis.legend(fontsize=6.5, loc="upper right")
    write_figure(figure, path)
    return True


def _of_chain(name: str) -> str:
    """What a chain is of: its name without method and target, and without its number."""
    words = name.split("-")
    return "-".join(words[2:-1]) or name


def _first_chains(names: Sequence[str]) -> list[str]:
    """Of names that differ in their last word alone, the first."""
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(name.rpartition("-")[0], name)
    return list(kept.values())


def descents(steps: Sequence[Record]) -> list[list[tuple[int, float]]]:
    """The steps that were taken, as (number, gap); a start anew begins another list.

    A chain has started anew where a step begins at another gap than the last one ended with.
    """
    found: list[list[tuple[int, float]]] = []
    gap = math.nan
    for step in steps:
        if not step["accepted"] or step["gap_after"] is None:
            continue
        if not math.isclose(step["gap_before"], gap, abs_tol=1e-9):
            found.append([(step["index"], step["gap_before"])])
        gap = step["gap_after"]
        found[-1].append((step["index"] + 1, gap))
    return found


def draw_designs(
    path: Path,
    designs: Sequence[Record],
    candidates: Sequence[Record] = (),
    targets: Sequence[float] = (),
) -> bool:
    """IoU against FPS: what was found beside DNN-A, B, C of this repository and of the paper.

    ``designs`` have ``name``, ``fps``, ``mean_iou``; ``candidates`` ``fps``, ``iou``, ``method``.
    """
    tools = _tools()
    if tools is None or not designs:
        return False
    panels, write_figure, colours = tools
    figure, (axis,) = panels(1, 8.6, 5.4)
    for number, method in enumerate(sorted({item["method"] for item in candidates})):
        mine = [item for item in candidates if item["method"] == method]
        axis.scatter(
            [item["fps"] for item in mine], [item["iou"] for item in mine], s=16, alpha=0.6,
            color=colours[2 + number % 2], label=f"candidates, {method}", zorder=2,
        )  # fmt: skip
    named: list[tuple[float, float, str]] = []
    for points, marker, colour, label in (
        (TANDEM_POINTS, "s", colours[4], "designs/ of Tandem, 100 MHz, integer network"),
        (PAPER_POINTS, "^", GREY, "paper, 100 MHz, the contest's hidden set"),
    ):
        axis.scatter(
            [p.fps for p in points], [p.iou for p in points], marker=marker, s=42,
            color=colour, label=label, zorder=3,
        )  # fmt: skip
        named += [(p.fps, p.iou, p.name) for p in points]
    axis.scatter(
        [item["fps"] for item in designs], [item["mean_iou"] for item in designs],
        s=60, color=colours[0], label="found, integer network", zorder=4,
    )  # fmt: skip
    named += [(d["fps"], d["mean_iou"], str(d.get("name", ""))) for d in designs]
    for fps in targets:
        axis.axvline(fps, color="0.8", linestyle=":", zorder=1)
    axis.set_xlabel("FPS of the steady state")
    axis.set_ylabel("mean IoU")
    axis.margins(0.1)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=3)
    _label(axis, named)
    write_figure(figure, path)
    return True


def draw_search(folder: Path, record: Record, traces: Mapping[str, Sequence[Record]]) -> list[str]:
    """All pictures of a finished search from its report; names of the files that were drawn."""
    target_fps = {chain["chain"]: chain["fps"] for chain in record["chains"]}
    tolerance = max((item["tolerance"] for item in record["targets"]), default=0.0)
    fps = [item["fps"] for item in record["targets"]]
    known = {name: steps for name, steps in traces.items() if name in target_fps}
    drawn = {
        "prototypes": draw_prototypes(folder / "prototypes", record["prototypes"]),
        "traces": draw_traces(folder / "traces", known, target_fps, tolerance),
        "designs": draw_designs(folder / "designs", record["designs"], record["candidates"], fps),
    }
    return [f"{name}.png" for name, done in drawn.items() if done]


def short_names(bundles: Sequence[str]) -> tuple[list[str], str]:
    """Names without the last word that all of them share, and this word."""
    last = {name.rpartition("-")[2] for name in bundles}
    if len(bundles) < 2 or len(last) > 1 or any("-" not in name for name in bundles):
        return list(bundles), ""
    return [name.rpartition("-")[0] for name in bundles], last.pop()


def _corners(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points along the level parts of a front, on a logarithmic axis, that names keep clear of."""
    found = []
    for (x, y), (end, _) in pairwise(front):
        found += [(x * (end / x) ** (part / 12), y) for part in range(1, 12)]
    return found


def _label(
    axis: Any,
    points: Sequence[tuple[float, float, str]],
    others: Sequence[tuple[float, float]] = (),
) -> None:
    """Names beside their points, each where it covers least of names, points and others."""
    axis.get_figure().draw_without_rendering()  # fixes limits and layout
    transform = axis.transData + axis.transAxes.inverted()
    places = [tuple(transform.transform((x, y))) for x, y, _ in points]
    taken = [(x - 0.007, y - 0.012, x + 0.007, y + 0.012) for x, y in places]
    clear = [tuple(transform.transform(point)) for point in others]
    taken += [(x - 0.004, y - 0.003, x + 0.004, y + 0.003) for x, y in clear]

    def neighbours(index: int) -> int:
        x, y = places[index]
        return sum(abs(x - a) < 0.15 and abs(y - b) < 0.1 for a, b in places)

    order = sorted(range(len(points)), key=lambda index: (-neighbours(index), places[index]))
    for index in order:
        x, y = places[index]
        boxes = [box_of(x, y, len(points[index][2]), place) for place in PLACES]
        best = min(range(len(boxes)), key=lambda at: (round(overlap(boxes[at], taken), 6), at))
        box = boxes[best]
        taken.append(box)
        side, lines = PLACES[best]
        stroke = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.6, "shrinkB": 3}
        axis.annotate(
            points[index][2], xy=points[index][:2], xytext=(box[0] if side > 0 else box[2], box[1]),
            textcoords="axes fraction", fontsize=7, ha="left" if side > 0 else "right",
            va="bottom", arrowprops=stroke if abs(lines) >= FAR else None, zorder=5,
        )  # fmt: skip


Box = tuple[float, float, float, float]


def box_of(x: float, y: float, letters: int, place: tuple[int, float]) -> Box:
    """The box of a name beside a point, in shares of the panel: left, bottom, right, top."""
    side, lines = place
    width = letters * LETTER_WIDTH
    left = x + 0.014 if side > 0 else x - 0.014 - width
    bottom = y + lines * LABEL_HEIGHT
    return (left, bottom, left + width, bottom + LABEL_HEIGHT)


def overlap(box: Box, others: Sequence[Box]) -> float:
    """How much of a box lies on others or outside the panel."""
    left, bottom, right, top = box
    area = sum(
        max(0.0, min(right, c) - max(left, a)) * max(0.0, min(top, d) - max(bottom, b))
        for a, b, c, d in others
    )
    inside = max(0.0, min(right, 1.0) - max(left, 0.0)) * max(0.0, min(top, 1.0) - max(bottom, 0.0))
    return area + (right - left) * (top - bottom) - inside


def _plain_log(axis: Any, which: str = "x") -> None:
    """Numbers as people write them on a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter  # noqa: PLC0415

    found = axis.xaxis if which == "x" else axis.yaxis
    found.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    found.set_major_formatter(StrMethodFormatter("{x:g}"))
    found.set_minor_formatter(NullFormatter())


def _tools() -> tuple[Any, Any, Any] | None:
    """What draws: panels, writing, colours; None without matplotlib."""
    try:
        from quant.figures import COLOURS, panels, write_figure  # noqa: PLC0415
    except ImportError:
        return None
    return panels, write_figure, COLOURS
