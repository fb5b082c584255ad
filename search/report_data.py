"""All figures of ``tandem report`` in one JSON object; the page shows these and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from model.burst_log import within_reach
from model.ddr_timing import BEAT_BYTES
from model.design import Design
from model.evaluation import Evaluation, evaluate
from model.plan import PassPlan
from model.spans import CAUSES, Spans
from model.stalls import Stalls
from model.timeline import Timeline, build_timeline
from search.bounds import fetched, tile_works
from search.sensitivity import study
from testbench.verified_record import last_verified

SCHEMA = 1
WORDS = {
    "busy": "busy",
    "input": "waits for input",
    "output": "waits for room behind it",
    "weights": "waits for weights",
    "ddr_latency": "memory: latency",
    "ddr_bandwidth": "memory: bandwidth",
    "arbitration": "memory: others first",
    "refresh": "memory: refresh",
    "fill": "before its first tile",
    "drain": "after its last tile",
}
SPANS_MAX = 400_000  # of the timeline: beyond, the page would be larger than 3 MB


@dataclass(frozen=True)
class Asked:
    """What ``tandem report`` was asked for."""

    design: Path
    out: Path
    frames: int = 2
    build: Path = Path("build")
    sensitivities: bool = True


def report_data(design: Design, asked: Asked) -> dict[str, Any]:
    """The figures; keys as in ``docs/report.md``. TandemError for a design that cannot be built."""
    found = evaluate(design, asked.frames, "fast")
    timeline = build_timeline(found.schedule, found.simulation) if _reachable(found) else None
    stalls = Stalls.of(timeline) if timeline is not None else None
    changes = study(design, pairs=False).record() if asked.sensitivities else None
    record = found.record()
    bundles = _bundles(found, stalls)
    return {
        "schema": SCHEMA,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "design": design.name,
        "device": design.device.name,
        "clock_mhz": design.clock_mhz,
        "weight_bits": design.weight_bits,
        "feature_bits": design.feature_bits,
        "bottleneck": bottleneck(design, record),
        "simulation": {key: value for key, value in record.items() if key != "passes"},
        "stalls": stalls.record() if stalls is not None else None,
        "words": WORDS,
        "bundles": bundles,
        "roofline": _roofline(design, bundles),
        "energy_mj": found.power.energy_mj(found.fps),
        "sensitivities": changes,
        "verified": last_verified(asked.build, design),
        "timeline": _timeline(timeline) if timeline is not None else None,
    }


def _reachable(found: Evaluation) -> bool:
    return within_reach(found.simulation)


def bottleneck(design: Design, record: dict[str, Any]) -> str:
    """What bounds the design, in a sentence."""
    total, units = record["total_cycles"], record["units"]
    name, account = max(units.items(), key=lambda item: item[1]["busy"])
    busy = account["busy"] / total
    used = record["mac_utilisation"]
    rest = {key: account[key] for key in ("wait_input", "wait_output", "wait_ddr")}
    worst = max(rest, key=lambda key: rest[key])
    reason = {
        "wait_input": "for input",
        "wait_output": "for room behind it",
        "wait_ddr": "for the memory",
    }[worst]
    said = f"{name} is busy in {busy:.1%} of the cycles"
    if busy < 0.9:
        said += f" and mostly waits {reason} ({rest[worst] / total:.1%})"
    acc = design.accelerator
    return f"{said}; {used:.1%} of {acc.in_lanes} x {acc.out_lanes} products a cycle are useful."


def _bundles(found: Evaluation, stalls: Stalls | None) -> list[dict[str, Any]]:
    """A record a bundle: its work a frame, and the cycles of the MAC array that went to it."""
    design, frames = found.design, found.schedule.frames
    plans: dict[int, list[PassPlan]] = {}
    for plan in found.schedule.plans:
        plans.setdefault(plan.item.bundle, []).append(plan)
    records = []
    for bundle, own in plans.items():
        macs = sum(plan.item.macs for plan in own)
        array = sum(plan.item.array_macs for plan in own)
        moved = BEAT_BYTES * sum(_beats(design, plan) for plan in own)
        cycles = sum(stalls.bundles["mac"].get(bundle, {}).values()) / frames if stalls else None
        seconds = cycles / (design.clock_khz * 1000) if cycles else None
        lanes = design.accelerator.in_lanes * design.accelerator.out_lanes
        records.append(
            {
                "bundle": bundle,
                "layers": " ".join(layer.token for plan in own for layer in plan.item.layers),
                "tiles": sum(len(plan.tiles) for plan in own),
                "macs": macs,
                "array_macs": array,
                "ddr_bytes": moved,
                "cycles": cycles,
                "ms": 1000 * seconds if seconds else None,
                "useful": array / (lanes * cycles) if cycles else None,
                "macs_per_byte": array / moved,
                "gmacs_per_s": array / seconds / 1e9 if seconds else None,
            }
        )
    return records


def _beats(design: Design, plan: PassPlan) -> int:
    """Beats of a pass in a frame: features both ways, and weights."""
    each, once = fetched(plan)
    tiles = sum((work.loaded + work.stored) * work.count for work in tile_works(design, plan))
    return tiles + each * len(plan.tiles) + once


def _roofline(design: Design, bundles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Roofs in 10^9 a second, and a point a bundle."""
    acc, hertz = design.accelerator, design.clock_khz * 1000
    ports = len({acc.ports.program, acc.ports.weight, acc.ports.load, acc.ports.store})
    return {
        "multiplier_gmacs_per_s": acc.in_lanes * acc.out_lanes * hertz / 1e9,
        "ddr_gbytes_per_s": design.device.ddr.peak_bytes_per_second / 1e9,
        "ports_gbytes_per_s": 2 * ports * BEAT_BYTES * hertz / 1e9,  # reads and writes
        "points": [
            {key: item[key] for key in ("bundle", "macs_per_byte", "gmacs_per_s")}
            for item in bundles
            if item["gmacs_per_s"]
        ],
    }


