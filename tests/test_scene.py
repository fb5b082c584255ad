"""Synthetic scenes: a function of their numbers, one small object, a box that fits it."""

from __future__ import annotations

import numpy as np
import pytest

from model.detection import iou
from model.scene import AREA_RANGE, LAND_KINDS, Scene, draw_scene
from model.scene_canvas import Canvas, inside, oval_distance

SIZE = (160, 360)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(1, index, *SIZE) for index in range(60)]


def test_a_scene_is_a_function_of_its_numbers(scenes: list[Scene]) -> None:
    again = draw_scene(1, 7, *SIZE)
    assert np.array_equal(again.image, scenes[7].image)
    assert (again.box, again.kind) == (scenes[7].box, scenes[7].kind)
    for seed, index in ((1, 8), (2, 7)):
        assert not np.array_equal(draw_scene(seed, index, *SIZE).image, scenes[7].image)


def test_pictures_are_bright_textured_and_in_colour(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (*SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert 25 < scene.image.mean() < 235
        assert scene.image.std() > 5


def test_objects_are_as_small_as_in_drone_videos(scenes: list[Scene]) -> None:
    areas = [_area(scene.box) / (SIZE[0] * SIZE[1]) for scene in scenes]
    assert 0.004 < np.median(areas) < 0.01
    assert 0.3 * AREA_RANGE[0] < min(areas)
    assert max(areas) < 1.3 * AREA_RANGE[1]


def test_every_kind_of_object_appears(scenes: list[Scene]) -> None:
    assert {scene.kind for scene in scenes} == {*LAND_KINDS, "boat"}


def test_no_box_fits_many_scenes(scenes: list[Scene]) -> None:
    boxes = [scene.box for scene in scenes]
    best = max(np.mean([iou(guess, box) for box in boxes]) for guess in boxes)
    assert best < 0.1


def test_the_object_stands_out_from_its_surroundings(scenes: list[Scene]) -> None:
    seen = 0
    for scene in scenes:
        xmin, ymin, xmax, ymax = scene.box
        picture = scene.image.astype(float)
        around = picture[max(0, ymin - 4) : ymax + 4, max(0, xmin - 4) : xmax + 4]
        seen += picture[ymin:ymax, xmin:xmax].std() > 0.8 * around.std()
    assert seen > 0.9 * len(scenes)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (16, 24), (90, 90), (8, 300)])
def test_any_size_has_a_box_inside_the_picture(size: tuple[int, int]) -> None:
    for index in range(10):
        scene = draw_scene(5, index, *size)
        xmin, ymin, xmax, ymax = scene.box
        assert scene.image.shape == (*size, 3)
        assert 0 <= xmin < xmax <= size[1]
        assert 0 <= ymin < ymax <= size[0]


def test_a_painted_shape_covers_its_area_and_nothing_else() -> None:
    canvas = Canvas(np.zeros((40, 60, 3), np.float32))
    window = canvas.window(30, 20, 12)
    along, across = canvas.turned(window, 30, 20, 0.6)
    canvas.paint(window, inside(oval_distance(along, across, (10, 5))), (200.0, 100.0, 50.0))
    assert canvas.pixels[20, 30].tolist() == [200, 100, 50]
    assert canvas.pixels[0].max() == 0
    assert canvas.pixels[..., 0].sum() / 200 == pytest.approx(np.pi * 50, rel=0.05)


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
