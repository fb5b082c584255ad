"""Seeded augmentation: mirror, colour, scale and shift, the box moving with the picture.

A view is a function of (seed, view, image index) alone, whatever the order or the number of threads
that make it. The finished picture has the network's size; how pixels are picked is a choice, the
nearest one by default, as ``model.image.resize_nearest`` does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.detection import Box
from model.errors import TandemError

FILTERS = ("nearest", "bilinear", "area")
VISIBLE = 0.75  # share of the box's area that must stay in the picture
ATTEMPTS = 8
_LUMA = np.array((0.299, 0.587, 0.114))
_TO_YIQ = np.array(((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)))
_FROM_YIQ = np.linalg.inv(_TO_YIQ)

Picture = NDArray[np.uint8]
Crop = tuple[float, float, float, float]  # left, top, width, height in pixels; may stand out


@dataclass(frozen=True)
class Augmentation:
    """How far views may differ from the picture."""

    flip: bool = True  # mirror left and right, half of the views
    brightness: float = 0.2  # largest change, share
    contrast: float = 0.2  # largest change, share
    saturation: float = 0.2  # largest change, share
    hue: float = 0.02  # largest turn, share of the circle
    scale_low: float = 0.8  # smallest zoom; below 1 the edge pixels are repeated outwards
    scale_high: float = 1.25  # largest zoom
    shift: float = 0.1  # largest, share of the side

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, bool) and not 0 <= value < 100:
                raise TandemError(f"augmentation: {item.name} = {value} must lie from 0 to 100")
        if not 0 < self.scale_low <= self.scale_high:
            raise TandemError(
                f"augmentation: scale_low = {self.scale_low} must be above 0 and not above "
                f"scale_high = {self.scale_high}"
            )


def view(
    picture: Picture,
    box: Box,
    size: tuple[int, int],
    augmentation: Augmentation,
    key: tuple[int, int, int],
    resample: str = "nearest",
) -> tuple[Picture, Box]:
    """A changed picture, uint8 (3, height, width), and its box in shares.

    ``picture`` is uint8 (rows, columns, 3), ``box`` in shares of it, ``size`` (height, width),
    ``key`` (seed, view, image index).
    """
    rng = np.random.default_rng(key)
    crop = _crop(box, picture.shape[1], picture.shape[0], augmentation, rng)
    found = cut(picture, crop, size, resample)
    moved = _moved(box, crop, picture.shape[1], picture.shape[0])
    if augmentation.flip and rng.random() < 0.5:
        found = found[:, :, ::-1]
        moved = (1 - moved[2], moved[1], 1 - moved[0], moved[3])
    return _recolour(found, augmentation, rng), moved


def plain(picture: Picture, size: tuple[int, int], resample: str = "nearest") -> Picture:
    """The whole picture (rows, columns, 3) at a network's size, uint8 (3, height, width)."""
    rows, cols = picture.shape[:2]
    return cut(picture, (0.0, 0.0, float(cols), float(rows)), size, resample)


def cut(picture: Picture, crop: Crop, size: tuple[int, int], resample: str) -> Picture:
    """Part of a picture at a size, uint8 (3, height, width); beyond its edge the edge repeats."""
    if resample not in FILTERS:
        raise TandemError(f'resample = "{resample}" must be one of {", ".join(FILTERS)}')
    height, width = size
    left, top, wide, high = crop
    if resample == "nearest":
        rows = _nearest(top, high, height, picture.shape[0])
        cols = _nearest(left, wide, width, picture.shape[1])
        return np.ascontiguousarray(picture[rows[:, None], cols[None, :]].transpose(2, 0, 1))
    return _smooth_cut(picture, crop, size, resample)


def _nearest(start: float, length: float, count: int, limit: int) -> NDArray[np.int64]:
    """The source pixel under the centre of each target pixel."""
    place = np.floor(start + (2 * np.arange(count) + 1) * length / (2 * count)).astype(np.int64)
    return np.clip(place, 0, limit - 1)


