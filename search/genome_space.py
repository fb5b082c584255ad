"""The space of genomes for one bundle on one device, and the designs that they stand for."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from model.accelerator import Accelerator, Buffers, channel_align
from model.design import Design
from model.device import Device, load_device
from model.errors import TandemError
from model.network import Network, parse_network
from model.packing import needs_narrow_weights, refusal
from model.resources import (
    Resources,
    dsp_blocks,
    estimate_resources,
    multiplier_dsps,
    requantise_dsps,
)
from model.schedule import Planned, retiled
from model.tiling import TileShape
from search.bundle import Bundle
from search.fit import LEAST_DEPTH, fit_work
from search.genome import EXPANSIONS, Genome
from search.measure import Limits
from search.space import port_maps
from search.spec import NetworkSpace, SearchSpec

TILE_ROWS = (2, 4, 8, 16, 32)  # rows of convolution output, of the widest map
LANE_SHAPES = ((2, 4), (4, 4), (4, 8), (8, 4), (8, 8))  # in_lanes, requant_lanes
ACCUMULATOR_BITS = 32
DW_MULTIPLIERS = {3: 9, 5: 13}  # a window a cycle, or in two
WEIGHT_POLICY = "stream"  # groups that the weight stores hold, see search/fit.py


@dataclass(frozen=True)
class Lanes:
    """A parallel factor: products a cycle of the MAC array, and the requantising behind it."""

    in_lanes: int
    out_lanes: int
    requant_lanes: int

    @property
    def macs(self) -> int:
        """Products a cycle."""
        return self.in_lanes * self.out_lanes


@dataclass(frozen=True)
class Work:
    """A genome's design with what a search asks of it, each worked out once, when it is asked.

    The cheap answers first: ``dsp`` needs no plan, ``resources`` no tiles. TandemError where the
    genome is impossible.
    """

    space: GenomeSpace
    genome: Genome

    @cached_property
    def dsp(self) -> int:
        """DSP48E1 blocks."""
        return dsp_blocks(self._unsized)

    @property
    def design(self) -> Design:
        """Its buffers as large as its tiles need."""
        return self._sized[0]

    @cached_property
    def _unsized(self) -> Design:
        return self.space.unsized(self.space.chains(self.genome), self.genome, "candidate")

    @cached_property
    def _sized(self) -> tuple[Design, Planned]:
        return sized_for(self._unsized, self.genome)

    @cached_property
    def resources(self) -> Resources:
        """What it takes of a chip."""
        return estimate_resources(self.design)

    @cached_property
    def planned(self) -> Planned:
        """Its passes and tiles. TandemError where they do not fit what the hardware can say."""
        return retiled(*self._sized)


@dataclass(frozen=True)
class GenomeSpace:
    """All genomes of a bundle for a network space, a device and its limits."""

    network: NetworkSpace
    bundle: Bundle
    device: Device
    clock_khz: int
    limits: Limits
    lanes: tuple[Lanes, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lanes", parallel_factors(self.limits.dsp, self.network))

    @staticmethod
    def of(spec: SearchSpec, bundle: Bundle) -> GenomeSpace:
        """The space of a specification."""
        return GenomeSpace(spec.network, bundle, spec.device, spec.clock_khz, spec.limits)

    def record(self) -> dict[str, Any]:
        """For JSON: the payload of a chain."""
        return {
            "network": asdict(self.network),
            "bundle": self.bundle.name,
            "device": self.device.name,
            "clock_khz": self.clock_khz,
            "limits": asdict(self.limits),
        }

    @staticmethod
    def of_record(record: Mapping[str, Any]) -> GenomeSpace:
        """The inverse of :meth:`record`."""
        network: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in record["network"].items()
        }
        return GenomeSpace(
            NetworkSpace(**network),
            Bundle.named(record["bundle"]),
            load_device(record["device"]),
            int(record["clock_khz"]),
            Limits(**record["limits"]),
        )

    def random(self, rng: random.Random) -> Genome:
        """A genome, every coordinate drawn alike."""
        low, high = self.network.repetitions
        count = rng.randint(max(low, self.network.downsamplings), high)
        pooled = set(rng.sample(range(count), self.network.downsamplings))
        return Genome(
            bundle=self.bundle,
            expansions=tuple(rng.choice(EXPANSIONS) for _ in range(count)),
            pools=tuple(index in pooled for index in range(count)),
            weight_bits=rng.choice(self.network.weight_bits),
            feature_bits=rng.choice(self.network.feature_bits),
            lanes=rng.randrange(len(self.lanes)),
            tile=rng.randrange(len(TILE_ROWS)),
        )

    def chains(self, genome: Genome) -> list[list[str]]:
        """The bundles of a genome's network as a design file has them, the stem first."""
        channels = genome.channels(self.network.stem_channels, self.network.max_channels)
        repeated = zip(channels, genome.pools, strict=True)
        return [
            list(self.network.stem),
            *(genome.bundle.tokens(count, pooled) for count, pooled in repeated),
        ]

    def build(self, genome: Genome, name: str = "candidate") -> Design:
        """The design of a genome, its buffers as large as its tiles need. TandemError: impossible.

        The tile is so many rows of the whole width in the widest pass; what that takes of each
        buffer is built, and every other pass takes the largest tile that fits it.
        """
        return self.build_chains(self.chains(genome), genome, name)

    def build_chains(self, chains: Sequence[Sequence[str]], genome: Genome, name: str) -> Design:
        """The same for bundles of other channels than the genome's."""
        return sized_for(self.unsized(chains, genome, name), genome)[0]

    def unsized(self, chains: Sequence[Sequence[str]], genome: Genome, name: str) -> Design:
        """The same with buffers of two words: its network and its units."""
        net = self.network
        network = _network(
            (net.channels, net.height, net.width), tuple(map(tuple, chains)), net.head
        )
        lanes = self.lanes[genome.lanes]
        bits = genome.weight_bits, genome.feature_bits
        packed = refusal(*bits) is None and not needs_narrow_weights(*bits)
        kernels = {
            kind: max((la.kernel for la in network.compute_layers if la.kind == kind), default=0)
            for kind in ("dw", "conv")
        }
        dw_kernel = max(3, kernels["dw"])
        acc = Accelerator(
            in_lanes=lanes.in_lanes,
            out_lanes=lanes.out_lanes,
            requant_lanes=lanes.requant_lanes,
            dw_multipliers=DW_MULTIPLIERS[dw_kernel] if kernels["dw"] else 1,
            dw_multiplier_style="lut",
            dw_kernel_max=dw_kernel,
            conv_kernel_max=kernels["conv"] or 1,
            accumulator_bits=ACCUMULATOR_BITS,
            outstanding_bursts=8,
            command_depth=4,
            buffers=Buffers(*(LEAST_DEPTH,) * 8),
            ports=port_maps(self.device.axi_ports)[0],
            tile_height=0,
            tile_width=0,
            mac_packing="pair" if packed else "none",
        )
        return Design(name, self.device, self.clock_khz, network, *bits, acc)

    def exceeded(self, design: Design) -> tuple[str, ...]:
        """Resources of which a design takes more than the limits allow; power is not looked at."""
        return self.limits.exceeded(estimate_resources(design).totals())


