"""The loss of one box an image, decoding in PyTorch, and what a teacher's head adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.detection import BOX_CHANNELS, LOG_SIZE_MAX

Anchors = Sequence[tuple[float, float]]

PLACE_BETA, SIZE_BETA = 0.1, 0.2  # where the smooth L1 terms turn linear: cells, log of the size
EDGE = 0.02  # a cell's answer stays that far inside it: a sigmoid never reaches its ends
IGNORED = -1e4  # the confidence of cells that take no part


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of ``detection_loss``; the teacher's are used with a teacher only."""

    box: float = 2.0
    place: float = 0.0
    confidence: float = 1.0
    teacher_box: float = 0.5
    teacher_place: float = 0.0
    teacher_confidence: float = 1.0
    sharpness: float = 8.0  # how much of the target goes to the cells whose boxes fit best
    reach: float = 0.75  # cells around the box's centre that may answer, in cells


@dataclass(frozen=True)
class Cells:
    """Which cells of the whole image a head's values belong to, one entry a cell and anchor.

    A batch may hold whole images or several crops of each, flattened to N entries an image.
    """

    column: Tensor  # (B or 1, N) float
    row: Tensor  # (B or 1, N) float
    counts: Tensor  # (B or 1, N) bool: takes part in the loss
    log_anchor: Tensor  # (N, 2): log of width and height in cells
    width: int  # of the whole image, in cells
    height: int

    def boxes(self, flat: Tensor) -> Tensor:
        """(B, N, 5) values -> boxes (B, N, 4) in cells of the whole image."""
        x, y = torch.sigmoid(flat[..., 0]) + self.column, torch.sigmoid(flat[..., 1]) + self.row
        half = torch.exp(flat[..., 2:4].clamp(max=LOG_SIZE_MAX) + self.log_anchor) / 2
        return torch.stack(
            [x - half[..., 0], y - half[..., 1], x + half[..., 0], y + half[..., 1]], -1
        )

    @property
    def grid(self) -> Tensor:
        """What takes a box from shares of the image to cells, (4,)."""
        return self.column.new_tensor([self.width, self.height, self.width, self.height])


def whole_image(values: Tensor, anchors: Anchors) -> Cells:
    """The cells of a head (B, 5 * anchors, h, w) that saw whole images."""
    height, width = values.shape[2:]
    column = torch.arange(width, device=values.device, dtype=values.dtype)
    row = torch.arange(height, device=values.device, dtype=values.dtype)
    shape = (len(anchors), height, width)
    return Cells(
        column.expand(shape).reshape(1, -1),
        row[:, None].expand(shape).reshape(1, -1),
        torch.ones(1, len(anchors) * height * width, dtype=torch.bool, device=values.device),
        _log_anchors(values, anchors)[:, None].expand(-1, height * width, -1).reshape(-1, 2),
        width,
        height,
    )


def crop_cells(
    values: Tensor, anchors: Anchors, origin: Tensor, border: int, size: tuple[int, int]
) -> Cells:
    """The cells of a head (B * M, 5 * anchors, h, w) that saw M crops of each image.

    ``origin`` (B, M, 2) holds the column and row where a crop begins, ``size`` the width and height
    of the whole image, all in cells. ``border`` cells at the edge of a crop see beyond it, so they
    take no part, unless it is the image's edge too; of cells that lie in several crops the first
    crop's take part.
    """
    batch, crops, _ = origin.shape
    height, width = values.shape[2:]
    shape = (batch, crops, len(anchors), height, width)
    start = origin.to(values.dtype)[:, :, :, None, None, None]
    across = torch.arange(width, device=values.device)
    down = torch.arange(height, device=values.device)[:, None]
    column, row = start[:, :, 0] + across, start[:, :, 1] + down
    inner = (column == 0) | (column == size[0] - 1) | _inside(across, width, border)
    inner = inner & ((row == 0) | (row == size[1] - 1) | _inside(down, height, border))
    for later in range(1, crops):
        for first in range(later):
            left, top = (origin[:, first, side, None, None, None] for side in (0, 1))
            seen = _inside(column[:, later] - left, width, border)
            seen = seen & _inside(row[:, later] - top, height, border)
            inner[:, later] = inner[:, later] & ~seen
    log_anchor = _log_anchors(values, anchors)[None, :, None, None].expand(
        crops, -1, height, width, -1
    )
    return Cells(
        column.expand(shape).reshape(batch, -1),
        row.expand(shape).reshape(batch, -1),
        inner.expand(shape).reshape(batch, -1),
        log_anchor.reshape(-1, 2),
        size[0],
        size[1],
    )


