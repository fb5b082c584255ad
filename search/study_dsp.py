"""Study "dsp": DSP48E1 of two fixed accelerators, and of one product, against bit widths.

An accelerator keeps its lanes; only the widths of weights W and features F change, and with them
the accumulator, so that every sum stays exact. Design files stop at 16 bits; the RTL and the
resource model do not. Yosys maps one lane of each unit, which is multiplied by the lanes; whole
units are mapped at a few points to show that nothing is lost by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from model.design import Design, design_from_dict
from model.packing import refusal
from model.resources import depthwise_sum_bits, estimate_resources, multiplier_dsps
from rtl_sim.block_counts import Blocks, Unit, unit

PAPER_WEIGHT_BITS = range(10, 19)
FEATURE_BITS = range(8, 17)
WEIGHT_BITS = range(4, 29)  # as far as there are jumps on both sides of the paper's range
BESIDE = (*range(4, 10), *range(24, 29))  # mapped for some feature widths only
BESIDE_FEATURE_BITS = (8, 12, 16)
PRODUCT_FEATURE_BITS = (16, 17, 18, 24, 25)
PRODUCT_WEIGHT_BITS = range(10, 29)
WHOLE_POINTS = ((8, 8), (10, 8), (16, 8), (18, 16), (26, 12))
ACCUMULATOR_BITS = 32  # at least
DEPTHWISE_TERMS = 9  # of a 3 x 3 kernel
UNITS = ("MAC array", "post-process", "depth-wise")


@dataclass(frozen=True)
class DspPoint:
    """DSP48E1 of one accelerator at one pair of widths, by unit. ``yosys`` None: not mapped."""

    accelerator: str
    weight_bits: int
    feature_bits: int
    accumulator_bits: int
    packing: str
    model: Mapping[str, int]
    yosys: Mapping[str, int] | None

    @property
    def model_dsp(self) -> int:
        """All units, by the resource model."""
        return sum(self.model.values())

    @property
    def yosys_dsp(self) -> int | None:
        """All units, by Yosys."""
        return None if self.yosys is None else sum(self.yosys.values())

    @property
    def agrees(self) -> bool:
        """Equal unit by unit, or not mapped."""
        return self.yosys is None or dict(self.yosys) == dict(self.model)


@dataclass(frozen=True)
class Jump:
    """Where an accelerator's blocks change from one weight width to the next."""

    accelerator: str
    feature_bits: int
    weight_bits: int  # the first of the new number
    before: int
    after: int
    reason: str


def accelerators() -> dict[str, Design]:
    """The two: the multipliers of DNN-A, and a small one that multiplies depth-wise in DSPs too."""
    return {
        "4 x 48 lanes, depth-wise in LUTs": _design(4, 48, 8, "lut", 192),
        "2 x 8 lanes, depth-wise in DSPs": _design(2, 8, 4, "dsp", 16),
    }


def _design(lanes: int, outputs: int, requant: int, style: str, channels: int) -> Design:
    """A design whose longest sum has ``channels`` products."""
    return design_from_dict(
        {
            "name": f"lanes_{lanes}x{outputs}",
            "device": "pynq_z1",
            "clock_mhz": 100,
            "network": {
                "channels": channels, "height": 8, "width": 8,
                "bundles": [["dw3", f"conv1:{outputs}"]], "head": ["conv1:10"],
            },
            "precision": {"weight_bits": 8, "feature_bits": 8},
            "accelerator": {
                "in_lanes": lanes, "out_lanes": outputs, "requant_lanes": requant,
                "dw_multipliers": 9, "dw_multiplier_style": style, "dw_kernel_max": 3,
                "conv_kernel_max": 1, "accumulator_bits": ACCUMULATOR_BITS,
                "outstanding_bursts": 8, "command_depth": 4,
                "buffers": dict.fromkeys(
                    ("input_lines", "mid_words", "output_lines", "weight_words", "param_words",
                     "dw_weight_words", "dw_param_words", "dw_line_words"), 2048,
                ),
                "ports": {"program": 1, "weight": 1, "load": 0, "store": 0},
            },
        }
    )  # fmt: skip


