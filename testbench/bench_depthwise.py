"""depthwise: every output in every cycle, against the state machine of the contract."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb

from model.program import Command
from testbench.clocked import Agent, Stall, bench_rng, simulate, value
from testbench.command_source import CommandSource
from testbench.compute_surroundings import Group, PingPong, ReadPort, Restart, WeightRing, lockstep
from testbench.tile_reference import (
    FeatureMap,
    Region,
    pack,
    random_parameter,
    random_requantiser,
    random_weight,
)

LAYERS = 5
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
                bank.append(pack([self.source.at(row, col, c) for c in self.lanes(group)], bits))
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


class Surroundings:
    """Memories, banks and weights around the unit; compares it with the reference."""

    def __init__(self, dut: Any, build: Build, tiles: list[Tile], source: CommandSource) -> None:
        rng = bench_rng()
        self.dut, self.tiles, self.source = dut, tiles, source
        self.reference = Reference(build, tiles)
        self.input, self.mid = PingPong(), PingPong()
        self.ring = WeightRing([group for tile in tiles for group in tile.groups])
        self.stalls = {name: Stall(rng) for name in ("load", "weights", "drain")}
        self.in_port = ReadPort(rng, dut.in_data_i)
        self.weight_port = ReadPort(rng, dut.weight_data_i)
        self.param_port = ReadPort(rng, dut.param_data_i)
        self.ended = 0

    def drive(self, cycle: int) -> None:
        del cycle
        self.dut.in_full_i.value = self.input.full
        self.dut.in_bank_i.value = self.input.read_bank
        self.dut.mid_free_i.value = self.mid.free
        self.dut.mid_bank_i.value = self.mid.write_bank
        self.dut.groups_ready_i.value = self.ring.ready
        for port in (self.in_port, self.weight_port, self.param_port):
            port.drive()

    def sample(self, cycle: int) -> None:
        started = self.reference.started
        pushed = self.source.pushed
        expected = self.reference.cycle(
            cycle,
            started < len(pushed) and pushed[started] < cycle,
            self.input.full,
            self.mid.free,
            self.ring.ready,
        )
        if expected["mid_we_o"]:
            expected["mid_bank_o"] = self.mid.write_bank
        if expected["tile_start_o"] or expected["tile_end_o"]:
            command = self.tiles[self.reference.started - 1].command
            expected |= {"bundle_o": command.bundle, "tile_o": command.tile}
        lockstep(self.dut, cycle, expected)
        self._read()
        self._advance(cycle, expected)

    def _read(self) -> None:
        dut = self.dut
        self.in_port.sample(dut.in_re_o, self._in_word)
        self.weight_port.sample(
            dut.weight_re_o, lambda: self.ring.word(value(dut.weight_offset_o))
        )
        self.param_port.sample(dut.param_re_o, lambda: self.ring.param(value(dut.param_offset_o)))

    def _in_word(self) -> int:
        assert value(self.dut.in_bank_o) == self.input.read_bank
        return self.tiles[self.input.released].bank[value(self.dut.in_addr_o)]

    def _advance(self, cycle: int, events: dict[str, int]) -> None:
        """The edge that ends the cycle."""
        if events["release_o"]:
            oldest = self.ring.groups[self.ring.released]
            assert value(self.dut.release_words_o) == len(oldest.words)
            self.ring.released += 1
        if self.mid.full and not self.stalls["drain"](cycle):
            self.mid.released += 1
        self.mid.reserved += events["tile_start_o"]
        self.mid.posted += events["mid_fill_o"]
        self.ended += events["tile_end_o"]
        # A tile is loaded in one cycle when a bank is free.
        if self.input.free and self.input.posted < len(self.tiles):
            loads = not self.stalls["load"](cycle)
            self.input.reserved += loads
            self.input.posted += loads
        self.input.released += events["in_release_o"]
        if self.ring.posted < len(self.ring.groups) and self.ring.ready < 4:
            self.ring.posted += not self.stalls["weights"](cycle)


def build_from_plusargs() -> Build:
    """The parameters, as the test that built the design gives them."""
    names = ("lanes", "taps", "kernel_max", "weight_bits", "feature_bits", "bank_words")
    return Build(*(int(cocotb.plusargs[name]) for name in names))


def random_tiles(build: Build, rng: random.Random) -> list[Tile]:
    """Random layers of one to four tiles each."""
    tiles: list[Tile] = []
    for _ in range(LAYERS):
        layer, count = Layer(build, rng), rng.randint(1, 4)
        for index in range(count):
            tiles.append(layer.tile(len(tiles), index == 0, index == count - 1))
    return tiles


@cocotb.test()
async def tiles_match_in_every_cycle(dut: Any) -> None:
    """All tiles, after a flush in the middle of them."""
    build, rng = build_from_plusargs(), bench_rng()
    tiles = random_tiles(build, rng)
    made: list[Surroundings] = []

    def agents() -> Sequence[Agent]:
        source = CommandSource(dut, rng, [tile.command for tile in tiles])
        made.append(Surroundings(dut, build, tiles, source))
        return source, made[-1]

    restart = Restart(dut, agents, flush_cycle=rng.randint(100, 600))
    done = lambda: len(made) == 2 and made[-1].ended == len(tiles)  # noqa: E731
    await simulate(dut, [restart], done, limit=100_000)
