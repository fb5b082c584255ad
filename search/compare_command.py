"""``tandem compare``: why two designs differ in speed, by cause, and both beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from model import console
from model.design import load_design
from model.errors import RunFailed
from model.evaluation import check_frames
from model.stalls import CAUSES
from model.tables import headline, share, table
from search.compare import Cause, Comparison, compare
from search.side_by_side import CLASSES, Sides, side_by_side

# key, title, how it is written
TOTALS = (
    ("fps", "frames per second", ",.2f"),
    ("cycles_per_frame", "cycles a frame", ",.1f"),
    ("ms_per_frame", "ms a frame", ",.3f"),
    ("latency_ms", "latency, ms", ",.3f"),
    ("clock_mhz", "clock, MHz", ",g"),
    ("macs", "multiply-accumulates a frame", ",d"),
    ("mac_utilisation", "MAC array in use", "%"),
    ("ddr_bytes", "memory traffic a frame, bytes", ",.0f"),
    ("dsp", "DSP48E1", ",d"),
    ("bram18", "RAMB18", ",d"),
    ("lut", "LUT", ",d"),
    ("ff", "FF", ",d"),
    ("power_w", "power, W", ",.2f"),
    ("images_per_joule", "images per joule", ",.1f"),
)
THOUSANDS_FROM = 100_000  # cycles


def compare_command(a: Path, b: Path, frames: int, together: Sequence[str], as_json: bool) -> int:
    """Compare, print, return the exit status."""
    check_frames(frames)
    names = [name.strip() for text in together for name in text.split(",")]
    found = compare(load_design(a), load_design(b), frames, names)
    if not found.adds_up:
        raise RunFailed(f"{a}, {b}: the causes do not add up to the difference")
    record = as_record(found)
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(found, record))
    return console.HELD


def as_record(found: Comparison) -> dict[str, Any]:
    """For JSON. Parts are B less A; they sum to ``difference``, exactly to ``exact``."""
    return {
        "a": found.a.design.name,
        "b": found.b.design.name,
        "frames": found.a.schedule.frames,
        "same_network": found.a.design.network == found.b.design.network,
        "difference": {name: float(value) for name, value in found.whole.items()},
        "exact": {name: str(value) for name, value in found.whole.items()},
        "adds_up": found.adds_up,
        "causes": [cause.record() for cause in found.causes],
        "orders": found.orders,
        "all_orders": found.all_orders,
        "not_compiled": [{"groups": groups, "reason": why} for groups, why in found.refused],
        **side_by_side(found.a, found.b),
        "simulations": found.simulations,
        "seconds": found.seconds,
    }


def describe(found: Comparison, record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The comparison for people."""
    a, b = found.a, found.b
    cycles = found.whole["cycles_per_frame"]
    yield headline(
        f"{b.design.name} against {a.design.name}: {float(cycles):+,.1f} cycles a frame, "
        f"{a.fps:.2f} to {b.fps:.2f} FPS"
    )
    if found.causes:
        yield causes_table(found)
        yield Text(_method(found))
        yield edits_table(found)
    else:
        yield Text("They differ in nothing but the name.")
    yield totals_table(record["totals"])
    yield bundle_table(record["bundles"])
    if not record["same_network"]:
        yield Text("The networks differ: bundles are beside each other by position, head by head.")
    yield unit_table(record["units"])
    if all(sides["a"] and sides["b"] for sides in record["stalls"].values()):
        yield stall_table(record["stalls"])


def causes_table(found: Comparison) -> RenderableType:
    """The parts, rounded so that what is shown adds up too."""
    cycles = _rounded(found, "cycles_per_frame", 1)
    times = _rounded(found, "ms_per_frame", 1000)
    speeds = _rounded(found, "fps", 100)
    rows = [
        [
            cause.name,
            f"{cycles[at]:+,d}",
            _step(cause.first),
            _step(cause.last),
            f"{times[at] / 1000:+,.3f}",
            f"{speeds[at] / 100:+,.2f}",
        ]
        for at, cause in enumerate(found.causes)
    ]
    whole = f"{sum(cycles):+,d}", "", "", f"{sum(times) / 1000:+,.3f}", f"{sum(speeds) / 100:+,.2f}"
    rows.append(["all", *whole])
    titles = ("cause, B less A", "cycles", "alone in A", "last to B", "ms", "FPS")
    return table(None, titles, rows, rules=(len(rows) - 1,))


def _step(step: Mapping[str, Fraction] | None) -> str:
    return "-" if step is None else f"{round(step['cycles_per_frame']):+,d}"


