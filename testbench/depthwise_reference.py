"""Depth-wise layers and unit in plain Python: tiles, and what happens at which cycle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

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

BUSY, WAIT_INPUT, WAIT_OUTPUT, WAIT_DDR = range(4)


@dataclass(frozen=True)
class Build:
    """The parameters that the unit was built with."""

    lanes: int
    taps: int
    kernel_max: int
    weight_bits: int
    feature_bits: int
    bank_words: int

    @property
    def drain(self) -> int:
        """Last STREAM cycle to last write."""
        return 12 + (min(self.taps, self.kernel_max**2) - 1).bit_length()

    def phases(self, kernel: int) -> int:
        """Cycles per position."""
        return -(-(kernel**2) // min(self.taps, self.kernel_max**2))


@dataclass(frozen=True)
class Tile:
    """One command, the bank it reads, the words it writes in order of group and pixel."""

    command: Command
    bank: list[int]
    outputs: list[list[int]]  # [group][pixel]
    groups: list[Group]  # to be posted for this tile, empty where an earlier one did


class Layer:
    """A random layer: map, weights, settings."""

    def __init__(self, build: Build, rng: random.Random) -> None:
        self.build, self.rng = build, rng
        self.kernel = rng.choice((3, build.kernel_max))
        groups = rng.randint(1, 3)
        height, width = rng.randint(3, 9), rng.randint(3, 9)
        self.source = FeatureMap.random(
            rng, height, width, groups * build.lanes, build.feature_bits
        )
        acc_bits = build.weight_bits + build.feature_bits + 2
        self.requantise = random_requantiser(rng, acc_bits, build.feature_bits)
        channels = range(self.source.channels)
        self.weights = [
            [random_weight(rng, build.weight_bits) for _ in range(self.kernel**2)]
            for _ in channels
        ]
        self.params = [random_parameter(rng, acc_bits) for _ in channels]
        self.pixel_words = groups + rng.randrange(2)  # a pixel may be wider than what is used

    def lanes(self, group: int) -> range:
        """Channels of a group."""
        return range(group * self.build.lanes, (group + 1) * self.build.lanes)

    @property
    def group_count(self) -> int:
        """Channel groups."""
        return self.source.channels // self.build.lanes

    def groups(self) -> list[Group]:
        """The layer's weights as the weight store holds them."""
        result = []
        for group in range(self.group_count):
            lanes = self.lanes(group)
            words = [
                pack([self.weights[c][tap] for c in lanes], self.build.weight_bits)
                for tap in range(self.kernel**2)
            ]
            biases = [self.params[c][0] & 0xFFFF_FFFF for c in lanes]
            mults = [self.params[c][1] & 0xFFFF for c in lanes]
            lane_words = [b | m << 32 for b, m in zip(biases, mults, strict=True)]
            result.append(Group(words, [pack(lane_words, 48)]))
        return result

    def output(self, row: int, col: int, channel: int) -> int:
        """One feature of the result."""
        halo = self.kernel // 2
        acc = sum(
            self.weights[channel][ky * self.kernel + kx]
            * self.source.at(row + ky - halo, col + kx - halo, channel)
            for ky in range(self.kernel)
            for kx in range(self.kernel)
        )
        return self.requantise(acc, *self.params[channel])

    def tile(self, number: int, first: bool, last: bool) -> Tile:
        """A random tile; the last one of the layer releases the weights."""
        rng, bits = self.rng, self.build.feature_bits
        top, left = rng.randrange(self.source.height), rng.randrange(self.source.width)
        rows = rng.randint(1, self.source.height - top)
        cols = rng.randint(1, self.source.width - left)
        region = Region.of(self.source, self.kernel, top, left, rows, cols)
        bank = []
        for row, col in region.present():
            for group in range(self.group_count):
                bank += [pack([self.source.at(row, col, c) for c in self.lanes(group)], bits)]
            bank += [0] * (self.pixel_words - self.group_count)
        outputs = [
            [
                pack([self.output(top + r, left + c, k) for k in self.lanes(group)], bits)
                for r in range(rows)
                for c in range(cols)
            ]
            for group in range(self.group_count)
        ]
        return Tile(self._command(number, region, last), bank, outputs, self.groups()[: first * 99])

    def _command(self, number: int, region: Region, last: bool) -> Command:
        fields = {
            "rows": region.rows,
            "cols": region.cols,
            "in_rows": region.in_rows,
            "in_cols": region.in_cols,
            "pad_top": region.pad_top,
            "pad_left": region.pad_left,
            "groups": self.group_count,
            "pixel_words": self.pixel_words,
            "kernel5": int(self.kernel == 5),
            "pad_value": self.source.pad_value,
            "shift": self.requantise.shift,
            "round": self.requantise.rounding,
            "release_weights": int(last),
        }
        return Command("depthwise", self.rng.randrange(256), number, fields)


@dataclass
class Reference:
    """The unit as the contract tells it, one call a cycle."""

    build: Build
    tiles: list[Tile]
    started: int = 0
    state: str = "idle"
    left: int = 0
    group: int = 0
    writes: dict[int, tuple[int, int]] = field(default_factory=dict)

    def cycle(
        self, cycle: int, command: bool, full: bool, free: bool, ready: int
    ) -> dict[str, int]:
        """Outputs of this cycle, given what the unit sees."""
        out = dict.fromkeys(("tile_start_o", "tile_end_o", "release_o", "in_release_o"), 0)
        out["class_o"] = BUSY
        if self.state == "idle":
            if command and full and free:
                out["tile_start_o"] = 1
                self.state, self.group = "wait", 0
                self.started += 1
            else:
                out["class_o"] = WAIT_OUTPUT if command and full else WAIT_INPUT
        elif self.state == "wait":
            tile = self.tiles[self.started - 1]
            if ready > (0 if tile.command.release_weights else self.group):
                self._enter(tile, cycle)
            else:
                out["class_o"] = WAIT_DDR
        else:
            self._count(out)
        out["mid_fill_o"] = out["tile_end_o"]
        out["mid_we_o"] = int(cycle in self.writes)
        if cycle in self.writes:
            out["mid_addr_o"], out["mid_data_o"] = self.writes.pop(cycle)
        return out

    def _enter(self, tile: Tile, cycle: int) -> None:
        """WAIT passes: the group's cycles and writes are known."""
        command = tile.command
        kernel = 5 if command.kernel5 else 3
        phases = self.build.phases(kernel)
        line = (command.cols + kernel - 1) * phases
        prepare = kernel**2 + 1
        self.state = "run"
        self.left = prepare + (command.rows + kernel - 1) * line
        for pixel, word in enumerate(tile.outputs[self.group]):
            row, col = divmod(pixel, command.cols)
            position = (row + kernel - 1) * line + (col + kernel) * phases
            done = cycle + prepare + position + self.build.drain
            self.writes[done] = (pixel * command.groups + self.group, word)

    def _count(self, out: dict[str, int]) -> None:
        self.left -= 1
        command = self.tiles[self.started - 1].command
        if self.left:
            return
        if self.state == "drain":
            out["tile_end_o"] = 1
            self.state = "idle"
            return
        out["release_o"] = command.release_weights
        self.group += 1
        if self.group < command.groups:
            self.state = "wait"
        else:
            out["in_release_o"] = 1
            self.state, self.left = "drain", self.build.drain
