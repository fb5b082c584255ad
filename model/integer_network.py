"""Integer networks: the weights, biases and scales that the hardware runs, in one ``.npz`` file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.detection import BoxHead, check_box_head
from model.errors import TandemError
from model.network import Layer
from model.packing import weight_refusal

SHIFT_MAX = 47
BIAS_RANGE = (-(1 << 31), (1 << 31) - 1)
MULT_RANGE = (-(1 << 15), (1 << 15) - 1)

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """One layer with weights; arrays are int64 in memory whatever their range.

    The head's last convolution uses ``weight`` and ``pad_value`` only.
    """

    name: str
    weight: Integers  # depth-wise (C, k, k), convolution (O, I, k, k); signed W bits
    bias: Integers  # (O,), int32
    mult: Integers  # (O,), int16
    shift: int  # 0 to 47
    round: bool  # add half of 2^shift before shifting
    pad_value: int  # of the layer's input, 0 to 2^F - 1

    @property
    def half(self) -> int:
        """What rounding adds before the shift."""
        return 1 << (self.shift - 1) if self.round and self.shift > 0 else 0


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """The layers with weights, in network order."""

    design_name: str
    weight_bits: int
    feature_bits: int
    layers: tuple[IntegerLayer, ...]
    head: BoxHead | None = None  # how its accumulators become a box; None: they are not read
    _by_name: dict[str, IntegerLayer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {layer.name: layer for layer in self.layers})

    def __getitem__(self, name: str) -> IntegerLayer:
        """The layer of that name; KeyError where there is none."""
        return self._by_name[name]


def raw_layer(name: str, weight: Integers, pad_value: int) -> IntegerLayer:
    """The head's last convolution: it leaves accumulators, so it has no bias and no scale."""
    outputs = weight.shape[0]
    zeros = np.zeros(outputs, dtype=np.int64)
    ones = np.ones(outputs, dtype=np.int64)
    return IntegerLayer(name, weight, zeros, ones, 0, False, pad_value)


def check_network(network: IntegerNetwork, design: Design, where: str = "network") -> None:
    """Refuse a network that is not for this design or holds a value out of range.

    TandemError names layer, field, value and rule. The design's name is not compared: designs that
    differ in their accelerator alone run the same network.
    """
    for what, found, wanted in (
        ("weight_bits", network.weight_bits, design.weight_bits),
        ("feature_bits", network.feature_bits, design.feature_bits),
    ):
        if found != wanted:
            raise TandemError(
                f"{where}: made for {what} = {found} (design {network.design_name}), "
                f"design {design.name} has {wanted}"
            )
    expected = [layer.name for layer in design.network.compute_layers]
    names = [layer.name for layer in network.layers]
    if names != expected:
        wrong = next((a for a in _differences(names, expected)), "the order")
        raise TandemError(
            f"{where}: made for design {network.design_name}, its layers are not those of design "
            f"{design.name}: {wrong}"
        )
    for layer, spec in zip(network.layers, design.network.compute_layers, strict=True):
        _check_layer(layer, spec, design, where)
    if network.head is not None:
        _check_head(network.head, design, where)


def check_accumulators(network: IntegerNetwork, design: Design) -> None:
    """Refuse a network that the built MAC array would not compute exactly.

    Packed multipliers may not take every weight (``model/packing.py``), and sums must not overflow
    the accumulator. The worst case of an output channel is the sum of its positive weights, or of
    its negative ones, times 2^F - 1. TandemError names layer, channel, worst case and limit.
    """
    _check_packing(network, design)
    bits = design.accelerator.accumulator_bits
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for layer in network.layers:
        flat = layer.weight.reshape(layer.weight.shape[0], -1)
        most = np.where(flat > 0, flat, 0).sum(axis=1) * design.feature_max
        least = np.where(flat < 0, flat, 0).sum(axis=1) * design.feature_max
        for worst, limit, bad in ((most, high, most > high), (least, low, least < low)):
            if bad.any():
                channel = int(np.argmax(np.abs(worst)))
                raise TandemError(
                    f"layer {layer.name}: channel {channel} could reach {int(worst[channel])}, "
                    f"the accumulator of {bits} bits ends at {limit}: raise "
                    "accelerator.accumulator_bits or use smaller weights"
                )


def _check_packing(network: IntegerNetwork, design: Design) -> None:
    widths = (design.accelerator.mac_packing, design.weight_bits, design.feature_bits)
    for layer, spec in zip(network.layers, design.network.compute_layers, strict=True):
        reason = None if spec.kind == "dw" else weight_refusal(layer.weight, *widths)
        if reason is not None:
            raise TandemError(f"layer {layer.name}: {reason}")


def _check_head(head: BoxHead, design: Design, where: str) -> None:
    check_box_head(design.network, head.anchors)
    channels = design.network.output.out_channels
    for name, values in (("scale", head.scale), ("offset", head.offset)):
        if len(values) != channels:
            raise TandemError(
                f"{where}: head: {name} has {len(values)} values, "
                f"{design.network.output.name} has {channels} channels"
            )
        if not all(map(math.isfinite, values)):
            raise TandemError(f"{where}: head: {name} must hold finite numbers")
    if not all(math.isfinite(side) and side > 0 for anchor in head.anchors for side in anchor):
        raise TandemError(f"{where}: head: anchors must be sizes above 0, in cells")


def _differences(names: Iterable[str], expected: Iterable[str]) -> Iterable[str]:
    found, wanted = set(names), set(expected)
    yield from (f"{name} is missing" for name in sorted(wanted - found))
    yield from (f"{name} is unknown" for name in sorted(found - wanted))


def _check_layer(layer: IntegerLayer, spec: Layer, design: Design, where: str) -> None:
    outputs = (spec.out_channels,)
    low, high = design.weight_range
    _check_array(layer, "weight", layer.weight, spec.weight_shape, (low, high), where)
    _check_array(layer, "bias", layer.bias, outputs, BIAS_RANGE, where)
    _check_array(layer, "mult", layer.mult, outputs, MULT_RANGE, where)
    for name, value, limit in (
        ("shift", layer.shift, SHIFT_MAX),
        ("pad_value", layer.pad_value, design.feature_max),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
            raise TandemError(
                f"{where}: layer {layer.name}: {name} = {value} must be a whole number "
                f"from 0 to {limit}"
            )
    if not isinstance(layer.round, bool):
        raise TandemError(
            f"{where}: layer {layer.name}: round = {layer.round} must be true or false"
        )


def _check_array(
    layer: IntegerLayer,
    name: str,
    values: Integers,
    shape: tuple[int, ...],
    limits: tuple[int, int],
    where: str,
) -> None:
    at = f"{where}: layer {layer.name}: {name}"
    if not np.issubdtype(values.dtype, np.integer):
        raise TandemError(f"{at} holds {values.dtype} values, it must hold integers")
    if values.shape != shape:
        raise TandemError(f"{at} has shape {values.shape}, it must be {shape}")
    for value in (int(values.min()), int(values.max())):
        if not limits[0] <= value <= limits[1]:
            raise TandemError(f"{at} holds {value}, it must lie from {limits[0]} to {limits[1]}")
