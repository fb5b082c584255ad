"""From a quantised network to the integers of the hardware, equal bit for bit.

With s_w[c] the weight scale, s_x the input scale and s_y the output scale of a layer, hardware
multiplies the whole-number sum by M[c] = s_w[c] * s_x / s_y, as mult[c] / 2^shift. Rounding M would
make hardware differ from the network, so the network is changed instead, before anything else:

1. M[c] is rounded up to a mult[c] / 2^shift, one shift a layer, the largest mult near 2^15, and
   the weight scale becomes s_w[c] = (mult[c] / 2^shift) * s_y / s_x: it grows by less than 1 / mult
   of itself, so that no weight leaves its range. Weights and bias are rounded again, in new steps.
2. Every map is measured in its own steps (s_y = 1), which changes no whole number: then
   s_w[c] = mult[c] / 2^shift itself, weights are whole multiples of it and features whole.

This network (quant.exact) is a Brevitas network like the one it came from. In float64 it
has no rounding error at all: each of its products and sums is a whole multiple of 2^-shift, and
below 2^53 of them, which ``_whole_layer`` makes sure of for every input by giving mult fewer bits
where sums could be too long. So x = (sum + bias) * M and x + 0.5 are exact, a tie is a tie, and
floor(x + 0.5) is (sum * mult + 2^(shift - 1)) >> shift to the bit. ReLU6's upper end, and every
lower one that was calibrated or learned, is the saturation at 2^F - 1.

The first layer's inputs are pixels less their zero: sum(w * (x - zero)) = sum(w * x) - zero *
sum(w), so that its bias takes over zero * sum(w), and zero padding is padding with the zero pixel.
The host multiplies the head's sums by a scale and adds a bias; that scale has few bits as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.design import Design
from model.detection import BoxHead
from model.errors import TandemError
from model.integer_network import (
    MULT_RANGE,
    SHIFT_MAX,
    IntegerLayer,
    IntegerNetwork,
    Integers,
    check_accumulators,
    check_network,
    raw_layer,
)
from model.network import Layer
from quant.exact import Exported, exact_network
from quant.network import input_zero
from quant.quantised import BIAS_MAX, QuantisedNetwork

EXACT_BITS = 53  # of a float64
HEAD_BITS = 16  # significant bits of the head's scales, where sums leave room for them

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Layer:
    """A layer in real units, before its scales are hardware's."""

    spec: Layer
    weight: Floats  # for whole-number inputs in steps: weight * s_x
    step: Floats  # (O,): what one step of a sum is worth, s_w * s_x
    bias: Floats  # (O,)
    output_step: float  # s_y; 1 for the head


def to_integer_network(
    quantised: QuantisedNetwork, design: Design, shrink: bool = False
) -> IntegerNetwork:
    """The integers alone; see ``export``."""
    return export(quantised, design, shrink).integers


def export(quantised: QuantisedNetwork, design: Design, shrink: bool = False) -> Exported:
    """The integer network of a quantised one, and the Brevitas network that equals it.

    TandemError for a design of another network or precision, for scales that hardware cannot
    express, and, naming the layer, where sums could overflow the design's accumulator; with
    ``shrink`` the weights of such channels get larger steps, so fewer bits, until they fit.
    """
    _check_design(quantised, design)
    limit = 1 << (design.accelerator.accumulator_bits - 1)
    layers = []
    for spec in design.network.compute_layers:
        layer = _real_layer(quantised, spec)
        if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
            raise TandemError(f"layer {spec.name}: weights or bias are not finite numbers")
        if shrink:
            layer = _shrunk(layer, design, limit)
        layers.append(layer)
    head = layers[-1]
    whole = [_whole_layer(layer, design, first=layer is layers[0]) for layer in layers[:-1]]
    scale, weight = _head(head, design, first=not whole)
    whole.append(raw_layer(head.spec.name, weight, _pad(design, first=not whole)))
    box_head = BoxHead(tuple(scale.tolist()), tuple(head.bias.tolist()), quantised.anchors)
    integers = IntegerNetwork(
        design.name, design.weight_bits, design.feature_bits, tuple(whole), box_head
    )
    check_network(integers, design)
    check_accumulators(integers, design)
    return Exported(integers, exact_network(quantised, integers))


def _check_design(quantised: QuantisedNetwork, design: Design) -> None:
    ours = (quantised.network, quantised.weight_bits, quantised.feature_bits)
    if ours != (design.network, design.weight_bits, design.feature_bits):
        raise TandemError(
            f"design {design.name}: the quantised network is of other layers or another precision "
            f"(W{quantised.weight_bits} F{quantised.feature_bits}), it cannot be exported for it"
        )


@torch.no_grad()
def _real_layer(quantised: QuantisedNetwork, spec: Layer) -> _Layer:
    module = quantised.layer(spec)
    input_scale = _numpy(quantised.input_scale(spec))
    if spec.kind == "conv":
        input_scale = input_scale[-1:]  # others were brought to it: ``QuantisedNetwork.aligned``
    weight = _numpy(module.conv.weight)
    weight *= input_scale[:, None, None, None]  # depth-wise: (C, 1, k, k), one a channel
    step = _numpy(module.weight_scale()) * input_scale
    used = weight.reshape(len(weight), -1).any(axis=1)
    if used.any():  # channels without weights have no scale of their own
        step = np.where(used, step, step[used].min())
    return _Layer(
        spec,
        weight.reshape(spec.weight_shape),
        step,
        _numpy(module.bias),
        1.0 if module.clip is None else float(quantised.output_scale(spec)),
    )


