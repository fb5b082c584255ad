"""Random integer networks and images that exercise the whole range of every layer."""

from __future__ import annotations

import numpy as np

from model.design import Design
from model.functional import accumulate, rearrange, requantise
from model.image import random_image
from model.integer_network import (
    BIAS_RANGE,
    SHIFT_MAX,
    IntegerLayer,
    IntegerNetwork,
    Integers,
    raw_layer,
)
from model.network import Layer
from model.packing import weight_range

NEGATIVE_MULT = 0.05  # share of channels whose scale is negative: they must come out as 0
EXTREME = 0.1  # share of a packed array's weights that are the smallest or the largest
BRIGHT = 95  # percentile of the positive sums that is scaled to the upper end of the range


def random_network(design: Design, rng: np.random.Generator) -> IntegerNetwork:
    """A network whose features neither vanish nor saturate; the same generator, the same network.

    Shifts follow the statistics of one random frame. It never overflows the accumulator.
    """
    features = random_image(design, rng)
    layers: list[IntegerLayer] = []
    outputs: dict[str, Integers] = {}
    for spec in design.network.layers:
        if not spec.computes:
            features = rearrange(design.network, spec, features, outputs)
            outputs[spec.name] = features
            continue
        weight = _weights(spec, design, rng)
        first = not layers
        pad_value = 0
        if first or rng.random() < 0.5:
            pad_value = int(rng.integers(0, design.feature_max + 1))
        layer = raw_layer(spec.name, weight, pad_value)
        if spec is not design.network.output:
            sums = accumulate(spec, layer, features)
            layer = _scaled(layer, sums, design, rng)
            features = requantise(sums, layer, design.feature_max)
        layers.append(layer)
        outputs[spec.name] = features
    return IntegerNetwork(design.name, design.weight_bits, design.feature_bits, tuple(layers))


def _weights(spec: Layer, design: Design, rng: np.random.Generator) -> Integers:
    """Weights over the whole signed range, shrunk where a channel could overflow."""
    low, high = design.weight_range
    packing = design.accelerator.mac_packing
    packed = packing != "none" and spec.kind != "dw"
    if packed:
        low, high = weight_range(packing, design.weight_bits, design.feature_bits)
    weight = rng.integers(low, high + 1, size=spec.weight_shape, dtype=np.int64)
    if packed:
        extreme = rng.choice(np.array([low, high]), size=spec.weight_shape)
        weight = np.where(rng.random(spec.weight_shape) < EXTREME, extreme, weight)
    flat = weight.reshape(spec.out_channels, -1)
    limit = ((1 << (design.accelerator.accumulator_bits - 1)) - 1) // design.feature_max
    worst = np.maximum(
        np.where(flat > 0, flat, 0).sum(axis=1), -np.where(flat < 0, flat, 0).sum(axis=1)
    )
    for channel in np.flatnonzero(worst > limit):
        # Towards zero, so that the scaled sum cannot exceed the limit.
        flat[channel] = np.sign(flat[channel]) * (np.abs(flat[channel]) * limit // worst[channel])
    return flat.reshape(spec.weight_shape)


def _scaled(
    layer: IntegerLayer, sums: Integers, design: Design, rng: np.random.Generator
) -> IntegerLayer:
    outputs = layer.weight.shape[0]
    spread = max(float(sums.std()), 1.0)
    # Centre each channel before it is clipped, else weights of one sign would leave it dark.
    bias = rng.uniform(-0.5, 0.5, outputs) * spread - sums.mean(axis=(1, 2))
    bias = np.clip(np.rint(bias), *BIAS_RANGE).astype(np.int64)
    size = rng.integers(1 << 12, 1 << 15, size=(outputs,), dtype=np.int64)
    mult = np.where(rng.random(outputs) < NEGATIVE_MULT, -size, size)
    products = np.maximum(sums + bias[:, None, None], 0) * mult[:, None, None]
    lit = products[products > 0]
    bright = float(np.percentile(lit, BRIGHT)) if lit.size else 1.0
    shift = int(np.clip(np.rint(np.log2(max(bright / design.feature_max, 1.0))), 0, SHIFT_MAX))
    return IntegerLayer(
        layer.name, layer.weight, bias, mult, shift, bool(rng.random() < 0.5), layer.pad_value
    )
