"""One design measured: cycles from the exact simulator, demand and power from their models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from model.accelerator import Accelerator, Buffers, PortMap
from model.design import Design
from model.fast_simulator import simulate_fast
from model.power import estimate_power
from model.resources import Resources, estimate_resources
from model.schedule import compile_schedule

STEADY_FRAMES = 3
RESOURCES = ("dsp", "bram18", "lut", "ff")
USABLE_SHARE = 0.845  # of LUT and FF: a fuller chip is hard to place and route


@dataclass(frozen=True)
class Limits:
    """What a design may take, and how fast it must be. None or 0: no limit."""

    dsp: int
    bram18: int
    lut: int
    ff: int
    power_w: float | None = None
    fps: float = 0.0

    @staticmethod
    def of(design: Design) -> Limits:
        """All DSP and block RAM of the design's device, 84.5 % of its LUT and FF."""
        device = design.device
        return Limits(
            device.dsp, device.bram18, int(device.lut * USABLE_SHARE), int(device.ff * USABLE_SHARE)
        )

    def exceeded(self, costs: Mapping[str, float]) -> tuple[str, ...]:
        """Resources, and ``power_w``, of which these costs take too much."""
        names = [name for name in RESOURCES if costs[name] > getattr(self, name)]
        if self.power_w is not None and costs.get("power_w", 0.0) > self.power_w:
            names.append("power_w")
        return tuple(names)


@dataclass(frozen=True)
class Point:
    """A measured accelerator."""

    key: str
    accelerator: Accelerator
    cycles_per_frame: float
    latency_cycles: int
    fps: float
    mac_utilisation: float
    ddr_bytes: float  # a frame
    dsp: int
    bram18: int
    lut: int
    ff: int
    power_w: float

    @property
    def costs(self) -> dict[str, float]:
        """By axis of the fronts."""
        return {
            "dsp": self.dsp,
            "bram18": self.bram18,
            "lut": self.lut,
            "ff": self.ff,
            "power_w": self.power_w,
        }

    def design(self, base: Design, name: str | None = None) -> Design:
        """The whole design: this accelerator for the network and device of ``base``."""
        return replace(base, name=name or base.name, accelerator=self.accelerator, path=None)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def of_record(record: Mapping[str, Any]) -> Point:
        """The inverse of :meth:`record`. KeyError or TypeError for what is none."""
        values = dict(record)
        acc = dict(values.pop("accelerator"))
        acc["buffers"] = Buffers(**acc["buffers"])
        acc["ports"] = PortMap(**acc["ports"])
        return Point(accelerator=Accelerator(**acc), **values)


def accelerator_key(accelerator: Accelerator) -> str:
    """Names an accelerator by its parameters."""
    text = json.dumps(asdict(accelerator), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def evaluate(design: Design, frames: int = STEADY_FRAMES) -> Point:
    """Simulate a design and estimate what it takes. TandemError for one that cannot be compiled."""
    run = simulate_fast(compile_schedule(design, frames))
    resources = estimate_resources(design)
    hertz = design.clock_khz * 1000
    used = run.mac_utilisation(design)
    traffic = (run.ddr.bytes_read + run.ddr.bytes_written) / frames
    power = power_of(design, resources, used, traffic, run.cycles_per_frame)
    return Point(
        key=accelerator_key(design.accelerator),
        accelerator=design.accelerator,
        cycles_per_frame=run.cycles_per_frame,
        latency_cycles=run.latency_cycles,
        fps=hertz / run.cycles_per_frame,
        mac_utilisation=used,
        ddr_bytes=traffic,
        **{name: getattr(resources, name) for name in RESOURCES},
        power_w=power,
    )


def power_of(
    design: Design, resources: Resources, utilisation: float, traffic: float, cycles: float
) -> float:
    """Watts at that many cycles a frame; ``traffic`` in bytes a frame."""
    seconds = cycles / (design.clock_khz * 1000)
    return estimate_power(design, resources, utilisation, traffic / seconds).total_w
