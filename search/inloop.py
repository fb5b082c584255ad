"""Exact evaluation inside a search: what ``search.measure.evaluate`` says, at a lower price.

The same schedule, the same compiled simulation and the same models of resources and power; what a
search does not look at, events and the counters of the units, is not made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from model.design import Design
from model.fast_simulator import cycles_fast
from model.resources import Resources, estimate_resources
from model.schedule import Planned, compile_schedule
from search.measure import power_of


@dataclass(frozen=True)
class InLoop:
    """What a search needs to know of a design."""

    latency_cycles: int
    cycles_per_frame: float  # of the steady state; of one frame the latency
    fps: float
    dsp: int
    bram18: int
    lut: int
    ff: int
    power_w: float
    mac_utilisation: float
    ddr_bytes: float  # a frame

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate_exact(
    design: Design,
    frames: int = 2,
    resources: Resources | None = None,
    planned: Planned | None = None,
) -> InLoop:
    """Simulate a design to the cycle. TandemError for one that cannot be compiled.

    ``resources``, ``planned``: of the design, where they are known already.
    """
    schedule = compile_schedule(design, frames, planned)
    done, memory = cycles_fast(schedule)
    resources = resources or estimate_resources(design)
    cycles = (done[-1] - done[0]) / (frames - 1) if frames > 1 else float(done[0])
    acc = design.accelerator
    used = schedule.array_macs / (acc.in_lanes * acc.out_lanes * cycles)
    traffic = (memory.bytes_read + memory.bytes_written) / frames
    totals = resources.totals()
    return InLoop(
        latency_cycles=done[0],
        cycles_per_frame=cycles,
        fps=design.clock_khz * 1000 / cycles,
        dsp=totals["dsp"],
        bram18=totals["bram18"],
        lut=totals["lut"],
        ff=totals["ff"],
        power_w=power_of(design, resources, used, traffic, cycles),
        mac_utilisation=used,
        ddr_bytes=traffic,
    )