def at_widths(base: Design, weight_bits: int, feature_bits: int) -> Design:
    """The accelerator for these widths: accumulator as its longest sum, packed if it can be.

    Goes beyond the 16 bits of design files, for the resource model and single modules only.
    """
    terms = max(layer.terms for layer in base.network.compute_layers)
    sum_bits = weight_bits + feature_bits + (terms - 1).bit_length()
    accelerator = replace(
        base.accelerator,
        accumulator_bits=max(ACCUMULATOR_BITS, sum_bits),
        mac_packing="none" if refusal(weight_bits, feature_bits) else "pair",
    )
    return replace(
        base, weight_bits=weight_bits, feature_bits=feature_bits, accelerator=accelerator
    )


def widths(quick: bool) -> list[tuple[int, int, bool]]:
    """(W, F, mapped by Yosys?) of every point of an accelerator's curves."""
    mapped = {(w, f) for w in PAPER_WEIGHT_BITS for f in FEATURE_BITS}
    mapped |= {(w, f) for w in BESIDE for f in BESIDE_FEATURE_BITS}
    if quick:
        mapped = {(w, f) for w in (8, 9, 10, 17, 18, 25, 26) for f in (8, 16)}
    return [(w, f, (w, f) in mapped) for f in FEATURE_BITS for w in WEIGHT_BITS]


def lane_units(design: Design) -> Iterator[tuple[str, Unit, int]]:
    """(unit of the accelerator, one lane of it, lanes)."""
    acc = design.accelerator
    packed = acc.mac_packing == "pair"
    mac = mac_unit(design, 1, 2 if packed else 1)
    yield "MAC array", mac, acc.in_lanes * acc.out_lanes // (2 if packed else 1)
    yield "post-process", _requantise(design, acc.accumulator_bits), acc.requant_lanes
    yield "depth-wise", _requantise(design, depthwise_sum_bits(design)), acc.in_lanes
    if acc.dw_multiplier_style == "dsp":
        yield "depth-wise", depthwise_unit(design, 1), acc.in_lanes


def mac_unit(design: Design, in_lanes: int, out_lanes: int) -> Unit:
    """The MAC array with so many lanes."""
    return unit(
        "mac_array", InLanes=in_lanes, OutLanes=out_lanes, WeightBits=design.weight_bits,
        FeatureBits=design.feature_bits, AccBits=design.accelerator.accumulator_bits,
        Packing=int(design.accelerator.mac_packing == "pair"),
    )  # fmt: skip


def depthwise_unit(design: Design, lanes: int) -> Unit:
    """Multipliers and sums of the depth-wise unit with so many lanes."""
    acc = design.accelerator
    return unit(
        "dw_lanes", InLanes=lanes, Taps=acc.dw_multipliers, Kernel=acc.dw_kernel_max,
        WeightBits=design.weight_bits, FeatureBits=design.feature_bits,
        LutMultipliers=int(acc.dw_multiplier_style == "lut"),
    )  # fmt: skip


def _requantise(design: Design, accumulator_bits: int) -> Unit:
    return unit("requantise", AccBits=accumulator_bits, FeatureBits=design.feature_bits)


def whole_units(quick: bool) -> list[tuple[str, int, int, Unit, int]]:
    """(name, W, F, unit with all its lanes, DSP48E1 by the model), for the check of the lanes."""
    found = []
    for weight_bits, feature_bits in WHOLE_POINTS[3:4] if quick else WHOLE_POINTS:
        for base in accelerators().values():
            design = at_widths(base, weight_bits, feature_bits)
            acc = design.accelerator
            model = {part.name: part.dsp for part in estimate_resources(design).parts}
            if quick and acc.in_lanes > 2:
                continue
            name = f"{acc.in_lanes} x {acc.out_lanes}"
            whole = mac_unit(design, acc.in_lanes, acc.out_lanes)
            found.append((f"MAC array {name}", weight_bits, feature_bits, whole,
                          model["MAC array"]))  # fmt: skip
            lanes = acc.in_lanes * multiplier_dsps(max(depthwise_sum_bits(design), 32) + 1, 16)
            found.append((f"depth-wise lanes {name}", weight_bits, feature_bits,
                          depthwise_unit(design, acc.in_lanes),
                          model["depth-wise"] - lanes))  # fmt: skip
    return found


