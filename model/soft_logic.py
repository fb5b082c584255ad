"""LUTs and flip-flops of the accelerator's units, memories excluded: a first estimate.

Wide data paths are counted in bits of registers, adders and multiplexers from the design's
parameters. Fixed amounts (control, addresses) and the factors per bit are from what Yosys 0.70
makes of ``designs/tiny.toml`` and ``designs/dnn_a.toml``.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.design import Design


@dataclass(frozen=True)
class Logic:
    """LUTs and flip-flops."""

    lut: int
    ff: int

    def __add__(self, other: Logic) -> Logic:
        return Logic(self.lut + other.lut, self.ff + other.ff)

    def __mul__(self, count: int) -> Logic:
        return Logic(self.lut * count, self.ff * count)


# Units whose size hardly depends on the design; command and data FIFOs (LUT memory) are in them.
CONTROL = Logic(990, 1125)  # registers and 28 counters
SEQUENCER = Logic(710, 900)
FEATURE_LOAD = Logic(1020, 570)
WEIGHT_LOAD = Logic(490, 330)
FEATURE_STORE = Logic(890, 590)
WEIGHT_STORE = Logic(130, 70)
READ_MUX = Logic(60, 55)
MAC_CONTROL = Logic(790, 520)
DEPTHWISE_CONTROL = Logic(460, 290)
POST_CONTROL = Logic(60, 180)


def logic(design: Design) -> dict[str, Logic]:
    """By part of the accelerator."""
    acc = design.accelerator
    ports = acc.ports
    read_ports = len({ports.program, ports.weight, ports.load})
    return {
        "control": CONTROL,
        "sequencer": SEQUENCER,
        "feature load": FEATURE_LOAD,
        "weight load": WEIGHT_LOAD,
        "depth-wise": _depthwise(design) + WEIGHT_STORE + DEPTHWISE_CONTROL,
        "MAC array": _mac_array(design) + WEIGHT_STORE + MAC_CONTROL,
        "post-process": _post_process(design) + POST_CONTROL,
        "feature store": FEATURE_STORE,
        "ports": READ_MUX * read_ports,
    }


def _depthwise(design: Design) -> Logic:
    acc = design.accelerator
    weight, feature = design.weight_bits, design.feature_bits
    cells = acc.dw_kernel_max**2
    taps = min(acc.dw_multipliers, cells)
    sum_bits = weight + feature + (cells - 1).bit_length()
    multiplier = Logic(0, 0)
    if acc.dw_multiplier_style == "lut":
        multiplier = _lut_multiplier(weight, feature)
    phases = -(-cells // taps)
    select = Logic((weight + feature) * (phases // 2), weight + feature)  # a LUT joins two of them
    lane = (multiplier + select) * taps
    lane += _adder_tree(taps, weight + feature)
    lane += Logic(sum_bits, sum_bits)
    lane += requantise_logic(sum_bits, feature)
    lane += Logic(0, cells * (weight + feature) + 48)  # weights, window, bias and scale
    return lane * acc.in_lanes


def _lut_multiplier(weight: int, feature: int) -> Logic:
    """``rtl_sim/hdl/lut_multiplier.sv``: two halves of rows of adders, and their sum."""
    return Logic(weight * feature * 5 // 4 + weight + feature, 3 * weight + 2 * feature)


def _mac_array(design: Design) -> Logic:
    """Operand and product registers lie in the DSP blocks."""
    acc = design.accelerator
    tree = _adder_tree(acc.in_lanes, design.weight_bits + design.feature_bits)
    lane = tree + Logic(acc.accumulator_bits, acc.accumulator_bits)
    operands = Logic(2 * acc.in_lanes * design.feature_bits, 0)  # input, mid buffer or padding
    return lane * acc.out_lanes + operands + Logic(0, 40)


def _adder_tree(terms: int, bits: int) -> Logic:
    """``rtl_sim/hdl/adder_tree.sv``: a register per node of each level, an adder where two meet."""
    lut = ff = 0
    while terms > 1:
        bits += 1
        lut += terms // 2 * bits
        terms = -(-terms // 2)
        ff += terms * bits
    return Logic(lut, ff)


def _post_process(design: Design) -> Logic:
    acc = design.accelerator
    bits = acc.accumulator_bits
    steps = acc.out_lanes // acc.requant_lanes
    hold = Logic(bits * 3 // 2, 2 * bits) * acc.out_lanes  # compare and choose; best, held
    select = Logic(bits * -(-steps // 3), 2 * bits) * acc.requant_lanes
    slices = (4 if bits <= 32 else 8) // design.feature_bytes
    output = Logic(40 + design.feature_bytes * 4 * slices, design.feature_bytes * 8)
    lane = requantise_logic(bits, design.feature_bits) + output + Logic(design.feature_bits * 3, 0)
    return hold + select + lane * acc.requant_lanes


def requantise_logic(accumulator_bits: int, feature_bits: int) -> Logic:
    """``rtl_sim/hdl/requantise.sv``: sum, shifter, clamp; the product's registers in the DSP."""
    total = max(accumulator_bits, 32) + 1
    product = total + 16
    return Logic(total + 19 * product // 4 + feature_bits, 7 * product // 2 + feature_bits)
