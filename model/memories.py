"""The memories of an accelerator, one record per kind of ``ram_sdp`` instance in ``rtl_sim/hdl``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.design import Design

# Simple dual-port shapes of a RAMB18E1, depth x width (UG473). A RAMB36 is two of these side by side
# or one above the other, so counting in RAMB18 loses nothing.
RAMB18_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
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
        """RAMB18 blocks of all of them."""
        return 0 if self.distributed else self.count * ramb18(self.width, self.depth)

    @property
    def lut(self) -> int:
        """LUTs used as memory."""
        return self.count * lut_ram(self.width, self.depth) if self.distributed else 0

    @property
    def ff(self) -> int:
        """Registers of the read port: one of its two lies in the block where there is one."""
        return self.count * (self.width * (2 if self.distributed else 1) + 1)

    @property
    def bits(self) -> int:
        """Bits that the design uses of all of them."""
        return self.count * self.width * self.depth


def ramb18(width: int, depth: int) -> int:
    """Fewest RAMB18 of one shape that make a simple dual-port memory of ``depth`` x ``width``."""
    return min(-(-width // bits) * -(-depth // words) for words, bits in RAMB18_SHAPES)


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
    yield Memory(
        "depth-wise", "mid buffer", "buffers.mid_words", pixel_bits, 2 * buffers.mid_words
    )
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