def product_units(quick: bool) -> list[tuple[int, int, Unit]]:
    """(W, F, one lane of the MAC array) of the curves of one product, never packed."""
    bits = (18, 19, 25, 26) if quick else PRODUCT_WEIGHT_BITS
    return [
        (w, f, unit("mac_array", InLanes=1, OutLanes=1, WeightBits=w, FeatureBits=f, AccBits=w + f,
                    Packing=0))
        for f in PRODUCT_FEATURE_BITS
        for w in bits
    ]  # fmt: skip


def product_model(weight_bits: int, feature_bits: int) -> int:
    """Blocks of a signed weight times an unsigned feature, which needs a sign bit."""
    return multiplier_dsps(weight_bits, feature_bits + 1)


def all_units(quick: bool) -> list[Unit]:
    """Everything that Yosys has to map for the study."""
    found = [lane for design in _mapped(quick) for _, lane, _ in lane_units(design)]
    found += [item[3] for item in whole_units(quick)]
    return found + [item[2] for item in product_units(quick)]


def _mapped(quick: bool) -> Iterator[Design]:
    for base in accelerators().values():
        for weight_bits, feature_bits, mapped in widths(quick):
            if mapped:
                yield at_widths(base, weight_bits, feature_bits)


def points(blocks: Mapping[Unit, Blocks], quick: bool) -> list[DspPoint]:
    """Both accelerators at all widths."""
    found = []
    for name, base in accelerators().items():
        for weight_bits, feature_bits, mapped in widths(quick):
            design = at_widths(base, weight_bits, feature_bits)
            yosys = None
            if mapped:
                yosys = dict.fromkeys(UNITS, 0)
                for part, lane, lanes in lane_units(design):
                    yosys[part] += lanes * blocks[lane].dsp
            parts = estimate_resources(design).parts
            model = {part.name: part.dsp for part in parts if part.name in UNITS}
            acc = design.accelerator
            found.append(
                DspPoint(name, weight_bits, feature_bits, acc.accumulator_bits, acc.mac_packing,
                         {part: model[part] for part in UNITS}, yosys)
            )  # fmt: skip
    return found


def jumps(found: Sequence[DspPoint]) -> list[Jump]:
    """Every change along W, with its reason."""
    return [
        Jump(
            after.accelerator, after.feature_bits, after.weight_bits, before.model_dsp,
            after.model_dsp, reason(before, after),
        )
        for before, after in pairwise(found)
        if before.weight_bits < after.weight_bits and before.model_dsp != after.model_dsp
    ]  # fmt: skip


def reason(before: DspPoint, after: DspPoint) -> str:
    """Why two neighbouring points differ, from what changed between them."""
    weight_bits, feature_bits = after.weight_bits, after.feature_bits
    causes = []
    if before.packing != after.packing:
        need = 2 * weight_bits + feature_bits
        causes.append(f"2W + F = {need} passes 25: no second product in a MAC multiplier")
    elif before.model["MAC array"] != after.model["MAC array"]:
        causes.append(f"W = {weight_bits} passes the 25-bit port: two blocks a product")
    if before.model["post-process"] != after.model["post-process"]:
        bits = after.accumulator_bits
        causes.append(
            f"accumulator {bits} + bias = {bits + 1} bits passes 25 + 17: three blocks a "
            "requantising product"
        )
    if before.model["depth-wise"] != after.model["depth-wise"]:
        causes.append(_depthwise_reason(before, after))
    return "; ".join(causes)


def _depthwise_reason(before: DspPoint, after: DspPoint) -> str:
    grown = after.model["depth-wise"] - before.model["depth-wise"]
    sums = after.weight_bits + after.feature_bits + (DEPTHWISE_TERMS - 1).bit_length()
    causes = []
    if multiplier_dsps(sums + 1, 16) != multiplier_dsps(sums, 16):
        causes.append(f"sums of {sums} bits pass 25 + 17 with their bias")
    in_blocks = accelerators()[after.accelerator].accelerator.dw_multiplier_style == "dsp"
    if in_blocks and after.model["MAC array"] > before.model["MAC array"]:
        causes.append("products pass 25 bits")
    return f"depth-wise {' and '.join(causes)}: {grown} more"
