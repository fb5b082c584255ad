"""Two evaluations beside each other: totals, units, stall causes and bundles, all a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.errors import TandemError
from model.evaluation import Evaluation
from model.stalls import CAUSES, find_stalls

CLASSES = ("busy", "wait_input", "wait_output", "wait_ddr")
Sides = dict[str, Any]  # "a" and "b"; None where one side has no such thing


def totals(found: Evaluation) -> dict[str, float]:
    """What is known of a design as a whole."""
    run, design, resources = found.simulation, found.design, found.resources
    traffic = (run.ddr.bytes_read + run.ddr.bytes_written) / found.schedule.frames
    return {
        "fps": found.fps,
        "cycles_per_frame": run.cycles_per_frame,
        "ms_per_frame": run.cycles_per_frame / design.clock_khz,
        "latency_cycles": run.latency_cycles,
        "latency_ms": run.latency_cycles / design.clock_khz,
        "clock_mhz": design.clock_mhz,
        "macs": design.network.macs,
        "mac_utilisation": run.mac_utilisation(design),
        "ddr_bytes": traffic,
        **resources.totals(),
        "power_w": found.power.total_w,
        "images_per_joule": found.fps / found.power.total_w,
    }


def units(found: Evaluation) -> dict[str, dict[str, float]]:
    """Counters of each unit, cycles a frame over the whole run, its beginning and end included."""
    frames = found.schedule.frames
    return {
        name: {kind: value / frames for kind, value in asdict(account).items()}
        for name, account in found.simulation.units.items()
    }


def stalls(found: Evaluation) -> dict[str, dict[str, float]] | None:
    """Cycles a frame by unit and cause; None for a run too long to be taken apart."""
    try:
        account = find_stalls(found.schedule, found.simulation).units
    except TandemError:
        return None
    frames = found.schedule.frames
    return {
        unit: {cause: causes[cause] / frames for cause in CAUSES}
        for unit, causes in account.items()
    }


def bundles(found: Evaluation) -> dict[str, dict[str, Any]]:
    """By position, the head under its name: layers, tiles and cycles of the first frame.

    ``cycles``: from the end of the chain before it, or the start, until its last tile is stored;
    they sum to the latency.
    """
    net = found.design.network
    done = [0]
    for event in found.simulation.events:
        if event.kind == "bundle_done" and event.bundle == len(done) - 1:
            done.append(event.cycle)
            if len(done) > len(net.chains):
                break
    tiles = [0] * len(net.chains)
    for plan in found.schedule.plans:
        tiles[plan.item.bundle] += len(plan.tiles)
    return {
        "head" if chain is net.head else str(index): {
            "layers": [layer.token for layer in chain],
            "macs": sum(layer.macs for layer in chain),
            "tiles": tiles[index],
            "cycles": done[index + 1] - done[index],
        }
        for index, chain in enumerate(net.chains)
    }


def beside(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> dict[str, Sides]:
    """By key what each side has, in the order of the longer side; the head stays last."""
    keys = list(dict.fromkeys([*(a or {}), *(b or {})]))
    keys.sort(key=lambda key: key == "head")
    return {key: {"a": (a or {}).get(key), "b": (b or {}).get(key)} for key in keys}


def side_by_side(a: Evaluation, b: Evaluation) -> dict[str, dict[str, Sides]]:
    """For JSON: every table of the two."""
    return {
        "totals": beside(totals(a), totals(b)),
        "power": beside(a.power.record(), b.power.record()),
        "units": beside(units(a), units(b)),
        "stalls": beside(stalls(a), stalls(b)),
        "bundles": beside(bundles(a), bundles(b)),
    }
