"""Images: scenes, random ones and those read from files, as unsigned F-bit feature maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.errors import TandemError
from model.functional import check_image
from model.integer_network import Integers
from model.network_file import ARRAY_ERRORS, read_arrays
from model.scene import draw_scene

_COARSE = 8  # a random image is smooth over blocks of about this many pixels


def random_image(design: Design, rng: np.random.Generator) -> Integers:
    """A smooth random picture with noise over the whole range, (channels, height, width)."""
    net = design.network
    rows, cols = net.height // _COARSE + 2, net.width // _COARSE + 2
    coarse = rng.random((net.channels, rows, cols))
    smooth = _interpolate(_interpolate(coarse, net.height, axis=1), net.width, axis=2)
    noisy = smooth * 1.2 - 0.1 + rng.normal(0, 0.08, smooth.shape)
    image = np.clip(np.rint(noisy * design.feature_max), 0, design.feature_max)
    return image.astype(np.int64)


def scene_image(design: Design, seed: int, index: int) -> Integers:
    """Synthetic scene ``index`` of a seed at the network's size; the design has 3 channels."""
    picture = draw_scene(seed, index, design.network.height, design.network.width).image
    return from_pixels(picture.transpose(2, 0, 1), design)


def from_pixels(pixels: NDArray[np.uint8], design: Design) -> Integers:
    """Pixels from 0 to 255 as a network takes them: the highest F bits of each, int64."""
    return _to_feature_bits(pixels.astype(np.int64), 255, design)


def load_image(path: str | Path, design: Design, resize: bool = False) -> Integers:
    """Read an image for a design, int64 (channels, height, width), 0 to 2^F - 1.

    ``.npy`` and ``.npz`` (one array, or the one named ``image``) hold (channels, height, width) as
    it is. PGM and PPM (P5, P6) are read here, PNG and JPEG by Pillow where installed; their samples
    are shifted right until the format's largest fits F bits. ``resize`` takes the nearest pixel of
    each target position. TandemError names the file and what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise TandemError(f"{path}: there is no such image")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        image = _read_array(path)
    elif suffix in (".ppm", ".pgm", ".pnm"):
        image = _to_feature_bits(*_read_netpbm(path), design)
    elif suffix in (".png", ".jpg", ".jpeg"):
        image = _to_feature_bits(_read_with_pillow(path, design), 255, design)
    else:
        raise TandemError(
            f"{path}: images are read from .npy, .npz, .ppm, .pgm, .png, .jpg files, "
            f'not from "{suffix}"'
        )
    if resize and image.ndim == 3 and image.size:
        image = resize_nearest(image, design.network.height, design.network.width)
    check_image(design, image, str(path))
    return image.astype(np.int64)


def resize_nearest(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The pixel nearest to the centre of each target pixel, (C, H, W) -> (C, height, width)."""
    rows = (2 * np.arange(height) + 1) * image.shape[1] // (2 * height)
    cols = (2 * np.arange(width) + 1) * image.shape[2] // (2 * width)
    return image[:, rows[:, None], cols[None, :]]


def _interpolate(values: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    position = np.arange(size) / _COARSE
    low = position.astype(np.int64)
    shape = [1] * values.ndim
    shape[axis] = size
    weight = (position - low).reshape(shape)
    return np.take(values, low, axis) * (1 - weight) + np.take(values, low + 1, axis) * weight


def _read_array(path: Path) -> NDArray[Any]:
    try:
        arrays = read_arrays(path)
    except ARRAY_ERRORS as error:
        raise TandemError(
            f"{path}: not a readable NumPy file, it may be truncated: {error}"
        ) from error
    if "image" in arrays:
        return arrays["image"]
    if len(arrays) != 1:
        raise TandemError(f'{path}: holds {len(arrays)} arrays, name one of them "image"')
    return next(iter(arrays.values()))


def _read_netpbm(path: Path) -> tuple[NDArray[Any], int]:
    """Samples (channels, height, width) of a binary PGM or PPM file, and its largest value."""
    data = path.read_bytes()
    channels = {b"P5": 1, b"P6": 3}.get(data[:2])
    if channels is None:
        raise TandemError(f"{path}: not a binary PGM or PPM file (P5 or P6)")
    fields, start = _netpbm_header(data)
    if len(fields) != 3 or not all(0 < value < 65536 for value in fields):
        raise TandemError(f"{path}: the header must give width, height and largest value")
    width, height, largest = fields
    sample = np.dtype(">u2" if largest > 255 else "u1")
    count = width * height * channels
    if len(data) - start < count * sample.itemsize:
        raise TandemError(
            f"{path}: truncated: {len(data) - start} bytes of samples, "
            f"{width} x {height} pixels need {count * sample.itemsize}"
        )
    values = np.frombuffer(data, sample, count, start)
    return values.reshape(height, width, channels).transpose(2, 0, 1).astype(np.int64), largest


def _netpbm_header(data: bytes) -> tuple[list[int], int]:
    """The three numbers after the magic and where the samples start; fewer where it is damaged."""
    fields: list[int] = []
    position = 2
    while len(fields) < 3 and position < len(data):
        byte = data[position : position + 1]
        if byte == b"#":
            end = data.find(b"\n", position)
            position = len(data) if end < 0 else end + 1
        elif byte.isspace():
            position += 1
        elif byte.isdigit():
            end = position
            while data[end : end + 1].isdigit() and end - position < 9:
                end += 1
            fields.append(int(data[position:end]))
            position = end
        else:
            break
    return fields, position + 1  # one white-space byte ends the header


def _read_with_pillow(path: Path, design: Design) -> NDArray[Any]:
    try:
        from PIL import Image  # noqa: PLC0415  (optional, slow)
    except ImportError as error:
        raise TandemError(
            f"{path}: reading this format needs Pillow (pip install pillow), or convert it to PPM"
        ) from error
    modes = {1: "L", 3: "RGB"}
    if design.network.channels not in modes:
        raise TandemError(
            f"{path}: a picture has 1 or 3 channels, design {design.name} takes "
            f"{design.network.channels}: give an .npy file"
        )
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            values = np.asarray(picture.convert(modes[design.network.channels]), dtype=np.int64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TandemError(
            f"{path}: not a readable picture, it may be truncated: {error}"
        ) from error
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def _to_feature_bits(values: Integers, largest: int, design: Design) -> Integers:
    return values >> max(0, largest.bit_length() - design.feature_bits)
