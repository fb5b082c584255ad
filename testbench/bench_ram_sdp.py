"""ram_sdp against a list: latency 2, output held, no write lost."""

from __future__ import annotations

from typing import Any

import cocotb

from testbench.clocked import Stall, bench_rng, simulate, value

READS = 800


class Model:
    """Random writes and reads, never of one word in one cycle."""

    def __init__(self, dut: Any, depth: int) -> None:
        self.dut, self.depth = dut, depth
        self.rng = bench_rng()
        self.read_stall, self.write_stall = Stall(self.rng), Stall(self.rng)
        self.memory: dict[int, int] = {}
        self.pipe: list[int | None] = [None, None]
        self.shown: int | None = None
        self.reads = 0
        self.write: tuple[int, int] | None = None

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        dut, rng = self.dut, self.rng
        self.write = None
        if not self.write_stall(cycle):
            self.write = (rng.randrange(self.depth), rng.getrandbits(len(dut.wdata_i)))
            dut.waddr_i.value, dut.wdata_i.value = self.write
        dut.we_i.value = self.write is not None
        written = [a for a in self.memory if self.write is None or a != self.write[0]]
        read = bool(written) and not self.read_stall(cycle)
        dut.re_i.value = read
        address = rng.choice(written) if read else 0
        dut.raddr_i.value = address
        self.pipe.append(self.memory[address] if read else None)
        self.reads += read

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        arrived = self.pipe.pop(0)
        self.shown = self.shown if arrived is None else arrived
        if self.shown is not None:
            assert value(self.dut.rdata_o) == self.shown, cycle
        if self.write is not None:
            self.memory[self.write[0]] = self.write[1]


@cocotb.test()
async def reads_return_what_was_written(dut: Any) -> None:
    """Every output in every cycle."""
    model = Model(dut, int(cocotb.plusargs["depth"]))
    await simulate(dut, [model], lambda: model.reads >= READS)
