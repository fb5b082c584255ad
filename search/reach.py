"""Targets that no design of the space can reach, told before anything is trained.

The smallest network of the space, with each of its bundles, on every accelerator that the limits
allow: the bound of ``search/bounds.py`` says how fast it could be at the most, so a target above it
is out of reach for certain. What the fastest of them really does is simulated, and named as the
nearest target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.design import Design
from model.errors import TandemError
from model.schedule import plan_design
from search.bounds import frame_work
from search.bundle import Bundle
from search.evaluator import FRAMES
from search.genome import EXPANSIONS, Genome
from search.genome_space import GenomeSpace
from search.inloop import evaluate_exact
from search.spec import SearchSpec

SIMULATED = 8  # accelerators with the best bounds
CAUSES = {
    "mac": "multipliers",
    "passes": "multipliers",
    "depthwise": "depth-wise multipliers",
    "post": "requantising",
    "sequencer": "tiles",
    "memory": "memory bandwidth",
}


@dataclass(frozen=True)
class Reach:
    """How fast the space can be."""

    fps_bound: float  # no design is faster
    cause: str  # what forbids more
    fps_found: float  # a design of the space that fits, simulated; 0 where none fits
    bundle: str


def check_reach(spec: SearchSpec, bundles: Sequence[Bundle]) -> Reach:
    """TandemError for a target above the bound, with what forbids it and the nearest target."""
    reach = reach_of(spec, bundles)
    if not reach.fps_found:
        raise TandemError(
            f"{spec.path or spec.name}: limits: not even the smallest network of the space has an "
            "accelerator that fits: raise them, or lower network.height, width or the stem"
        )
    for target in spec.targets:
        if target.least_fps > reach.fps_bound:
            raise TandemError(
                f"{spec.path or spec.name}: the target of {target.fps:g} FPS is out of reach: "
                f"{reach.cause} allow at most {reach.fps_bound:.1f} FPS with the smallest network "
                f"({reach.bundle}); {reach.fps_found:.1f} FPS is the nearest target, or lower "
                "network.height, width or the stem"
            )
    return reach


def reach_of(spec: SearchSpec, bundles: Sequence[Bundle]) -> Reach:
    """Bound and best simulated speed over all bundles."""
    found: list[tuple[int, str, Design, bool, str]] = []
    for bundle in bundles:
        space = GenomeSpace.of(spec, bundle)
        for design in smallest_designs(space):
            work = frame_work(design, plan_design(design))
            fits = not space.exceeded(design)
            found.append((work.bound, work.busiest, design, fits, bundle.name))
    if not found:
        raise TandemError("no bundle of the pool makes a network of the smallest size")
    found.sort(key=lambda item: item[0])
    bound, busiest, design, _, name = found[0]
    hertz = design.clock_khz * 1000
    fitting = [item[2] for item in found if item[3]]
    fps = [evaluate_exact(design, FRAMES).fps for design in fitting[:SIMULATED]]
    cause = CAUSES.get(busiest, "memory bandwidth of a port")
    return Reach(hertz / bound, cause, max(fps, default=0.0), name)


def smallest_designs(space: GenomeSpace) -> Iterator[Design]:
    """The smallest network that the space has, on every parallel factor and tile height."""
    net = space.network
    count = max(net.repetitions[0], net.downsamplings, 1)
    for lanes in range(len(space.lanes)):
        genome = Genome(
            bundle=space.bundle,
            expansions=(EXPANSIONS[0],) * count,
            pools=tuple(index < net.downsamplings for index in range(count)),
            weight_bits=net.weight_bits[0],
            feature_bits=net.feature_bits[0],
            lanes=lanes,
            tile=1,
        )
        try:
            yield space.build(genome)
        except TandemError:
            continue
