"""Analytic models: latency, compute, memory, bandwidth and resources without simulation.

Cycles are the sum over the passes of a network of what its busiest unit takes for each tile, plus
what lies open between passes: closed formulas from the rules of ``docs/microarchitecture.md``
(``search/analytic_cycles.py``). Traffic counts every beat of loads with their halos, stores,
weights and the tile program. DSP48E1 and RAMB18 are exact, LUT and FF fitted
(``docs/resources.md``). ``search/bundle_report.py`` holds it against the simulator over a whole
pool; ``docs/bundles.md`` has the figures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from model.design import Design
from model.resources import estimate_resources
from model.schedule import plan_design
from search.analytic_cycles import frame_cycles
from search.bounds import frame_work


@dataclass(frozen=True)
class Estimate:
    """What a design costs, estimated."""

    cycles: float  # a frame, steady state
    latency: float  # cycles from the start to the end of the first frame
    bound: int  # no schedule of the same tiles takes fewer
    busiest: str  # what the bound is the bound of
    macs: int  # multiply-accumulates of a frame
    mac_utilisation: float
    weight_bytes: float  # of all weights, packed
    feature_bytes: int  # of the largest pair of maps that are alive at once
    buffer_bits: int  # of all on-chip buffers
    traffic_bytes: int  # a frame, off chip
    bandwidth: float  # bytes a second at the estimated speed
    bandwidth_share: float  # of the memory's peak
    dsp: int
    bram18: int
    lut: int
    ff: int

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def estimate(design: Design) -> Estimate:
    """Estimate a design. TandemError where its buffers cannot hold a tile."""
    plans = plan_design(design)
    work = frame_work(design, plans)
    found = frame_cycles(design, plans)
    cycles = found.steady
    resources = estimate_resources(design)
    totals = resources.totals()
    network, acc, ddr = design.network, design.accelerator, design.device.ddr
    seconds = cycles / (design.clock_khz * 1000)
    bandwidth = work.bytes_moved / seconds
    layers = network.compute_layers
    weights = sum(layer.terms * layer.out_channels for layer in layers)
    maps = [plan.source.total_bytes + plan.target.total_bytes for plan in plans]
    return Estimate(
        cycles=cycles,
        latency=found.latency,
        bound=work.bound,
        busiest=work.busiest,
        macs=network.macs,
        mac_utilisation=work.array_macs / (acc.in_lanes * acc.out_lanes * cycles),
        weight_bytes=weights * design.weight_bits / 8,
        feature_bytes=max(maps),
        buffer_bits=18 * 1024 * totals["bram18"],
        traffic_bytes=work.bytes_moved,
        bandwidth=bandwidth,
        bandwidth_share=bandwidth / (ddr.ddr_khz * 1000 * ddr.bytes_per_ck),
        dsp=totals["dsp"],
        bram18=totals["bram18"],
        lut=totals["lut"],
        ff=totals["ff"],
    )
