"""The functional level: which bits come out, in NumPy, exact to the last bit and fast.

Maps are kept in the smallest unsigned type that holds F bits. Two steps use floating point because
its matrix products and vector instructions are several times faster, and both are exact:

* Sums of products. Every partial sum, in whatever order and with or without fused multiply-add,
  lies between the sum of the channel's negative products and that of its positive ones. With the
  largest feature a layer may see, float32 is taken where neither passes 2^24, up to which it holds
  every integer; else float64, which holds them up to 2^53: ``check_accumulators`` keeps both inside
  an accumulator of at most 48 bits.
* Requantising. A negative multiplier gives 0 whatever the sum, so it counts as 0. Where the largest
  (sum + bias) * mult + half of the map at hand is below 2^53, float64 holds every step: the scale
  by 2^-shift only moves the exponent, and the conversion to an integer drops the fraction as >>
  does. Otherwise int64 is used, and is wide enough: a clipped sum plus bias is below 2^47 + 2^31,
  times a multiplier below 2^15, plus half of at most 2^46: less than 2^63.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.errors import TandemError
from model.integer_network import (
    IntegerLayer,
    IntegerNetwork,
    Integers,
    check_accumulators,
    check_network,
)
from model.network import Layer, Network

CACHED = 1 << 15  # values worked on at a time: they stay in a core's second-level cache

Values = NDArray[Any]  # whole numbers of any type


def run_functional(design: Design, network: IntegerNetwork, image: Integers) -> dict[str, Integers]:
    """Every layer's output by layer name, int64 (channels, height, width), in network order.

    ``image`` is unsigned F-bit (channels, height, width). The head's last layer holds signed
    accumulators, every other layer features from 0 to 2^F - 1. TandemError for an image of wrong
    shape or range, or a network that could overflow the accumulator.
    """
    outputs = _run(design, network, image)
    return {name: values.astype(np.int64, copy=False) for name, values in outputs.items()}


def run_head(design: Design, network: IntegerNetwork, image: Integers) -> Integers:
    """The head's accumulators alone, as ``run_functional`` gives them, in less time."""
    outputs = _run(design, network, image)
    return outputs[design.network.output.name].astype(np.int64, copy=False)


def _run(design: Design, network: IntegerNetwork, image: Integers) -> dict[str, Values]:
    """Every layer's output, features in their smallest type, the head's sums as floats."""
    check_image(design, image)
    check_network(network, design)
    check_accumulators(network, design)
    smallest = np.dtype(np.uint8 if design.feature_bits <= 8 else np.uint16)
    outputs: dict[str, Values] = {}
    features: Values = image.astype(smallest)
    net = design.network
    for spec in net.layers:
        if spec.computes:
            layer = network[spec.name]
            features = _sums(spec, layer, features, design.feature_max)
            if spec is not net.output:
                features = _requantise(features, layer, design.feature_max, smallest)
        else:
            features = rearrange(net, spec, features, outputs)
        outputs[spec.name] = features
    return outputs


def check_image(design: Design, image: Integers, where: str = "image") -> None:
    """Refuse an image that the design cannot take. TandemError says what it has and needs."""
    net = design.network
    if image.shape != (net.channels, net.height, net.width):
        raise TandemError(
            f"{where}: shape {image.shape}, design {design.name} takes (channels, height, width) = "
            f"({net.channels}, {net.height}, {net.width})"
        )
    if not np.issubdtype(image.dtype, np.integer):
        raise TandemError(f"{where}: holds {image.dtype} values, it must hold integers")
    for value in (int(image.min()), int(image.max())):
        if not 0 <= value <= design.feature_max:
            raise TandemError(
                f"{where}: holds {value}, features of {design.feature_bits} bits go "
                f"from 0 to {design.feature_max}"
            )


def accumulate(spec: Layer, layer: IntegerLayer, features: Values) -> Integers:
    """Exact sums of products of a layer, (C, H, W) -> (O, H, W); features are not negative."""
    largest = int(features.max(initial=layer.pad_value))
    return _sums(spec, layer, features, largest).astype(np.int64)


def _sums(spec: Layer, layer: IntegerLayer, features: Values, largest: int) -> Values:
    """The sums as whole numbers in float32 or float64; no feature is above ``largest``."""
    weight = layer.weight.astype(exact_float(layer.weight, largest))
    return convolve(spec, weight, features, layer.pad_value)


def convolve(spec: Layer, weight: Values, features: Values, pad_value: float) -> Values:
    """Sums of products in the floating-point type of ``weight``, (C, H, W) -> (O, H, W)."""
    if spec.kind == "dw":
        return _depthwise(features, weight, pad_value)
    if spec.kernel == 1:
        channels, height, width = features.shape
        flat: Values = features.reshape(channels, -1).astype(weight.dtype, copy=False)
        return (weight[:, :, 0, 0] @ flat).reshape(-1, height, width)
    return _taps(features, weight, pad_value)


def exact_float(weight: Integers, largest: int) -> type[np.float32 | np.float64]:
    """The narrowest float that holds every partial sum with features from 0 to ``largest``."""
    flat = weight.reshape(weight.shape[0], -1)
    worst = np.maximum(flat.clip(min=0).sum(axis=1), -flat.clip(max=0).sum(axis=1))
    return np.float32 if int(worst.max()) * largest <= 1 << 24 else np.float64


