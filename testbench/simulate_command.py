"""``tandem simulate``: the cycle level of a design, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.evaluation import evaluate_file
from model.tables import count, facts, headline, share, table

CLASSES = ("busy", "wait_input", "wait_output", "wait_ddr")


def simulate_command(
    design: Path, frames: int, engine: str, events: Path | None, as_json: bool
) -> int:
    """Simulate, print, return the exit status."""
    record = evaluate_file(design, frames, engine, events).record()
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(record))
    return console.HELD


def describe(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The record for people."""
    yield headline(
        f"{record['design']} on {record['device']}, W{record['weight_bits']} "
        f"F{record['feature_bits']}, {record['clock_mhz']:g} MHz: {record['fps']:.1f} FPS"
    )
    yield facts(_facts(record))
    yield unit_table(record)
    yield pass_table(record)
    yield resource_table(record["resources"])
    for shortage in record["resources"]["shortages"]:
        yield (
            f"[bold red]does not fit[/]: {shortage['resource']}: needs {shortage['need']:,}, the "
            f"device has {shortage['limit']:,}: {shortage['advice']}"
        )


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    latency = f"{count(record['latency_cycles'])} cycles, {record['latency_ms']:.2f} ms"
    yield "latency of a frame", latency
    if record["frames"] > 1:
        steady = f"{record['cycles_per_frame']:,.1f} cycles a frame over {record['frames']} frames"
        yield "steady state", steady
    else:
        yield "frames per second", "from this latency; --frames 3 gives the steady state"
    yield "MAC array", f"{share(record['mac_utilisation'])} of its multiplier-cycles useful"
    built = record["lut_multipliers"]
    if built["count"]:
        yield "multipliers of LUTs", f"{count(built['count'])} of {built['bits']} bits"
    ddr = record["ddr"]
    accesses = ddr["row_hits"] + ddr["row_misses"]
    hits = ddr["row_hits"] / accesses if accesses else 0.0
    yield "memory traffic", f"{record['ddr_bytes'] / 1e6:.2f} MB a frame, {share(hits)} row hits"
    power, joule = record["power_w"], record["images_per_joule"]
    yield "power, first model", f"{power:.2f} W, {joule:.1f} images per joule"
    yield "evaluated in", f"{1000 * record['sim_seconds']:.1f} ms, {count(record['events'])} events"


def unit_table(record: Mapping[str, Any]) -> RenderableType:
    """What each unit does in the cycles of the run."""
    total = record["total_cycles"]
    rows = [
        [name, *(share(account[kind] / total) for kind in CLASSES), count(account["busy"])]
        for name, account in record["units"].items()
    ]
    titles = ("unit", "busy", "waits input", "waits output", "waits DDR", "busy cycles")
    return table(f"units over {count(total)} cycles", titles, rows)


def pass_table(record: Mapping[str, Any]) -> RenderableType:
    """What the compiler chose."""
    rows = [
        [
            item["name"].split(".")[0],
            " ".join([*(item["layers"] or ["copy"]), *(["> bypass"] if item["bypass"] else [])]),
            " x ".join(map(str, item["output"])),
            f"{item['macs'] / 1e6:.2f} M",
            count(item["tiles"]),
            " x ".join(map(str, item["tile"])),
            item["weights"],
        ]
        for item in record["passes"]
    ]
    titles = ("bundle", "layers of a pass", "output", "MACs", "tiles", "tile", "weights fetched")
    return table("passes and tiles", titles, rows, left=(0, 1, 6))


def resource_table(resources: Mapping[str, Any]) -> RenderableType:
    """Demand by part, the sum, the device."""
    names = ("dsp", "bram18", "lut", "ff")
    rows = [[part["name"], *(count(part[name]) for name in names)] for part in resources["parts"]]
    limits = resources["limits"]
    rows.append(["all", *(count(resources[name]) for name in names)])
    rows.append(["device", *(count(limits[name]) for name in names)])
    rows.append(["used", *(share(resources[name] / limits[name]) for name in names)])
    titles = ("resources", "DSP48E1", "RAMB18", "LUT (estimate)", "FF (estimate)")
    return table(None, titles, rows, rules=(len(rows) - 3,))
