"""What an accelerator takes of a chip: DSP48E1, RAMB18, LUT and FF, from the design's parameters.

DSP and block RAM follow from the shapes of multipliers and memories and are meant to be exact. LUT
and FF are a first estimate: see ``model/soft_logic.py``. The yardstick is what Yosys 0.70 makes of
the RTL (``synth_xilinx -family xc7``), before placement.

A design that does not fit is a value, not an error: see :meth:`Resources.shortages`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

from model.design import Design
from model.memories import Memory, memories
from model.packing import refusal
from model.soft_logic import Logic, logic

DSP_PORT_BITS = (25, 18)  # signed multiplier of the DSP48E1 (UG479)
DSP_CASCADE_BITS = 17  # what each further block of a chain adds to an operand (UG479, PCIN >> 17)
DSP_LEAST_PRODUCT_BITS = 9  # Yosys leaves shorter products to LUTs


@dataclass(frozen=True)
class Part:
    """What one part of the accelerator takes."""

    name: str
    dsp: int
    bram18: int
    lut: int
    ff: int


@dataclass(frozen=True)
class Shortage:
    """A resource of which the design needs more than the device has."""

    resource: str
    need: int
    limit: int
    advice: str

    def __str__(self) -> str:
        gap = self.need - self.limit
        return (
            f"{self.resource}: needs {self.need}, the device has {self.limit} ({gap} too many): "
            f"{self.advice}"
        )


@dataclass(frozen=True)
class Resources:
    """Demand by part, and what the device offers."""

    parts: tuple[Part, ...]
    limits: dict[str, int]
    design: Design

    @cached_property
    def advice(self) -> dict[str, str]:
        """What to change where there is too little, by resource."""
        return _advice(self.design, self.parts)

    @property
    def dsp(self) -> int:
        """DSP48E1 blocks."""
        return sum(part.dsp for part in self.parts)

    @property
    def bram18(self) -> int:
        """RAMB18 blocks; a RAMB36 counts as two."""
        return sum(part.bram18 for part in self.parts)

    @property
    def lut(self) -> int:
        """Six-input LUTs, those used as memory included."""
        return sum(part.lut for part in self.parts)

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return sum(part.ff for part in self.parts)

    def totals(self) -> dict[str, int]:
        """Demand by resource."""
        return {"dsp": self.dsp, "bram18": self.bram18, "lut": self.lut, "ff": self.ff}

    def shortages(self) -> tuple[Shortage, ...]:
        """Every resource the device has too little of; empty where the design fits."""
        return tuple(
            Shortage(name, need, self.limits[name], self.advice[name])
            for name, need in self.totals().items()
            if need > self.limits[name]
        )

    def record(self) -> dict[str, object]:
        """For JSON: totals, limits, parts, and what does not fit."""
        shortages = self.shortages()
        return {
            **self.totals(),
            "limits": dict(self.limits),
            "fits": not shortages,
            "shortages": [asdict(item) for item in shortages],
            "parts": [asdict(part) for part in self.parts],
        }


def estimate_resources(design: Design) -> Resources:
    """Demand of a design's accelerator and the limits of its device."""
    device = design.device
    parts = tuple(_parts(design))
    return Resources(
        parts=parts,
        limits={"dsp": device.dsp, "bram18": device.bram18, "lut": device.lut, "ff": device.ff},
        design=design,
    )


def dsp_blocks(design: Design) -> int:
    """DSP48E1 of a design; buffers take none."""
    return sum(_dsps(design).values())


def multiplier_dsps(a_bits: int, b_bits: int) -> int:
    """DSP48E1 blocks of one signed ``a_bits`` x ``b_bits`` multiplier.

    One block takes 25 x 18 bits; beyond, the wider operand and then the other is cut into a signed
    top piece and pieces of 17 bits that a cascade adds up.
    """
    wide, narrow = max(a_bits, b_bits), min(a_bits, b_bits)
    return _pieces(wide, DSP_PORT_BITS[0]) * _pieces(narrow, DSP_PORT_BITS[1])


