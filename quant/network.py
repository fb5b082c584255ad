"""Networks in PyTorch, built from a design: float layers with batch norm, before quantisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.design import Design
from model.detection import SKYNET_ANCHORS, check_box_head
from model.errors import TandemError
from model.network import Layer, Network

ACTIVATIONS = ("relu6", "relu")
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")

Arrays = dict[str, NDArray[np.float32]]


class DetectionNetwork(nn.Module):
    """The network of a design for training in float: (B, C, H, W) -> (B, 5 * anchors, h, w).

    Every layer with weights is a convolution without bias, batch norm and ReLU6 (or ReLU); the
    head's last one is a convolution with a bias, which the host adds (``BoxHead.offset``).
    Images are normalised (``normalise``), so that zero padding is padding with mid-grey.
    """

    def __init__(
        self,
        network: Network,
        activation: str = "relu6",
        anchors: Sequence[tuple[float, float]] = SKYNET_ANCHORS,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise TandemError(f'activation = "{activation}": must be one of {ACTIVATIONS}')
        check_box_head(network, anchors)
        self.network = network
        self.activation = activation
        self.anchors = tuple((float(width), float(height)) for width, height in anchors)
        self.layers = nn.ModuleDict(
            {
                key(layer): ConvLayer(layer, layer is network.output)
                for layer in network.compute_layers
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        """The head's values of normalised images."""
        return self.run(images, 0)

    def run(self, features: Tensor, first: int, last: int | None = None) -> Tensor:
        """Chains ``first`` up to but without ``last`` (None: all); the head is the last chain.

        Without a bypass across ``first`` this continues what ``run(images, 0, first)`` began.
        """
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
            return F.avg_pool2d(features, 2)
        found: Tensor = self.layers[key(layer)](features)
        if layer is self.network.output:
            return found
        return F.relu6(found) if self.activation == "relu6" else F.relu(found)

    def chain_parameters(self, index: int) -> list[nn.Parameter]:
        """The parameters of a bundle, or of the head (the last chain)."""
        return [
            parameter
            for layer in self.network.chains[index]
            if layer.computes
            for parameter in self.layers[key(layer)].parameters()
        ]

    def fold_batch_norm(self) -> None:
        """The same function with every batch norm's gain and offset moved into the weights.

        Batch norm is then the identity plus a bias, so that weights have the size at which they
        act, and one learning rate suits all layers.
        """
        with torch.no_grad():
            for module in self.layers.values():
                assert isinstance(module, ConvLayer)
                if module.bn is None:
                    continue
                assert module.bn.running_mean is not None
                assert module.bn.running_var is not None
                weight, bias = module.folded()
                module.conv.weight.copy_(weight)
                module.bn.bias.copy_(bias)
                module.bn.weight.fill_(1)
                module.bn.running_mean.zero_()
                module.bn.running_var.fill_(1 - module.bn.eps)

    def to_arrays(self) -> Arrays:
        """Every array by its name in a checkpoint, such as ``bundle0.dw3.bn.weight``."""
        return {
            name: value.detach().cpu().numpy().astype(np.float32).reshape(shape)
            for name, value, shape in self._entries()
        }

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]], strict: bool = True) -> list[str]:
        """Take over arrays by name; returns the names taken.

        TandemError for a wrong shape, and with ``strict`` for a missing or an unknown name.
        """
        taken = []
        entries = {name: (value, shape) for name, value, shape in self._entries()}
        optional = {f"{self.network.output.name}.bias"}
        if strict and (missing := set(entries) - set(arrays) - optional):
            raise TandemError(f"weights: {min(missing)} is missing, they are of another network")
        if strict and (unknown := set(arrays) - set(entries)):
            raise TandemError(f"weights: {min(unknown)} is unknown, they are of another network")
        with torch.no_grad():
            for name in entries.keys() & arrays.keys():
                value, shape = entries[name]
                if arrays[name].shape != shape:
                    raise TandemError(
                        f"weights: {name} has shape {arrays[name].shape}, the network's has {shape}"
                    )
                value.copy_(torch.from_numpy(np.array(arrays[name])).reshape(value.shape))
                taken.append(name)
        return sorted(taken)

    def _entries(self) -> list[tuple[str, Tensor, tuple[int, ...]]]:
        """(name in a checkpoint, tensor, shape there) of every array."""
        found: list[tuple[str, Tensor, tuple[int, ...]]] = []
        for layer in self.network.compute_layers:
            module = self.layers[key(layer)]
            assert isinstance(module, ConvLayer)
            found.append((f"{layer.name}.weight", module.conv.weight, layer.weight_shape))
            outputs = (layer.out_channels,)
            if module.bn is None:
                assert module.conv.bias is not None
                found.append((f"{layer.name}.bias", module.conv.bias, outputs))
            else:
                found += [
                    (f"{layer.name}.bn.{part}", getattr(module.bn, part), outputs)
                    for part in BATCH_NORM
                ]
        return found


