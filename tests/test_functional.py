"""The functional level against plain loops, and the properties the hardware relies on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.functional import average_pool, max_pool, requantise, run_functional
from model.image import random_image
from model.integer_network import IntegerLayer, Integers
from model.random_network import random_network

DESIGNS = Path(__file__).parent.parent / "designs"
SMALL = ("tiny", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel", "tiny_bypass")


def by_loops(design: Design, network: Any, image: Integers) -> dict[str, Any]:
    features = image.tolist()
    outputs = {}
    for spec in design.network.layers:
        if spec.kind == "bypass":
            earlier = outputs[design.network.bundles[spec.source or 0][-1].name]
            features = oracle.bypass(earlier, features)
        elif spec.kind in ("maxpool", "avgpool"):
            features = oracle.pool(features, spec.kind)
        else:
            layer = network[spec.name]
            step = oracle.depthwise if spec.kind == "dw" else oracle.convolution
            features = step(features, layer.weight.tolist(), layer.pad_value)
            if spec is not design.network.head[-1]:
                features = oracle.requantise(
                    features,
                    layer.bias.tolist(),
                    layer.mult.tolist(),
                    layer.shift,
                    layer.round,
                    design.feature_bits,
                )
        outputs[spec.name] = features
    return outputs


@pytest.mark.parametrize("name", SMALL)
def test_every_layer_equals_the_plain_loops(name: str) -> None:
    design = load_design(DESIGNS / f"{name}.toml")
    rng = np.random.default_rng(7)
    network, image = random_network(design, rng), random_image(design, rng)
    found = run_functional(design, network, image)
    expected = by_loops(design, network, image)
    assert list(found) == [layer.name for layer in design.network.layers]
    for layer, values in expected.items():
        assert found[layer].tolist() == values, layer


LAYERS = st.lists(
    st.sampled_from(["dw3", "dw5", "conv1:3", "conv3:4", "conv5:2", "maxpool", "avgpool"]),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(
    chain=LAYERS,
    head=st.sampled_from(["conv1:2", "conv3:3", "conv5:1"]),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    weight_bits=st.integers(4, 16),
    feature_bits=st.integers(4, 16),
    accumulator_bits=st.integers(32, 48),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_chains_equal_the_plain_loops(
    chain: list[str],
    head: str,
    shape: tuple[int, int, int],
    weight_bits: int,
    feature_bits: int,
    accumulator_bits: int,
    seed: int,
) -> None:
    design = make_design(chain, head, shape, (weight_bits, feature_bits), accumulator_bits)
    if design is None:
        return  # a map too small to pool
    rng = np.random.default_rng(seed)
    network, image = random_network(design, rng), random_image(design, rng)
    found = run_functional(design, network, image)
    for layer, values in by_loops(design, network, image).items():
        assert found[layer].tolist() == values, layer


def make_design(
    chain: list[str],
    head: str,
    shape: tuple[int, int, int],
    widths: tuple[int, int],
    accumulator_bits: int,
) -> Design | None:
    tables = design_to_dict(load_design(DESIGNS / "tiny_conv.toml"))
    channels, height, width = shape
    tables["network"] = {
        "channels": channels,
        "height": height,
        "width": width,
        "bundles": [chain],
        "head": [head],
    }
    tables["precision"] = {"weight_bits": widths[0], "feature_bits": widths[1]}
    tables["accelerator"]["accumulator_bits"] = accumulator_bits
    pools = sum(token.endswith("pool") for token in chain)
    if min(height, width) >> pools == 0:
        with pytest.raises(TandemError, match="would pool a map"):
            design_from_dict(tables)
        return None
    return design_from_dict(tables)


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    bits=st.integers(17, 48),
    mult=st.integers(-(1 << 15), (1 << 15) - 1),
    shift=st.integers(0, 47),
    rounded=st.booleans(),
    feature_bits=st.integers(4, 16),
)
def test_requantising_is_exact_at_every_extreme(
    data: st.DataObject, bits: int, mult: int, shift: int, rounded: bool, feature_bits: int
) -> None:
    edge = 1 << (bits - 1)
    sums = st.one_of(st.sampled_from([-edge, -1, 0, 1, edge - 1]), st.integers(-edge, edge - 1))
    value = data.draw(sums)
    bias = data.draw(
        st.one_of(
            st.sampled_from([-(1 << 31), (1 << 31) - 1]), st.integers(-(1 << 31), (1 << 31) - 1)
        )
    )
    found = requantise(
        np.array([[[value]]]), _layer(bias, mult, shift, rounded), (1 << feature_bits) - 1
    )
    expected = oracle.requantise([[[value]]], [bias], [mult], shift, rounded, feature_bits)
    assert found.tolist() == expected


@settings(max_examples=200, deadline=None)
@given(
    window=st.lists(st.integers(-(1 << 40), 1 << 40), min_size=4, max_size=4),
    bias=st.integers(-(1 << 31), (1 << 31) - 1),
    mult=st.integers(-(1 << 15), (1 << 15) - 1),
    shift=st.integers(0, 47),
    rounded=st.booleans(),
)
def test_max_pooling_commutes_with_requantising(
    window: list[int], bias: int, mult: int, shift: int, rounded: bool
) -> None:
    """The hardware pools sums, this level pools features: the same bits, whatever the sign."""
    sums = np.array(window, dtype=np.int64).reshape(1, 2, 2)
    layer = _layer(bias, mult, shift, rounded)
    pooled_late = max_pool(requantise(sums, layer, 255))
    pooled_early = requantise(max_pool(sums), layer, 255)
    assert pooled_late.tolist() == pooled_early.tolist()


def test_convolutions_equal_torch() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    design = load_design(DESIGNS / "tiny_conv.toml")
    rng = np.random.default_rng(3)
    network, image = random_network(design, rng), random_image(design, rng)
    outputs = run_functional(design, network, image)
    spec = design.network.output
    features = outputs[design.network.layers[-2].name]
    layer = network[spec.name]
    half = spec.kernel // 2
    source = torch.tensor(features[None].astype(np.float64))
    source = functional.pad(source, (half,) * 4, value=layer.pad_value)
    expected = functional.conv2d(source, torch.tensor(layer.weight.astype(np.float64)))
    assert outputs[spec.name].tolist() == expected[0].to(torch.int64).tolist()


def test_odd_rows_and_columns_are_dropped_by_pooling() -> None:
    features = np.arange(15).reshape(1, 3, 5)
    assert max_pool(features).tolist() == [[[6, 8]]]
    assert average_pool(features).tolist() == [[[3, 5]]]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 16, 25), dtype=np.int64), "shape (3, 16, 25)"),
        (np.zeros((16, 24), dtype=np.int64), "shape (16, 24)"),
        (np.full((3, 16, 24), 256), "holds 256"),
        (np.full((3, 16, 24), -1), "holds -1"),
        (np.zeros((3, 16, 24)), "must hold integers"),
    ],
)
def test_a_bad_image_is_refused(image: Integers, words: str) -> None:
    design = load_design(DESIGNS / "tiny.toml")
    network = random_network(design, np.random.default_rng(0))
    with pytest.raises(TandemError) as refusal:
        run_functional(design, network, image)
    assert words in str(refusal.value)


def _layer(bias: int, mult: int, shift: int, rounded: bool) -> IntegerLayer:
    weight = np.ones((1, 1, 1, 1), dtype=np.int64)
    return IntegerLayer("x", weight, np.array([bias]), np.array([mult]), shift, rounded, 0)
