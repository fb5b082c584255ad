"""What a co-design search hands from stage to stage: candidates, and all that was found so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.design import Design, design_from_dict
from model.design_writer import design_to_dict
from search.bundle import Bundle
from search.spec import SearchSpec, Target

Record = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A network with its accelerator that a search for a target proposed."""

    design: Design
    target: Target
    bundle: str
    method: str  # "scd", or the baseline that found it
    fps: float
    quality: float  # predicted; used to choose what is trained
    costs: Mapping[str, float]

    @property
    def name(self) -> str:
        """Of the design."""
        return self.design.name

    def record(self) -> Record:
        """For JSON."""
        return {
            "name": self.name,
            "target": self.target.name,
            "bundle": self.bundle,
            "method": self.method,
            "fps": self.fps,
            "quality": self.quality,
            **self.costs,
            "design": design_to_dict(self.design),
        }

    @staticmethod
    def of_record(record: Mapping[str, Any], targets: Sequence[Target]) -> Candidate:
        """The inverse of :meth:`record`."""
        target = next(item for item in targets if item.name == record["target"])
        costs = ("dsp", "bram18", "lut", "ff", "power_w", "latency_ms")
        return Candidate(
            design_from_dict(record["design"], str(record["name"])),
            target,
            str(record["bundle"]),
            str(record["method"]),
            float(record["fps"]),
            float(record["quality"]),
            {key: float(record[key]) for key in costs if key in record},
        )


@dataclass
class Progress:
    """What a search has found so far; what the report is made of."""

    spec: SearchSpec
    out: Path
    bundles: list[Bundle] = field(default_factory=list)
    refused: list[Record] = field(default_factory=list)
    prototypes: list[Record] = field(default_factory=list)
    selected: list[Bundle] = field(default_factory=list)
    chains: list[Record] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    trained: dict[str, Record] = field(default_factory=dict)  # candidate's name -> trial's result
    winners: list[Record] = field(default_factory=list)
    reach: Record = field(default_factory=dict)
    quality: Record = field(default_factory=dict)


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One candidate a network and precision, the one of the higher speed."""
    kept: dict[object, Candidate] = {}
    for item in candidates:
        design = item.design
        key = (design.network, design.weight_bits, design.feature_bits)
        if key not in kept or item.fps > kept[key].fps:
            kept[key] = item
    return list(kept.values())


def best_predicted(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The ``count`` candidates of the highest predicted quality."""
    order = sorted(distinct(candidates), key=lambda item: (-item.quality, item.name))
    return order[:count]
