"""Evaluation of a design at the cycle level: time, traffic, resources, power, in one record."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.design import Design, load_design
from model.errors import TandemError
from model.events import write_events
from model.fast_simulator import simulate_fast
from model.plan import PassPlan, WeightRun
from model.power import Power, estimate_power
from model.resources import DSP_LEAST_PRODUCT_BITS, Resources, estimate_resources
from model.schedule import Schedule, compile_schedule
from model.simulator import Simulation, simulate

ENGINES = ("simpy", "fast")
FRAMES_MAX = 1000


@dataclass(frozen=True)
class Evaluation:
    """What the cycle level says of a design. The simulated frames are the same every time."""

    schedule: Schedule
    simulation: Simulation
    resources: Resources
    power: Power

    @property
    def design(self) -> Design:
        """The design evaluated."""
        return self.schedule.design

    @property
    def fps(self) -> float:
        """Frames per second: steady state, or one over the latency where one frame was run."""
        return self.design.clock_khz * 1000 / self.simulation.cycles_per_frame

    def record(self) -> dict[str, Any]:
        """For JSON: the keys of ``tandem simulate``."""
        run, design, frames = self.simulation, self.design, self.schedule.frames
        watts = self.power.total_w
        return {
            "design": design.name,
            "device": design.device.name,
            "clock_mhz": design.clock_mhz,
            "weight_bits": design.weight_bits,
            "feature_bits": design.feature_bits,
            "frames": frames,
            "latency_cycles": run.latency_cycles,
            "total_cycles": run.total_cycles,
            "cycles_per_frame": run.cycles_per_frame,
            "latency_ms": run.latency_cycles / design.clock_khz,
            "fps": self.fps,
            "ddr_bytes": (run.ddr.bytes_read + run.ddr.bytes_written) / frames,
            "ddr": asdict(run.ddr),
            "units": {name: asdict(account) for name, account in run.units.items()},
            "macs": self.schedule.design.network.macs,
            "mac_utilisation": run.mac_utilisation(design),
            "events": len(run.events),
            "passes": [pass_record(plan) for plan in self.schedule.plans],
            "memory_bytes": self.schedule.memory_bytes,
            "resources": self.resources.record(),
            "lut_multipliers": lut_multipliers(design),
            "power_w": watts,
            "power": self.power.record(),
            "images_per_joule": self.fps / watts,
            "sim_seconds": run.seconds,
        }


def evaluate(design: Design, frames: int = 1, engine: str = "simpy") -> Evaluation:
    """Compile and simulate a design. TandemError for one that cannot be compiled, or the engine."""
    if engine not in ENGINES:
        raise TandemError(f"--engine {engine}: must be one of {', '.join(ENGINES)}")
    check_frames(frames)
    schedule = compile_schedule(design, frames)
    simulation = simulate_fast(schedule) if engine == "fast" else simulate(schedule)
    resources = estimate_resources(design)
    frame_seconds = simulation.cycles_per_frame / (design.clock_khz * 1000)
    traffic = (simulation.ddr.bytes_read + simulation.ddr.bytes_written) / frames / frame_seconds
    power = estimate_power(design, resources, simulation.mac_utilisation(design), traffic)
    return Evaluation(schedule, simulation, resources, power)


def evaluate_file(
    path: str | Path, frames: int = 1, engine: str = "simpy", events: Path | None = None
) -> Evaluation:
    """Evaluate a design file and, where ``events`` is given, write the event file there, whole."""
    found = evaluate(load_design(path), frames, engine)
    if events is not None:
        _write_events(events, found.simulation)
    return found


def lut_multipliers(design: Design) -> dict[str, Any]:
    """Multipliers that are built from LUTs: how many, of which operands in bits."""
    acc = design.accelerator
    number = acc.in_lanes * acc.dw_multipliers if acc.dw_multiplier_style == "lut" else 0
    if design.weight_bits + design.feature_bits < DSP_LEAST_PRODUCT_BITS:
        number = acc.in_lanes * (acc.dw_multipliers + acc.out_lanes)
    return {"count": number, "bits": f"{design.weight_bits} x {design.feature_bits}"}


def check_frames(frames: int) -> None:
    """TandemError for a number of frames that makes no sense."""
    if not 1 <= frames <= FRAMES_MAX:
        raise TandemError(f"--frames {frames}: must be a whole number from 1 to {FRAMES_MAX}")


def pass_record(plan: PassPlan) -> dict[str, Any]:
    """What the compiler chose for one pass."""
    first, output = plan.tiles[0], plan.item.output
    bypass = plan.item.joins.name if plan.item.joins and plan.item.to_depth else None
    return {
        "layers": [layer.token for layer in plan.item.layers],
        "name": plan.item.name,
        "output": [output.out_channels, output.out_height, output.out_width],
        "bypass": bypass,
        "macs": plan.item.macs,
        "tiles": len(plan.tiles),
        "tile": [first.rows, first.cols],
        "weights": _residence(plan.mac_weights),
        "dw_weights": _residence(plan.dw_weights) if plan.dw_weights else None,
    }


def _residence(run: WeightRun) -> str:
    """Once: all groups of the pass fit their store; per tile: fetched again for every tile."""
    return "once" if run.resident else "per tile"


def _write_events(path: Path, simulation: Simulation) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        write_events(part, simulation.events)
        part.replace(path)
    except OSError as error:
        raise TandemError(
            f"{path}: the event file cannot be written ({error.strerror}): choose another place"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may not be there
            part.unlink(missing_ok=True)