def _depthwise(features: Values, weight: Values, pad_value: float) -> Values:
    """Tap by tap over a few channels at a time, whose rows lie end to end and stay in the cache."""
    channels, height, width = features.shape
    kernel = weight.shape[1]
    stride = width + kernel - 1
    total = np.empty((channels, height * stride), weight.dtype)
    step = max(1, CACHED // total.shape[1])
    product = np.empty((step, height * stride), weight.dtype)
    for first in range(0, channels, step):
        part = slice(first, first + step)
        source = _padded_rows(features[part], kernel, pad_value, weight.dtype)
        count = source.shape[0]
        for tap, start in enumerate(_tap_starts(kernel, stride)):
            window = source[:, start : start + height * stride]
            factor = weight[part, tap // kernel, tap % kernel, None]
            if tap == 0:
                np.multiply(window, factor, out=total[part])
            else:
                np.multiply(window, factor, out=product[:count])
                total[part] += product[:count]
    return total.reshape(channels, height, stride)[:, :, :width]


def _taps(features: Values, weight: Values, pad_value: float) -> Values:
    height, width = features.shape[1:]
    kernel = weight.shape[2]
    stride = width + kernel - 1
    source = _padded_rows(features, kernel, pad_value, weight.dtype)
    total = np.zeros((weight.shape[0], height * stride), weight.dtype)
    for tap, start in enumerate(_tap_starts(kernel, stride)):
        factor = np.ascontiguousarray(weight[:, :, tap // kernel, tap % kernel])
        total += factor @ source[:, start : start + height * stride]
    return total.reshape(-1, height, stride)[:, :, :width]


def _padded_rows(
    features: Values, kernel: int, pad_value: float, kind: np.dtype[Any]
) -> NDArray[Any]:
    """Each channel's padded rows end to end, so that every tap is one contiguous run.

    A run of ``height * (width + kernel - 1)`` values holds the tap's products for all pixels and,
    between rows, for positions over the border that the caller cuts off.
    """
    channels, height, width = features.shape
    halo = kernel // 2
    rows, stride = height + 2 * halo, width + 2 * halo
    flat = np.full((channels, rows * stride + kernel - 1), pad_value, kind)
    inside = flat[:, : rows * stride].reshape(channels, rows, stride)
    inside[:, halo : halo + height, halo : halo + width] = features
    return flat


def _tap_starts(kernel: int, stride: int) -> list[int]:
    return [row * stride + col for row in range(kernel) for col in range(kernel)]


def requantise(sums: Values, layer: IntegerLayer, feature_max: int) -> Integers:
    """y = clamp((max(acc + bias, 0) * mult + round) >> shift, 0, feature_max), int64."""
    return _requantise(sums, layer, feature_max, np.dtype(np.int64))


def _requantise(
    sums: Values, layer: IntegerLayer, feature_max: int, result: np.dtype[Any]
) -> Values:
    mult = np.maximum(layer.mult, 0)
    largest = max(int(sums.max()) + int(layer.bias.max()), 0) * int(mult.max()) + layer.half
    kind: type[Any] = np.float64 if largest < 1 << 53 else np.int64
    bias = layer.bias.astype(kind)
    if kind is np.float64:
        factor, half = np.ldexp(mult, -layer.shift), math.ldexp(layer.half, -layer.shift)
    else:
        factor, half = mult, layer.half
    channels, height, width = sums.shape
    found = np.empty(sums.shape, result)
    step = max(1, CACHED // (height * width))
    buffer = np.empty((step, height, width), kind)
    for first in range(0, channels, step):
        part = slice(first, first + step)
        values = buffer[: channels - first]
        np.copyto(values, sums[part], casting="unsafe")  # whole numbers: nothing is lost
        values += bias[part, None, None]
        np.maximum(values, 0, out=values)
        values *= factor[part, None, None]
        if half:
            values += half
        if kind is np.int64:
            values >>= layer.shift
        np.minimum(values, feature_max, out=values)
        np.copyto(found[part], values, casting="unsafe")  # drops the fraction of a float
    return found


def rearrange(
    network: Network, spec: Layer, features: Values, outputs: Mapping[str, Values]
) -> Values:
    """Output of a layer without weights; ``outputs`` by layer name, as far as computed."""
    if spec.kind == "maxpool":
        return max_pool(features)
    if spec.kind == "avgpool":
        return average_pool(features)
    assert spec.source is not None
    earlier = outputs[network.bundles[spec.source][-1].name]
    return np.concatenate([space_to_depth(earlier), features])


def space_to_depth(features: Values) -> Values:
    """(C, 2H, 2W) -> (4C, H, W): channel phase * C + c, phase = 2 * (row & 1) + (column & 1)."""
    phases = [features[:, row::2, col::2] for row in (0, 1) for col in (0, 1)]
    return np.concatenate(phases)


def max_pool(features: Values) -> Values:
    """Maximum of each 2 x 2 window; an odd last row or column is dropped."""
    even, odd = _row_pairs(features)
    rows = np.maximum(even, odd)
    return np.maximum(rows[..., 0::2], rows[..., 1::2])


def average_pool(features: Values) -> Values:
    """(a + b + c + d + 2) >> 2 of each 2 x 2 window; an odd last row or column is dropped."""
    even, odd = _row_pairs(features)
    rows = np.add(even, odd, dtype=np.result_type(features, np.int32))  # 8 bits would wrap
    total = rows[..., 0::2] + rows[..., 1::2]
    total += 2
    total >>= 2
    return total.astype(features.dtype, copy=False)


def _row_pairs(features: Values) -> tuple[Values, Values]:
    height, width = (side // 2 * 2 for side in features.shape[1:])
    return features[:, 0:height:2, :width], features[:, 1:height:2, :width]
