"""A labelled image: where it is, its box, and how its file is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.detection import Box

PIXELS_MAX = 1 << 26  # of one image; beyond it memory is at stake
IMAGE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError, KeyError,
                IndexError, TypeError, Image.DecompressionBombError)  # fmt: skip
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP")  # read in this process, by no other tool

Picture = NDArray[np.uint8]  # (height, width, 3), RGB


@dataclass(frozen=True)
class Sample:
    """An image and its box."""

    name: str  # as the annotations write it
    path: Path
    width: int
    height: int
    box: Box  # pixels of the image, max exclusive
    label: str = ""
    scene: str | None = None  # images of one scene are never split; None: not told

    @property
    def shares(self) -> Box:
        """The box in shares of width and height."""
        sides = (self.width, self.height, self.width, self.height)
        xmin, ymin, xmax, ymax = (v / s for v, s in zip(self.box, sides, strict=True))
        return xmin, ymin, xmax, ymax


def decode(path: Path) -> Picture:
    """An image file as uint8 (height, width, 3), RGB, as stored: no rotation is applied.

    One of ``IMAGE_ERRORS`` where it is not a whole image or larger than ``PIXELS_MAX``.
    """
    with Image.open(path, formats=FORMATS) as picture:
        if picture.width * picture.height > PIXELS_MAX:
            raise ValueError(f"{picture.width} x {picture.height} pixels are more than this reads")
        found: Picture = np.array(picture.convert("RGB"), dtype=np.uint8)
    found.flags.writeable = False
    return found