def sized_for(design: Design, genome: Genome) -> tuple[Design, Planned]:
    """The design with buffers for a genome's tiles, and the plan that they were sized from."""
    fitted, planned = fit_work(design, TileShape(TILE_ROWS[genome.tile], 0), WEIGHT_POLICY)
    acc = replace(fitted.accelerator, tile_height=0, tile_width=0)
    return replace(fitted, accelerator=acc), planned


def parallel_factors(dsp_limit: int, network: NetworkSpace) -> tuple[Lanes, ...]:
    """Lanes whose multipliers fit ``dsp_limit``, packed where the narrowest bits allow, by size.

    Of all shapes of one size, and of nearly one, the search tries each: they differ in how well
    they divide the channels. Wider precision than fits a shape is refused when it is built.
    """
    pairs = [(w, f) for w in network.weight_bits for f in network.feature_bits]
    packs = any(refusal(w, f) is None and not needs_narrow_weights(w, f) for w, f in pairs)
    share = 2 if packs else 1
    blocks = min(multiplier_dsps(w, f + 1) for w, f in pairs)
    requantise = requantise_dsps(ACCUMULATOR_BITS)
    widest = -(-network.max_channels // 8) * 8
    found = []
    for in_lanes, requant in LANE_SHAPES:
        align = channel_align(in_lanes, requant, min(network.feature_bits))
        for out_lanes in range(align, min(widest, 128) + 1, align):
            if in_lanes * out_lanes * blocks // share + requant * requantise > dsp_limit:
                break
            found.append(Lanes(in_lanes, out_lanes, requant))
    if not found:
        raise TandemError(
            f"limits.dsp = {dsp_limit}: not even the smallest MAC array fits, allow more"
        )
    return tuple(sorted(found, key=lambda la: (la.macs, la.in_lanes, la.requant_lanes)))


@lru_cache(maxsize=4096)
def _network(
    shape: tuple[int, int, int], chains: tuple[tuple[str, ...], ...], head: tuple[str, ...]
) -> Network:
    return parse_network(*shape, chains, head)
