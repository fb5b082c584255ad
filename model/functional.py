"""The functional level: which bits come out, in NumPy integers.

Sums run as float64 matrix products and are exact all the same: every partial sum, in whatever
order, lies between the negative and the positive worst case of its channel. ``check_accumulators``
keeps both inside the accumulator of at most 48 bits, and float64 holds every integer up to 2^53.
Requantising is exact in int64: a clipped sum plus bias is below 2^47 + 2^31, times a 16-bit
multiplier at most 2^62 + 2^46 in size, plus half of 2^47 at most: less than 2^63.
"""

from __future__ import annotations

import numpy as np

from model.design import Design
from model.errors import TandemError
from model.integer_network import (
    IntegerLayer,
    IntegerNetwork,
    Integers,
    check_accumulators,
    check_network,
)
from model.network import Layer


def run_functional(design: Design, network: IntegerNetwork, image: Integers) -> dict[str, Integers]:
    """Every layer's output by layer name, int64 (channels, height, width), in network order.

    ``image`` is unsigned F-bit (channels, height, width). The head's last layer holds signed
    accumulators, every other layer features from 0 to 2^F - 1. TandemError for an image of wrong
    shape or range, or a network that could overflow the accumulator.
    """
    check_image(design, image)
    check_network(network, design)
    check_accumulators(network, design)
    outputs: dict[str, Integers] = {}
    features: Integers = image.astype(np.int64)
    for spec in design.network.layers:
        if spec.computes:
            layer = network[spec.name]
            features = accumulate(spec, layer, features)
            if spec is not design.network.output:
                features = requantise(features, layer, design.feature_max)
        else:
            features = max_pool(features) if spec.kind == "maxpool" else average_pool(features)
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


def accumulate(spec: Layer, layer: IntegerLayer, features: Integers) -> Integers:
    """Exact sums of products of a layer, (C, H, W) -> (O, H, W)."""
    padded = pad(features, spec.kernel // 2, layer.pad_value)
    if spec.kind == "dw":
        return _depthwise(padded, layer.weight, spec.kernel)
    return _convolve(padded, layer.weight, spec.kernel)


def pad(features: Integers, halo: int, value: int) -> Integers:
    """Surround a map with ``halo`` rows and columns of the layer's padding value."""
    edges = ((0, 0), (halo, halo), (halo, halo))
    return np.pad(features, edges, constant_values=value) if halo else features


def _depthwise(padded: Integers, weight: Integers, kernel: int) -> Integers:
    channels = padded.shape[0]
    height, width = (side - kernel + 1 for side in padded.shape[1:])
    total = np.zeros((channels, height, width), dtype=np.int64)
    for row in range(kernel):
        for col in range(kernel):
            window = padded[:, row : row + height, col : col + width]
            total += weight[:, row, col, None, None] * window
    return total


def _convolve(padded: Integers, weight: Integers, kernel: int) -> Integers:
    height, width = (side - kernel + 1 for side in padded.shape[1:])
    channels = padded.shape[0]
    source = padded.astype(np.float64)
    factors = weight.astype(np.float64)
    total = np.zeros((weight.shape[0], height * width))
    for row in range(kernel):
        for col in range(kernel):
            window = source[:, row : row + height, col : col + width].reshape(channels, -1)
            total += factors[:, :, row, col] @ window
    return total.astype(np.int64).reshape(-1, height, width)


def requantise(sums: Integers, layer: IntegerLayer, feature_max: int) -> Integers:
    """y = clamp((max(acc + bias, 0) * mult + round) >> shift, 0, feature_max)."""
    found = sums + layer.bias[:, None, None]
    np.maximum(found, 0, out=found)
    found *= layer.mult[:, None, None]
    found += layer.half
    found >>= layer.shift
    np.clip(found, 0, feature_max, out=found)
    return found


def max_pool(features: Integers) -> Integers:
    """Maximum of each 2 x 2 window; an odd last row or column is dropped."""
    a, b, c, d = _windows(features)
    return np.maximum(np.maximum(a, b), np.maximum(c, d))


def average_pool(features: Integers) -> Integers:
    """(a + b + c + d + 2) >> 2 of each 2 x 2 window; an odd last row or column is dropped."""
    a, b, c, d = _windows(features)
    return (a + b + c + d + 2) >> 2


def _windows(features: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    height, width = (side // 2 * 2 for side in features.shape[1:])
    even = features[:, 0:height:2, :width]
    odd = features[:, 1:height:2, :width]
    return even[..., 0::2], even[..., 1::2], odd[..., 0::2], odd[..., 1::2]
