"""Float networks in PyTorch: layers, arrays by name, decoding, loss."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from quantised_cases import BUNDLES, JOINED, small_design

from model.detection import SKYNET_ANCHORS, decode
from model.errors import TandemError
from model.functional import space_to_depth as numpy_space_to_depth
from quant.loss import LossWeights, best_boxes, box_iou, detection_loss
from quant.network import (
    build_network,
    input_step,
    input_zero,
    normalise,
    space_to_depth,
    walk,
)

pytestmark = pytest.mark.quant


@pytest.mark.parametrize("bundles", [BUNDLES, JOINED, [["conv5:4", "avgpool"], ["dw3", "conv3:6"]]])
def test_every_layer_leaves_the_shape_that_the_design_says(bundles: list[list[str]]) -> None:
    design = small_design(bundles, size=(28, 44))
    network = build_network(design).eval()
    images = torch.zeros(2, 3, 28, 44)
    for layer, features in walk(design.network, network.run_layer, images):
        shape = (2, layer.out_channels, layer.out_height, layer.out_width)
        assert features.shape == shape, layer.name


def test_parts_of_a_network_run_one_after_the_other() -> None:
    network = build_network(small_design()).eval()
    images = torch.rand(2, 3, 24, 40)
    with torch.no_grad():
        half = network.run(images, 0, 1)
        assert torch.equal(network.run(half, 1), network(images))


def test_features_stay_between_0_and_6() -> None:
    design = small_design()
    network = build_network(design).eval()
    images = 100 * torch.randn(1, 3, 24, 40)
    with torch.no_grad():
        for layer, features in walk(design.network, network.run_layer, images):
            if layer is not design.network.output:
                assert 0 <= features.min() and features.max() <= 6


def test_space_to_depth_is_that_of_the_functional_level() -> None:
    features = np.arange(3 * 4 * 6).reshape(3, 4, 6)
    found = space_to_depth(torch.from_numpy(features)[None])[0].numpy()
    assert np.array_equal(found, numpy_space_to_depth(features))


def test_arrays_go_out_and_in_by_name() -> None:
    design = small_design()
    torch.manual_seed(1)
    one, other = build_network(design), build_network(design)
    arrays = one.to_arrays()
    assert arrays["bundle0.dw3.weight"].shape == (3, 3, 3)
    assert arrays["bundle2.conv3.weight"].shape == (12, 8, 3, 3)
    assert arrays["bundle0.conv1.bn.running_var"].shape == (12,)
    assert other.load_arrays(arrays) == sorted(arrays)
    assert all(np.array_equal(other.to_arrays()[name], array) for name, array in arrays.items())


def test_arrays_of_another_network_are_refused_by_name() -> None:
    network = build_network(small_design())
    arrays = network.to_arrays()
    with pytest.raises(TandemError, match=r"bundle0\.dw3\.weight has shape \(4, 3, 3\)"):
        network.load_arrays({**arrays, "bundle0.dw3.weight": np.zeros((4, 3, 3))})
    with pytest.raises(TandemError, match="other is unknown"):
        network.load_arrays({**arrays, "other": np.zeros(1)})
    del arrays["head.conv1.weight"]
    with pytest.raises(TandemError, match=r"head\.conv1\.weight is missing"):
        network.load_arrays(arrays)


@pytest.mark.parametrize("bits", [4, 6, 8, 12, 16])
def test_normalised_images_are_whole_steps_from_the_zero_pixel(bits: int) -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    found = normalise(images, bits)
    pixels = images.int() >> max(0, 8 - bits)
    assert torch.equal(found / input_step(bits) + input_zero(bits), pixels.float())
    assert found.min() == -2 and 1.7 < found.max() < 2


def test_decoding_agrees_with_the_one_without_torch() -> None:
    values = torch.randn(8, 10, 5, 7, dtype=torch.float64)
    found = best_boxes(values, SKYNET_ANCHORS).numpy()
    for box, head in zip(found, values.numpy(), strict=True):
        assert box == pytest.approx(decode(head, SKYNET_ANCHORS).box, rel=1e-12)


def test_iou_of_boxes() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    b = torch.tensor([[1.0, 0.0, 3.0, 2.0], [2.0, 0.0, 3.0, 1.0]])
    iou, generalised = box_iou(a, b)
    assert iou.tolist() == pytest.approx([1 / 3, 0])
    assert generalised.tolist() == pytest.approx([1 / 3, -1 / 3])


@pytest.mark.parametrize("taught", [False, True])
def test_the_loss_teaches_a_head_where_the_box_is(taught: bool) -> None:
    torch.manual_seed(2)
    truth = torch.tensor([[0.30, 0.20, 0.45, 0.50], [0.0, 0.7, 0.2, 1.0]])
    head = torch.zeros(2, 10, 6, 8, requires_grad=True)
    teacher = torch.randn(2, 10, 6, 8) if taught else None
    optimiser = torch.optim.Adam([head], lr=0.1)
    losses = []
    for _ in range(80):
        loss = detection_loss(head, truth, SKYNET_ANCHORS, LossWeights(), teacher)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    if not taught:
        assert (box_iou(best_boxes(head, SKYNET_ANCHORS), truth)[0] > 0.9).all()


def test_a_head_of_other_channels_cannot_learn_boxes() -> None:
    with pytest.raises(TandemError, match="head"):
        build_network(small_design(), anchors=SKYNET_ANCHORS[:1])
