"""Post-training quantisation: from a float network and some images to a quantised network.

Images run through the folded float network, a histogram of each channel's features is kept, and
the threshold of every map is taken from it. No image has a box here, none is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import TandemError
from quant.folding import FoldedNetwork, equalise, fold
from quant.network import DetectionNetwork, walk
from quant.quantised import QuantisedNetwork
from quant.quantisers import threshold_of

FEATURE_RULES = ("mse", "percentile", "max")
WEIGHT_RULES = ("max", "mse")
BINS = 2048  # of a channel's histogram
CANDIDATES = 128  # thresholds tried, evenly spaced up to the largest value
CORRECTION_IMAGES = 16  # their maps are all held at a time


@dataclass(frozen=True)
class CalibrationSettings:
    """How scales are found. The network's float function is changed by none of them."""

    features: str = "mse"  # mse: least squared error | percentile | max: the largest feature
    percentile: float = 99.99  # of each map's features above 0, for "percentile"
    weights: str = "max"  # max: the channel's largest weight | mse: least squared error
    equalise: bool = False  # bring the channels before depth-wise layers to one range
    correct_biases: bool = False  # so that each channel's mean is that of the float network

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("features", self.features, FEATURE_RULES),
            ("weights", self.weights, WEIGHT_RULES),
        ):
            if value not in choices:
                raise TandemError(f'calibration.{name} = "{value}": must be one of {choices}')
        if not 0 < self.percentile <= 100:
            raise TandemError(
                f"calibration.percentile = {self.percentile}: must be above 0, at most 100"
            )


class Histogram:
    """Features above 0 in ``BINS`` equal bins from 0 to ``top``, of each channel or of all.

    ``top`` doubles when a feature lies above it, so that one pass over the images is enough.
    """

    def __init__(self, channels: int) -> None:
        self.counts = torch.zeros(channels, BINS, dtype=torch.int64)
        self.top = 0.0
        self.largest = 0.0

    def add(self, features: Tensor) -> None:
        """Count a map (B, C, H, W)."""
        largest = float(features.max())
        if largest <= 0:
            return
        self.largest = max(self.largest, largest)
        self.top = self.top or largest
        while self.top < largest:
            pairs = self.counts.reshape(len(self.counts), -1, 2).sum(2)
            self.counts = torch.cat([pairs, torch.zeros_like(pairs)], 1)
            self.top *= 2
        flat = features.transpose(0, 1).reshape(len(self.counts), -1)
        for channel, values in enumerate(flat):
            self.counts[channel] += torch.histc(values, BINS, 0.0, self.top).long()
            self.counts[channel, 0] -= (values <= 0).sum()

    def reach(self, settings: CalibrationSettings, bits: int) -> Tensor:
        """How far the steps of each channel should reach, (C,); 0 where there is no feature."""
        if self.top == 0:
            return torch.zeros(len(self.counts))
        if settings.features == "mse":
            return _least_error(self.counts.double(), self.top, self.largest, bits)
        share = 1.0 if settings.features == "max" else settings.percentile / 100
        total = self.counts.sum(1, keepdim=True)
        below = self.counts.cumsum(1) >= share * total
        reach = (below.to(torch.int8).argmax(1) + 1) * (self.top / BINS)
        return torch.where(total[:, 0] > 0, reach.clamp(max=self.largest), 0.0)


def calibrate(
    network: DetectionNetwork,
    batches: Sequence[Tensor],
    weight_bits: int,
    feature_bits: int,
    settings: CalibrationSettings | None = None,
) -> QuantisedNetwork:
    """Quantise a float network; ``batches`` of normalised images (B, C, H, W) set its scales.

    TandemError without any image.
    """
    settings = settings or CalibrationSettings()
    if not sum(len(batch) for batch in batches):
        raise TandemError("calibration: there is no image, scales need at least one")
    floats = fold(network)
    if settings.equalise:
        counted = histograms(floats, batches, by_channel=True)
        floats = equalise(floats, {n: h.reach(settings, feature_bits) for n, h in counted.items()})
    counted = histograms(floats, batches)
    thresholds = {n: float(h.reach(settings, feature_bits)) for n, h in counted.items()}
    # A map without any feature above 0 can have any scale.
    thresholds = {name: value if value > 0 else 1.0 for name, value in thresholds.items()}
    found = QuantisedNetwork(network.network, weight_bits, feature_bits, network.anchors)
    found.load_folded(floats, thresholds)
    if settings.weights == "mse":
        set_weight_thresholds(found)
    if settings.correct_biases:
        correct_biases(floats, found, batches)
    return found