def flatten(values: Tensor, anchors: Anchors, crops: int = 1) -> Tensor:
    """A head's values (B * crops, 5 * anchors, h, w) -> (B, crops * anchors * h * w, 5)."""
    found = values.unflatten(1, (len(anchors), BOX_CHANNELS)).permute(0, 1, 3, 4, 2)
    return found.reshape(len(values) // crops, -1, BOX_CHANNELS)


def decode_all(values: Tensor, anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Every box and confidence of the head's values (B, 5 * anchors, h, w).

    Returns boxes (B, anchors * h * w, 4), xmin, ymin, xmax, ymax in shares of the image, and
    confidence logits (B, anchors * h * w), both in (anchor, row, column) order.
    """
    cells, flat = whole_image(values, anchors), flatten(values, anchors)
    return cells.boxes(flat) / cells.grid, flat[..., 4]


def best_boxes(values: Tensor, anchors: Anchors) -> Tensor:
    """The most confident box of each image, (B, 4) in shares; agrees with ``detection.decode``."""
    boxes, confidence = decode_all(values, anchors)
    return boxes[torch.arange(len(boxes)), confidence.argmax(1)]


def box_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (..., 4) (Rezatofighi et al., CVPR 2019)."""
    common = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    hull = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - common
    union = union.clamp(min=1e-9)
    iou = common / union
    return iou, iou - (hull - union) / hull.clamp(min=1e-9)


def detection_loss(
    values: Tensor,
    truth: Tensor,
    anchors: Anchors,
    weights: LossWeights,
    teacher: Tensor | None = None,
    cells: Cells | None = None,
) -> dict[str, Tensor]:
    """The terms of the loss by name; their sum, weighted already, is ``total``.

    ``values`` (B, 5 * anchors, h, w) of the head, ``truth`` (B, 4) in shares of the image,
    ``teacher`` another head's values of the same shape; with ``cells`` of ``crop_cells`` the first
    side of both is B * crops. There is exactly one object, so the confidences of all cells and
    anchors are one softmax. Its target are the cells at the object's centre, in proportion to
    exp(sharpness * IoU) of what they answer now: the cell that fits best learns to speak up. Each
    is pulled to the true box in the same proportion (GIoU), and all of them alike to its place and
    size (smooth L1). The teacher's softmax is a target as well, and so are its boxes, in proportion
    to its softmax (GIoU) and to its confidence (place and size).
    """
    crops = len(values) // len(truth)
    if cells is None:
        cells = whole_image(values, anchors)
    flat = flatten(values, anchors, crops)
    truth = truth * cells.grid
    boxes = cells.boxes(flat)
    iou, giou = box_iou(boxes, truth[:, None].expand_as(boxes))
    near = _near(truth, cells, weights.reach)
    target = _shares(near * torch.exp(weights.sharpness * iou.detach()))
    log_share = flat[..., 4].masked_fill(~cells.counts, IGNORED).log_softmax(1)
    terms = {
        "confidence": -weights.confidence * (target * log_share).sum(1).mean(),
        "box": weights.box * (target * (1 - giou)).sum(1).mean(),
    }
    if weights.place:
        distance = _distance(flat, *_wanted(truth, cells))
        terms["place"] = weights.place * (_shares(near.to(iou.dtype)) * distance).sum(1).mean()
    if teacher is not None:
        theirs = flatten(teacher, anchors, crops)
        share = theirs[..., 4].masked_fill(~cells.counts, IGNORED).softmax(1)
        _, their_giou = box_iou(boxes, cells.boxes(theirs))
        terms["teacher_confidence"] = (
            -weights.teacher_confidence * (share * log_share).sum(1).mean()
        )
        terms["teacher_box"] = weights.teacher_box * (share * (1 - their_giou)).sum(1).mean()
        if weights.teacher_place:
            sure = torch.sigmoid(theirs[..., 4]) * cells.counts
            distance = _distance(flat, torch.sigmoid(theirs[..., :2]), theirs[..., 2:4])
            terms["teacher_place"] = weights.teacher_place * (sure * distance).sum(1).mean()
    return {**terms, "total": torch.stack(list(terms.values())).sum()}


def _near(truth: Tensor, cells: Cells, reach: float) -> Tensor:
    """Which cells may answer for the object, (B, N) bool; truth (B, 4) in cells.

    A centre on the edge of the image still has a cell within half a cell of it, both ways.
    """
    x, y = ((truth[:, side] + truth[:, side + 2])[:, None] / 2 for side in (0, 1))
    across = (cells.column + 0.5 - x).abs() <= reach
    return across & ((cells.row + 0.5 - y).abs() <= reach) & cells.counts


def _wanted(truth: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """What each cell would have to answer: place in it (B, N, 2) and log of size to anchor."""
    centre = (truth[:, None, :2] + truth[:, None, 2:]) / 2
    place = centre - torch.stack([cells.column, cells.row], -1)
    size = torch.log((truth[:, None, 2:] - truth[:, None, :2]).clamp(min=0.05))
    return place.clamp(EDGE, 1 - EDGE), size - cells.log_anchor


def _distance(flat: Tensor, place: Tensor, size: Tensor) -> Tensor:
    """Smooth L1 of each cell's answer to a place and a size, (B, N); places count twice."""
    found = torch.sigmoid(flat[..., :2])
    apart = F.smooth_l1_loss(found, place.expand_as(found), beta=PLACE_BETA, reduction="none")
    scale = flat[..., 2:4]
    other = F.smooth_l1_loss(scale, size.expand_as(scale), beta=SIZE_BETA, reduction="none")
    return 2 * apart.sum(-1) + other.sum(-1)


def _shares(weights: Tensor) -> Tensor:
    """Rows scaled to a sum of 1; rows of zeros stay so."""
    found: Tensor = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    return found


def _inside(index: Tensor, size: int, border: int) -> Tensor:
    return (index >= border) & (index < size - border)


def _log_anchors(values: Tensor, anchors: Anchors) -> Tensor:
    return torch.tensor(anchors, device=values.device, dtype=values.dtype).log()


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)