def _pieces(bits: int, port_bits: int) -> int:
    return 1 + max(0, -(-(bits - port_bits) // DSP_CASCADE_BITS))


def _parts(design: Design) -> Iterator[Part]:
    dsps = _dsps(design)
    found = {name: Logic(0, 0) for name in dsps} | logic(design)
    blocks: dict[str, list[Memory]] = {}
    for memory in memories(design):
        blocks.setdefault(memory.part, []).append(memory)
    for name, soft in found.items():
        own = blocks.get(name, [])
        yield Part(
            name=name,
            dsp=dsps.get(name, 0),
            bram18=sum(memory.bram18 for memory in own),
            lut=soft.lut + sum(memory.lut for memory in own),
            ff=soft.ff + sum(memory.ff for memory in own),
        )


def _dsps(design: Design) -> dict[str, int]:
    acc = design.accelerator
    product = _product_dsps(design)
    taps = min(acc.dw_multipliers, acc.dw_kernel_max**2)
    depthwise = acc.in_lanes * requantise_dsps(depthwise_sum_bits(design))
    if acc.dw_multiplier_style == "dsp":
        depthwise += acc.in_lanes * taps * product
    return {
        "depth-wise": depthwise,
        "MAC array": _mac_dsps(design, product),
        "post-process": acc.requant_lanes * requantise_dsps(acc.accumulator_bits),
    }


def _mac_dsps(design: Design, product: int) -> int:
    """Packed, two output lanes share a block; without, a product takes ``product`` of them."""
    acc = design.accelerator
    lanes = acc.in_lanes * acc.out_lanes
    return lanes // 2 if acc.mac_packing == "pair" else lanes * product


def _product_dsps(design: Design) -> int:
    """Of one weight x feature product; the unsigned feature needs a sign bit."""
    if design.weight_bits + design.feature_bits < DSP_LEAST_PRODUCT_BITS:
        return 0
    return multiplier_dsps(design.weight_bits, design.feature_bits + 1)


def depthwise_sum_bits(design: Design) -> int:
    """Accumulator of a depth-wise lane (``rtl_sim/hdl/dw_lanes.sv``, AccBits)."""
    cells = design.accelerator.dw_kernel_max**2
    return design.weight_bits + design.feature_bits + (cells - 1).bit_length()


def requantise_dsps(accumulator_bits: int) -> int:
    """Of one requantising lane: (accumulator + 32-bit bias) x 16-bit scale."""
    return multiplier_dsps(max(accumulator_bits, 32) + 1, 16)


def _advice(design: Design, parts: tuple[Part, ...]) -> dict[str, str]:
    acc = design.accelerator
    freed, memory = max(
        ((memory.freed_by_half(), memory) for memory in memories(design)), key=lambda item: item[0]
    )
    dsp = f"lower accelerator.out_lanes or in_lanes ({acc.in_lanes} x {acc.out_lanes} multipliers)"
    if acc.dw_multiplier_style == "dsp":
        dsp += ', or set accelerator.dw_multiplier_style = "lut"'
    if acc.mac_packing == "none" and refusal(design.weight_bits, design.feature_bits) is None:
        dsp += ', or set accelerator.mac_packing = "pair"'
    busiest = max(parts, key=lambda part: part.lut)
    lut = f"most are in the {busiest.name}: lower accelerator.in_lanes or out_lanes"
    if acc.dw_multiplier_style == "lut":
        lut += ', or dw_multipliers, or set dw_multiplier_style = "dsp"'
    return {
        "dsp": dsp,
        "bram18": f"the {memory.part}'s {memory.name} takes {memory.bram18} of them, half its "
        f"depth would free {freed}: lower accelerator.{memory.key}",
        "lut": lut,
        "ff": "lower accelerator.out_lanes or requant_lanes",
    }