def _smooth_cut(picture: Picture, crop: Crop, size: tuple[int, int], resample: str) -> Picture:
    left, top, wide, high = crop
    rows, cols = picture.shape[:2]
    before = [max(0, int(np.ceil(-value))) for value in (top, left)]
    after = [max(0, int(np.ceil(v))) for v in (top + high - rows, left + wide - cols)]
    if any((*before, *after)):
        edges = ((before[0], after[0]), (before[1], after[1]), (0, 0))
        picture = np.pad(picture, edges, mode="edge")
    left, top = left + before[1], top + before[0]
    window = (left, top, left + wide, top + high)
    how = {"bilinear": Image.Resampling.BILINEAR, "area": Image.Resampling.BOX}[resample]
    done = Image.fromarray(picture).resize((size[1], size[0]), how, box=window)
    return np.ascontiguousarray(np.asarray(done, dtype=np.uint8).transpose(2, 0, 1))


def _crop(
    box: Box, width: int, height: int, augmentation: Augmentation, rng: np.random.Generator
) -> Crop:
    """The part of the picture to show: the first drawn that keeps most of the box, else all."""
    low, high = np.log(augmentation.scale_low), np.log(augmentation.scale_high)
    for _ in range(ATTEMPTS):
        zoom = float(np.exp(rng.uniform(low, high)))
        dx, dy = rng.uniform(-augmentation.shift, augmentation.shift, 2)
        wide, tall = width / zoom, height / zoom
        crop = ((width - wide) / 2 + dx * width, (height - tall) / 2 + dy * height, wide, tall)
        if _visible(box, crop, width, height) >= VISIBLE:
            return crop
    return 0.0, 0.0, float(width), float(height)


def _visible(box: Box, crop: Crop, width: int, height: int) -> float:
    """Share of the box's area inside a crop."""
    whole = _shares(box, crop, width, height)
    area = (whole[2] - whole[0]) * (whole[3] - whole[1])
    xmin, ymin, xmax, ymax = (min(max(value, 0.0), 1.0) for value in whole)
    return (xmax - xmin) * (ymax - ymin) / area if area > 0 else 0.0


def _moved(box: Box, crop: Crop, width: int, height: int) -> Box:
    xmin, ymin, xmax, ymax = (min(max(v, 0.0), 1.0) for v in _shares(box, crop, width, height))
    return xmin, ymin, xmax, ymax


def _shares(box: Box, crop: Crop, width: int, height: int) -> Box:
    """A box in shares of a crop, not clipped."""
    left, top, wide, high = crop
    return (
        (box[0] * width - left) / wide,
        (box[1] * height - top) / high,
        (box[2] * width - left) / wide,
        (box[3] * height - top) / high,
    )


def _recolour(picture: Picture, augmentation: Augmentation, rng: np.random.Generator) -> Picture:
    """Hue, saturation, contrast and brightness, in that order, as one affine map of the colours."""
    turn = 2 * np.pi * rng.uniform(-augmentation.hue, augmentation.hue)
    saturation, contrast, brightness = (
        1 + rng.uniform(-limit, limit)
        for limit in (augmentation.saturation, augmentation.contrast, augmentation.brightness)
    )
    limits = (augmentation.hue, augmentation.saturation, augmentation.contrast)
    if not any((*limits, augmentation.brightness)):
        return np.ascontiguousarray(picture)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array(((1, 0, 0), (0, cos, -sin), (0, sin, cos)))
    matrix: NDArray[Any] = _FROM_YIQ @ rotation @ _TO_YIQ
    grey = np.outer(np.ones(3), _LUMA)
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) @ matrix
    flat = picture.reshape(3, -1)
    mean = float(_LUMA @ flat[:, ::16].mean(axis=1))
    gain = (brightness * contrast * matrix).astype(np.float32)
    values = gain @ flat.astype(np.float32)
    values += np.float32(brightness * (1 - contrast) * mean + 0.5)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8).reshape(picture.shape)
