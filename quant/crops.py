"""Crops of the training images: the object and its surroundings, for a fraction of the work.

An object fills less than one per cent of an aerial image, so most of a whole image teaches little.
A batch of images becomes a batch of crops: one that holds the object's centre, and others of the
same image, preferably where the teacher takes something else for an object. A crop begins on a
cell, so that the teacher's values for the whole image hold for it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.detection import BOX_CHANNELS
from model.errors import TandemError
from model.network import Network
from quant.batches import Batch

TEACHER_SHARE = 0.6  # of the other crops that lie where the teacher sees something
TEACHER_SPREAD = 1.5  # of the Gumbel noise that chooses among these places
OBJECT_REACH = 3  # cells around the object's centre that are no other place


@dataclass(frozen=True)
class Cropping:
    """How crops are cut; sizes in cells of the head."""

    size: int  # sides of a crop
    others: int  # crops without the object, an image
    border: int  # cells at a crop's edge that see beyond it
    stride: int  # pixels a cell
    width: int  # of the whole image
    height: int

    def cut(self, batch: Batch, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Crops (B * M, 3, h, w), M = 1 + others, and each one's column and row (B, M, 2)."""
        boxes = batch.boxes.numpy() * np.array([self.width, self.height] * 2)
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.int64)
        teacher = None if batch.teacher is None else batch.teacher.float().numpy()
        origins = np.array([
            [self._place(index, other, centres, teacher, rng) for other in range(1 + self.others)]
            for index in range(len(boxes))
        ])  # fmt: skip
        stem = torch.stack([
            _window(batch.stem[index], origin, self.size, self.stride)
            for index, row in enumerate(origins)
            for origin in row
        ])  # fmt: skip
        taught = None
        if batch.teacher is not None:
            taught = torch.stack([
                _window(batch.teacher[index], origin, self.size, 1)
                for index, row in enumerate(origins)
                for origin in row
            ])  # fmt: skip
        return Batch(stem, batch.boxes, taught), torch.from_numpy(origins)

    def _place(
        self,
        index: int,
        other: int,
        centres: NDArray[np.int64],
        teacher: NDArray[np.float32] | None,
        rng: np.random.Generator,
    ) -> tuple[int, int]:
        column, row = centres[index]
        if other:
            column, row = self._elsewhere(
                column, row, None if teacher is None else teacher[index], rng
            )
        return (
            self._begin(column, self.width, rng),
            self._begin(row, self.height, rng),
        )

    def _elsewhere(
        self, column: int, row: int, teacher: NDArray[np.float32] | None, rng: np.random.Generator
    ) -> tuple[int, int]:
        """A cell away from the object where the teacher is deceived, or any cell."""
        if teacher is None or rng.random() >= TEACHER_SHARE:
            return int(rng.integers(self.width)), int(rng.integers(self.height))
        sure = teacher[BOX_CHANNELS - 1 :: BOX_CHANNELS].max(axis=0)
        sure = sure + TEACHER_SPREAD * rng.gumbel(size=sure.shape)
        reach = OBJECT_REACH
        sure[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ] = -np.inf
        place = np.unravel_index(int(np.argmax(sure)), sure.shape)
        return int(place[1]), int(place[0])

    def _begin(self, cell: int, whole: int, rng: np.random.Generator) -> int:
        """Where a crop begins that holds the cell inside its border, as far as the image allows."""
        first = cell - int(rng.integers(self.border, self.size - self.border))
        return int(np.clip(first, 0, whole - self.size))


def make_cropping(network: Network, size: int, others: int, border: int) -> Cropping:
    """The crops of a network. TandemError where the size does not suit it."""
    out = network.output
    stride = network.height // out.out_height
    if out.out_height * stride != network.height or out.out_width * stride != network.width:
        raise TandemError(
            f"settings: data.crop = {size}: the head's {out.out_height} x {out.out_width} cells do "
            f"not divide the input of {network.height} x {network.width}: set data.crop = 0"
        )
    if not 2 * border < size <= min(out.out_height, out.out_width):
        raise TandemError(
            f"settings: data.crop = {size}: must be above twice data.crop_border = {border} and at "
            f"most {min(out.out_height, out.out_width)}, the smaller side of the head's map"
        )
    return Cropping(size, others, border, stride, out.out_width, out.out_height)


def _window(values: Tensor, origin: NDArray[np.int64], size: int, stride: int) -> Tensor:
    column, row = (int(start) * stride for start in origin)
    side = size * stride
    return values[:, row : row + side, column : column + side]
