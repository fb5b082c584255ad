"""The bundles of a pool: analytic estimates beside the simulator's truth, over the whole pool.

Every bundle is repeated as a prototype between stem and head and given accelerators of several
parallel factors and precisions. What matters for a search is how far an estimate is off and whether
it ranks as the simulator does.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.errors import TandemError
from model.network_file import write_atomically
from search.analytic import Estimate, estimate
from search.bundle import Bundle
from search.genome import EXPANSIONS, Genome
from search.genome_space import GenomeSpace
from search.inloop import InLoop, evaluate_exact
from search.prototypes import prototype_tokens
from search.quality import kendall_tau
from search.spec import SearchSpec

FRAMES = 2  # the fewest that have a steady state
FACTORS = (64, 128, 192, 384)  # products a cycle; the largest space that has each
PRECISIONS = ((8, 8), (11, 8), (16, 8))
TILE = 1  # index into the space's tile heights
Tell = Callable[[int, int], None]
Refuse = Callable[[str, str], None]  # bundle and accelerator, why it is left out


@dataclass(frozen=True)
class Measured:
    """A bundle on an accelerator, estimated and simulated."""

    bundle: str
    weight_bits: int
    feature_bits: int
    in_lanes: int
    out_lanes: int
    requant_lanes: int
    estimate: Estimate
    truth: InLoop
    exceeded: tuple[str, ...] = ()  # resources of which it takes more than the limits

    @property
    def error(self) -> float:
        """(estimated - simulated) / simulated cycles."""
        return self.estimate.cycles / self.truth.cycles_per_frame - 1

    @property
    def latency_error(self) -> float:
        """The same of the cycles of a first frame."""
        return self.estimate.latency / self.truth.latency_cycles - 1

    @property
    def traffic_error(self) -> float:
        """The same of bytes a frame."""
        return self.estimate.traffic_bytes / self.truth.ddr_bytes - 1

    def row(self) -> dict[str, Any]:
        """For CSV and JSON."""
        names = ("weight_bits", "feature_bits", "in_lanes", "out_lanes", "requant_lanes")
        return {
            "bundle": self.bundle,
            **{name: getattr(self, name) for name in names},
            "simulated_cycles": self.truth.cycles_per_frame,
            "fps": self.truth.fps,
            "error": self.error,
            "simulated_latency": self.truth.latency_cycles,
            "latency_error": self.latency_error,
            "simulated_bytes": self.truth.ddr_bytes,
            "traffic_error": self.traffic_error,
            **self.estimate.record(),
            "exceeded": " ".join(self.exceeded),
        }


@dataclass(frozen=True)
class Accuracy:
    """How well the estimates do."""

    points: int
    mean_error: float  # of the absolute relative error of cycles
    worst_error: float
    worst: str  # which bundle
    latency_mean: float  # the same of a first frame
    latency_worst: float
    tau: float  # Kendall's rank correlation of cycles, all points together
    least_tau: float  # the least over the accelerators, each of which ranks the bundles
    traffic_worst: float

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_bundles(
    spec: SearchSpec,
    bundles: Sequence[Bundle],
    tell: Tell = lambda *_: None,
    refuse: Refuse = lambda *_: None,
) -> list[Measured]:
    """Every bundle at every parallel factor and precision; ``refuse`` is told what cannot be."""
    found: list[Measured] = []
    for index, bundle in enumerate(bundles):
        tell(index, len(bundles))
        found += list(_points(spec, bundle, refuse))
    tell(len(bundles), len(bundles))
    return found


def _points(spec: SearchSpec, bundle: Bundle, refuse: Refuse) -> Iterator[Measured]:
    space = GenomeSpace.of(spec, bundle)
    count = len(spec.prototypes.channels)
    pools = tuple(index < spec.network.downsamplings for index in range(count))
    for macs in FACTORS:
        fitting = [index for index, lanes in enumerate(space.lanes) if lanes.macs == macs]
        if not fitting:
            continue
        lanes = space.lanes[fitting[-1]]
        for weight_bits, feature_bits in PRECISIONS:
            genome = Genome(
                bundle,
                (EXPANSIONS[0],) * count,
                pools,
                weight_bits,
                feature_bits,
                fitting[-1],
                TILE,
            )
            try:
                design = space.build_chains(prototype_tokens(bundle, spec), genome, bundle.name)
                guessed, truth = estimate(design), evaluate_exact(design, FRAMES)
            except TandemError as error:
                at = (
                    f"on {lanes.in_lanes} x {lanes.out_lanes} lanes, W{weight_bits} F{feature_bits}"
                )
                refuse(f"{bundle.name} {at}", str(error))
                continue
            yield Measured(
                bundle.name, weight_bits, feature_bits, lanes.in_lanes, lanes.out_lanes,
                lanes.requant_lanes, guessed, truth, space.exceeded(design),
            )  # fmt: skip


def accuracy(found: Sequence[Measured]) -> Accuracy:
    """Errors and rank correlations. TandemError where there is nothing to rank."""
    if len(found) < 2:
        raise TandemError("fewer than two points could be measured: add layers to the pool")
    errors = [abs(item.error) for item in found]
    worst = max(found, key=lambda item: abs(item.error))
    groups: dict[object, list[Measured]] = {}
    for item in found:
        key = (item.in_lanes, item.out_lanes, item.requant_lanes, item.weight_bits)
        groups.setdefault(key, []).append(item)
    taus = [_tau(group) for group in groups.values() if len(group) > 2]
    return Accuracy(
        points=len(found),
        mean_error=sum(errors) / len(errors),
        worst_error=abs(worst.error),
        worst=worst.bundle,
        latency_mean=sum(abs(item.latency_error) for item in found) / len(found),
        latency_worst=max(abs(item.latency_error) for item in found),
        tau=_tau(found),
        least_tau=min(taus, default=1.0),
        traffic_worst=max(abs(item.traffic_error) for item in found),
    )


def _tau(found: Sequence[Measured]) -> float:
    return kendall_tau(
        [item.estimate.cycles for item in found], [item.truth.cycles_per_frame for item in found]
    )


def sampled(bundles: Sequence[Bundle], most: int, seed: int) -> list[Bundle]:
    """At most ``most`` of them, drawn at random."""
    if len(bundles) <= most:
        return list(bundles)
    return random.Random(seed).sample(list(bundles), most)


def write_bundles(found: Sequence[Measured], folder: Path) -> None:
    """``bundles.csv``, a line a point."""
    rows = [item.row() for item in found]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in row.items()} for row in rows)
    write_atomically(folder / "bundles.csv", text.getvalue().encode())


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
