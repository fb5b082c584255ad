"""Labelled images at a network's input size, in as many augmented views as asked for."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quant.augment import plain
from quant.augment import view as augmented
from quant.batches import PLAIN, BoxShare, Image
from quant.dataset import Dataset
from quant.settings import DataSettings


@dataclass(frozen=True)
class Labelled:
    """A data set as training sees it."""

    data: Dataset
    size: tuple[int, int]  # height, width
    settings: DataSettings
    seed: int

    def __len__(self) -> int:
        return len(self.data)

    def view(self, index: int, view: int) -> tuple[Image, BoxShare]:
        """(3, H, W) uint8 and the box in shares of the sides: a function of seed, index, view."""
        picture = self.data.image(index)
        box = self.data.samples[index].shares
        if view == PLAIN:
            found = plain(picture, self.size)
        else:
            key = (self.seed, view, index)
            found, box = augmented(picture, box, self.size, self.settings.augmentation, key)
        return found, np.array(box, np.float32)

    def facts(self) -> dict[str, Any]:
        """What decides the views besides the images, as JSON holds it."""
        return {"seed": self.seed, **asdict(self.settings.augmentation)}


def data_digest(data: Dataset, files: bool = False) -> str:
    """Of names, sizes and boxes; with ``files`` also of the files' sizes and times."""
    rows: list[Any] = [[s.name, s.width, s.height, list(s.box)] for s in data.samples]
    if files:
        for row, sample in zip(rows, data.samples, strict=True):
            row.append(str(sample.path))  # of a generated scene it holds the seed
            if sample.path.is_file():
                stat = sample.path.stat()
                row += [stat.st_size, stat.st_mtime_ns]
    return f"{len(rows)} images, {zlib.crc32(json.dumps(rows).encode()):08x}"
