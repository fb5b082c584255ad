"""feature_load: bursts, buffer contents and cycles of random tiles."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from model.program import Command
from testbench.axi_agents import UNIT_READ, ReadSlave
from testbench.clocked import Stall, bench_rng, simulate, value
from testbench.command_source import CommandSource, split

TILES = 12
BANKS = 2
STORE_CYCLES = 64


class Geometry:
    """What follows from the parameters the module was built with."""

    def __init__(self) -> None:
        self.lanes = int(cocotb.plusargs["lanes"])
        self.feature_bits = int(cocotb.plusargs["feature_bits"])
        self.lines = int(cocotb.plusargs["lines"])
        self.beat_features = 8 if self.feature_bits <= 8 else 4
        self.sub_banks = max(1, self.lanes // self.beat_features)

    def features(self, beat: int) -> int:
        """The bits of a beat that reach the buffer."""
        storage = 64 // self.beat_features
        mask = (1 << self.feature_bits) - 1
        return sum(
            (beat >> storage * i & mask) << self.feature_bits * i for i in range(self.beat_features)
        )

    def command(self, rng: random.Random, tile: int) -> Command:
        """A random tile that fits a bank; some wait for stores, the later the more."""
        while True:
            blocks = rng.randrange(1, 4)
            block_lines, last_lines = rng.randrange(1, 4), rng.randrange(1, 4)
            rows, cols = rng.randrange(1, 5), rng.randrange(1, 12)
            pixel_lines = (blocks - 1) * block_lines + last_lines
            if rows * cols * pixel_lines <= self.lines:
                break
        fields = {
            "address": 0x1000_0000 + 8 * rng.randrange(4096),
            "row_pitch": 8 * rng.randrange(1, 700),
            "block_pitch": 8 * rng.randrange(1, 300),
            "last_block_pitch": 8 * rng.randrange(1, 300),
            "rows": rows,
            "cols": cols,
            "segment_beats": cols * block_lines * self.sub_banks,
            "last_segment_beats": cols * last_lines * self.sub_banks,
            "blocks": blocks,
            "pixel_beats": block_lines * self.sub_banks,
            "last_pixel_beats": last_lines * self.sub_banks,
            "pixel_lines": pixel_lines,
            "block_lines": block_lines,
            "sync": rng.randrange(6 * tile + 1),
            "sync_enable": rng.randrange(2),
            "frame_offset": 0,
            "to_mac": rng.randrange(2),
        }
        return Command("load", rng.randrange(256), rng.randrange(65536), fields)


def segments_of(command: Command) -> list[tuple[int, int]]:
    """Row by row, block by block."""
    result = []
    for row in range(command.rows):
        for block in range(command.blocks):
            last = block == command.blocks - 1
            address = command.address + row * command.row_pitch + block * command.block_pitch
            if last and block > 0:
                address += command.last_block_pitch - command.block_pitch
            beats = command.last_segment_beats if last else command.segment_beats
            result.append((address, beats))
    return result


def lines_of(command: Command, slave: ReadSlave, geometry: Geometry) -> dict[tuple[int, int], int]:
    """(line, sub-bank) -> features, from the definition of the layout."""
    result = {}
    for row in range(command.rows):
        for block in range(command.blocks):
            address, _ = segments_of(command)[row * command.blocks + block]
            last = block == command.blocks - 1
            beats = command.last_pixel_beats if last else command.pixel_beats
            for col in range(command.cols):
                pixel = row * command.cols + col
                for beat in range(beats):
                    line = pixel * command.pixel_lines + block * command.block_lines
                    line += beat // geometry.sub_banks
                    word = slave.word(address + 8 * (col * beats + beat))
                    result[line, beat % geometry.sub_banks] = geometry.features(word)
    return result


class Surroundings:
    """Buffer, bank token and store counter around the unit; records events."""

    def __init__(self, dut: Any, rng: random.Random, geometry: Geometry) -> None:
        self.dut, self.geometry = dut, geometry
        self.stall = Stall(rng)
        self.buffer: dict[tuple[int, int], int] = {}
        self.taken = self.released = 0
        self.stores = 0
        self.full: list[int] = []  # cycle of each post
        self.free_from = [0, 0]  # tile -> first cycle with a free bank
        self.stores_from = [0]  # count -> first cycle at which it is seen
        self.starts: list[int] = []
        self.beat_cycles: list[int] = []
        self.classes: list[int] = []
        self.check: Any = None

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self.dut.bank_free_i.value = self.taken - self.released < BANKS
        self.dut.bank_write_i.value = len(self.full) % BANKS
        if not self.stall(cycle) and cycle % STORE_CYCLES == 0:
            self.stores += 1
            self.stores_from.append(cycle)
        self.dut.stores_done_i.value = self.stores

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        self.classes.append(value(dut.class_o))
        if value(dut.tile_start_o):
            assert value(dut.bank_reserve_o)
            self.starts.append(cycle)
            self.taken += 1
        if value(dut.r_valid_i):
            self.beat_cycles.append(cycle)
        write = value(dut.ram_we_o)
        for sub in range(self.geometry.sub_banks):
            if write >> sub & 1:
                self.buffer[value(dut.ram_addr_o), sub] = value(dut.ram_data_o)
        readable = self.released < len(self.full) and cycle > self.full[self.released] + 1
        if readable and not self.stall(cycle):
            self.check(self.released)
            self.released += 1
            self.free_from.append(cycle + 1)
        if value(dut.tile_end_o):
            assert value(dut.bank_post_o)
            assert value(dut.last_beat_o)
            self.full.append(cycle)


@cocotb.test()
async def tiles_reach_the_buffer(dut: Any) -> None:
    """Contents of every bank, order of all bursts, cycles of every event."""
    rng, geometry = bench_rng(), Geometry()
    commands = [geometry.command(rng, tile) for tile in range(TILES)]
    slave = ReadSlave(dut, rng, UNIT_READ)
    source = CommandSource(dut, rng, commands)
    around = Surroundings(dut, rng, geometry)
    tags: list[tuple[str, int, int]] = []

    def check(tile: int) -> None:
        base = tile % BANKS * geometry.lines
        for (line, sub), features in lines_of(commands[tile], slave, geometry).items():
            assert around.buffer[base + line, sub] == features, (tile, line, sub)

    class Tags:
        def drive(self, _cycle: int) -> None: ...

        def sample(self, _cycle: int) -> None:
            for kind in ("tile_start", "tile_end", "first_beat", "last_beat"):
                if value(getattr(dut, f"{kind}_o")):
                    bundle, tile = value(dut.event_bundle_o), value(dut.event_tile_o)
                    tags.append((kind, bundle, tile))
            if value(dut.bank_post_o):
                assert value(dut.bank_tag_o) == commands[len(around.full) - 1].to_mac

    around.check = check
    await simulate(dut, [slave, source, around, Tags()], lambda: around.released == TILES)
    bursts = [(burst.address, burst.beats) for burst in slave.bursts]
    assert bursts == split([item for command in commands for item in segments_of(command)])
    for kind in ("tile_start", "tile_end", "first_beat", "last_beat"):
        wanted = [(kind, command.bundle, command.tile) for command in commands]
        assert [tag for tag in tags if tag[0] == kind] == wanted
    _check_cycles(commands, source, around)


def _check_cycles(commands: list[Command], source: CommandSource, around: Surroundings) -> None:
    position = 0
    for tile, command in enumerate(commands):
        ready = source.pushed[tile] + 1
        if tile:
            ready = max(ready, around.full[tile - 1] + 1)
        synced = max(ready, around.stores_from[command.sync]) if command.sync_enable else ready
        start = max(synced, around.free_from[tile])
        assert around.starts[tile] == start, tile
        beats = sum(count for _, count in segments_of(command))
        position += beats
        end = around.beat_cycles[position - 1]
        assert around.full[tile] == end, tile
        assert set(around.classes[synced:start]) <= {2}, tile
        assert around.classes[start] == 0
        assert around.classes[start + 1 : end + 1].count(0) == beats
        assert around.classes[start + 1 : end + 1].count(3) == end - start - beats
