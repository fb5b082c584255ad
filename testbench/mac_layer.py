"""Random convolution layers for the MAC bench: tiles as commands, bank contents, expected lines."""

from __future__ import annotations

import random
from dataclasses import dataclass

from model.packing import weight_range
from model.program import Command
from testbench.compute_surroundings import Group
from testbench.tile_reference import (
    FeatureMap,
    Region,
    pack,
    random_parameter,
    random_requantiser,
    random_weight,
)

NO_POOL, MAX_POOL, AVERAGE_POOL = range(3)


@dataclass(frozen=True)
class Build:
    """The parameters that the units were built with."""

    in_lanes: int
    out_lanes: int
    requant_lanes: int
    kernel_max: int
    weight_bits: int
    feature_bits: int
    acc_bits: int
    packing: int = 0

    @property
    def byte_bits(self) -> int:
        """Bits of a feature in the output buffer."""
        return 8 if self.feature_bits <= 8 else 16

    @property
    def least_weight(self) -> int:
        """The smallest weight the array multiplies exactly."""
        packing = "pair" if self.packing else "none"
        return weight_range(packing, self.weight_bits, self.feature_bits)[0]

    @property
    def slices(self) -> int:
        """Slices of a raw accumulator."""
        return (32 if self.acc_bits <= 32 else 64) // self.byte_bits

    @property
    def steps(self) -> int:
        """Requantise steps of a full vector."""
        return self.out_lanes // self.requant_lanes

    @property
    def line_parts(self) -> int:
        """Writes that fill a line of the output buffer."""
        return max(64 // self.byte_bits // self.requant_lanes, 1)


@dataclass(frozen=True)
class Tile:
    """One command, the bank it reads, what it writes per output group, weights to post first."""

    command: Command
    bank: list[int]
    writes: list[list[int]]  # [output group][write]: requant_lanes features of byte_bits
    groups: list[Group]


class Layer:
    """A random layer: map, weights, settings. Only some of its channels may be used."""

    def __init__(self, build: Build, rng: random.Random) -> None:
        self.build, self.rng = build, rng
        self.kernel = rng.choice([k for k in (1, 3, 5) if k <= build.kernel_max])
        self.source_mid = int(self.kernel == 1 and rng.random() < 0.6)
        self.pool = rng.choice((NO_POOL, MAX_POOL, AVERAGE_POOL))
        self.raw = int(self.pool == NO_POOL and rng.random() < 0.4)
        self.groups = rng.randint(1, 3)
        self.group_step = rng.choice((0, 0, self.groups))
        self.out_groups = rng.randint(1, 3)
        self.pad_cycles = rng.choice((0, 0, rng.randrange(12)))
        self.steps = rng.choice((build.steps, rng.randint(1, build.steps)))
        self.last_steps = rng.randint(1, self.steps)
        used = self.groups + self.group_step * (self.out_groups - 1)
        self.pixel_words = used + rng.randrange(2)
        self.height, self.width = 2 * rng.randint(1, 4), 2 * rng.randint(1, 4)
        channels = self.pixel_words * build.in_lanes
        self.source = FeatureMap.random(rng, self.height, self.width, channels, build.feature_bits)
        terms = self.kernel**2 * self.groups * build.in_lanes
        acc_bits = build.weight_bits + build.feature_bits + terms.bit_length() // 2
        assert build.weight_bits + build.feature_bits + terms.bit_length() <= build.acc_bits
        self.requantise = random_requantiser(rng, acc_bits, build.feature_bits)
        outputs = range(self.out_groups * build.out_lanes)
        least = build.least_weight
        self.weights = [
            [max(least, random_weight(rng, build.weight_bits)) for _ in range(terms)]
            for _ in outputs
        ]
        # A negative multiplier does not commute with the maximum; the program avoids it.
        signed = self.pool != MAX_POOL
        self.params = [random_parameter(rng, acc_bits, signed) for _ in outputs]

    def group_steps(self, og: int) -> int:
        """Requantise steps of an output group."""
        return self.last_steps if og == self.out_groups - 1 else self.steps

    def weight_groups(self) -> list[Group]:
        """The layer's weights as the weight store holds them."""
        build = self.build
        result = []
        for og in range(self.out_groups):
            outputs = range(og * build.out_lanes, (og + 1) * build.out_lanes)
            words = []
            for word in range(self.kernel**2 * self.groups):
                lanes = range(word * build.in_lanes, (word + 1) * build.in_lanes)
                words.append(
                    pack([self.weights[o][i] for o in outputs for i in lanes], build.weight_bits)
                )
            pairs = [
                (self.params[o][0] & 0xFFFF_FFFF) | (self.params[o][1] & 0xFFFF) << 32
                for o in outputs
            ]
            width = build.requant_lanes
            params = [pack(pairs[s * width : (s + 1) * width], 48) for s in range(self.steps)]
            result.append(Group(words, params))
        return result

    def accumulate(self, row: int, col: int, output: int) -> int:
        """One accumulator; weights are tap-major, then input channel of the group."""
        halo = self.kernel // 2
        depth = self.groups * self.build.in_lanes
        base = output // self.build.out_lanes * self.group_step * self.build.in_lanes
        weights = self.weights[output]
        return sum(
            weights[tap * depth + channel]
            * self.source.at(
                row + tap // self.kernel - halo, col + tap % self.kernel - halo, base + channel
            )
            for tap in range(self.kernel**2)
            for channel in range(depth)
        )

    def pixels(self, region: Region, output: int) -> list[int]:
        """What one channel of the tile leaves: features after pooling, or raw accumulators."""
        acc = {
            (r, c): self.accumulate(region.top + r, region.left + c, output)
            for r in range(region.rows)
            for c in range(region.cols)
        }
        if self.raw:
            return list(acc.values())
        done = {at: self.requantise(value, *self.params[output]) for at, value in acc.items()}
        if self.pool == NO_POOL:
            return list(done.values())
        result = []
        for r in range(0, region.rows, 2):
            for c in range(0, region.cols, 2):
                four = [done[r, c], done[r, c + 1], done[r + 1, c], done[r + 1, c + 1]]
                average = (sum(four) + 2) >> 2
                result.append(max(four) if self.pool == MAX_POOL else average)
        return result

    def writes(self, region: Region, og: int) -> list[int]:
        """The output group's writes in order: pixel, step, slice."""
        build = self.build
        first = og * build.out_lanes
        lanes = [
            self.pixels(region, first + lane)
            for lane in range(self.group_steps(og) * build.requant_lanes)
        ]
        result = []
        for pixel in range(len(lanes[0])):
            for step in range(self.group_steps(og)):
                part = lanes[step * build.requant_lanes : (step + 1) * build.requant_lanes]
                values = [lane[pixel] for lane in part]
                for piece in range(build.slices if self.raw else 1):
                    shifted = [value >> piece * build.byte_bits for value in values]
                    result.append(pack(shifted, build.byte_bits))
        return result

    def tile(self, number: int, first: bool, last: bool) -> Tile:
        """A random tile; the first brings the weights, the last releases them."""
        rng, build = self.rng, self.build
        top, left = rng.randrange(self.height), rng.randrange(self.width)
        rows, cols = rng.randint(1, self.height - top), rng.randint(1, self.width - left)
        if self.pool != NO_POOL:
            top, left = top // 2 * 2, left // 2 * 2
            rows, cols = (rows + 1) // 2 * 2, (cols + 1) // 2 * 2
        region = Region.of(self.source, self.kernel, top, left, rows, cols)
        bank = []
        for row, col in region.present():
            values = [self.source.at(row, col, c) for c in range(self.source.channels)]
            for word in range(self.pixel_words):
                lanes = values[word * build.in_lanes : (word + 1) * build.in_lanes]
                bank.append(pack(lanes, build.feature_bits))
        writes = [self.writes(region, og) for og in range(self.out_groups)]
        groups = self.weight_groups() if first else []
        return Tile(self._command(number, region, last), bank, writes, groups)

    def _command(self, number: int, region: Region, last: bool) -> Command:
        fields = {
            "rows": region.rows,
            "cols": region.cols,
            "in_rows": region.in_rows,
            "in_cols": region.in_cols,
            "pad_top": region.pad_top,
            "pad_left": region.pad_left,
            "kernel": self.kernel,
            "source_mid": self.source_mid,
            "groups": self.groups,
            "group_step": self.group_step,
            "pixel_words": self.pixel_words,
            "row_words": self.pixel_words * (region.cols if self.source_mid else region.in_cols),
            "out_groups": self.out_groups,
            "steps": self.steps,
            "last_steps": self.last_steps,
            "pool": self.pool,
            "pad_cycles": self.pad_cycles,
            "pad_value": self.source.pad_value,
            "shift": self.requantise.shift,
            "round": self.requantise.rounding,
            "raw": self.raw,
            "group_words": self.kernel**2 * self.groups,
            "param_words": self.steps,
            "release_weights": int(last),
        }
        return Command("mac", self.rng.randrange(256), number, fields)
