"""Export to integers: the hardware's numbers are those of the Brevitas network, all of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
import torch
from quantised_cases import (
    BUNDLES,
    IMAGE_POOLED,
    JOINED,
    POOLED,
    batches,
    lively_network,
    pixels,
    scenes,
    small_design,
)

from model.design import Design
from model.detection import SKYNET_ANCHORS
from model.errors import TandemError
from model.functional import run_functional
from model.network_file import load_network, save_network
from quant.calibration import CalibrationSettings, calibrate
from quant.exact import Exported, differing_values, whole_numbers
from quant.export import export, to_integer_network
from quant.loss import LossWeights, detection_loss
from quant.quantised import QuantisedNetwork, build_quantised
from quant.quantisers import threshold_of

pytestmark = pytest.mark.quant

PRECISIONS = [(16, 8), (16, 16), (11, 8), (8, 8), (4, 4)]
OTHERS = [(4, 16), (16, 4), (5, 9), (9, 6), (11, 9)]


def quantised(
    design: Design, seed: int, settings: CalibrationSettings | None = None, count: int = 4
) -> QuantisedNetwork:
    images = scenes(design, count)
    network = lively_network(design, images, seed)
    normal = batches(images, design.feature_bits)
    return calibrate(network, normal, design.weight_bits, design.feature_bits, settings).eval()


def differences(design: Design, exported: Exported, count: int = 4) -> int:
    images = pixels(scenes(design, count), design.feature_bits)
    return sum(sum(differing_values(design, exported, image).values()) for image in images)


@pytest.mark.parametrize("bits", PRECISIONS + OTHERS)
def test_no_value_of_any_layer_differs(bits: tuple[int, int]) -> None:
    design = small_design(BUNDLES, *bits)
    assert differences(design, export(quantised(design, 1), design)) == 0


@pytest.mark.parametrize("bits", PRECISIONS)
def test_no_value_differs_with_every_calibration_setting(bits: tuple[int, int]) -> None:
    design = small_design(BUNDLES, *bits)
    settings = CalibrationSettings("percentile", 99.0, "mse", equalise=True, correct_biases=True)
    assert differences(design, export(quantised(design, 2, settings), design)) == 0


@pytest.mark.parametrize("bundles", [JOINED, (*JOINED[:2], *POOLED), IMAGE_POOLED, [["conv5:8"]]])
def test_no_value_differs_whatever_the_layers(bundles: list[list[str]]) -> None:
    design = small_design(bundles, 6, 6)
    exported = export(quantised(design, 3), design)
    assert differences(design, exported) == 0
    features = whole_numbers(exported.network, pixels(scenes(design, 1), 6)[0])
    assert len(np.unique(features[design.network.bundles[0][-1].name])) > 4  # alive


@pytest.mark.parametrize("bits", [(8, 8), (4, 4)])
def test_no_value_differs_after_training(bits: tuple[int, int]) -> None:
    design = small_design(BUNDLES, *bits)
    network = quantised(design, 4).train()
    normal = batches(scenes(design, 4), design.feature_bits)[0]
    truth = torch.tensor([[0.2, 0.3, 0.4, 0.5]]).expand(4, 4)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(6):
        loss = detection_loss(network(normal), truth, SKYNET_ANCHORS, LossWeights())["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert differences(design, export(network, design)) == 0


@pytest.mark.parametrize("bits", PRECISIONS)
def test_the_integers_do_what_the_trained_network_did(bits: tuple[int, int]) -> None:
    design = small_design(BUNDLES, *bits)
    network = quantised(design, 5)
    exported = export(network, design)
    image = pixels(scenes(design, 1), design.feature_bits)[0]
    sums = run_functional(design, exported.integers, image)[design.network.output.name]
    assert exported.integers.head is not None
    found = exported.integers.head.values(sums)
    with torch.no_grad():
        wanted = network(batches(scenes(design, 1), design.feature_bits)[0])[0].double().numpy()
    assert np.abs(found - wanted).mean() < 0.02 * wanted.std()


def test_ties_round_up_in_both() -> None:
    """Multipliers of one half put every second sum on a tie."""
    design = small_design([["conv1:4"]], 8, 8)
    network = build_quantised(design, SKYNET_ANCHORS).eval()
    layer = network.layer(design.network.compute_layers[0])
    with torch.no_grad():
        threshold_of(layer.clip.act_quant).fill_(255.0)  # steps of 1
        threshold_of(layer.conv.weight_quant).fill_(32 * 127.0)  # times 1 / 64 of a pixel: 0.5
        layer.conv.weight.copy_(32.0 * torch.randint(-1, 4, layer.conv.weight.shape))
        layer.conv.bias.copy_(torch.tensor([0.0, 0.5, 3.0, 64.0]))
    exported = export(network, design)
    image = pixels(scenes(design, 1), 8)[0]
    name = design.network.compute_layers[0].name
    whole = exported.integers[name]
    assert (whole.mult / 2.0**whole.shift == 0.5).all()
    sums = np.tensordot(whole.weight[:, :, 0, 0], image, 1) + whole.bias[:, None, None]
    found = run_functional(design, exported.integers, image)[name]
    ties = (sums > 0) & (sums < 500) & (sums % 2 == 1)
    assert ties.sum() > 50
    assert (found[ties] == (sums[ties] + 1) // 2).all()
    assert differences(design, exported) == 0


@pytest.mark.parametrize("bits", PRECISIONS)
def test_multipliers_use_their_15_bits(bits: tuple[int, int]) -> None:
    design = small_design(BUNDLES, *bits)
    for layer in to_integer_network(quantised(design, 6), design).layers[:-1]:
        assert 1 <= layer.mult.min() and (1 << 13) <= layer.mult.max() < (1 << 15)
        assert layer.round and 0 < layer.shift <= 47


def test_long_sums_get_shorter_multipliers_and_stay_exact() -> None:
    bundles = [["conv3:64"], ["conv5:96"], ["conv5:16"]]
    design = small_design(bundles, 16, 16, size=(8, 8))
    network = quantised(design, 7, count=2)
    layer = network.layer(design.network.compute_layers[2])
    with torch.no_grad():  # the longest sums that there are
        layer.conv.weight.copy_(threshold_of(layer.conv.weight_quant).expand_as(layer.conv.weight))
        threshold_of(layer.clip.act_quant).mul_(500.0)
    exported = export(network, design)
    assert exported.integers["bundle2.conv5"].mult.max() < 1 << 12
    assert differences(design, exported, 2) == 0


def test_zero_padding_is_the_zero_pixel() -> None:
    design = small_design(BUNDLES, 8, 6)
    layers = to_integer_network(quantised(design, 8, count=1), design).layers
    assert [layer.pad_value for layer in layers] == [32] + [0] * (len(layers) - 1)


def test_dead_channels_are_exported() -> None:
    design = small_design()
    network = quantised(design, 9)
    layer = network.layer(design.network.compute_layers[1])
    with torch.no_grad():
        layer.conv.weight[2] = 0.0
        layer.conv.bias[2] = 0.0
        layer.conv.weight[3] = 0.0
        layer.conv.bias[4] = 1000.0
    exported = export(network, design)
    assert not exported.integers["bundle0.conv1"].weight[2].any()
    assert differences(design, exported) == 0


def test_the_network_goes_through_its_file(tmp_path: object) -> None:
    design = small_design()
    integers = to_integer_network(quantised(design, 10), design)
    path = tmp_path / "network.npz"  # type: ignore[operator]
    save_network(integers, design, path)
    found = load_network(path, design)
    assert found.head == integers.head
    assert all(
        np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
        for a, b in zip(found.layers, integers.layers, strict=True)
    )


def test_sums_beyond_the_accumulator_are_refused_by_layer_or_shrunk() -> None:
    design = small_design(BUNDLES, 8, 8, accumulator_bits=17)
    network = quantised(design, 11)
    with pytest.raises(TandemError, match=r"layer bundle\d\.\w+: channel \d+ could reach"):
        export(network, design)
    exported = export(network, design, shrink=True)
    assert differences(design, exported) == 0


def test_a_design_of_another_precision_or_network_is_refused() -> None:
    network = quantised(small_design(), 12, count=1)
    for other in (small_design(feature_bits=9), small_design(size=(28, 44))):
        with pytest.raises(TandemError, match="cannot be exported"):
            export(network, other)


def test_weights_that_are_no_numbers_are_refused_by_layer() -> None:
    design = small_design()
    network = quantised(design, 13, count=1)
    with torch.no_grad():
        network.layer(design.network.compute_layers[1]).conv.weight[0] = torch.nan
    with pytest.raises(TandemError, match=r"bundle0\.conv1: weights or bias are not finite"):
        export(network, design)


def test_scales_beyond_the_multiplier_are_refused_by_layer() -> None:
    design = small_design()
    network = quantised(design, 14, count=1)
    layer = network.layer(design.network.compute_layers[1])
    with torch.no_grad():
        threshold_of(layer.clip.act_quant).fill_(1e-8)
    with pytest.raises(TandemError, match=r"bundle0\.conv1: one step of its sums"):
        export(network, design)
