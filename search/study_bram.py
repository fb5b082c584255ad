"""Study "bram": RAMB18 of a fixed accelerator against the input's resize factor.

DNN-A's network at 160 x 360 times the factor, each side rounded to a multiple of 8, for the network
pools three times. The accelerator keeps its lanes and its stores of weights; the buffers of
features are fitted to the network (``search/fit.py``). Policy: every tile is a stripe of two rows
of convolution output over the whole width, the lowest that a pooling window allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from model.design import Design, design_from_dict
from model.memories import block_ram, memories
from model.network import parse_network
from model.tiling import TileShape
from rtl_sim.block_counts import Blocks, Unit, unit
from search.fit import fit_buffers

FEATURE_BITS = range(12, 17)
FACTORS = tuple((100 - step) / 100 for step in range(41))  # 1.00 to 0.60
FULL_SIZE = (160, 360)
MULTIPLE = 8  # three poolings
STRIPE = TileShape(2, 0)
BANKS = (1, 8, 16, 32)
BUFFERS = ("input buffer", "mid buffer", "line buffer", "output buffer")
STORES = "weights and parameters"


@dataclass(frozen=True)
class BramPoint:
    """RAMB18 at one factor, by memory. ``yosys`` None: not mapped."""

    factor: float
    feature_bits: int
    height: int
    width: int
    depths: Mapping[str, tuple[int, int]]  # of a buffer: bits, words
    model: Mapping[str, int]
    yosys: Mapping[str, int] | None

    @property
    def model_bram18(self) -> int:
        """All memories, by the resource model."""
        return sum(self.model.values())

    @property
    def yosys_bram18(self) -> int | None:
        """All memories, by Yosys."""
        return None if self.yosys is None else sum(self.yosys.values())

    @property
    def agrees(self) -> bool:
        """Equal memory by memory, or not mapped."""
        return self.yosys is None or dict(self.yosys) == dict(self.model)


@dataclass(frozen=True)
class BankPoint:
    """RAMB18 of the input buffer at F16, divided into banks that hold an equal part each."""

    factor: float
    banks: int
    words: int  # of a bank
    model: int
    yosys: int | None


@dataclass(frozen=True)
class Step:
    """A size of the input at which the number of RAMB18 is another than at the next larger one."""

    feature_bits: int
    factor: float  # the largest with this size
    width: int
    before: int
    after: int
    reason: str


def size_at(factor: float) -> tuple[int, int]:
    """Rows and columns of the resized input: whole pooling windows at every level."""
    height, width = (
        max(MULTIPLE, round(side * factor / MULTIPLE) * MULTIPLE) for side in FULL_SIZE
    )
    return height, width


def accelerator() -> Design:
    """DNN-A at full size on 4 x 48 lanes, W16: what stays the same at every factor.

    The depths of the feature buffers are those of tiles of any kind, and fitted later.
    """
    channels = (48, 96, 192)
    bundles = [["dw3", f"conv1:{count}", "maxpool"] for count in channels]
    height, width = FULL_SIZE
    return design_from_dict(
        {
            "name": "resized", "device": "pynq_z1", "clock_mhz": 100,
            "network": {
                "channels": 3, "height": height, "width": width,
                "bundles": [*bundles, ["dw3", "conv1:384"]], "head": ["conv1:10"],
            },
            "precision": {"weight_bits": 16, "feature_bits": 8},
            "accelerator": {
                "in_lanes": 4, "out_lanes": 48, "requant_lanes": 8, "dw_multipliers": 9,
                "dw_multiplier_style": "lut", "dw_kernel_max": 3, "conv_kernel_max": 1,
                "accumulator_bits": 32, "outstanding_bursts": 8, "command_depth": 4,
                "buffers": {
                    "input_lines": 8192, "mid_words": 8704, "output_lines": 4352,
                    "weight_words": 512, "param_words": 128, "dw_weight_words": 864,
                    "dw_param_words": 96, "dw_line_words": 384,
                },
                "ports": {"program": 1, "weight": 1, "load": 0, "store": 0},
            },
        }
    )  # fmt: skip


def design_at(base: Design, factor: float, feature_bits: int) -> Design:
    """The base's network at the resized input, its accelerator with buffers fitted to it."""
    height, width = size_at(factor)
    old = base.network
    network = parse_network(
        old.channels, height, width,
        [[layer.token for layer in bundle] for bundle in old.bundles],
        [layer.token for layer in old.head],
    )  # fmt: skip
    terms = max(layer.terms for layer in network.compute_layers)
    accumulator_bits = base.weight_bits + feature_bits + (terms - 1).bit_length()
    accelerator = replace(
        base.accelerator,
        accumulator_bits=max(base.accelerator.accumulator_bits, accumulator_bits),
        mac_packing="none",
    )
    design = replace(base, network=network, feature_bits=feature_bits, accelerator=accelerator)
    return fit_buffers(design, STRIPE, "keep")


