"""Small trained-looking networks for the tests of quantisation and export."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.design import Design, design_from_dict
from model.scene import draw_scene
from quant.augment import plain
from quant.network import DetectionNetwork, build_network, normalise

DESIGNS = Path(__file__).resolve().parent.parent / "designs"
BUNDLES = (
    ("dw3", "conv1:12", "maxpool"),
    ("dw5", "conv1:8"),
    ("avgpool", "conv3:12", "relu"),
    ("bypass:1", "dw3", "conv1:16"),
)
JOINED = (("dw3", "conv1:8"), ("maxpool", "dw3", "conv1:6"), ("bypass:0", "conv1:12", "dw3"))
POOLED = (("bypass:0", "avgpool", "conv5:8"),)  # pools a map joined from two
IMAGE_POOLED = (("avgpool", "conv3:8"), ("maxpool", "dw3", "conv1:8"))


def small_design(
    bundles: Sequence[Sequence[str]] = BUNDLES,
    weight_bits: int = 8,
    feature_bits: int = 8,
    size: tuple[int, int] = (24, 40),
    **accelerator: int,
) -> Design:
    """A design of any layers; kernels up to 5, accumulators of 48 bits unless told."""
    table = tomllib.loads((DESIGNS / "tiny.toml").read_text())
    table["network"] |= {"height": size[0], "width": size[1]}
    table["network"] |= {"bundles": [list(bundle) for bundle in bundles]}
    table["precision"] = {"weight_bits": weight_bits, "feature_bits": feature_bits}
    built = {"accumulator_bits": 48, "dw_kernel_max": 5, "conv_kernel_max": 5}
    table["accelerator"] |= built | {"dw_multipliers": 25} | accelerator
    return design_from_dict(table, "test")


def scenes(design: Design, count: int) -> NDArray[np.uint8]:
    """Aerial scenes at the design's size, (count, 3, H, W)."""
    net = design.network
    pictures = [draw_scene(3, index, 2 * net.height, 2 * net.width).image for index in range(count)]
    return np.stack([plain(picture, (net.height, net.width)) for picture in pictures])


def lively_network(design: Design, images: NDArray[np.uint8], seed: int) -> DetectionNetwork:
    """A float network whose batch norm has seen images, with channels that differ widely."""
    torch.manual_seed(seed)
    network = build_network(design)
    network.train()
    for layer in network.layers.values():
        if layer.bn is not None:
            torch.nn.init.uniform_(layer.bn.weight, -0.3, 1.5)
            torch.nn.init.normal_(layer.bn.bias, 0.3, 0.5)
        else:
            torch.nn.init.normal_(layer.conv.weight, std=0.2)
            torch.nn.init.normal_(layer.conv.bias)
    with torch.no_grad():
        for _ in range(4):
            network(normalise(torch.from_numpy(images)))
    return network.eval()


def batches(images: NDArray[np.uint8], feature_bits: int) -> list[Tensor]:
    """The images as calibration takes them."""
    return [normalise(torch.from_numpy(images), feature_bits)]


def pixels(images: NDArray[np.uint8], feature_bits: int) -> list[NDArray[np.int64]]:
    """Each image as the hardware takes it, unsigned F-bit (3, H, W)."""
    return list((images >> max(0, 8 - feature_bits)).astype(np.int64))
