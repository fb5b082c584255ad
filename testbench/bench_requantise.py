"""requantise: every result 5 cycles after its operands, whatever the gaps."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from testbench.clocked import Stall, bench_rng, simulate, value
from testbench.tile_reference import Requantiser

OPERATIONS = 4000
LATENCY = 5


class Lane:
    """Drives operands whenever the stall allows and knows when which result is due."""

    def __init__(self, dut: Any, acc_bits: int, feature_bits: int) -> None:
        self.dut, self.acc_bits, self.feature_bits = dut, acc_bits, feature_bits
        self.rng = bench_rng()
        self.stall = Stall(self.rng)
        self.due: dict[int, int] = {}
        self.checked = 0

    def drive(self, cycle: int) -> None:
        """One operation, unless the stall forbids."""
        valid = not self.stall(cycle)
        acc, bias, mult, shift, rounding = operands(self.rng, self.acc_bits)
        self.dut.valid_i.value = valid
        self.dut.acc_i.value = acc
        self.dut.bias_i.value = bias
        self.dut.mult_i.value = mult
        self.dut.shift_i.value = shift
        self.dut.round_i.value = rounding
        if valid:
            result = Requantiser(shift, rounding, self.feature_bits)(acc, bias, mult)
            self.due[cycle + LATENCY] = result

    def sample(self, cycle: int) -> None:
        """Check the result that is due."""
        if cycle in self.due:
            assert value(self.dut.y_o) == self.due.pop(cycle), cycle
            self.checked += 1


def operands(rng: random.Random, acc_bits: int) -> tuple[int, int, int, int, int]:
    """acc, bias, mult, shift, round: random sizes, extremes, results close to the clamp."""
    acc = _signed(rng, acc_bits)
    bias = _signed(rng, 32)
    mult = _signed(rng, 16)
    if rng.random() < 0.7:
        mult = abs(mult) % (1 << 15)
    shift = rng.randrange(64)
    product = max(acc + bias, 0) * mult
    if product > 0 and rng.random() < 0.7:  # a result of about F bits
        shift = min(max(product.bit_length() - rng.randrange(18), 0), 63)
    return acc, bias, mult, shift, rng.randrange(2)


def _signed(rng: random.Random, bits: int) -> int:
    size = rng.randint(1, bits)
    low, high = -(1 << size - 1), (1 << size - 1) - 1
    return rng.choice((low, high, 0)) if rng.random() < 0.2 else rng.randint(low, high)


@cocotb.test()
async def results_are_exact(dut: Any) -> None:
    """4000 operations."""
    lane = Lane(dut, int(cocotb.plusargs["acc_bits"]), int(cocotb.plusargs["feature_bits"]))
    await simulate(dut, [lane], lambda: lane.checked >= OPERATIONS)