def memory_units(design: Design) -> list[tuple[str, Unit, int]]:
    """(memory, its ``ram_sdp``, how many of it): buffers by name, stores together."""
    return [
        (
            memory.name if memory.name in BUFFERS else STORES,
            unit("ram_sdp", Width=memory.width, Depth=memory.depth,
                 Distributed=int(memory.distributed)),
            memory.count,
        )
        for memory in memories(design)
    ]  # fmt: skip


def mapped_factors(quick: bool) -> tuple[float, ...]:
    """Factors at which Yosys maps: the first of every size, or three."""
    if quick:
        return (1.0, 0.9, 0.6)
    sizes: dict[tuple[int, int], float] = {}
    for factor in FACTORS:
        sizes.setdefault(size_at(factor), factor)
    return tuple(sizes.values())


def mapped_bits(quick: bool) -> Sequence[int]:
    """Feature widths that Yosys maps."""
    return (12, 16) if quick else FEATURE_BITS


def bank_unit(words: int) -> Unit:
    """A bank of the input buffer: 64 bits, four features of 16."""
    return unit("ram_sdp", Width=64, Depth=words, Distributed=0)


def bank_words(base: Design, factor: float, banks: int) -> int:
    """Words of one of ``banks`` banks at F16."""
    (depth,) = {m.depth for m in memories(design_at(base, factor, 16)) if m.name == BUFFERS[0]}
    return -(-depth // banks)


def all_units(base: Design, quick: bool) -> list[Unit]:
    """Everything that Yosys has to map for the study."""
    factors = mapped_factors(quick)
    found = [
        item
        for bits in mapped_bits(quick)
        for factor in factors
        for _, item, _ in memory_units(design_at(base, factor, bits))
    ]
    banks = [bank_unit(bank_words(base, factor, count)) for factor in factors for count in BANKS]
    return list(dict.fromkeys([*found, *banks]))


def points(base: Design, blocks: Mapping[Unit, Blocks], quick: bool) -> list[BramPoint]:
    """Every feature width at every factor. Sizes that Yosys mapped once count wherever they are."""
    found = []
    for bits in FEATURE_BITS:
        for factor in FACTORS:
            design = design_at(base, factor, bits)
            units = memory_units(design)
            model = dict.fromkeys((*BUFFERS, STORES), 0)
            for memory, (name, _, _) in zip(memories(design), units, strict=True):
                model[name] += memory.bram18
            yosys = None
            if factor in mapped_factors(quick) and bits in mapped_bits(quick):
                yosys = dict.fromkeys(model, 0)
                for name, item, count in units:
                    yosys[name] += count * blocks[item].bram18
            depths = {m.name: (m.width, m.depth) for m in memories(design) if m.name in BUFFERS}
            height, width = size_at(factor)
            found.append(BramPoint(factor, bits, height, width, depths, model, yosys))
    return found


def bank_points(base: Design, blocks: Mapping[Unit, Blocks], quick: bool) -> list[BankPoint]:
    """The input buffer at F16 in one bank, as built, and in several."""
    found = []
    for banks in BANKS:
        for factor in FACTORS:
            words = bank_words(base, factor, banks)
            item = bank_unit(words)
            mapped = factor in mapped_factors(quick)
            yosys = banks * blocks[item].bram18 if mapped else None
            found.append(
                BankPoint(factor, banks, words, banks * block_ram(64, words).bram18, yosys)
            )
    return found


def steps(found: Sequence[BramPoint]) -> list[Step]:
    """Every change along the factor, with the memories that change and their depths."""
    return [
        Step(
            after.feature_bits, after.factor, after.width, before.model_bram18,
            after.model_bram18, _reason(before, after),
        )
        for before, after in pairwise(found)
        if before.feature_bits == after.feature_bits and before.model != after.model
    ]  # fmt: skip


def _reason(before: BramPoint, after: BramPoint) -> str:
    return "; ".join(
        f"{name} {before.depths[name][1]:,} to {after.depths[name][1]:,} words of "
        f"{after.depths[name][0]} bits: {before.model[name]} to {after.model[name]}"
        for name in BUFFERS
        if before.model[name] != after.model[name]
    )