def _timeline(timeline: Timeline) -> dict[str, Any]:
    """Spans of every unit, packed: lengths in base 36, a digit a cause; and the tiles."""
    total = sum(len(spans.start) for spans in timeline.units.values())
    return {
        "cycles": timeline.total,
        "causes": list(CAUSES),
        "words": WORDS,
        "units": [
            {"name": name, **_packed(spans, total), "tiles": _tiles(spans)}
            for name, spans in timeline.units.items()
        ],
    }


def _packed(spans: Spans, total: int) -> dict[str, str]:
    if total > SPANS_MAX:  # short spans join the one before: sums stay, the picture is coarser
        spans = _coarse(spans, total)
    lengths = spans.cycles.tolist()
    return {
        "lengths": " ".join(map(_base36, lengths)),
        "causes": "".join(map(str, spans.cause.tolist())),
    }


def _coarse(spans: Spans, total: int) -> Spans:
    """As many spans as the page has room for: the longest stay."""
    room = max(2, SPANS_MAX * len(spans.start) // total)
    if room >= len(spans.start):
        return spans
    least = np.partition(spans.cycles, len(spans.start) - room)[len(spans.start) - room]
    stay = spans.cycles >= least
    stay[0] = True
    return Spans(spans.start[stay], spans.cause[stay], spans.tag[stay], spans.total)


def _tiles(spans: Spans) -> list[list[int]]:
    """Runs of spans of one tile: first cycle, one past its last, bundle, tile."""
    if not len(spans.start):
        return []
    new = np.flatnonzero(np.append(True, spans.tag[1:] != spans.tag[:-1]))
    starts, tags = spans.start[new], spans.tag[new]
    ends = np.append(starts[1:], spans.total + 1)
    return [
        [int(start), int(end), int(tag) >> 16, int(tag) & 0xFFFF]
        for start, end, tag in zip(starts, ends, tags, strict=True)
        if tag >= 0
    ]


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _base36(value: int) -> str:
    found = ""
    while value:
        value, digit = divmod(value, 36)
        found = _DIGITS[digit] + found
    return found or "0"
