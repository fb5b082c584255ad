"""Predicted quality: a cheap estimate of a network's IoU, to choose what is worth training.

Ridge regression in a few features of the network that are known without training, pulled towards a
prior instead of towards zero, so that a handful of trainings refines it and cannot turn it round.
It ranks networks of one bundle in one search; its absolute value means little elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.network import Network
from quant.alignment import kept_channels

FEATURES = (
    *("log2_macs", "log2_parameters", "depth", "late_share", "log2_last_channels"),
    "kept_channels",
)
# IoU a unit. From DNN-C's networks at 3 x 160 x 320 with 6 epochs: half the products cost 0.05 to
# 0.06 (docs/search.md); the others are small on purpose, for the samples to correct.
PRIOR = (0.04, 0.01, 0.004, 0.02, 0.01, 0.05)
# What is lost at 4 bits on either side; it halves with every bit. DNN-C in W4 F4 loses 0.055
# against W8 F8 (README), more of it on the side of the features (docs/studies.md).
WEIGHT_LOSS, FEATURE_LOSS = 0.02, 0.035
# Networks of a search differ by about so much. Samples that are nearer to each other do not count
# as spread out: a slope found between near ones would run away further off.
SPREAD = (0.7, 0.7, 1.0, 0.15, 0.5, 1.0)
RIDGE = 3.0  # prior samples a feature, of standardised features
KEPT_LEAST = -3.0  # a network that keeps less of the source is none the worse for it
CENTRE = (28.0, 18.0, 5.0, 0.5, 8.0, 0.0)  # a network in the middle, where the prior is 0.6
CENTRE_IOU = 0.6


@dataclass(frozen=True)
class QualityModel:
    """Coefficients a unit of each feature, around a centre."""

    coefficients: tuple[float, ...] = PRIOR
    centre: tuple[float, ...] = CENTRE
    level: float = CENTRE_IOU
    source: tuple[int, ...] = ()  # channels of the blocks of the weights that are inherited
    samples: int = 0
    error: float | None = None  # mean absolute error, each sample left out in turn
    mean_error: float | None = None  # that of the mean of the others, for comparison
    tau: float | None = None  # rank correlation of the same predictions

    def predict(self, design: Design) -> float:
        """The IoU expected of a design's network and precision."""
        found = self.of_features(features(design.network, self.source))
        return found - bit_loss(design.weight_bits, design.feature_bits)

    def of_features(self, values: Sequence[float]) -> float:
        """The same before bits are counted."""
        terms = zip(self.coefficients, values, self.centre, strict=True)
        return self.level + sum(c * (value - middle) for c, value, middle in terms)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def of_record(record: Mapping[str, Any]) -> QualityModel:
        """The inverse of :meth:`record`."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
        }
        return QualityModel(**values)


def features(network: Network, source: Sequence[int] = ()) -> tuple[float, ...]:
    """The values of FEATURES.

    Products of a frame, weights, layers with weights, the share of the products in the last
    resolution, channels in front of the head, how much is kept of the source of the weights.
    """
    layers = network.compute_layers
    last = network.output
    body = [layer for layer in layers if layer is not last]
    total = sum(layer.macs for layer in body) or 1
    late = sum(layer.macs for layer in body if layer.out_height == last.out_height)
    weights = sum(math.prod(layer.weight_shape) for layer in layers)
    return (
        math.log2(total),
        math.log2(max(1, weights)),
        float(len(body)),
        late / total,
        math.log2(last.in_channels),
        max(KEPT_LEAST, kept_channels(network, source)),
    )


def bit_loss(weight_bits: int, feature_bits: int) -> float:
    """IoU lost to quantisation; it halves with every bit."""
    return WEIGHT_LOSS * 2.0 ** (4 - weight_bits) + FEATURE_LOSS * 2.0 ** (4 - feature_bits)


def fit_quality(
    samples: Sequence[tuple[Network, float]], source: tuple[int, ...] = ()
) -> QualityModel:
    """Fitted to networks trained in float and their IoU; the prior where there are none.

    With three samples or more the error and the rank correlation of leave-one-out are told.
    """
    if not samples:
        return QualityModel(source=source)
    values = np.array([features(network, source) for network, _ in samples])
    ious = np.array([iou for _, iou in samples])
    model = replace(_fit(values, ious), source=source)
    if len(samples) < 3:
        return model
    predicted, means = [], []
    for index in range(len(samples)):
        rest = np.arange(len(samples)) != index
        predicted.append(_fit(values[rest], ious[rest]).of_features(values[index]))
        means.append(ious[rest].mean())
    return replace(
        model,
        error=float(np.abs(np.array(predicted) - ious).mean()),
        mean_error=float(np.abs(np.array(means) - ious).mean()),
        tau=kendall_tau(predicted, list(ious)),
    )


def _fit(values: NDArray[np.float64], ious: NDArray[np.float64]) -> QualityModel:
    """The least squares of what the prior leaves, with a penalty on moving away from it."""
    centre = values.mean(axis=0)
    spread = np.maximum(values.std(axis=0), SPREAD)
    scaled = (values - centre) / spread
    level = float(ious.mean())
    prior = np.array(PRIOR)
    rest = ious - level - (values - centre) @ prior
    count = scaled.shape[1]
    moved = np.linalg.solve(scaled.T @ scaled + RIDGE * count * np.eye(count), scaled.T @ rest)
    coefficients = prior + moved / spread
    return QualityModel(
        tuple(map(float, coefficients)), tuple(map(float, centre)), level, samples=len(ious)
    )


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's rank correlation tau-b: 1 where both order alike, -1 where reversed."""
    agree = ties_first = ties_second = pairs = 0
    for i in range(len(first)):
        for j in range(i):
            a = np.sign(first[i] - first[j])
            b = np.sign(second[i] - second[j])
            agree += int(a * b)
            ties_first += int(a == 0)
            ties_second += int(b == 0)
            pairs += 1
    scale = math.sqrt((pairs - ties_first) * (pairs - ties_second))
    return agree / scale if scale else 0.0