def _whole_layer(layer: _Layer, design: Design, first: bool) -> IntegerLayer:
    """One layer in whole numbers; ``mult`` as long as sums stay exact in float64."""
    bits = 15
    while True:
        found, exact = _rounded(layer, design, first, bits)
        if exact or bits == 1:
            break
        bits -= 1
    if not exact:
        raise TandemError(
            f"layer {layer.spec.name}: its sums are too long to be exact in float64: use fewer "
            "weight or feature bits"
        )
    return found


def _rounded(
    layer: _Layer, design: Design, first: bool, mult_bits: int
) -> tuple[IntegerLayer, bool]:
    """The layer with mult of at most ``mult_bits``, and whether float64 holds all that it sums."""
    wanted = np.maximum(layer.step, np.abs(layer.bias) / BIAS_MAX) / layer.output_step
    largest = min((1 << mult_bits) - 1, MULT_RANGE[1])
    shift = min(SHIFT_MAX, _shift(float(wanted.max()), largest))
    if shift < 0:
        raise TandemError(
            f"layer {layer.spec.name}: one step of its sums is {wanted.max():g} output steps, "
            f"beyond a multiplier of {largest}: the output's scale is too small for its weights"
        )
    mult = np.maximum(np.ceil(np.ldexp(wanted, shift)), 1)
    weight, bias = _in_steps(layer, np.ldexp(mult, -shift) * layer.output_step, design)
    most = _longest(weight, design, first) + np.abs(bias)
    exact = bool((most * mult + np.ldexp(1.0, max(shift - 1, 0)) < 2.0**EXACT_BITS).all())
    if first:
        bias = bias - input_zero(design.feature_bits) * weight.reshape(len(weight), -1).sum(axis=1)
    return (
        IntegerLayer(
            name=layer.spec.name,
            weight=weight.astype(np.int64),
            bias=bias.astype(np.int64),
            mult=mult.astype(np.int64),
            shift=shift,
            round=True,
            pad_value=_pad(design, first),
        ),
        exact,
    )


def _head(layer: _Layer, design: Design, first: bool) -> tuple[Floats, Integers]:
    """The head's scales, (O,), of few enough bits that products with its sums are exact."""
    for bits in range(HEAD_BITS, 0, -1):
        mantissa, exponent = np.frexp(layer.step)
        scale: Floats = np.ldexp(np.ceil(np.ldexp(mantissa, bits)), exponent - bits)
        weight, _ = _in_steps(layer, scale, design)
        if np.log2(_longest(weight, design, first).max() + 1) + bits < EXACT_BITS:
            break
    return scale, weight.astype(np.int64)


def _in_steps(layer: _Layer, step: Floats, design: Design) -> tuple[Floats, Floats]:
    """Weight and bias in whole steps, rounded half up; weights narrow, as Brevitas has them."""
    limit = design.weight_range[1]
    column = step.reshape(-1, *(1,) * (layer.weight.ndim - 1))
    weight = np.clip(np.floor(layer.weight / column + 0.5), -limit, limit)
    return weight, np.floor(layer.bias / step + 0.5)


def _longest(weight: Floats, design: Design, first: bool) -> Floats:
    """The largest magnitude that a partial sum of each channel can reach, in any order, (O,).

    It lies between all negative products and all positive ones. The first layer's inputs, pixels
    less their zero, have both signs.
    """
    flat = weight.reshape(len(weight), -1)
    if first:
        found: Floats = np.abs(flat).sum(axis=1) * input_zero(design.feature_bits)
        return found
    return _longer_side(flat) * design.feature_max


def _longer_side(flat: Floats) -> Floats:
    """The sum of positive or of negative weights of each channel, whichever is longer."""
    found: Floats = np.maximum(flat.clip(min=0).sum(axis=1), -flat.clip(max=0).sum(axis=1))
    return found


def _shrunk(layer: _Layer, design: Design, limit: int) -> _Layer:
    """The layer with larger steps in channels whose sums could overflow."""
    step = layer.step
    for _ in range(8):  # rounding may leave a little over
        weight, _bias = _in_steps(layer, step, design)
        flat = weight.reshape(len(weight), -1)
        over = _longer_side(flat) * design.feature_max / (limit - 1)
        if (over <= 1).all():
            break
        step = np.where(over > 1, step * over * (1 + 2.0**-8), step)
    return replace(layer, step=step)


def _shift(wanted: float, largest: int) -> int:
    """The largest shift at which ``wanted`` * 2^shift, rounded up, is at most ``largest``."""
    shift = int(np.floor(np.log2(largest / wanted))) + 1
    while np.ceil(np.ldexp(wanted, shift)) > largest:
        shift -= 1
    return shift


def _pad(design: Design, first: bool) -> int:
    return input_zero(design.feature_bits) if first else 0


def _numpy(values: Tensor) -> Floats:
    found: Floats = values.detach().cpu().double().numpy().copy()
    return found
