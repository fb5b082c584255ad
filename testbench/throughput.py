"""Throughput of the named designs: both clocks, steady state and latency apart, where time goes.

The DDR keeps its own clock when the fabric's changes, as on the board. All at batch 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model.design import Design, load_design
from model.evaluation import evaluate
from model.tables import count, share, table

CLOCKS_MHZ = (100, 150)
FRAMES = 5


@dataclass(frozen=True)
class Published:
    """Zhang et al. 2019: placed on the PYNQ-Z1 and measured. FPS from the milliseconds a frame."""

    network: str
    fps: Mapping[int, float]  # by clock in MHz


PAPER = {
    "dnn_a": Published("DNN-A", {100: 1000 / 47.8, 150: 29.7}),
    "dnn_b": Published("DNN-B", {100: 1000 / 62.6, 150: 22.7}),
    "dnn_c": Published("DNN-C", {100: 1000 / 80.0, 150: 17.4}),
}


def throughput(path: Path) -> dict[str, Any]:
    """What the cycle level says of a design file at its own clock, and at both clocks."""
    design = load_design(path)
    own = evaluate(design, FRAMES, "fast")
    record = own.record()
    keys = ("latency_cycles", "cycles_per_frame", "fps", "mac_utilisation", "power_w")
    used = {key: record["resources"][key] for key in ("dsp", "bram18", "lut", "ff", "fits")}
    return {
        **{key: record[key] for key in keys},
        "resources": used,
        "lut_multipliers": record["lut_multipliers"],
        "clocks": {str(mhz): _at(design, mhz) for mhz in CLOCKS_MHZ},
        "paper_fps": {str(mhz): fps for mhz, fps in PAPER[path.stem].fps.items()}
        if path.stem in PAPER
        else None,
    }


def _at(design: Design, mhz: int) -> dict[str, Any]:
    found = evaluate(replace(design, clock_khz=1000 * mhz), FRAMES, "fast")
    record, run = found.record(), found.simulation
    mac = run.units["mac"]
    return {
        "fps": record["fps"],
        "cycles_per_frame": record["cycles_per_frame"],
        "latency_ms": record["latency_ms"],
        "mac_utilisation": record["mac_utilisation"],
        "ddr_mb_per_second": record["ddr_bytes"] * record["fps"] / 1e6,
        "power_w": record["power_w"],
        "mac": {
            name: getattr(mac, name) / run.total_cycles
            for name in ("busy", "wait_input", "wait_output", "wait_ddr")
        },
    }


def describe_throughput(found: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Both clocks of every design, for people."""
    rows, times = [], []
    for name, item in found.items():
        for mhz, at in item["clocks"].items():
            paper = (item["paper_fps"] or {}).get(mhz)
            rows.append(
                [
                    name,
                    mhz,
                    count(round(at["cycles_per_frame"])),
                    f"{at['fps']:.1f}",
                    f"{at['latency_ms']:.2f} ms",
                    f"{at['ddr_mb_per_second']:.0f}",
                    f"{paper:.1f}" if paper else "-",
                ]
            )
            times.append(
                [name, mhz, share(at["mac_utilisation"]), *map(share, at["mac"].values())]
            )
    head = ("design", "MHz", "cycles a frame", "FPS", "latency", "DDR, MB/s", "paper, FPS")
    yield table(f"throughput, steady state over {FRAMES} frames, DDR clock fixed", head, rows)
    head = ("design", "MHz", "useful", "busy", "no input", "no room for output", "no weights")
    yield table("cycles of the MAC array", head, times)
    built = [
        f"{name}: {count(item['lut_multipliers']['count'])} of {item['lut_multipliers']['bits']}"
        for name, item in found.items()
        if item["lut_multipliers"]["count"]
    ]
    if built:
        yield "multipliers built from LUTs, in bits: " + ", ".join(built)
    yield (
        "The paper's designs are placed and measured; these are cycle counts of RTL that fits by "
        "synthesis."
    )
