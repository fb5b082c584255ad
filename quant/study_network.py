"""Networks of the studies: every layer with its own weight and feature-map quantiser, or none.

Other than the networks that become hardware (quant/quantised.py), batch norm stays a layer of its
own here: it is what lets weights of one or two bits train at all from random values, and it changes
neither side's data size, as hardware folds it into the requantisation.
"""

from __future__ import annotations

from brevitas import nn as qnn
from brevitas.inject.enum import QuantType
from torch import Tensor, nn

from model.network import Layer, Network
from quant.quantisers import Quantiser, feature_quantiser, weight_quantiser


class StudyNetwork(nn.Module):
    """A network of the layer pool; bits None leave a side in float32.

    Takes normalised images (B, C, H, W) and returns the head's map (B, channels, h, w). The image
    itself stays at 8 bits in every setting, the head's map in float32.
    """

    def __init__(self, network: Network, weight_bits: int | None, feature_bits: int | None) -> None:
        super().__init__()
        self.network = network
        self.weight_bits, self.feature_bits = weight_bits, feature_bits
        self.layers = nn.Sequential(
            *(self._layer(layer, layer is network.output) for layer in network.layers)
        )

    def forward(self, images: Tensor) -> Tensor:
        """The head's map of normalised images."""
        return self.layers(images)

    def _layer(self, layer: Layer, last: bool) -> nn.Module:
        if layer.kind == "maxpool":  # commutes with quantisation, so it needs none
            return nn.MaxPool2d(2)
        assert layer.computes, "the networks of the studies have no other layers"
        convolution = qnn.QuantConv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            padding=layer.kernel // 2,
            groups=layer.in_channels if layer.kind == "dw" else 1,
            bias=last,
            weight_quant=_weights(self.weight_bits),
        )
        if last:
            return convolution
        return nn.Sequential(
            convolution,
            nn.BatchNorm2d(layer.out_channels),
            qnn.QuantReLU(act_quant=feature_quantiser(self.feature_bits)),
        )


def _weights(bits: int | None) -> Quantiser | None:
    """The quantiser of weights; ternary ones by rounding and clamping.

    Brevitas' own ternary quantiser multiplies by a mask: what is rounded to 0 gets no gradient and
    never comes back.
    """
    found = weight_quantiser(bits)
    return found.let(quant_type=QuantType.INT) if found is not None and bits == 2 else found


def weight_bytes(network: Network, bits: int | None) -> float:
    """Of all weights, biases and scales left out: they are the same in every setting."""
    return sum(layer.terms * layer.out_channels for layer in network.compute_layers) * width(bits)


def feature_bytes(network: Network, bits: int | None) -> float:
    """Of every feature map that a layer with weights writes for one image; not the head's."""
    return width(bits) * sum(
        layer.out_channels * layer.out_height * layer.out_width
        for layer in network.compute_layers
        if layer is not network.output
    )


def width(bits: int | None) -> float:
    """Bytes of one value."""
    return (bits or 32) / 8
