"""The memories of an accelerator: one record per kind of ``ram_sdp`` instance in the RTL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from model.design import Design

# Simple dual-port shapes, depth x width (UG473): of a RAMB18E1, and twice as deep or wide of a
# RAMB36E1.
RAMB18_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
RAMB36_SHAPES = (*((2 * depth, width) for depth, width in RAMB18_SHAPES), (512, 72))
BYTE_BITS = 9  # ports of 9 bits and more write bytes of 9 separately
# Synthesis weighs blocks against the multiplexer behind several rows of them: Yosys 0.70 takes
# 129 for a RAMB18, 257 for a RAMB36, half for each bit of each further row and half for each row.
RAMB18_COST, RAMB36_COST, MULTIPLEXER_COST = 129.0, 257.0, 0.5
MULTIPLEXER_LUTS = 0.55  # LUTs of each bit of each further row, from synthesis of DNN-A
DISTRIBUTED_WORDS = 64  # parameter memories up to this depth are made of LUTs (weight_store.sv)
CHUNK_BITS = 64  # a weight word is kept in one memory per beat


@dataclass(frozen=True)
class Memory:
    """``count`` equal memories of ``depth`` words of ``width`` bits."""

    part: str
    name: str
    key: str  # what sizes it, below [accelerator]
    width: int
    depth: int
    count: int = 1
    distributed: bool = False

    @property
    def bram18(self) -> int:
        """RAMB18 blocks of all of them; a RAMB36 counts as two."""
        return 0 if self.distributed else self.count * block_ram(self.width, self.depth).bram18

    @property
    def lut(self) -> int:
        """LUTs used as memory, or to choose between rows of blocks."""
        if self.distributed:
            return self.count * lut_ram(self.width, self.depth)
        rows = block_ram(self.width, self.depth).rows
        return self.count * round(MULTIPLEXER_LUTS * self.width * (rows - 1))

    @property
    def ff(self) -> int:
        """Registers of the read port: one of its two lies in the block where there is one."""
        return self.count * (self.width * (2 if self.distributed else 1) + 1)

    def freed_by_half(self) -> int:
        """RAMB18 blocks that half the depth would free."""
        return self.bram18 - replace(self, depth=-(-self.depth // 2)).bram18

    @property
    def bits(self) -> int:
        """Bits that the design uses of all of them."""
        return self.count * self.width * self.depth


@dataclass(frozen=True)
class BlockRam:
    """How a memory is made of blocks: RAMB18 in all, rows of blocks one above the other."""

    bram18: int
    rows: int


@lru_cache(maxsize=65536)
def block_ram(width: int, depth: int) -> BlockRam:
    """Blocks of a simple dual-port memory of ``depth`` words of ``width`` bits, as Yosys maps it.

    For every legal shape the words take whole rows and the bits whole bytes of a row (bytes of
    several rows share a block, for they are written separately); the cheapest shape is taken.
    """
    found = []
    for shapes, cost, size in ((RAMB18_SHAPES, RAMB18_COST, 1), (RAMB36_SHAPES, RAMB36_COST, 2)):
        for words, bits in shapes:
            rows = -(-depth // words)
            byte = min(bits, BYTE_BITS)
            blocks = -(-rows * -(-width // byte) * byte // bits)
            several = MULTIPLEXER_COST * rows if rows > 1 else 0.0
            price = blocks * cost + MULTIPLEXER_COST * width * (rows - 1) + several
            found.append((price, blocks * size, rows))
    _, bram18, rows = min(found)
    return BlockRam(bram18, rows)


def lut_ram(width: int, depth: int) -> int:
    """LUTs of a simple dual-port LUT memory: 4 LUTs hold 32 x 6 or 64 x 3 bits (UG474)."""
    if depth <= 32:
        return 4 * -(-width // 6)
    return 4 * -(-width // 3) * -(-depth // 64)


def memories(design: Design) -> Iterator[Memory]:
    """Every memory of the accelerator (``rtl_sim/hdl/tandem_core.sv`` and below)."""
    acc, buffers = design.accelerator, design.accelerator.buffers
    beat = design.beat_features
    storage_bits = 64 // beat
    pixel_bits = acc.in_lanes * design.feature_bits
    banks = max(acc.in_lanes, beat) // beat
    parts = max(acc.requant_lanes, beat) // acc.requant_lanes
    yield Memory(
        "feature load", "input buffer", "buffers.input_lines",
        beat * design.feature_bits, 2 * buffers.input_lines, banks,
    )  # fmt: skip
    yield Memory("depth-wise", "mid buffer", "buffers.mid_words", pixel_bits, 2 * buffers.mid_words)
    yield Memory(
        "depth-wise", "line buffer", "buffers.dw_line_words",
        (acc.dw_kernel_max - 1) * pixel_bits, buffers.dw_line_words,
    )  # fmt: skip
    yield Memory(
        "feature store", "output buffer", "buffers.output_lines",
        acc.requant_lanes * storage_bits, 2 * buffers.output_lines, parts,
    )  # fmt: skip
    bits = acc.in_lanes * design.weight_bits
    yield from _store("depth-wise", bits, "dw_", buffers.dw_weight_words)
    yield _params("depth-wise", acc.in_lanes, "buffers.dw_param_words", buffers.dw_param_words)
    yield from _store("MAC array", bits * acc.out_lanes, "", buffers.weight_words)
    yield _params("post-process", acc.requant_lanes, "buffers.param_words", buffers.param_words)


def _store(part: str, word_bits: int, prefix: str, depth: int) -> Iterator[Memory]:
    """Weights: a memory per 64-bit beat of a word, the last one as wide as what is left."""
    key = f"buffers.{prefix}weight_words"
    whole, rest = divmod(word_bits, CHUNK_BITS)
    if whole:
        yield Memory(part, "weight store", key, CHUNK_BITS, depth, whole)
    if rest:
        yield Memory(part, "weight store", key, rest, depth)


def _params(part: str, lanes: int, key: str, depth: int) -> Memory:
    """Bias and scale, 48 bits, a memory per lane."""
    return Memory(part, "parameter store", key, 48, depth, lanes, depth <= DISTRIBUTED_WORDS)
