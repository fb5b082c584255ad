"""LUTs and flip-flops of the accelerator's units, memories excluded.

Wide data paths are counted in bits of registers, adders and multiplexers from the design's
parameters. Fixed amounts (control, addresses) and the factors per bit are from what Yosys 0.70
makes of each unit of designs of different widths and lanes (``rtl_sim/resource_campaign.py``).
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
CONTROL = Logic(616, 1125)  # registers and 28 counters
SEQUENCER = Logic(731, 918)
FEATURE_LOAD = Logic(880, 580)
WEIGHT_LOAD = Logic(524, 325)
FEATURE_STORE = Logic(984, 576)
WEIGHT_STORE = Logic(133, 68)
READ_MUX = Logic(55, 46)
TOKENS = Logic(62, 36)  # of the three double buffers, and the glue
MAC_CONTROL = Logic(690, 445)
DEPTHWISE_CONTROL = Logic(328, 348)
POST_CONTROL = Logic(160, 190)
LEAST_PRODUCT_BITS = 9  # Yosys leaves shorter products to LUTs
SHORT_PRODUCT_LUTS = 1.5  # of such a product, for each bit of one times each bit of the other
REQUANTISE_BITS = 32  # bias: the sum is at least that wide


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
        "ports": READ_MUX * read_ports + TOKENS,
    }


def _depthwise(design: Design) -> Logic:
    acc = design.accelerator
    weight, feature = design.weight_bits, design.feature_bits
    cells = acc.dw_kernel_max**2
    taps = min(acc.dw_multipliers, cells)
    sum_bits = weight + feature + (cells - 1).bit_length()
    multiplier = _short_product(weight, feature)
    operands = 0  # in the DSP block
    if acc.dw_multiplier_style == "lut":
        multiplier = _lut_multiplier(weight, feature)
        operands = weight + feature
    phases = -(-cells // taps)
    select = Logic((weight + feature) * (phases // 2), operands)  # a LUT joins two of them
    lane = (multiplier + select) * taps
    lane += _adder_tree(taps, weight + feature)
    lane += Logic(sum_bits, sum_bits)
    lane += requantise_logic(sum_bits, feature)
    lane += Logic(0, cells * (weight + feature) + 48)  # weights, window, bias and scale
    return lane * acc.in_lanes


def _lut_multiplier(weight: int, feature: int) -> Logic:
    """``rtl_sim/hdl/lut_multiplier.sv``: two halves of rows of adders, and their sum."""
    return Logic(weight * feature * 5 // 4, 3 * weight + 2 * feature)


def _short_product(weight: int, feature: int) -> Logic:
    """A product too short for a DSP block, with its registers; nothing for the others."""
    if weight + feature >= LEAST_PRODUCT_BITS:
        return Logic(0, 0)
    return Logic(round(SHORT_PRODUCT_LUTS * weight * feature), 2 * weight + feature)


def _mac_array(design: Design) -> Logic:
    """Operand and product registers lie in the DSP blocks, except of products without one."""
    acc = design.accelerator
    weight, feature = design.weight_bits, design.feature_bits
    lane = _adder_tree(acc.in_lanes, weight + feature)
    lane += Logic(acc.accumulator_bits, acc.accumulator_bits)
    lane += _short_product(weight, feature) * acc.in_lanes
    operands = Logic(acc.in_lanes * feature, 0)  # input, mid buffer or padding: a LUT a bit
    if acc.mac_packing == "pair":  # a weight's register is outside the block; carries of the tree
        pairs = acc.in_lanes * acc.out_lanes // 2
        operands += Logic(1, weight + 1) * pairs
    return lane * acc.out_lanes + operands + Logic(0, 2 * feature + 10)


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
    bits, size = acc.accumulator_bits, design.feature_bytes
    steps = acc.out_lanes // acc.requant_lanes
    hold = Logic(2 * bits, 2 * bits) * acc.out_lanes  # compare, choose; best, held
    select = Logic(bits * (steps // 2), 2 * bits)  # a LUT joins two of them
    output = Logic(10 + 12 * size, 8 * size)  # raw slices, or the requantised feature
    lane = requantise_logic(bits, design.feature_bits) + select + output
    return hold + lane * acc.requant_lanes


def requantise_logic(accumulator_bits: int, feature_bits: int) -> Logic:
    """``rtl_sim/hdl/requantise.sv``: sum, shift, clamp; registers of products are in the DSP."""
    wider = max(accumulator_bits - REQUANTISE_BITS, 0)
    return Logic(76 + 7 * feature_bits + wider, 74 + 2 * feature_bits + 2 * wider)
