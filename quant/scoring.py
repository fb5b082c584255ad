"""The score of a float or quantised network: mean IoU of the single most confident box an image.

Each box is clipped to its image and rounded to whole pixels, max exclusive, as
``model.detection`` does at the integer level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.detection import PixelBox, decode, iou, to_pixels
from quant.batches import PLAIN, Batch, from_record, picture_batches, split, to_record
from quant.feature_cache import FeatureCache
from quant.pictures import Labelled
from quant.train_log import bar
from quant.trainee import Trainee

Groups = Sequence[NDArray[Any]]  # numbers of images, by batch


@dataclass(frozen=True)
class Scorer:
    """Scores a network on labelled images, from a cache of what its frozen layers make of them."""

    pictures: Labelled
    batch_size: int
    workers: int
    cache: FeatureCache | None

    def score(self, trainee: Trainee) -> tuple[float, dict[str, PixelBox]]:
        """Mean IoU and the box of each image by name. The network must be in inference mode."""
        boxes: dict[str, PixelBox] = {}
        total = 0.0
        samples = self.pictures.data.samples
        groups = split(np.arange(len(samples)), self.batch_size)
        with torch.no_grad():
            for group, batch in zip(groups, self._batches(trainee, groups), strict=True):
                values = trainee.head(batch.stem).double().cpu().numpy()
                for index, head in zip(group, values, strict=True):
                    sample = samples[int(index)]
                    found = decode(head, trainee.anchors).box
                    box = to_pixels(found, sample.width, sample.height)
                    boxes[sample.name] = box
                    total += iou(box, sample.box)
        return total / len(samples), boxes

    def _batches(self, trainee: Trainee, groups: Groups) -> Iterator[Batch]:
        if self.cache is None:
            return self._made(trainee, groups)
        records = self.cache.open(0)
        if records is None:
            made = bar(self._made(trainee, groups), len(groups), "validation images to the cache")
            records = self.cache.write(0, (to_record(batch) for batch in made))
        return (from_record(records[group]) for group in groups)

    def _made(self, trainee: Trainee, groups: Groups) -> Iterator[Batch]:
        for images, boxes in picture_batches(self.pictures, groups, PLAIN, self.workers):
            yield Batch(trainee.stem(images), boxes, None)
