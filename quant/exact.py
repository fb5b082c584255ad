"""The float64 Brevitas network that equals an integer network, and how equal they are.

quant.export says why it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model.design import Design
from model.functional import run_functional
from model.integer_network import IntegerNetwork, Integers
from quant.network import input_step, input_zero, walk
from quant.quantised import IMAGE, QuantisedNetwork
from quant.quantisers import threshold_of


@dataclass(frozen=True)
class Exported:
    """A quantised network as integers, and the float64 Brevitas network that equals them."""

    integers: IntegerNetwork
    network: QuantisedNetwork


@torch.no_grad()
def exact_network(
    quantised: QuantisedNetwork, integers: IntegerNetwork, whole_weights: bool = False
) -> QuantisedNetwork:
    """The float64 Brevitas network whose whole numbers are those of ``integers``, in eval mode.

    With ``whole_weights`` the weights' scales are 1 and sums are multiplied by what these were.
    """
    found = quantised.blank().double().eval().requires_grad_(False)
    weight_steps = (1 << (integers.weight_bits - 1)) - 1
    for index, spec in enumerate(found.network.compute_layers):
        layer, module = integers[spec.name], found.layer(spec)
        weight = layer.weight.reshape(tuple(module.conv.weight.shape))
        input_scale = 1.0
        bias = layer.bias.astype(np.float64)
        if index == 0:
            input_scale = input_step(integers.feature_bits)
            zero = input_zero(integers.feature_bits)
            bias += zero * layer.weight.reshape(len(layer.weight), -1).sum(axis=1)
        if module.clip is None:
            assert integers.head is not None
            step = np.array(integers.head.scale)
            bias = np.array(integers.head.offset)
        else:
            step = np.ldexp(layer.mult.astype(np.float64), -layer.shift)
            bias *= step
            threshold_of(module.clip.act_quant).fill_((1 << integers.feature_bits) - 1)
        scale = step / input_scale  # a power of two: exact
        if whole_weights:
            module.gain = torch.from_numpy(scale)
            bias = bias / scale
            scale = np.ones_like(scale)
        module.conv.weight.copy_(torch.from_numpy(weight * scale[:, None, None, None]))
        threshold = threshold_of(module.conv.weight_quant)
        threshold.copy_(torch.from_numpy(scale * weight_steps).reshape(threshold.shape))
        module.bias.copy_(torch.from_numpy(bias))
    return found


@torch.no_grad()
def whole_numbers(network: QuantisedNetwork, image: Integers) -> dict[str, Integers]:
    """Every layer's whole numbers of ``Exported.network``, as ``run_functional`` gives them.

    ``image`` is unsigned F-bit (C, H, W).
    """
    bits = network.feature_bits
    pixels = torch.from_numpy(image[None].astype(np.float64))
    features = network.image((pixels - input_zero(bits)) * input_step(bits))
    found: dict[str, Integers] = {}
    for layer, values in walk(network.network, network.run_layer, features):
        whole = values
        if layer is network.network.output:
            module = network.layer(layer)
            scale = module.weight_scale() * network.input_scale(layer)
            sums = (values - module.bias[:, None, None]) / scale[:, None, None]
            whole = torch.floor(sums + 0.5)  # the host's bias and its scale, undone
        elif network.parts[layer.name][0][0] == IMAGE:  # pooled pixels
            whole = values / input_step(bits) + input_zero(bits)
        found[layer.name] = whole[0].numpy().astype(np.int64)
    return found


def differing_values(design: Design, exported: Exported, image: Integers) -> dict[str, int]:
    """How many values of each layer differ between functional level and Brevitas: all are 0."""
    hardware = run_functional(design, exported.integers, image)
    brevitas = whole_numbers(exported.network, image)
    return {
        layer.name: int(np.count_nonzero(hardware[layer.name] != brevitas[layer.name]))
        for layer in design.network.layers
    }
