"""Float networks without batch norm: folded into weights and biases, ranges brought in line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network import Layer, Network
from quant.network import ConvLayer, DetectionNetwork, key, space_to_depth

RELU6 = 6.0
FLATTEST = 2.0**-8  # no channel is widened by more than its inverse: what is flatter is noise


@dataclass(frozen=True)
class FoldedLayer:
    """clip(conv(x, weight) + bias, 0, ceiling), float64; the head's last layer does not clip."""

    weight: Tensor  # (O, I / groups, k, k)
    bias: Tensor  # (O,)
    ceiling: Tensor  # (O,), infinite after a ReLU


@dataclass(frozen=True)
class FoldedNetwork:
    """A float network, folded; it runs in float32."""

    network: Network
    layers: Mapping[str, FoldedLayer]

    def run_layer(self, layer: Layer, features: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
        """One layer, as ``DetectionNetwork.run_layer``."""
        if layer.source is not None:
            return torch.cat([space_to_depth(kept[layer.source]), features], 1)
        if layer.kind == "maxpool":
            return F.max_pool2d(features, 2)
        if layer.kind == "avgpool":
            return F.avg_pool2d(features, 2)
        sums = self.sums(layer, features)
        if layer is self.network.output:
            return sums
        ceiling = self.layers[layer.name].ceiling.to(sums)
        return torch.minimum(F.relu(sums), ceiling[:, None, None])

    def sums(self, layer: Layer, features: Tensor) -> Tensor:
        """Sums of products and bias of a layer with weights, before the clip."""
        folded = self.layers[layer.name]
        groups = layer.in_channels if layer.kind == "dw" else 1
        weight, bias = folded.weight.to(features), folded.bias.to(features)
        return F.conv2d(features, weight, bias, padding=layer.kernel // 2, groups=groups)


def fold(network: DetectionNetwork) -> FoldedNetwork:
    """Batch norm into weight and bias: with g = gamma / sqrt(var + eps), w * g and beta - g * mean.

    Jacob et al., Quantization and Training of Neural Networks, CVPR 2018, section 3.2.
    """
    ceiling = RELU6 if network.activation == "relu6" else torch.inf
    layers = {}
    for layer in network.network.compute_layers:
        module = network.layers[key(layer)]
        assert isinstance(module, ConvLayer)
        weight, bias = module.folded()
        weight, bias = weight.cpu(), bias.cpu()
        layers[layer.name] = FoldedLayer(weight, bias, torch.full_like(bias, ceiling))
    return FoldedNetwork(network.network, layers)


def equalise(floats: FoldedNetwork, ranges: Mapping[str, Tensor]) -> FoldedNetwork:
    """Give all channels of a map before a depth-wise layer the range of its widest one.

    ``ranges`` (O,) by layer: how far each channel's features reach. A channel's features are
    multiplied by a factor and the weights of the depth-wise layer behind, which sees that channel
    alone and quantises its weights channel by channel, are divided by it: the network is the same
    and the map's one scale suits every channel (after Nagel et al., Data-Free Quantization, ICCV
    2019, section 4.1).
    """
    layers = dict(floats.layers)
    for producer, consumer in depthwise_pairs(floats.network):
        reach = ranges[producer.name].to(torch.float64)
        widest = reach.max()
        if widest <= 0:
            continue
        factor = widest / torch.where(reach > 0, reach, widest).clamp(min=float(widest) * FLATTEST)
        before, after = layers[producer.name], layers[consumer.name]
        layers[producer.name] = FoldedLayer(
            before.weight * factor[:, None, None, None],
            before.bias * factor,
            before.ceiling * factor,
        )
        layers[consumer.name] = FoldedLayer(
            after.weight / factor[:, None, None, None], after.bias, after.ceiling
        )
    return FoldedNetwork(floats.network, layers)


def depthwise_pairs(network: Network) -> list[tuple[Layer, Layer]]:
    """(layer, depth-wise layer) where the one's map goes, but for pooling, to the other alone."""
    found: list[tuple[Layer, Layer]] = []
    read = {layer.source for layer in network.layers if layer.source is not None}
    producer: Layer | None = None
    for index, chain in enumerate(network.chains):
        for layer in chain:
            if layer.kind == "dw" and producer is not None:
                found.append((producer, layer))
            if layer.computes:
                producer = layer
            elif layer.source is not None:
                producer = None
        if index in read:
            producer = None
    return found
