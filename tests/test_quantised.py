"""Quantisers, folding, calibration, and quantised networks in training."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
import torch
from brevitas import nn as qnn
from quantised_cases import (
    BUNDLES,
    IMAGE_POOLED,
    JOINED,
    batches,
    lively_network,
    scenes,
    small_design,
)

from model.detection import SKYNET_ANCHORS
from model.errors import TandemError
from quant.calibration import CalibrationSettings, calibrate, histograms
from quant.folding import depthwise_pairs, equalise, fold
from quant.loss import LossWeights, detection_loss
from quant.network import normalise, walk
from quant.quantised import QuantisedNetwork, build_quantised
from quant.quantisers import (
    feature_quantiser,
    image_quantiser,
    threshold_feature_quantiser,
    threshold_of,
    threshold_weight_quantiser,
    weight_quantiser,
)

pytestmark = pytest.mark.quant


@pytest.mark.parametrize("bits", [3, 4, 8, 11, 16])
def test_weights_are_narrow_whole_numbers_of_each_channels_scale(bits: int) -> None:
    conv = qnn.QuantConv2d(4, 6, 3, bias=False, weight_quant=threshold_weight_quantiser(bits))
    threshold = threshold_of(conv.weight_quant)
    with torch.no_grad():
        threshold.copy_(conv.weight.abs().amax((1, 2, 3), keepdim=True))
    found = conv.quant_weight()
    whole = found.value / found.scale
    assert torch.allclose(whole, whole.round(), atol=1e-3)
    assert whole.abs().amax((1, 2, 3)).round().tolist() == [2 ** (bits - 1) - 1] * 6
    assert (found.value - conv.weight).abs().max() <= found.scale.max() * 0.501


def test_rounding_is_half_up_and_clips() -> None:
    clip = qnn.QuantReLU(act_quant=threshold_feature_quantiser(4)).double()
    with torch.no_grad():
        threshold_of(clip.act_quant).fill_(15.0)
    values = torch.tensor([-3.0, 0.49, 0.5, 1.5, 2.5, 14.4, 99.0], dtype=torch.float64)
    assert clip(values).tolist() == [0, 0, 1, 2, 3, 14, 15]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_images_pass_unchanged(bits: int) -> None:
    images = normalise(torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16), bits)
    assert torch.equal(qnn.QuantIdentity(act_quant=image_quantiser(bits))(images), images)


@pytest.mark.parametrize(("bits", "values"), [(1, 2), (2, 3), (3, 7), (8, 255)])
def test_weights_of_studies_have_as_many_values_as_their_bits(bits: int, values: int) -> None:
    conv = qnn.QuantConv2d(64, 1, 7, bias=False, weight_quant=weight_quantiser(bits))
    torch.nn.init.uniform_(conv.weight)
    conv.weight.data -= 0.5
    assert conv.quant_weight().value.unique().numel() == values
    conv(torch.randn(1, 64, 7, 7)).sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_features_of_studies_learn_their_scale(bits: int) -> None:
    clip = qnn.QuantReLU(act_quant=feature_quantiser(bits))
    torch.manual_seed(0)
    for _ in range(40):
        found = clip(torch.randn(1000))
    assert 2 <= found.unique().numel() <= 2**bits
    found.sum().backward()
    assert any(p.grad is not None for p in clip.parameters())


@pytest.mark.parametrize("bits", [0, 17])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    for make in (threshold_weight_quantiser, threshold_feature_quantiser, weight_quantiser):
        with pytest.raises(TandemError, match=f"bits = {bits}"):
            make(bits)


@pytest.mark.parametrize("bundles", [BUNDLES, JOINED, IMAGE_POOLED])
def test_folding_and_equalising_leave_the_function_as_it_is(bundles: list[list[str]]) -> None:
    design = small_design(bundles)
    images = scenes(design, 2)
    network = lively_network(design, images, 5)
    normal = batches(images, 8)[0]
    with torch.no_grad():
        wanted = network(normal)
        folded = fold(network)
        settings = CalibrationSettings(features="max")
        ranges = {n: h.reach(settings, 8) for n, h in histograms(folded, [normal], True).items()}
        for floats in (folded, equalise(folded, ranges)):
            *_, (_, found) = walk(design.network, floats.run_layer, normal)
            assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_equalising_gives_every_channel_before_a_depthwise_layer_one_range() -> None:
    design = small_design()
    images = scenes(design, 2)
    folded = fold(lively_network(design, images, 5))
    normal = batches(images, 8)
    settings = CalibrationSettings(features="max")
    ranges = {n: h.reach(settings, 8) for n, h in histograms(folded, normal, True).items()}
    after = histograms(equalise(folded, ranges), normal, by_channel=True)
    pairs = [(a.name, b.name) for a, b in depthwise_pairs(design.network)]
    assert pairs == [("bundle0.conv1", "bundle1.dw5")]
    reach = after["bundle0.conv1"].reach(settings, 8)
    used = ranges["bundle0.conv1"] > ranges["bundle0.conv1"].max() / 200
    assert reach[used].min() > 0.98 * reach.max()


@pytest.mark.parametrize(
    ("features", "extras"), [("mse", False), ("percentile", True), ("max", False)]
)
def test_sixteen_bits_change_little_and_four_change_more(features: str, extras: bool) -> None:
    design = small_design()
    images = scenes(design, 3)
    network = lively_network(design, images, 7)
    settings = CalibrationSettings(
        features, 100.0, weights="mse" if extras else "max", equalise=extras, correct_biases=extras
    )
    with torch.no_grad():
        wanted = network(batches(images, 8)[0])
        errors = [
            float((calibrate(network, batches(images, 8), bits, bits, settings).eval()(
                batches(images, min(bits, 8))[0]) - wanted).square().mean().sqrt() / wanted.std())
            for bits in (16, 8, 4)
        ]  # fmt: skip
    assert errors[0] < 2e-3 and errors[0] < errors[1] < errors[2] and errors[1] < 0.1


def test_correcting_biases_brings_the_means_back() -> None:
    design = small_design(weight_bits=4, feature_bits=6)
    images = scenes(design, 4)
    network = lively_network(design, images, 8)
    normal = batches(images, 6)
    with torch.no_grad():
        wanted = network(normal[0]).mean((0, 2, 3))
        gaps = []
        for correct in (False, True):
            settings = CalibrationSettings(correct_biases=correct)
            found = calibrate(network, normal, 4, 6, settings).eval()(normal[0])
            gaps.append(float((found.mean((0, 2, 3)) - wanted).abs().mean()))
    assert gaps[1] < 0.05 * gaps[0]


def test_a_large_bias_fits_its_32_bits() -> None:
    design = small_design(weight_bits=16, feature_bits=16)
    images = scenes(design, 2)
    network = lively_network(design, images, 9)
    with torch.no_grad():
        network.layers["bundle0/conv1"].bn.bias.fill_(500.0)
        wanted = network(batches(images, 8)[0])
        found = calibrate(network, batches(images, 8), 16, 16).eval()(batches(images, 8)[0])
    assert (found - wanted).abs().max() < 0.02 * wanted.std()


def test_calibration_without_images_and_with_unknown_rules_is_refused() -> None:
    design = small_design()
    network = lively_network(design, scenes(design, 1), 1)
    with pytest.raises(TandemError, match="no image"):
        calibrate(network, [], 8, 8)
    with pytest.raises(TandemError, match="features"):
        CalibrationSettings(features="median")
    with pytest.raises(TandemError, match="percentile"):
        CalibrationSettings(percentile=0.0)


@pytest.mark.parametrize("bits", [(8, 8), (4, 4)])
def test_training_lowers_the_loss_and_moves_the_scales(bits: tuple[int, int]) -> None:
    torch.manual_seed(3)
    design = small_design(weight_bits=bits[0], feature_bits=bits[1])
    images = scenes(design, 4)
    normal = batches(images, bits[1])
    network = calibrate(lively_network(design, images, 4), normal, *bits).train()
    truth = torch.tensor([[0.2, 0.3, 0.4, 0.5]]).expand(4, 4)
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(12):
        loss = detection_loss(network(normal[0]), truth, SKYNET_ANCHORS, LossWeights())["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    assert all(not torch.equal(p, before[n]) for n, p in network.named_parameters())


def test_fixed_scales_stay_out_of_training() -> None:
    design = small_design()
    network = QuantisedNetwork(design.network, 8, 8, learned_scales=False)
    thresholds = [t for la in design.network.compute_layers for t in network.layer(la).thresholds()]
    assert not any(threshold.requires_grad for threshold in thresholds)
    network.set_learned_scales(True)
    assert all(threshold.requires_grad for threshold in thresholds)


def test_features_at_every_chain_are_whole_numbers_of_its_scale() -> None:
    design = small_design(JOINED)
    images = scenes(design, 2)
    network = calibrate(lively_network(design, images, 6), batches(images, 8), 8, 8).eval()
    with torch.no_grad():
        for chain in range(3):
            features = network.run(batches(images, 8)[0], 0, chain)
            whole = features / network.chain_scale(chain)[:, None, None]
            assert torch.allclose(whole, whole.round(), atol=1e-3)


def test_a_state_goes_into_a_network_built_from_the_design_alone() -> None:
    design = small_design()
    images = scenes(design, 2)
    one = calibrate(lively_network(design, images, 6), batches(images, 8), 8, 8).eval()
    other = build_quantised(design, SKYNET_ANCHORS).eval()
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(one(batches(images, 8)[0]), other(batches(images, 8)[0]))
    assert sum(len(other.chain_parameters(i)) for i in range(5)) == len(list(other.parameters()))


def test_pixels_and_features_cannot_be_joined() -> None:
    bundles = [["maxpool"], ["maxpool", "conv1:4"], ["bypass:0", "conv1:4"]]
    with pytest.raises(TandemError, match="pixels"):
        build_quantised(small_design(bundles), SKYNET_ANCHORS)


def test_gradients_are_the_same_on_every_run() -> None:
    design = small_design()
    images = scenes(design, 2)
    found = []
    for _ in range(2):
        network = calibrate(lively_network(design, images, 2), batches(images, 8), 8, 8).train()
        network(batches(images, 8)[0]).square().mean().backward()
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert np.isfinite([float(g.abs().sum()) for g in found[0]]).all()
