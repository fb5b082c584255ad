"""Random accelerators for the campaign: every parameter of a build, drawn within its rules.

Parameters with few values are dealt like cards, so that a handful of builds already meets each of
them; the rest is random.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from model.accelerator import channel_align
from model.device import load_device
from model.packing import PACKINGS, refusal

Value = TypeVar("Value")
Tables = dict[str, Any]

BITS = tuple(range(4, 17))
LANES = (1, 2, 4, 8, 16)
PORT_MAPS = ("one", "two", "all", "random")
MULTIPLIERS_SMALL = 96  # of the MAC array and of the depth-wise unit, where compiling must be fast
MULTIPLIERS_LARGE = 320


def draw_hardware(seed: int, build: int, small: bool) -> Tables:
    """``device``, ``precision`` and ``accelerator`` (without tile limits) of one build.

    ``small`` limits the multipliers, and with them the time to compile the simulation.
    """
    rng = np.random.default_rng([seed, 0, build])
    dealt = _Dealer(seed, build)
    limit = MULTIPLIERS_SMALL if small else MULTIPLIERS_LARGE
    device = dealt("device", ("pynq_z1", "ultra96", "pynq_z1"))
    weight_bits, feature_bits = dealt("weight bits", BITS), dealt("feature bits", BITS)
    in_lanes, requant_lanes = dealt("in lanes", LANES), dealt("requant lanes", LANES)
    align = channel_align(in_lanes, requant_lanes, feature_bits)
    while in_lanes * align > limit:  # the narrowest array with these lanes is too large
        in_lanes //= 2
        align = channel_align(in_lanes, requant_lanes, feature_bits)
    out_lanes = align * int(rng.integers(1, min(limit // (in_lanes * align), 6) + 1))
    dw_kernel_max = dealt("depth-wise kernel", (3, 5, 5))
    taps = min(dw_kernel_max**2, max(1, limit // in_lanes))
    most = int(rng.integers(1, taps + 1))
    accumulator_bits = _accumulator_bits(rng, weight_bits + feature_bits)
    packings = PACKINGS if refusal(weight_bits, feature_bits) is None else ("none",)
    steps = out_lanes // requant_lanes
    feature_bytes = 1 if feature_bits <= 8 else 2
    accumulator_bytes = 4 if accumulator_bits <= 32 else 8
    raw_lines = out_lanes * accumulator_bytes // feature_bytes
    raw_lines //= max(requant_lanes, 8 // feature_bytes)
    return {
        "device": device,
        "precision": {"weight_bits": weight_bits, "feature_bits": feature_bits},
        "accelerator": {
            "in_lanes": in_lanes,
            "out_lanes": out_lanes,
            "requant_lanes": requant_lanes,
            "dw_multipliers": dealt("depth-wise multipliers", (1, most, taps, most)),
            "dw_multiplier_style": dealt("style", ("lut", "dsp")),
            "dw_kernel_max": dw_kernel_max,
            "conv_kernel_max": dealt("kernel", (1, 3, 5, 5)),
            "accumulator_bits": accumulator_bits,
            "mac_packing": dealt("packing", packings),
            "outstanding_bursts": dealt("outstanding", (1, 2, 3, 4, 8)),
            "command_depth": dealt("command depth", (2, 3, 4, 7, 16)),
            "buffers": _buffers(rng, steps, raw_lines),
            "ports": _ports(rng, dealt("ports", PORT_MAPS), load_device(device).axi_ports),
        },
    }


class _Dealer:
    """Deals the values of a parameter over the builds: each value once before any comes again."""

    def __init__(self, seed: int, build: int) -> None:
        self._seed, self._build = seed, build

    def __call__(self, name: str, values: Sequence[Value]) -> Value:
        deck, card = divmod(self._build, len(values))
        rng = np.random.default_rng([self._seed, 1, zlib.crc32(name.encode()), deck])
        return values[int(rng.permutation(len(values))[card])]


def _accumulator_bits(rng: np.random.Generator, product_bits: int) -> int:
    least = max(16, product_bits)
    return int(rng.choice([least, min(48, least + int(rng.integers(1, 13))), 32, 48]).clip(least))


def _buffers(rng: np.random.Generator, steps: int, raw_lines: int) -> Tables:
    """Depths from tight to roomy, powers of two by chance only.

    ``steps``: parameter words of a full group; ``raw_lines``: output lines of a pixel of it.
    """

    def depth(least: int, most: int) -> int:
        return int(np.rint(np.exp(rng.uniform(np.log(least), np.log(most)))))

    return {
        "input_lines": depth(60, 900),
        "mid_words": depth(30, 600),
        "output_lines": depth(max(30, 2 * raw_lines), max(600, 12 * raw_lines)),
        "weight_words": depth(25, 300),
        "param_words": depth(max(2, steps), 6 * max(2, steps)),
        "dw_weight_words": depth(25, 200),
        "dw_param_words": depth(2, 24),
        "dw_line_words": depth(12, 48),
    }


def _ports(rng: np.random.Generator, kind: str, axi_ports: int) -> dict[str, int]:
    names = ("program", "weight", "load", "store")
    if kind == "all":
        chosen = rng.permutation(axi_ports)[: len(names)] % axi_ports
        chosen = np.resize(chosen, len(names))
    elif kind == "two":
        chosen = rng.integers(0, min(2, axi_ports), len(names))
    elif kind == "random":
        chosen = rng.integers(0, axi_ports, len(names))
    else:
        chosen = np.zeros(len(names), dtype=np.int64)
    return {name: int(port) for name, port in zip(names, chosen, strict=True)}
