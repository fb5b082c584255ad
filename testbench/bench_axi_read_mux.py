"""axi_read_mux: round robin as on the page, every beat to the master that asked for it."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from testbench.axi_agents import AXI_READ, ReadSlave, default_word
from testbench.clocked import Stall, bench_rng, simulate, value

BURSTS = 200
SLOTS = 3
OUTSTANDING = 4


class Masters:
    """Three masters with random requests, and the model of the arbitration."""

    def __init__(self, dut: Any, rng: random.Random, mask: int) -> None:
        self.dut, self.rng = dut, rng
        self.mask = mask
        self.stall = [Stall(rng) for _ in range(SLOTS)]
        self.request: list[tuple[int, int] | None] = [None] * SLOTS
        self.expected: list[deque[int]] = [deque() for _ in range(SLOTS)]
        self.open = [0] * SLOTS
        self.last = SLOTS - 1
        self.register: tuple[int, int] | None = None
        self.granted = self.received = 0
        self.beats = 0

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        for slot in range(SLOTS):
            able = self.mask >> slot & 1 and self.open[slot] < OUTSTANDING
            if self.request[slot] is None and able and not self.stall[slot](cycle):
                beats = self.rng.randrange(1, 17)
                address = 0x2000_0000 * slot + 4096 * self.rng.randrange(100)
                self.request[slot] = (address, beats)
        requests = [item or (0, 1) for item in self.request]
        self.dut.ar_valid_i.value = sum(
            (item is not None) << i for i, item in enumerate(self.request)
        )
        self.dut.ar_address_i.value = sum(item[0] << 32 * i for i, item in enumerate(requests))
        self.dut.ar_len_i.value = sum(item[1] - 1 << 4 * i for i, item in enumerate(requests))

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        assert value(dut.axi_arvalid_o) == (self.register is not None), cycle
        if self.register is not None:
            assert (value(dut.axi_araddr_o), value(dut.axi_arlen_o) + 1) == self.register, cycle
        owner = value(dut.r_valid_o)
        assert bool(owner) == bool(value(dut.axi_rvalid_i)), cycle
        if owner:
            slot = owner.bit_length() - 1
            assert owner == 1 << slot
            assert value(dut.r_data_o) == self.expected[slot].popleft(), cycle
            self.beats += 1
            self.open[slot] -= value(dut.r_last_o)
        if self.register is not None and value(dut.axi_arready_i):
            self.register = None
        self._grant(cycle)

    def _grant(self, cycle: int) -> None:
        order = [(self.last + 1 + i) % SLOTS for i in range(SLOTS)]
        winner = next((slot for slot in order if self.request[slot] is not None), None)
        if self.register is not None:
            winner = None
        wanted = 0 if winner is None else 1 << winner
        assert value(self.dut.ar_ready_o) == wanted, cycle
        if winner is None:
            return
        request = self.request[winner]
        assert request is not None
        self.register, self.last = request, winner
        self.request[winner] = None
        self.open[winner] += 1
        self.granted += 1
        self.expected[winner].extend(default_word(request[0] + 8 * i) for i in range(request[1]))


@cocotb.test()
async def masters_share_a_port(dut: Any) -> None:
    """Every grant, every request and every beat."""
    rng = bench_rng()
    slave = ReadSlave(dut, rng, AXI_READ)
    masters = Masters(dut, rng, int(cocotb.plusargs["mask"]))
    await simulate(dut, [slave, masters], lambda: masters.granted >= BURSTS)
    assert masters.beats > BURSTS