@torch.no_grad()
def histograms(
    floats: FoldedNetwork, batches: Sequence[Tensor], by_channel: bool = False
) -> dict[str, Histogram]:
    """Of the map of every layer with weights but the head's last, by name."""
    net = floats.network
    layers = [layer for layer in net.compute_layers if layer is not net.output]
    found = {la.name: Histogram(la.out_channels if by_channel else 1) for la in layers}
    for batch in batches:
        for layer, features in walk(net, floats.run_layer, batch):
            if layer.name in found:
                found[layer.name].add(features)
    return found


def _least_error(counts: Tensor, top: float, largest: float, bits: int) -> Tensor:
    """The threshold of each channel with the least squared error of 2^bits steps, (C,)."""
    middles = (torch.arange(BINS, dtype=torch.float64) + 0.5) * (top / BINS)
    middles.clamp_(max=largest)
    best = torch.full((len(counts),), torch.inf, dtype=torch.float64)
    found = torch.zeros(len(counts), dtype=torch.float64)
    used = counts.sum(1) > 0
    for index in range(CANDIDATES, 0, -1):  # of equals the widest
        threshold = largest * index / CANDIDATES
        scale = threshold / ((1 << bits) - 1)
        rounded = torch.floor(middles / scale + 0.5).clamp(max=(1 << bits) - 1) * scale
        error = counts @ (middles - rounded).square()
        better = used & (error < best)
        best = torch.where(better, error, best)
        found = torch.where(better, torch.full_like(found, threshold), found)
    return found


@torch.no_grad()
def set_weight_thresholds(network: QuantisedNetwork) -> None:
    """Give every channel's weights the threshold of least squared error."""
    steps = (1 << (network.weight_bits - 1)) - 1
    for layer in network.network.compute_layers:
        module = network.layer(layer)
        weight = module.conv.weight.detach().double().flatten(1)
        largest = weight.abs().amax(1, keepdim=True)
        best = torch.full_like(largest, torch.inf)
        threshold = threshold_of(module.conv.weight_quant)
        found = threshold.detach().double().reshape(-1, 1)
        scale = network.input_scale(layer)
        least = module.least_threshold(scale[-1:] if layer.kind == "conv" else scale)[:, None]
        for index in range(CANDIDATES, CANDIDATES // 8, -1):
            scale = largest * index / CANDIDATES / steps
            rounded = torch.floor(weight / scale + 0.5).clamp(-steps, steps) * scale
            error = (weight - rounded).square().sum(1, keepdim=True)
            better = (error < best) & (largest > 0)
            best = torch.where(better, error, best)
            found = torch.where(better, scale * steps, found)
        threshold.copy_(torch.maximum(found, least).reshape(threshold.shape))


@torch.no_grad()
def correct_biases(
    floats: FoldedNetwork, quantised: QuantisedNetwork, batches: Sequence[Tensor]
) -> None:
    """Move each bias by what rounding moved the mean of its channel's sums, layer by layer.

    Nagel et al., Data-Free Quantization, ICCV 2019, section 4.2, with the means measured. The first
    ``CORRECTION_IMAGES`` images are used.
    """
    images = torch.cat([batch[:CORRECTION_IMAGES] for batch in batches])[:CORRECTION_IMAGES]
    quantised.eval()
    real, whole = images, quantised.image(images)
    real_kept: dict[int, Tensor] = {}
    whole_kept: dict[int, Tensor] = {}
    for index, chain in enumerate(quantised.network.chains):
        for layer in chain:
            if layer.computes:
                module = quantised.layer(layer)
                wanted = floats.sums(layer, real).mean((0, 2, 3))
                found = module.sums(*quantised.aligned(layer, whole)).mean((0, 2, 3))
                module.bias.add_(wanted - found)
            real = floats.run_layer(layer, real, real_kept)
            whole = quantised.run_layer(layer, whole, whole_kept)
        real_kept[index], whole_kept[index] = real, whole
