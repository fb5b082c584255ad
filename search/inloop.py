"""Exact evaluation inside a search: what ``search.measure.evaluate`` says, at a lower price."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from model.design import Design
from search.measure import evaluate


@dataclass(frozen=True)
class InLoop:
    """What a search needs to know of a design."""

    latency_cycles: int
    cycles_per_frame: float
    fps: float
    dsp: int
    bram18: int
    lut: int
    ff: int
    power_w: float
    mac_utilisation: float
    ddr_bytes: float

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate_exact(design: Design, frames: int = 2) -> InLoop:
    """Simulate a design to the cycle. TandemError for one that cannot be compiled."""
    point = evaluate(design, frames)
    return InLoop(**{name: getattr(point, name) for name in InLoop.__dataclass_fields__})
