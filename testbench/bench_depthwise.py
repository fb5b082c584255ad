"""depthwise: every output in every cycle, against the state machine of the contract."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cocotb

from testbench.clocked import Agent, Stall, bench_rng, simulate, value
from testbench.command_source import CommandSource
from testbench.compute_surroundings import PingPong, ReadPort, Restart, WeightRing, lockstep
from testbench.depthwise_reference import Build, Layer, Reference, Tile

LAYERS = 5


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
        """Set what registers around the unit hold in this cycle."""
        del cycle
        self.dut.in_full_i.value = self.input.full
        self.dut.in_bank_i.value = self.input.read_bank
        self.dut.mid_free_i.value = self.mid.free
        self.dut.mid_bank_i.value = self.mid.write_bank
        self.dut.groups_ready_i.value = self.ring.ready
        for port in (self.in_port, self.weight_port, self.param_port):
            port.drive()

    def sample(self, cycle: int) -> None:
        """Compare every output, then take the clock edge."""
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
