"""Prototypes: each bundle repeated between a fixed stem and head, to be trained for a short time.

All prototypes have the same channels and the same accelerator budget, so that they differ in the
bundle alone. The accelerator is the fastest of the space's parallel factors that fits the limits
with the prototype's network, simulated exactly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from model.design import Design
from model.errors import TandemError
from search.bundle import Bundle
from search.evaluator import FRAMES
from search.genome import CHANNEL_STEP, EXPANSIONS, Genome
from search.genome_space import GenomeSpace
from search.inloop import InLoop, evaluate_exact
from search.measure import RESOURCES
from search.spec import SearchSpec

TRIED_LANES, TRIED_TILES = 6, (0, 1, 2)  # largest parallel factors, tile heights
SCALES, SCALE_STEPS = (0.2, 8.0), 9  # of channels, to reach a speed; the last step is 1 %
Record = dict[str, Any]


def prototype_tokens(bundle: Bundle, spec: SearchSpec, scale: float = 1.0) -> list[list[str]]:
    """The bundles of a prototype's network; the first repetitions halve the map.

    ``scale``: times the channels of the specification, in whole beats.
    """
    channels = [
        max(CHANNEL_STEP, round(count * scale / CHANNEL_STEP) * CHANNEL_STEP)
        for count in spec.prototypes.channels
    ]
    if scale == 1.0:
        channels = list(spec.prototypes.channels)
    pooled = spec.network.downsamplings
    return [
        list(spec.network.stem),
        *(bundle.tokens(count, index < pooled) for index, count in enumerate(channels)),
    ]


def measure_prototype(bundle: Bundle, spec: SearchSpec) -> tuple[Design, InLoop]:
    """The prototype on the fastest accelerator that fits. TandemError where none does.

    With ``prototypes.fps`` its channels are scaled until it is about that fast.
    """
    if not spec.prototypes.fps:
        return fastest_prototype(bundle, spec)
    low, high = SCALES
    best: tuple[Design, InLoop] | None = None
    for _ in range(SCALE_STEPS):  # wider is slower
        scale = (low * high) ** 0.5
        found = fastest_prototype(bundle, spec, scale)
        if best is None or abs(_off(found, spec)) < abs(_off(best, spec)):
            best = found
        low, high = (scale, high) if _off(found, spec) > 0 else (low, scale)
    assert best is not None
    return best


def _off(found: tuple[Design, InLoop], spec: SearchSpec) -> float:
    """How much faster than asked for, as a logarithm."""
    return math.log(found[1].fps / spec.prototypes.fps)


def fastest_prototype(
    bundle: Bundle, spec: SearchSpec, scale: float = 1.0
) -> tuple[Design, InLoop]:
    """The prototype, its channels scaled, on the fastest accelerator that fits. TandemError."""
    space = GenomeSpace.of(spec, bundle)
    genome = Genome(
        bundle=bundle,
        expansions=(EXPANSIONS[0],) * len(spec.prototypes.channels),
        pools=tuple(
            index < spec.network.downsamplings for index in range(len(spec.prototypes.channels))
        ),
        weight_bits=min(spec.network.weight_bits, key=lambda bits: abs(bits - 8)),
        feature_bits=min(spec.network.feature_bits, key=lambda bits: abs(bits - 8)),
        lanes=0,
        tile=0,
    )
    name = f"prototype_{bundle.name}"
    best: tuple[Design, InLoop] | None = None
    tried = 0
    for lanes in reversed(range(len(space.lanes))):
        fits = False
        for tile in TRIED_TILES:
            trial = replace(genome, lanes=lanes, tile=tile)
            found = _measured(space, trial, prototype_tokens(bundle, spec, scale), name)
            if found is None:
                continue
            fits = True
            if best is None or found[1].fps > best[1].fps:
                best = found
        tried += fits
        if tried == TRIED_LANES:
            break
    if best is None:
        raise TandemError(f"bundle {bundle.name}: no accelerator within the limits runs it")
    return best


def _measured(
    space: GenomeSpace, genome: Genome, chains: list[list[str]], name: str
) -> tuple[Design, InLoop] | None:
    try:
        design = space.build_chains(chains, genome, name)
        if space.exceeded(design):
            return None
        return design, evaluate_exact(design, FRAMES)
    except TandemError:
        return None


def prototype_record(bundle: Bundle, design: Design, cost: InLoop) -> Record:
    """What is known of a prototype before it is trained, for JSON."""
    return {
        "bundle": bundle.name,
        "name": design.name,
        "fps": cost.fps,
        "latency_ms": cost.latency_cycles / design.clock_khz,
        "macs": design.network.macs,
        "mac_utilisation": cost.mac_utilisation,
        "ddr_bytes": cost.ddr_bytes,
        "power_w": cost.power_w,
        **{key: getattr(cost, key) for key in RESOURCES},
    }
