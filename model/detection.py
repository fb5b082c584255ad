"""Boxes: from the head's values to the one box of an image, and how well it fits.

The head has five channels an anchor, (tx, ty, tw, th, conf), anchor after anchor, as in YOLOv2
(Redmon and Farhadi, CVPR 2017, section 2). The answer is the single most confident box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import TandemError
from model.network import Network

BOX_CHANNELS = 5  # tx, ty, tw, th, conf
LOG_SIZE_MAX = 8.0  # exp of it is some 3000 anchors: wider than any image
# Width and height in cells of stride 8, of SkyNet as published.
SKYNET_ANCHORS = (
    (1.4940052559648322, 2.3598481287086823),
    (4.0113013115312155, 5.760873975661669),
)

Values = NDArray[np.float64]
Box = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax; shares of width and height
PixelBox = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels, max exclusive


@dataclass(frozen=True)
class BoxHead:
    """How the head's accumulators are read: value = accumulator * scale[c] + offset[c].

    This is done by the host in float64, so that the offset costs nothing in hardware.
    """

    scale: tuple[float, ...]  # one a channel
    offset: tuple[float, ...]  # one a channel
    anchors: tuple[tuple[float, float], ...] = SKYNET_ANCHORS  # (width, height) in cells

    def values(self, accumulators: NDArray[np.int64]) -> Values:
        """The head's real values, (C, H, W) float64, from its accumulators (C, H, W)."""
        scale, offset = (np.array(side)[:, None, None] for side in (self.scale, self.offset))
        found: Values = accumulators * scale + offset
        return found

    def detect(self, accumulators: NDArray[np.int64]) -> Detection:
        """The most confident box of the head's accumulators (C, H, W)."""
        return decode(self.values(accumulators), self.anchors)


@dataclass(frozen=True)
class Detection:
    """The single box of an image, in shares of its width and height, not yet clipped."""

    box: Box
    confidence: float  # sigmoid of the head's conf


def check_box_head(network: Network, anchors: Sequence[tuple[float, float]]) -> None:
    """Refuse a network whose head has not five channels for every anchor. TandemError."""
    found, wanted = network.output.out_channels, BOX_CHANNELS * len(anchors)
    if found != wanted:
        raise TandemError(
            f"network.head: {network.output.name} has {found} channels, a box head of "
            f"{len(anchors)} anchors needs {wanted} (tx, ty, tw, th, conf each): end the head "
            f'with "{network.output.token.partition(":")[0]}:{wanted}"'
        )


def decode(values: Values, anchors: Sequence[tuple[float, float]]) -> Detection:
    """The most confident box of a head's real values (5 * anchors, H, W).

    x = (sigmoid(tx) + column) / W, w = exp(tw) * anchor_w / W, likewise y and h; of equal
    confidences the first in (anchor, row, column) order is taken.
    """
    height, width = values.shape[1:]
    cells = values.reshape(len(anchors), BOX_CHANNELS, height, width)
    place = np.unravel_index(int(np.argmax(cells[:, 4])), (len(anchors), height, width))
    anchor, row, column = (int(index) for index in place)
    tx, ty, tw, th, conf = (float(value) for value in cells[anchor, :, row, column])
    x, y = (_sigmoid(tx) + column) / width, (_sigmoid(ty) + row) / height
    w = np.exp(min(tw, LOG_SIZE_MAX)) * anchors[anchor][0] / width
    h = np.exp(min(th, LOG_SIZE_MAX)) * anchors[anchor][1] / height
    box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    return Detection(tuple(map(float, box)), _sigmoid(conf))  # type: ignore[arg-type]


def clip(box: Box, width: int, height: int) -> Box:
    """A box in pixels of an image, clipped to it and not rounded."""
    sides = (width, height, width, height)
    xmin, ymin, xmax, ymax = (min(max(v, 0.0), 1.0) * s for v, s in zip(box, sides, strict=True))
    return xmin, ymin, xmax, ymax


def to_pixels(box: Box, width: int, height: int) -> PixelBox:
    """A box in whole pixels of an image: clipped to it, rounded half to even, max exclusive."""
    xmin, ymin, xmax, ymax = (int(np.rint(value)) for value in clip(box, width, height))
    return xmin, ymin, xmax, ymax


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax), max exclusive; 0 if empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = _area(a) + _area(b) - common
    return float(common / union) if union > 0 else 0.0


def mean_iou(pairs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Mean IoU over (found, true) boxes; 0 for none."""
    found = [iou(a, b) for a, b in pairs]
    return sum(found) / len(found) if found else 0.0


def _area(box: Sequence[float]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def _sigmoid(value: float) -> float:
    return float(0.5 * (1 + np.tanh(value / 2)))  # never overflows
