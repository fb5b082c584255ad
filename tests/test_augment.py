"""Augmentation: what a view depends on, and that the box moves with the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.errors import TandemError
from model.image import resize_nearest
from quant.augment import FILTERS, VISIBLE, Augmentation, cut, plain, view

SIZE = (40, 80)  # height, width of the network
STILL = Augmentation(
    flip=False, brightness=0, contrast=0, saturation=0, hue=0, scale_low=1, scale_high=1, shift=0
)
BOX = (0.4, 0.3, 0.6, 0.7)


@pytest.fixture(scope="module")
def marked() -> Any:
    """Grey with a white object in the box."""
    found = np.full((120, 200, 3), 100, np.uint8)
    found[36:84, 80:120] = 255
    return found


def white_box(picture: Any) -> tuple[float, ...]:
    """The box of the bright part, in shares."""
    bright = picture.astype(int).min(axis=0) > picture.min() + 60
    rows, cols = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    height, width = picture.shape[1:]
    return cols[0] / width, rows[0] / height, (cols[-1] + 1) / width, (rows[-1] + 1) / height


def test_without_changes_a_view_is_the_nearest_neighbour_resize(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (37, 91, 3), dtype=np.uint8)
    wanted = resize_nearest(picture.transpose(2, 0, 1), *SIZE)
    assert np.array_equal(plain(picture, SIZE), wanted)
    found, box = view(picture, BOX, SIZE, STILL, (1, 2, 3))
    assert np.array_equal(found, wanted)
    assert box == pytest.approx(BOX)


def test_a_view_depends_on_its_key_alone(marked: Any) -> None:
    first, box = view(marked, BOX, SIZE, Augmentation(), (1, 2, 3))
    again, same = view(marked.copy(), BOX, SIZE, Augmentation(), (1, 2, 3))
    assert np.array_equal(first, again)
    assert box == same
    for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not np.array_equal(view(marked, BOX, SIZE, Augmentation(), key)[0], first)


def test_a_view_is_as_a_network_takes_it(marked: Any) -> None:
    before = marked.copy()
    found, _ = view(marked, BOX, SIZE, Augmentation(), (1, 0, 0))
    assert found.shape == (3, *SIZE)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(marked, before)


@pytest.mark.parametrize("resample", FILTERS)
def test_the_box_moves_with_the_object(marked: Any, resample: str) -> None:
    strong = Augmentation(scale_low=0.6, scale_high=2, shift=0.3, brightness=0.1, contrast=0.1)
    boxes = set()
    for number in range(60):
        found, box = view(marked, BOX, SIZE, strong, (7, number, 0), resample)
        pixel = max(1 / SIZE[0], 1 / SIZE[1])
        assert white_box(found) == pytest.approx(box, abs=1.2 * pixel)
        boxes.add(box)
    assert len(boxes) == 60


def test_half_of_the_views_are_mirrored() -> None:
    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, :, None], (40, 80, 3))
    flips = 0
    for number in range(200):
        only = Augmentation(
            flip=True, brightness=0, contrast=0, saturation=0, hue=0, scale_low=1, scale_high=1,
            shift=0,
        )  # fmt: skip
        found, box = view(ramp, (0.1, 0.2, 0.3, 0.4), SIZE, only, (1, number, 0))
        mirrored = found[0, 0, 0] > found[0, 0, -1]
        assert box == pytest.approx((0.7, 0.2, 0.9, 0.4) if mirrored else (0.1, 0.2, 0.3, 0.4))
        flips += mirrored
    assert 70 < flips < 130


def test_most_of_the_object_stays_in_the_picture() -> None:
    corner = (0.0, 0.0, 0.1, 0.1)
    picture = np.zeros((100, 100, 3), np.uint8)
    wild = Augmentation(flip=False, scale_low=1, scale_high=3, shift=0.5)
    for number in range(100):
        _, box = view(picture, corner, (100, 100), wild, (1, number, 0))
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1
        zoom = max(1.0, (box[2] - box[0]) / 0.1)
        assert (box[2] - box[0]) * (box[3] - box[1]) > 0.9 * VISIBLE * 0.01 * min(zoom, 1.0)


def test_beyond_the_edge_the_edge_repeats() -> None:
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:, -1] = 200
    for resample in FILTERS:
        found = cut(picture, (5.0, 0.0, 10.0, 10.0), (10, 10), resample)
        assert (found[:, :, 5:] == 200).all()


def test_colours_change_only_as_far_as_told(rng: np.random.Generator) -> None:
    picture = rng.integers(60, 180, (40, 80, 3), dtype=np.uint8)
    bright = Augmentation(False, 0.2, 0, 0, 0, 1, 1, 0)
    ratios = []
    for number in range(40):
        found, _ = view(picture, BOX, SIZE, bright, (1, number, 0))
        ratios.append(found.mean() / picture.mean())
    assert 0.79 < min(ratios) < 0.87
    assert 1.13 < max(ratios) < 1.21
    grey = np.repeat(picture[:, :, :1], 3, axis=2)
    found, _ = view(grey, BOX, SIZE, Augmentation(False, 0, 0, 0.5, 0.2, 1, 1, 0), (1, 5, 0))
    assert np.abs(found.astype(int) - grey.transpose(2, 0, 1)).max() <= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale_low": 0}, "scale_low"),
        ({"scale_low": 2.0}, "scale_high"),
        ({"shift": -0.1}, "shift"),
        ({"hue": float("nan")}, "hue"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(TandemError, match=words):
        Augmentation(**change)


def test_an_unknown_filter_is_refused(marked: Any) -> None:
    with pytest.raises(TandemError, match="nearest, bilinear, area"):
        plain(marked, SIZE, "cubic")
