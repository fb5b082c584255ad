"""Quantised networks: the layers of a design on whole-number features, in Brevitas.

Batch norm is folded before (quant.folding), so that a layer is a convolution with a bias and a
clip, as in hardware. Features are kept in real units, whole numbers times the scale of their map,
so that training goes on where the float network stopped.

Where a bypass joins maps, their scales differ and hardware joins whole numbers. A depth-wise layer
behind it has a scale for each input channel. A convolution needs one scale for all: channels are
brought to that of the last part, x * scale / own scale, which leaves the whole numbers as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from brevitas import nn as qnn
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from model.design import Design
from model.detection import SKYNET_ANCHORS, check_box_head
from model.errors import TandemError
from model.network import Layer, Network
from quant.folding import FoldedNetwork
from quant.network import key, space_to_depth, walk
from quant.quantisers import (
    bias_quantiser,
    image_quantiser,
    scale_of,
    threshold_feature_quantiser,
    threshold_of,
    threshold_weight_quantiser,
)

BIAS_MAX = 1 << 30  # half of int32's, in steps: training may enlarge a bias, and so may export
IMAGE = ""  # the source of a part that is the image itself
Parts = tuple[tuple[str, int], ...]  # (layer that quantised them, channels) of a map, in order


class QuantisedNetwork(nn.Module):
    """A quantised network: normalised images (B, C, H, W) -> the head's values (B, 5A, h, w).

    It is made from its shapes alone, then filled by calibration (quant.calibration) or from a
    checkpoint. ``learned_scales`` False keeps thresholds out of training.
    """

    def __init__(
        self,
        network: Network,
        weight_bits: int,
        feature_bits: int,
        anchors: Sequence[tuple[float, float]] = SKYNET_ANCHORS,
        learned_scales: bool = True,
    ) -> None:
        super().__init__()
        check_box_head(network, anchors)
        self.network = network
        self.weight_bits, self.feature_bits = weight_bits, feature_bits
        self.anchors = tuple((float(width), float(height)) for width, height in anchors)
        self.image = qnn.QuantIdentity(act_quant=image_quantiser(min(feature_bits, 8)))
        self.parts = map_parts(network)  # of each layer's output; IMAGE: of the image
        self.layers = nn.ModuleDict()
        for layer in network.compute_layers:
            raw = layer is network.output
            bits = None if raw else feature_bits
            self.layers[key(layer)] = QuantisedLayer(layer, weight_bits, bits, feature_bits)
        self.set_learned_scales(learned_scales)

    def forward(self, images: Tensor) -> Tensor:
        """The head's values of normalised images."""
        return self.run(images, 0)

    def run(self, features: Tensor, first: int, last: int | None = None) -> Tensor:
        """Chains ``first`` up to but without ``last`` (None: all), as ``DetectionNetwork.run``."""
        if first == 0:
            features = self.image(features)
        for _, found in walk(self.network, self.run_layer, features, first, last):
            features = found
        return features

    def run_layer(self, layer: Layer, features: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
        """One layer; ``kept`` holds the outputs of bundles that a bypass reads."""
        if layer.source is not None:
            return torch.cat([space_to_depth(kept[layer.source]), features], 1)
        if layer.kind == "maxpool":
            return F.max_pool2d(features, 2)
        if layer.kind == "avgpool":
            return self._round(F.avg_pool2d(features, 2), self.parts[layer.name])
        found: Tensor = self.layer(layer)(*self.aligned(layer, features))
        return found

    def aligned(self, layer: Layer, features: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's input as it takes it, and what one step of it is worth, (1,) or (C,)."""
        scale = self.input_scale(layer)
        if layer.kind == "dw" or scale.numel() == 1:
            return features, scale
        if not self.training and (scale == scale[-1]).all():  # as in exact networks
            return features, scale[-1:]
        return features * (scale[-1] / scale)[:, None, None], scale[-1:]

    def _round(self, features: Tensor, parts: Parts) -> Tensor:
        """Back to whole numbers: floor(sum / 4 + 0.5) is the hardware's (sum + 2) >> 2."""
        pieces = features.split([channels for _, channels in parts], 1)
        names = [name for name, _ in parts]
        rounded = [self._quantiser(n)(piece) for n, piece in zip(names, pieces, strict=True)]
        return rounded[0] if len(rounded) == 1 else torch.cat(rounded, 1)

    def _quantiser(self, name: str) -> nn.Module:
        if name == IMAGE:
            return self.image
        found = self.layers[name.replace(".", "/")]
        assert isinstance(found, QuantisedLayer)
        assert found.clip is not None
        return found.clip

    def layer(self, layer: Layer) -> QuantisedLayer:
        """The module of a layer with weights."""
        found = self.layers[key(layer)]
        assert isinstance(found, QuantisedLayer)
        return found

    def input_scale(self, layer: Layer) -> Tensor:
        """What one step of a layer's input is worth: (1,), or (C,) behind a bypass."""
        return self._scale(self.parts[_before(self.network, layer)])

    def output_scale(self, layer: Layer) -> Tensor:
        """What one step of a layer's output is worth: (1,), or (C,) where a bypass joined maps."""
        return self._scale(self.parts[layer.name])

    def chain_scale(self, index: int) -> Tensor:
        """What one step of a chain's input is worth, (1,) or (C,): the image's for chain 0."""
        return self.input_scale(self.network.chains[index][0])

    def _scale(self, parts: Parts) -> Tensor:
        if len({name for name, _ in parts}) == 1:
            return self._part_scale(parts[0][0]).reshape(1)
        return torch.cat([self._part_scale(name).expand(channels) for name, channels in parts])

    def _part_scale(self, name: str) -> Tensor:
        return scale_of(self._quantiser(name).act_quant)

    def blank(self) -> QuantisedNetwork:
        """Another network of the same shapes and precision, not yet filled."""
        return QuantisedNetwork(self.network, self.weight_bits, self.feature_bits, self.anchors)

    def chain_parameters(self, index: int) -> list[nn.Parameter]:
        """The parameters of a bundle, or of the head (the last chain)."""
        layers = [layer for layer in self.network.chains[index] if layer.computes]
        return [parameter for layer in layers for parameter in self.layer(layer).parameters()]

    def set_learned_scales(self, learned: bool) -> None:
        """Train thresholds with the weights, or keep them as they are."""
        for layer in self.network.compute_layers:
            for threshold in self.layer(layer).thresholds():
                threshold.requires_grad_(learned)

    @torch.no_grad()
    def load_folded(self, floats: FoldedNetwork, thresholds: Mapping[str, float]) -> None:
        """Take over weights, biases and where each map clips (by layer, but for the head's last).

        Thresholds of weights are the channels' largest weights.
        """
        for layer in self.network.compute_layers:
            module, folded = self.layer(layer), floats.layers[layer.name]
            if module.clip is not None:
                threshold_of(module.clip.act_quant).fill_(thresholds[layer.name])
            scale = self.input_scale(layer)
            weight = folded.weight
            if layer.kind == "conv" and scale.numel() > 1:  # what ``run_layer`` does to features
                weight = weight * (scale / scale[-1])[None, :, None, None].to(weight)
            module.load(weight, folded.bias, scale[-1:] if layer.kind == "conv" else scale)


class QuantisedLayer(nn.Module):
    """A convolution on quantised weights, an int32 bias, and the clip to unsigned features.

    The head's last one has no clip, and its bias is real: the host adds it.
    """

    def __init__(
        self, layer: Layer, weight_bits: int, feature_bits: int | None, input_bits: int
    ) -> None:
        super().__init__()
        self.weight_bits, self.input_bits = weight_bits, input_bits
        self.conv = qnn.QuantConv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            padding=layer.kernel // 2,
            groups=layer.in_channels if layer.kind == "dw" else 1,
            bias=feature_bits is not None,
            weight_quant=threshold_weight_quantiser(weight_bits),
            bias_quant=None if feature_bits is None else bias_quantiser(),
        )
        self.gain: Tensor | None = None  # (O,): of the sums, where weights are whole numbers
        self.clip: qnn.QuantReLU | None = None
        if feature_bits is None:
            self.offset = nn.Parameter(torch.zeros(layer.out_channels))
        else:
            self.clip = qnn.QuantReLU(act_quant=threshold_feature_quantiser(feature_bits))
            _scale_gradient(threshold_of(self.clip.act_quant), layer, feature_bits)

    def forward(self, features: Tensor, scale: Tensor) -> Tensor:
        """Features in steps of ``scale`` (1,) or (I,), (B, I, H, W) -> (B, O, H, W)."""
        sums = self.sums(features, scale)
        return sums if self.clip is None else self.clip(sums)

    def sums(self, features: Tensor, scale: Tensor) -> Tensor:
        """Sums of products and bias, before the clip, in real units."""
        conv = self.conv
        weight = conv.quant_weight()
        bias: Tensor = self.bias
        if self.clip is not None:
            steps = IntQuantTensor(
                features,
                scale[:, None, None][None],
                weight.zero_point,
                torch.full_like(weight.bit_width, self.input_bits),
                False,
                self.training,
            )
            bias = conv.bias_quant(bias, steps, weight).value
        found = F.conv2d(features, weight.value, bias, padding=conv.padding, groups=conv.groups)
        return found if self.gain is None else found * self.gain[:, None, None]

    @property
    def bias(self) -> nn.Parameter:
        """(O,): in the layer, or, of the head's last one, the host's."""
        found: nn.Parameter = self.offset if self.clip is None else self.conv.bias
        return found

    def thresholds(self) -> list[nn.Parameter]:
        """Of the weights (O, 1, 1, 1) and, but for the head's last layer, of the features ()."""
        found = [threshold_of(self.conv.weight_quant)]
        return found if self.clip is None else [*found, threshold_of(self.clip.act_quant)]

    def weight_scale(self) -> Tensor:
        """What one step of each output channel's weights is worth, (O,)."""
        return scale_of(self.conv.weight_quant).reshape(-1)

    @torch.no_grad()
    def load(self, weight: Tensor, bias: Tensor, scale: Tensor) -> None:
        """Take over weight and bias for inputs in steps of ``scale``, (1,) or (I,).

        A threshold is its channel's largest weight, or more where the bias would not fit its bits.
        """
        self.conv.weight.copy_(weight)
        self.bias.copy_(bias)
        largest = torch.maximum(self.conv.weight.abs().amax((1, 2, 3)), self.least_threshold(scale))
        # A channel without weights and bias has no threshold of its own: any will do.
        largest = torch.where(largest > 0, largest, 1.0)
        threshold = threshold_of(self.conv.weight_quant)
        threshold.copy_(largest.reshape(threshold.shape))

    def least_threshold(self, scale: Tensor) -> Tensor:
        """The threshold of each channel's weights that its bias needs to fit its bits, (O,)."""
        if self.clip is None:
            return torch.zeros_like(self.bias)
        return self.bias.abs() / BIAS_MAX / scale * ((1 << (self.weight_bits - 1)) - 1)


def map_parts(network: Network) -> dict[str, Parts]:
    """Who quantised which channels of each layer's output; under IMAGE those of the image."""
    found: dict[str, Parts] = {IMAGE: ((IMAGE, network.channels),)}
    parts = found[IMAGE]
    for layer in network.layers:
        if layer.computes:
            parts = ((layer.name, layer.out_channels),)
        elif layer.source is not None:
            parts = found[network.bundles[layer.source][-1].name] * 4 + parts
            if 0 < sum(name == IMAGE for name, _ in parts) < len(parts):
                raise TandemError(
                    f"layer {layer.name}: joins pixels of the image, whose zero is not 0, with "
                    f"features: let bundle {layer.source} have a convolution"
                )
        found[layer.name] = parts
    return found


def build_quantised(design: Design, anchors: Sequence[tuple[float, float]]) -> QuantisedNetwork:
    """The quantised network of a design, not yet filled. TandemError where it has no box head."""
    return QuantisedNetwork(design.network, design.weight_bits, design.feature_bits, anchors)


def _before(network: Network, layer: Layer) -> str:
    """The layer whose output this one takes, or IMAGE."""
    index = network.layers.index(layer)
    return network.layers[index - 1].name if index else IMAGE


def _scale_gradient(threshold: nn.Parameter, layer: Layer, bits: int) -> None:
    """Divide a threshold's gradient as LSQ does, so that one step moves it as far as a weight.

    The threshold gathers the gradient of every feature of the map (Esser et al., section 2.2).
    """
    features = layer.out_channels * layer.out_height * layer.out_width
    factor = 1 / math.sqrt(features * ((1 << bits) - 1))
    threshold.register_hook(lambda gradient: gradient * factor)
