"""mac_control, mac_array and post_process: every output in every cycle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cocotb

from testbench.clocked import Agent, Stall, bench_rng, simulate, value
from testbench.command_source import CommandSource
from testbench.compute_surroundings import PingPong, ReadPort, Restart, WeightRing, lockstep
from testbench.mac_layer import Build, Layer, Tile
from testbench.mac_reference import Reference

LAYERS = 8


class Surroundings:
    """Memories, banks and weights around the units; compares them with the reference."""

    def __init__(self, dut: Any, build: Build, tiles: list[Tile], source: CommandSource) -> None:
        rng = bench_rng()
        self.dut, self.tiles, self.source = dut, tiles, source
        self.reference = Reference(build, tiles)
        self.banks = {0: PingPong(), 1: PingPong()}  # by source_mid
        self.queues = {s: [t for t in tiles if t.command.source_mid == s] for s in (0, 1)}
        self.output = PingPong()
        self.ring = WeightRing([group for tile in tiles for group in tile.groups])
        self.params: dict[int, int] = {}  # absolute parameter word -> contents, until given back
        self.param_next = self.param_oldest = 0
        self.stalls = {name: Stall(rng) for name in ("load", "mid", "weights", "drain")}
        self.source_ports = {
            0: ReadPort(rng, dut.in_data_i),
            1: ReadPort(rng, dut.mid_data_i),
        }
        self.weight_port = ReadPort(rng, dut.weight_data_i)
        self.param_port = ReadPort(rng, dut.param_data_i)
        self.ended = 0

    def drive(self, cycle: int) -> None:
        """Set what registers around the unit hold in this cycle."""
        del cycle
        self.dut.in_full_i.value = self.banks[0].full
        self.dut.in_bank_i.value = self.banks[0].read_bank
        self.dut.mid_full_i.value = self.banks[1].full
        self.dut.mid_bank_i.value = self.banks[1].read_bank
        self.dut.out_free_i.value = self.output.free
        self.dut.groups_ready_i.value = self.ring.ready
        for port in (*self.source_ports.values(), self.weight_port, self.param_port):
            port.drive()

    def sample(self, cycle: int) -> None:
        """Compare every output, then take the clock edge."""
        started, pushed = self.reference.started, self.source.pushed
        there = started < len(pushed) and pushed[started] < cycle
        full = there and self.banks[self.tiles[started].command.source_mid].full
        expected = self.reference.cycle(cycle, there, full, self.output.free, self.ring.ready)
        lockstep(self.dut, cycle, expected)
        self._read()
        self._advance(cycle, expected)

    def _read(self) -> None:
        dut = self.dut
        self.source_ports[0].sample(
            dut.in_re_o, lambda: self._word(0, dut.in_bank_o, dut.in_addr_o)
        )
        self.source_ports[1].sample(
            dut.mid_re_o, lambda: self._word(1, dut.mid_bank_o, dut.mid_addr_o)
        )
        self.weight_port.sample(
            dut.weight_re_o, lambda: self.ring.word(value(dut.weight_offset_o))
        )
        self.param_port.sample(dut.param_re_o, self._param)

    def _word(self, source: int, bank: Any, address: Any) -> int:
        assert value(bank) == self.banks[source].read_bank
        tile = self.queues[source][self.banks[source].released]
        assert tile is self.reference.tile
        return tile.bank[value(address)]

    def _param(self) -> int:
        """The word in the ring: offsets count from the oldest parameters not given back."""
        return self.params[self.param_oldest + value(self.dut.param_offset_o)]

    def _advance(self, cycle: int, events: dict[str, int]) -> None:
        """The edge that ends the cycle."""
        if events["params_done_o"]:
            for _ in range(value(self.dut.params_done_words_o)):
                del self.params[self.param_oldest]
                self.param_oldest += 1
        if events["release_o"]:
            oldest = self.ring.groups[self.ring.released]
            assert value(self.dut.release_words_o) == len(oldest.words)
            self.ring.released += 1
        if self.output.full and not self.stalls["drain"](cycle):
            self.output.released += 1
        self.output.reserved += events["claim_o"]
        self.output.posted += events["out_fill_o"]
        self.ended += events["post_end_o"]
        for source, name, stall in ((0, "in_release_o", "load"), (1, "mid_release_o", "mid")):
            bank = self.banks[source]
            if bank.free and bank.posted < len(self.queues[source]):
                loads = not self.stalls[stall](cycle)
                bank.reserved += loads
                bank.posted += loads
            bank.released += events[name]
        waiting = self.ring.posted < len(self.ring.groups) and self.ring.ready < 4
        if waiting and not self.stalls["weights"](cycle):
            for word in self.ring.groups[self.ring.posted].params:
                self.params[self.param_next] = word
                self.param_next += 1
            self.ring.posted += 1


def build_from_plusargs() -> Build:
    """The parameters, as the test that built the design gives them."""
    names = ("in_lanes", "out_lanes", "requant_lanes", "kernel_max")
    widths = ("weight_bits", "feature_bits", "acc_bits", "packing")
    return Build(*(int(cocotb.plusargs[name]) for name in names + widths))


def random_tiles(build: Build, rng: random.Random) -> list[Tile]:
    """Layers of one to three tiles each, close behind one another."""
    tiles: list[Tile] = []
    for _ in range(LAYERS):
        layer, count = Layer(build, rng), rng.randint(1, 3)
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
