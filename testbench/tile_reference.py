"""Layers of a small feature map in plain Python integers: what the compute units must produce.

Written apart from the functional model on purpose: the two meet in the RTL.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

Pixel = tuple[int, int]  # row, column


@dataclass(frozen=True)
class Requantiser:
    """Per-layer settings of requantisation."""

    shift: int
    rounding: int
    feature_bits: int

    def __call__(self, acc: int, bias: int, mult: int) -> int:
        """y = clamp((max(acc + bias, 0) * mult + half) >> shift, 0, 2^F - 1)."""
        half = 1 << self.shift - 1 if self.rounding and self.shift else 0
        y = (max(acc + bias, 0) * mult + half) >> self.shift
        return min(max(y, 0), (1 << self.feature_bits) - 1)


@dataclass(frozen=True)
class FeatureMap:
    """A map (height, width, channels) of unsigned features; outside lies the padding value."""

    height: int
    width: int
    channels: int
    pad_value: int
    values: tuple[int, ...]

    @staticmethod
    def random(
        rng: random.Random, height: int, width: int, channels: int, feature_bits: int
    ) -> FeatureMap:
        """Random features and padding value, extremes included."""
        top = (1 << feature_bits) - 1
        values = [rng.randint(0, top) for _ in range(height * width * channels)]
        for _ in range(len(values) // 4):
            values[rng.randrange(len(values))] = rng.choice((0, top))
        return FeatureMap(height, width, channels, rng.randint(0, top), tuple(values))

    def at(self, row: int, col: int, channel: int) -> int:
        """The feature, or the padding value outside the map."""
        if 0 <= row < self.height and 0 <= col < self.width:
            return self.values[(row * self.width + col) * self.channels + channel]
        return self.pad_value


@dataclass(frozen=True)
class Region:
    """A tile: output rows and columns of a map, and the source pixels it needs that exist."""

    top: int
    left: int
    rows: int
    cols: int
    first: Pixel  # first source pixel present
    in_rows: int
    in_cols: int
    pad_top: int
    pad_left: int

    @staticmethod
    def of(source: FeatureMap, kernel: int, top: int, left: int, rows: int, cols: int) -> Region:
        """The tile of a same-padded convolution."""
        halo = kernel // 2
        first = (max(top - halo, 0), max(left - halo, 0))
        last = (min(top + rows + halo, source.height), min(left + cols + halo, source.width))
        return Region(
            top,
            left,
            rows,
            cols,
            first,
            last[0] - first[0],
            last[1] - first[1],
            max(halo - top, 0),
            max(halo - left, 0),
        )

    def present(self) -> list[Pixel]:
        """Source pixels of the tile in raster order."""
        row, col = self.first
        return [(row + r, col + c) for r in range(self.in_rows) for c in range(self.in_cols)]


def pack(values: Sequence[int], bits: int) -> int:
    """Lanes as one word, lane 0 lowest; negative numbers in two's complement."""
    mask = (1 << bits) - 1
    word = 0
    for lane, value in enumerate(values):
        word |= (value & mask) << lane * bits
    return word


def random_weight(rng: random.Random, bits: int) -> int:
    """A signed weight; the extremes come often."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return rng.choice((low, high)) if rng.random() < 0.1 else rng.randint(low, high)


def random_parameter(rng: random.Random, acc_bits: int, signed_mult: bool = True) -> Pixel:
    """(bias, mult) of one channel for accumulators of about `acc_bits` bits."""
    span = 1 << min(acc_bits, 31) - 1
    bias = rng.choice((rng.randint(-span, span - 1), rng.randint(-64, 64)))
    mult = rng.randint(1, 0x7FFF)
    if signed_mult and rng.random() < 0.1:
        mult = rng.randint(-0x8000, 0)
    return bias, mult


def random_requantiser(rng: random.Random, acc_bits: int, feature_bits: int) -> Requantiser:
    """A shift that leaves most results inside the range, and now and then any."""
    shift = acc_bits + 13 - feature_bits - rng.randrange(4)
    if rng.random() < 0.1:
        shift = rng.randrange(64)
    return Requantiser(min(max(shift, 0), 63), rng.randrange(2), feature_bits)
