"""``tandem simulate``: the cycle level of a design, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.burst_log import within_reach
from model.evaluation import Evaluation, evaluate_file
from model.spans import CAUSES, CLASSES
from model.stalls import Stalls
from model.tables import count, facts, headline, share, table
from model.timeline import build_timeline
from model.trace import record_simulation, write_trace

_WORDS = {
    "input": "waits for input",
    "output": "waits for output",
    "weights": "waits for weights",
    "ddr_latency": "memory: latency",
    "ddr_bandwidth": "memory: bandwidth",
    "arbitration": "memory: others first",
    "refresh": "memory: refresh",
    "fill": "before its first tile",
    "drain": "after its last tile",
}


def simulate_command(
    design: Path,
    frames: int,
    engine: str,
    events: Path | None,
    as_json: bool,
    trace: Path | None = None,
) -> int:
    """Simulate, print, return the exit status."""
    found = evaluate_file(design, frames, engine, events)
    record = {**found.record(), **_looked_into(found, trace)}
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(record))
    return console.HELD


def _looked_into(found: Evaluation, trace: Path | None) -> dict[str, Any]:
    """The stalls of the run, None where it is too long for that; and the trace, where asked for."""
    if trace is None and not within_reach(found.simulation):
        return {"stalls": None}
    timeline = build_timeline(found.schedule, found.simulation)
    record: dict[str, Any] = {"stalls": Stalls.of(timeline).record()}
    if trace is not None:
        lines = write_trace(trace, found.design.name, [record_simulation(found.schedule, timeline)])
        record["trace"] = {"file": str(trace), "events": lines}
    return record


def describe(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The record for people."""
    yield headline(
        f"{record['design']} on {record['device']}, W{record['weight_bits']} "
        f"F{record['feature_bits']}, {record['clock_mhz']:g} MHz: {record['fps']:.1f} FPS"
    )
    yield facts(_facts(record))
    yield unit_table(record)
    if record["stalls"] is not None:
        yield stall_table(record)
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
    if "trace" in record:
        trace = record["trace"]
        yield "trace for Perfetto", f"{trace['file']}, {count(trace['events'])} events"
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


def stall_table(record: Mapping[str, Any]) -> RenderableType:
    """Where the cycles of each unit went, by cause; each column sums to the whole run."""
    total, units = record["total_cycles"], record["stalls"]["units"]
    rows = [
        [_WORDS.get(cause, cause)]
        + [share(account[cause] / total) if account[cause] else "-" for account in units.values()]
        for cause in CAUSES
        if any(account[cause] for account in units.values())
    ]
    return table("where the cycles of each unit went", ("cause", *units), rows)


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
