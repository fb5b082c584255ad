"""mac_array alone, its RTL or its netlist: dot products against plain integers."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from model.packing import weight_range
from testbench.clocked import bench_rng, simulate, value
from testbench.tile_reference import pack, random_weight

VECTORS = 1500
ISSUES_MAX = 6  # per vector
RAM_LATENCY = 2
NAMES = ("in_lanes", "out_lanes", "weight_bits", "feature_bits", "acc_bits", "packing")


class Array:
    """Issues vectors of random length with gaps; every vector must come out, in its cycle."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        sizes = {name: int(cocotb.plusargs[name]) for name in NAMES}
        self.in_lanes, self.out_lanes = sizes["in_lanes"], sizes["out_lanes"]
        self.weight_bits, self.feature_bits = sizes["weight_bits"], sizes["feature_bits"]
        self.acc_bits = sizes["acc_bits"]
        self.least = weight_range(
            "pair" if sizes["packing"] else "none", self.weight_bits, self.feature_bits
        )[0]
        self.latency = 5 + (self.in_lanes - 1).bit_length()
        self.words: deque[tuple[int, int] | None] = deque([None] * RAM_LATENCY)
        self.left = 0  # issues until the vector at work is complete
        self.sums: list[int] = []
        self.expected: dict[int, int] = {}  # cycle -> vector
        self.issued = self.compared = 0

    def drive(self, cycle: int) -> None:
        """An issue of this cycle, and the data of the one two cycles ago."""
        issue = self.rng.random() < 0.8 and (self.left > 0 or self.issued < VECTORS)
        first = issue and self.left == 0
        if first:
            self.left = self.rng.randint(1, ISSUES_MAX)
            self.sums = [0] * self.out_lanes
            self.issued += 1
        self.words.append(self._word() if issue else None)
        self.left -= issue
        last = issue and self.left == 0
        if last:
            self.expected[cycle + self.latency] = pack(self.sums, self.acc_bits)
        self.dut.issue_i.value = issue
        self.dut.issue_first_i.value = first
        self.dut.issue_last_i.value = last
        features, weights = self.words.popleft() or self._noise()
        self.dut.in_data_i.value = features
        self.dut.weight_data_i.value = weights

    def sample(self, cycle: int) -> None:
        """A vector is valid exactly when one is expected."""
        wanted = self.expected.pop(cycle, None)
        assert value(self.dut.vector_valid_o) == (wanted is not None), f"cycle {cycle}"
        if wanted is not None:
            found = value(self.dut.vector_o)
            assert found == wanted, f"cycle {cycle}: {found:#x}, expected {wanted:#x}"
            self.compared += 1

    def _word(self) -> tuple[int, int]:
        """Features and weights of one issue; adds their products to the sums."""
        largest = (1 << self.feature_bits) - 1
        features = [
            self.rng.choice((0, largest, self.rng.randint(0, largest)))
            for _ in range(self.in_lanes)
        ]
        weights = [
            max(self.least, random_weight(self.rng, self.weight_bits))
            for _ in range(self.in_lanes * self.out_lanes)
        ]
        for lane in range(self.out_lanes):
            own = weights[lane * self.in_lanes : (lane + 1) * self.in_lanes]
            self.sums[lane] += sum(w * x for w, x in zip(own, features, strict=True))
        return pack(features, self.feature_bits), pack(weights, self.weight_bits)

    def _noise(self) -> tuple[int, int]:
        lanes = self.in_lanes
        weight_bits = lanes * self.out_lanes * self.weight_bits
        return self.rng.getrandbits(lanes * self.feature_bits), self.rng.getrandbits(weight_bits)


@cocotb.test()
async def every_vector_is_exact(dut: Any) -> None:
    """Random vectors, extremes among them, back to back and with gaps."""
    agent = Array(dut, bench_rng())
    await simulate(dut, [agent], lambda: agent.compared == VECTORS)
