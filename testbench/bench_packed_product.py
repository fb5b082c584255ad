"""mac_packed_product, its RTL or its netlist: every pair of products, and holding still."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import cocotb

from model.packing import weight_range
from testbench.clocked import bench_rng, simulate, value
from testbench.tile_reference import random_weight

VECTORS = 5000
LATENCY = 2  # operands at c, products at c + 2


class Products:
    """Feeds pairs and compares both products with what they are."""

    def __init__(self, dut: Any, weight_bits: int, feature_bits: int, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.low, self.high = weight_range("pair", weight_bits, feature_bits)
        self.weight_bits, self.feature_bits = weight_bits, feature_bits
        self.vectors = self._corners() + [self._random() for _ in range(VECTORS)]
        self.index = self.compared = 0
        self.operands: tuple[int, int, int] | None = None  # in the operand registers
        self.products: tuple[int, int] | None = None  # in the product register
        self.enables = (False, False)

    def drive(self, cycle: int) -> None:
        """The next pair; now and then a register holds."""
        del cycle
        low, high, feature = self.vectors[self.index % len(self.vectors)]
        mask = (1 << self.weight_bits) - 1
        self.enables = (self.rng.random() < 0.9, self.rng.random() < 0.9)
        self.dut.low_weight_i.value = low & mask
        self.dut.high_weight_i.value = high & mask
        self.dut.feature_i.value = feature
        self.dut.operand_enable_i.value, self.dut.product_enable_i.value = self.enables

    def sample(self, cycle: int) -> None:
        """Compare the products that are there, then take the clock edge."""
        if self.products is not None:
            bits = self.weight_bits + self.feature_bits
            low = _signed(value(self.dut.low_o), bits)
            high = _signed(value(self.dut.high_o), bits) + value(self.dut.borrow_o)
            assert (low, high) == self.products, f"cycle {cycle}: {self.products} expected"
            self.compared += 1
        operand, product_ = self.enables
        if product_ and self.operands is not None:
            low_weight, high_weight, feature = self.operands
            self.products = (low_weight * feature, high_weight * feature)
        if operand:
            self.operands = self.vectors[self.index % len(self.vectors)]
            self.index += 1

    @property
    def done(self) -> bool:
        """All vectors have been taken."""
        return self.index >= len(self.vectors) + LATENCY

    def _corners(self) -> list[tuple[int, int, int]]:
        weights = (self.low, self.low + 1, -2, -1, 0, 1, 2, self.high - 1, self.high)
        largest = (1 << self.feature_bits) - 1
        features = (0, 1, 2, largest // 2, largest // 2 + 1, largest - 1, largest)
        return list(product(weights, weights, features))

    def _random(self) -> tuple[int, int, int]:
        weights = [max(self.low, random_weight(self.rng, self.weight_bits)) for _ in range(2)]
        largest = (1 << self.feature_bits) - 1
        feature = largest if self.rng.random() < 0.1 else self.rng.randint(0, largest)
        return weights[0], weights[1], feature


def _signed(word: int, bits: int) -> int:
    return word - (1 << bits) if word >> (bits - 1) else word


@cocotb.test()
async def every_pair_of_products_is_exact(dut: Any) -> None:
    """Corners, then random weights and features."""
    widths = [int(cocotb.plusargs[name]) for name in ("weight_bits", "feature_bits")]
    agent = Products(dut, widths[0], widths[1], bench_rng())
    await simulate(dut, [agent], lambda: agent.done, limit=20_000)
    assert agent.compared > VECTORS
