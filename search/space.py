"""The space of accelerators for a fixed network: structures, and what surrounds them.

A structure is what decides the arithmetic: lanes, depth-wise multipliers, packing. Around it lie
buffer depths (``search/buffers.py``), ports, bursts, command depth and tile limits. Values that
make no difference to any layer are left out: depth-wise multipliers come as the fewest for each
number of passes over the kernel, output lanes up to the widest layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import product

from model.accelerator import OUT_LANES_MAX, Accelerator, Buffers, PortMap, channel_align
from model.design import Design
from model.packing import PACKINGS, needs_narrow_weights, refusal
from model.resources import multiplier_dsps, requantise_dsps

LANES = (1, 2, 4, 8, 16)
OUTSTANDING = (2, 4, 8)
COMMAND_DEPTHS = (2, 4, 8)
TILE_HEIGHTS = (4, 8, 16, 32)
STYLES = ("lut", "dsp")


@dataclass(frozen=True)
class Structure:
    """Lanes and multipliers."""

    in_lanes: int
    out_lanes: int
    requant_lanes: int
    dw_multipliers: int
    dw_multiplier_style: str
    mac_packing: str = "none"

    def apply(self, design: Design) -> Design:
        """The design with this structure; its buffers stay, whether they suit it or not."""
        return replace(design, accelerator=replace(design.accelerator, **asdict(self)))

    @staticmethod
    def of(accelerator: Accelerator) -> Structure:
        """The structure of an accelerator."""
        names = (field.name for field in fields(Structure))
        return Structure(**{name: getattr(accelerator, name) for name in names})


def base_design(design: Design) -> Design:
    """The design with kernels no larger than its network asks for, without tile limits."""
    layers = design.network.compute_layers
    depthwise = max((layer.kernel for layer in layers if layer.kind == "dw"), default=3)
    conv = max((layer.kernel for layer in layers if layer.kind == "conv"), default=1)
    acc = replace(
        design.accelerator,
        dw_kernel_max=depthwise,
        conv_kernel_max=conv,
        tile_height=0,
        tile_width=0,
    )
    return replace(design, accelerator=acc)


def structures(design: Design, dsp_limit: int) -> Iterator[Structure]:
    """All structures whose multipliers alone do not exceed ``dsp_limit``."""
    layers = design.network.compute_layers
    widest = max((layer.out_channels for layer in layers if layer.kind == "conv"), default=1)
    kernels = {layer.kernel for layer in layers if layer.kind == "dw"}
    choices = list(product(dw_multipliers(kernels), STYLES if kernels else STYLES[:1]))
    blocks = multiplier_dsps(design.weight_bits, design.feature_bits + 1)
    requantise = requantise_dsps(design.accelerator.accumulator_bits)
    for packing in _packings(design):
        share = 1 if packing == "none" else 2  # products per multiplier
        for in_lanes, requant in product(LANES, LANES):
            align = channel_align(in_lanes, requant, design.feature_bits)
            most = min(OUT_LANES_MAX, -(-widest // align) * align)
            for out_lanes in range(align, most + 1, align):
                dsps = in_lanes * out_lanes * blocks // share + requant * requantise
                if dsps > dsp_limit:
                    break
                for multipliers, style in choices:
                    yield Structure(in_lanes, out_lanes, requant, multipliers, style, packing)


def dw_multipliers(kernels: set[int]) -> list[int]:
    """The fewest multipliers for each number of cycles a window takes, for every kernel."""
    largest = max(kernels, default=1) ** 2
    fewest: dict[tuple[int, ...], int] = {}
    for count in range(largest, 0, -1):
        fewest[tuple(-(-kernel * kernel // count) for kernel in sorted(kernels))] = count
    return sorted(fewest.values(), reverse=True)


def _packings(design: Design) -> list[str]:
    """Ways to pack multipliers that are exact for any weights; else what the design says."""
    bits = design.weight_bits, design.feature_bits
    if refusal(*bits) is not None or needs_narrow_weights(*bits):
        return [design.accelerator.mac_packing]
    return list(PACKINGS)


def port_maps(axi_ports: int) -> list[PortMap]:
    """Two ports, one for each unit, one for all: which port is which makes no difference."""
    found = [
        PortMap(program=1, weight=1, load=0, store=0),
        PortMap(program=2, weight=3, load=0, store=1),
        PortMap(program=0, weight=0, load=0, store=0),
    ]
    return [ports for ports in found if max(vars(ports).values()) < axi_ports]


def tile_limits(design: Design) -> list[tuple[int, int]]:
    """Tile limits to try: none, then stripes of the whole width."""
    return [(0, 0), *((rows, 0) for rows in TILE_HEIGHTS if rows < design.network.height)]


def with_buffers(design: Design, buffers: Buffers) -> Design:
    """The design with these buffers."""
    return replace(design, accelerator=replace(design.accelerator, buffers=buffers))