def _rounded(found: Comparison, name: str, scale: int) -> list[int]:
    """The parts times ``scale`` as whole numbers that sum to the rounded whole."""
    exact = [cause.parts[name] * scale for cause in found.causes]
    floors = [value.numerator // value.denominator for value in exact]
    left = round(found.whole[name] * scale) - sum(floors)
    by_rest = sorted(range(len(exact)), key=lambda at: (floors[at] - exact[at], at))
    for at in by_rest[:left]:
        floors[at] += 1
    return floors


def _method(found: Comparison) -> str:
    text = (
        f"Each part is a step simulated to the cycle, averaged over {_orders(found)} in which the "
        f"changes can be made ({found.simulations} designs, {found.seconds:.1f} s)."
    )
    for groups, why in found.refused:
        text += f"\nNot buildable: A with B's {groups}: {why}."
    names = {cause.name for cause in found.causes}
    if {"network", "memories"} <= names:
        text += (
            "\nEach network has memories of its own size: --together network,memories takes both "
            "as one cause."
        )
    return text


def _orders(found: Comparison) -> str:
    if found.orders == found.all_orders:
        return "the order" if found.orders == 1 else f"all {found.orders:,} orders"
    return f"those {found.orders:,} of {found.all_orders:,} orders"


def edits_table(found: Comparison) -> RenderableType:
    """What differs in the design files."""
    rows = [
        [cause.name, key.removeprefix("accelerator."), _value(values[0]), _value(values[1])]
        for cause in found.causes
        for key, values in _told(cause)
    ]
    return table(None, ("cause", "key", "A", "B"), rows, left=(0, 1, 2, 3))


def _told(cause: Cause) -> list[tuple[str, tuple[object, object]]]:
    """The keys of a cause; a device's name says all of its memory."""
    return [
        (key, values)
        for key, values in cause.edits.items()
        if "device" not in cause.edits or not key.startswith("ddr.")
    ]


def _value(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(" ".join(row) if isinstance(row, list) else str(row) for row in value)
    return str(value)


def totals_table(totals: Mapping[str, Sides]) -> RenderableType:
    """Speed, work, resources and power of both."""
    rows = []
    for key, title, form in TOTALS:
        a, b = totals[key]["a"], totals[key]["b"]
        if form == "%":
            rows.append([title, share(a), share(b), f"{100 * (b - a):+.1f} points"])
        else:
            rows.append([title, format(a, form), format(b, form), format(b - a, f"+{form}")])
    return table("side by side", ("", "A", "B", "B less A"), rows)


def bundle_table(bundles: Mapping[str, Sides]) -> RenderableType:
    """Layers, tiles and cycles by position."""
    rows = []
    for position, sides in bundles.items():
        row = [position]
        for side in ("a", "b"):
            item = sides[side]
            row += ["-"] * 3 if item is None else _bundle(item)
        rows.append(row)
    sums = (
        [sum(sides[side][key] for sides in bundles.values() if sides[side]) for side in ("a", "b")]
        for key in ("tiles", "cycles")
    )
    tiles, cycles = sums
    rows.append(["all"])
    for at in range(2):
        rows[-1] += ["", f"{tiles[at]:,}", f"{cycles[at]:,}"]
    titles = ("bundle", "layers of A", "tiles", "cycles", "layers of B", "tiles", "cycles")
    return table("first frame by bundle", titles, rows, left=(0, 1, 4), rules=(len(rows) - 1,))


def _bundle(item: Mapping[str, Any]) -> list[str]:
    return [" ".join(item["layers"]), f"{item['tiles']:,}", f"{item['cycles']:,}"]


def unit_table(units: Mapping[str, Sides]) -> RenderableType:
    """The counters of each unit, cycles a frame."""
    every = [
        value for sides in units.values() for side in sides.values() for value in side.values()
    ]
    scale, unit = _scale(every)
    rows = []
    for name, sides in units.items():
        row = [name]
        for kind in CLASSES:
            row += [f"{round(sides[side][kind] / scale):,d}" for side in ("a", "b")]
        rows.append(row)
    titles = ["unit"]
    for kind in ("busy", "input", "output", "DDR"):
        titles += [f"{kind} A", f"{kind} B"]
    return table(f"counters, {unit} a frame: busy, and waits for", titles, rows)


def stall_table(stalls: Mapping[str, Sides]) -> RenderableType:
    """B less A of each unit's cycles a frame, by cause; causes that differ nowhere are left out."""
    gaps = {
        unit: {cause: sides["b"][cause] - sides["a"][cause] for cause in CAUSES}
        for unit, sides in stalls.items()
    }
    scale, unit = _scale([value for gap in gaps.values() for value in gap.values()])
    shown = [cause for cause in CAUSES if any(round(gap[cause] / scale) for gap in gaps.values())]
    rows = [
        [name, *(f"{round(gap[cause] / scale):+,d}" for cause in shown)]
        for name, gap in gaps.items()
    ]
    titles = ("unit", *(cause.removeprefix("ddr_") for cause in shown))
    return table(f"stall causes, {unit} a frame, B less A", titles, rows)


def _scale(values: Sequence[float]) -> tuple[int, str]:
    """Thousands of cycles where single ones would not fit a line."""
    long = max(map(abs, values), default=0) >= THOUSANDS_FROM
    return (1000, "thousand cycles") if long else (1, "cycles")