class ConvLayer(nn.Module):
    """A convolution with batch norm, or, as the head's last layer, with a bias."""

    def __init__(self, layer: Layer, raw: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            padding=layer.kernel // 2,
            groups=layer.in_channels if layer.kind == "dw" else 1,
            bias=raw,
        )
        self.bn = None if raw else nn.BatchNorm2d(layer.out_channels)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        if raw:
            nn.init.normal_(self.conv.weight, std=0.01)
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H, W)."""
        found: Tensor = self.conv(features)
        return found if self.bn is None else self.bn(found)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (O, I / groups, k, k) and bias (O,) with batch norm folded in, float64.

        With g = gamma / sqrt(var + eps): weight * g and beta - g * mean.
        """
        weight = self.conv.weight.detach().double()
        if self.bn is None:
            assert self.conv.bias is not None
            return weight, self.conv.bias.detach().double()
        assert self.bn.running_var is not None
        assert self.bn.running_mean is not None
        gain = self.bn.weight.detach().double() / torch.sqrt(
            self.bn.running_var.double() + self.bn.eps
        )
        bias = self.bn.bias.detach().double() - gain * self.bn.running_mean.double()
        return weight * gain[:, None, None, None], bias


def build_network(
    design: Design,
    activation: str = "relu6",
    anchors: Sequence[tuple[float, float]] = SKYNET_ANCHORS,
) -> DetectionNetwork:
    """The float network of a design. TandemError where its head is no box head."""
    return DetectionNetwork(design.network, activation, anchors)


RunLayer = Callable[[Layer, Tensor, Mapping[int, Tensor]], Tensor]


def walk(
    network: Network, run_layer: RunLayer, features: Tensor, first: int = 0, last: int | None = None
) -> Iterator[tuple[Layer, Tensor]]:
    """Every layer of chains ``first`` up to but without ``last`` (None: all), and its output."""
    kept: dict[int, Tensor] = {}
    sources = {layer.source for layer in network.layers if layer.source is not None}
    for index, chain in enumerate(network.chains[:last]):
        if index < first:
            continue
        for layer in chain:
            features = run_layer(layer, features, kept)
            yield layer, features
        if index in sources:
            kept[index] = features


def key(layer: Layer) -> str:
    """A layer's name as PyTorch allows it for a module."""
    return layer.name.replace(".", "/")


def space_to_depth(features: Tensor) -> Tensor:
    """(B, C, 2h, 2w) -> (B, 4C, h, w): channel phase * C + c, phase = 2 * (row & 1) + (col & 1)."""
    return torch.cat([features[:, :, r::2, c::2] for r in (0, 1) for c in (0, 1)], 1)


def input_zero(feature_bits: int) -> int:
    """The integer pixel that stands for 0: half of the range of an F-bit image of 8-bit pixels."""
    return 1 << (min(feature_bits, 8) - 1)


def input_step(feature_bits: int) -> float:
    """What one step of an integer pixel is worth, so that images span -2 to 2."""
    return 2.0 ** -(min(feature_bits, 8) - 2)


def quantise_image(images: Tensor, feature_bits: int) -> Tensor:
    """uint8 images as the hardware takes them: the upper F bits, or the byte itself."""
    return images >> max(0, 8 - feature_bits)


def normalise(images: Tensor, feature_bits: int = 8) -> Tensor:
    """uint8 images (B, C, H, W) -> float32 from -2 to 2, through the F-bit image."""
    pixels = quantise_image(images, feature_bits).float()
    return (pixels - input_zero(feature_bits)) * input_step(feature_bits)
