"""The functional level's floating-point sums and scaling against plain int64 arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.design import load_design
from model.functional import (
    accumulate,
    average_pool,
    exact_float,
    max_pool,
    requantise,
    run_functional,
    run_head,
)
from model.image import random_image
from model.integer_network import IntegerLayer, IntegerNetwork, Integers
from model.network import Layer
from model.random_network import random_network

DESIGNS = Path(__file__).parent.parent / "designs"
SMALL = ("tiny", "tiny_bypass", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel")


def integer_sums(features: Integers, weight: Integers, pad_value: int) -> Integers:
    half = weight.shape[-1] // 2
    edges = ((0, 0), (half, half), (half, half))
    padded = np.pad(features.astype(np.int64), edges, constant_values=pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[-2:], (1, 2))
    return np.einsum("chwij,cij->chw" if weight.ndim == 3 else "chwij,ocij->ohw", windows, weight)


def integer_requantise(sums: Integers, layer: IntegerLayer, feature_max: int) -> Integers:
    scaled = np.maximum(sums + layer.bias[:, None, None], 0) * layer.mult[:, None, None]
    return np.clip((scaled + layer.half) >> layer.shift, 0, feature_max)


def integer_pool(features: Integers, kind: str) -> Integers:
    channels, height, width = features.shape
    cut = features[:, : height // 2 * 2, : width // 2 * 2]
    windows = cut.reshape(channels, height // 2, 2, width // 2, 2)
    return windows.max((2, 4)) if kind == "maxpool" else (windows.sum((2, 4)) + 2) >> 2


def integer_bypass(earlier: Integers, features: Integers) -> Integers:
    height, width = features.shape[1:]
    blocks = earlier.reshape(-1, height, 2, width, 2).transpose(2, 4, 0, 1, 3)
    return np.concatenate([blocks.reshape(-1, height, width), features])


def integer_level(name: str, network: IntegerNetwork, image: Integers) -> dict[str, Integers]:
    design = load_design(DESIGNS / f"{name}.toml")
    outputs: dict[str, Integers] = {}
    features = image
    for spec in design.network.layers:
        if spec.computes:
            layer = network[spec.name]
            features = integer_sums(features, layer.weight, layer.pad_value)
            if spec is not design.network.output:
                features = integer_requantise(features, layer, design.feature_max)
        elif spec.kind == "bypass":
            assert spec.source is not None
            earlier = outputs[design.network.bundles[spec.source][-1].name]
            features = integer_bypass(earlier, features)
        else:
            features = integer_pool(features, spec.kind)
        outputs[spec.name] = features
    return outputs


def a_layer(kernel: int, weight: Integers, pad_value: int) -> tuple[Layer, IntegerLayer]:
    outputs = len(weight)
    kind = "dw" if weight.ndim == 3 else "conv"
    inputs = weight.shape[0] if kind == "dw" else weight.shape[1]
    ones = np.ones(outputs, dtype=np.int64)
    spec = Layer("x", kind, kernel, inputs, outputs, 1, 1, 1, 1, 0)
    return spec, IntegerLayer("x", weight, 0 * ones, ones, 0, False, pad_value)


@pytest.mark.parametrize("name", SMALL)
def test_every_layer_equals_int64_arithmetic(name: str, rng: np.random.Generator) -> None:
    design = load_design(DESIGNS / f"{name}.toml")
    network, image = random_network(design, rng), random_image(design, rng)
    found = run_functional(design, network, image)
    for layer, values in integer_level(name, network, image).items():
        assert found[layer].dtype == np.int64
        assert np.array_equal(found[layer], values), layer
    assert np.array_equal(run_head(design, network, image), found[design.network.output.name])


@settings(max_examples=120)
@given(
    depthwise=st.booleans(),
    kernel=st.sampled_from([1, 3, 5]),
    channels=st.integers(1, 70),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    weight_bits=st.integers(4, 16),
    feature_bits=st.integers(4, 16),
    full=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_equal_int64_sums_at_any_width(
    depthwise: bool,
    kernel: int,
    channels: int,
    shape: tuple[int, int],
    weight_bits: int,
    feature_bits: int,
    full: bool,
    seed: int,
) -> None:
    """``full``: weights of one sign and features at the ends of their range, the largest sums."""
    kernel = 3 if depthwise and kernel == 1 else kernel
    rng = np.random.default_rng(seed)
    low, high = -(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1
    top = (1 << feature_bits) - 1
    size = (channels, kernel, kernel) if depthwise else (4, channels, kernel, kernel)
    if full:
        signs = rng.choice([low, high], (size[0],))
        weight = np.broadcast_to(signs.reshape(-1, *(1,) * (len(size) - 1)), size).copy()
        weight[rng.random(size) < 0.1] = 1
        features = np.where(rng.random((channels, *shape)) < 0.9, top, top - 1)
    else:
        weight = rng.integers(low, high + 1, size)
        features = rng.integers(0, top + 1, (channels, *shape))
    pad_value = int(rng.integers(0, top + 1))
    spec, layer = a_layer(kernel, weight, pad_value)
    wanted = integer_sums(features, weight, pad_value)
    assert np.array_equal(accumulate(spec, layer, features), wanted)
    narrow = features.astype(np.uint8 if feature_bits <= 8 else np.uint16)
    assert np.array_equal(accumulate(spec, layer, narrow), wanted)


@pytest.mark.parametrize("sign", [1, -1])
def test_single_precision_ends_where_it_would_lose_a_bit(sign: int) -> None:
    weight = np.full((1, 512), 128 * sign).reshape(1, 512, 1, 1)  # 2^16
    assert exact_float(weight, 1 << 8) is np.float32  # 2^24 at most
    assert exact_float(weight, (1 << 8) + 1) is np.float64
    mixed = weight.copy()
    mixed[0, ::2] *= -1  # each side half as large, and no partial sum passes either
    assert exact_float(mixed, 1 << 9) is np.float32


@settings(max_examples=200)
@given(
    edge=st.integers(45, 60),
    around=st.integers(-2, 2),
    shift=st.integers(0, 47),
    rounded=st.booleans(),
    mult=st.integers(-(1 << 15), (1 << 15) - 1),
    bias=st.integers(-(1 << 31), (1 << 31) - 1),
    feature_bits=st.integers(4, 16),
)
def test_scaling_is_exact_on_both_sides_of_double_precision(
    edge: int, around: int, shift: int, rounded: bool, mult: int, bias: int, feature_bits: int
) -> None:
    """Products near powers of two from 2^45 to 2^60: below 2^53 in float64, above in int64."""
    largest = (1 << 47) - 1
    near = (1 << edge) // max(mult, 1) - bias + around
    sums = np.array([near, near + 1, largest, -largest, 0, -bias])
    sums = np.clip(sums, -largest, largest).reshape(1, 1, -1)
    _, layer = a_layer(1, np.ones((1, 1, 1, 1), np.int64), 0)
    layer = IntegerLayer("x", layer.weight, np.array([bias]), np.array([mult]), shift, rounded, 0)
    top = (1 << feature_bits) - 1
    for part in (sums, sums[..., :2], sums[..., 4:]):  # the largest sum decides which is used
        found = requantise(part, layer, top)
        assert found.dtype == np.int64
        assert np.array_equal(found, integer_requantise(part, layer, top))


@pytest.mark.parametrize("mult", [32767, 32765, 16383, 4097, 1023, 127, 111, 101, 65])
def test_a_product_one_below_a_step_is_not_rounded_up_to_it(mult: int) -> None:
    """sum * mult = k * 2^47 - 1: it needs all 62 bits, double precision would give k."""
    shift = 47
    total = -pow(mult, -1, 1 << shift) % (1 << shift)
    assert total * mult % (1 << shift) == (1 << shift) - 1
    layer = IntegerLayer(
        "x", np.ones((1, 1, 1, 1), np.int64), np.array([0]), np.array([mult]), shift, False, 0
    )
    found = requantise(np.array([[[total]]]), layer, (1 << 16) - 1)
    assert found.tolist() == [[[total * mult >> shift]]]


@settings(max_examples=100)
@given(
    kind=st.sampled_from([np.uint8, np.uint16, np.int64]),
    shape=st.tuples(st.integers(1, 5), st.integers(2, 9), st.integers(2, 9)),
    seed=st.integers(0, 2**32 - 1),
)
def test_pooling_does_not_wrap_in_narrow_types(
    kind: type[np.integer], shape: tuple[int, int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    top = 255 if kind is np.uint8 else 65535
    features = rng.integers(top - 3, top + 1, shape)
    for pool, name in ((max_pool, "maxpool"), (average_pool, "avgpool")):
        assert np.array_equal(pool(features.astype(kind)), integer_pool(features, name))
