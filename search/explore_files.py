"""What an exploration leaves in its folder: design files, a table of all points, a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.design import Design, load_design
from model.design_writer import write_design
from model.errors import RunFailed
from model.network_file import write_atomically
from search.exploration import Exploration
from search.measure import Point
from search.pareto import AXES

LEAST_SAVING = 0.01  # a front's point that saves less than this over the one before is left out
NEAREST = 5  # designs listed and written where a target is not met
COLUMNS = (
    "key", "fps", "cycles_per_frame", "latency_cycles", "mac_utilisation", "ddr_bytes", *AXES,
    "in_lanes", "out_lanes", "requant_lanes", "dw_multipliers", "dw_multiplier_style",
    "outstanding_bursts", "command_depth", "tile_height", "tile_width",
)  # fmt: skip
NAMES = {"dsp": "DSP48E1", "bram18": "RAMB18", "lut": "LUT", "ff": "FF", "power_w": "power, W"}


def chosen(found: Exploration) -> dict[str, list[Point]]:
    """By axis its front, the fastest first, without points that save next to nothing."""
    fronts: dict[str, list[Point]] = {}
    for axis, front in found.fronts.by_axis.items():
        kept: list[Point] = []
        for key in front.keys:
            point = found.points[key]
            last = kept[-1].costs[axis] if kept else float("inf")
            if point.fps >= found.limits.fps and point.costs[axis] <= (1 - LEAST_SAVING) * last:
                kept.append(point)
        fronts[axis] = kept
    return fronts


def write_all(out: Path, base: Design, found: Exploration, command: str) -> dict[str, Any]:
    """Write everything; returns by key of a point the name of its design file.

    RunFailed where a written design, read again, is not the one that was measured.
    """
    fronts = chosen(found)
    points = {point.key: point for front in fronts.values() for point in front}
    if not found.held:
        points = {point.key: point for point in found.feasible[:NEAREST]}
    if found.best is not None:
        points[found.best.key] = found.best
    ordered = sorted(points.values(), key=lambda p: (-p.fps, p.bram18, p.dsp, p.key))
    digits = max(2, len(str(len(ordered))))
    for old in out.glob(f"{base.name}_[0-9]*.toml"):
        old.unlink()
    names = {}
    for number, point in enumerate(ordered, 1):
        name = f"{base.name}_{number:0{digits}d}"
        path = out / f"{name}.toml"
        on = [axis for axis, front in fronts.items() if point in front]
        write_design(point.design(base, name), path, _comment(base, point, on, command))
        if load_design(path).accelerator != point.accelerator:
            raise RunFailed(f"{path}: what was written is not the design that was measured")
        names[point.key] = path.name
    if found.recommended is not None:
        _write_recommended(out, base, found.recommended, command)
    _write_points(out, found, names)
    draw(out / "fronts.png", base, found)
    return names


def _write_recommended(out: Path, base: Design, point: Point, command: str) -> None:
    """Under the network's own name, so that it can take the place of the design it came from."""
    comment = (
        f"{_measured(base, point, command)}\n"
        "Of the designs within 0.1 % of the fastest the one that takes least of the device."
    )
    write_design(point.design(base), out / f"{base.name}.toml", comment)


def _comment(base: Design, point: Point, axes: Sequence[str], command: str) -> str:
    fronts = ", ".join(NAMES[axis] for axis in axes)
    text = _measured(base, point, command)
    return f"{text}\nOn the front of FPS against {fronts}." if axes else text


def _measured(base: Design, point: Point, command: str) -> str:
    return (
        f"The network of {base.name}, sized by `{command}`:\n"
        f"{point.fps:.2f} FPS ({point.cycles_per_frame:,.1f} cycles a frame) with {point.dsp} "
        f"DSP48E1, {point.bram18} RAMB18 and, estimated,\n"
        f"{point.lut:,} LUT, {point.ff:,} FF, {point.power_w:.2f} W."
    )


def _write_points(out: Path, found: Exploration, names: Mapping[str, str]) -> None:
    ordered = sorted(found.points.values(), key=lambda p: (-p.fps, p.bram18, p.key))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    buffers = sorted(vars(ordered[0].accelerator.buffers)) if ordered else []
    writer.writerow([*COLUMNS, *buffers, "within_limits", "fronts", "file"])
    on_front = {axis: set(front.keys) for axis, front in found.fronts.by_axis.items()}
    for point in ordered:
        values = {**vars(point.accelerator), **vars(point)}
        writer.writerow(
            [
                *(values[name] for name in COLUMNS),
                *(getattr(point.accelerator.buffers, name) for name in buffers),
                int(not found.limits.exceeded(point.costs)),
                " ".join(axis for axis in AXES if point.key in on_front[axis]),
                names.get(point.key, ""),
            ]
        )
    write_atomically(out / "points.csv", table.getvalue().encode())
    records = [point.record() for point in ordered]
    write_atomically(out / "points.json", (json.dumps(records, indent=1) + "\n").encode())


def draw(path: Path, base: Design, found: Exploration) -> bool:
    """A panel an axis: every point within the limits, and the front. False without matplotlib."""
    try:
        import matplotlib as mpl  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    mpl.use("Agg")
    figure = Figure(figsize=(3.1 * len(AXES), 3.3), layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    points = found.feasible
    for panel, axis in zip(panels, AXES, strict=True):
        costs = [point.costs[axis] for point in points]
        panel.scatter(costs, [p.fps for p in points], s=6, color="#9a9a9a", linewidth=0)
        front = [found.points[key] for key in found.fronts.by_axis[axis].keys]
        x, y = [p.costs[axis] for p in front], [p.fps for p in front]
        panel.plot(x, y, "o-", color="#1f5fa8", markersize=3, linewidth=1, drawstyle="steps-pre")
        panel.set_xlabel(NAMES[axis])
        panel.set_ylim(bottom=0)
    panels[0].set_ylabel(f"FPS at {base.clock_mhz:g} MHz")
    figure.suptitle(
        f"{base.name}: {len(points)} accelerators simulated, fronts in blue", fontsize=10
    )
    figure.savefig(path, dpi=130, metadata={"Software": None})
    return True
