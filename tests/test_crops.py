"""Crops: where they lie, and that the loss sees in them what it sees in the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from model.design import load_design  # noqa: E402  (after the skip)
from model.detection import SKYNET_ANCHORS  # noqa: E402
from model.errors import TandemError  # noqa: E402
from quant.batches import Batch  # noqa: E402
from quant.crops import make_cropping  # noqa: E402
from quant.loss import (  # noqa: E402
    LossWeights,
    crop_cells,
    detection_loss,
    flatten,
    whole_image,
)

pytestmark = pytest.mark.quant

DESIGNS = Path(__file__).resolve().parent.parent / "designs"
NETWORK = load_design(DESIGNS / "dnn_a.toml").network  # 20 x 45 cells of 8 x 8 pixels
GRID = (45, 20)


def batch_of(boxes, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (len(boxes), 3, 160, 360), dtype=np.uint8))
    teacher = torch.from_numpy(rng.normal(size=(len(boxes), 10, 20, 45)))
    return Batch(images, torch.tensor(boxes), teacher)


BOXES = [[0.4, 0.4, 0.45, 0.5], [0.0, 0.0, 0.02, 0.04], [0.97, 0.93, 1.0, 1.0]]


@pytest.mark.parametrize("seed", range(5))
def test_the_first_crop_holds_the_centre_and_all_lie_in_the_image(seed: int) -> None:
    cropping = make_cropping(NETWORK, 12, 2, 1)
    batch = batch_of(BOXES)
    crops, origin = cropping.cut(batch, np.random.default_rng(seed))
    assert crops.stem.shape == (9, 3, 96, 96) and crops.teacher.shape == (9, 10, 12, 12)
    assert (origin >= 0).all() and (origin + 12 <= torch.tensor(GRID)).all()
    centre = (batch.boxes[:, :2] + batch.boxes[:, 2:]) / 2 * torch.tensor(GRID)
    assert ((origin[:, 0] <= centre) & (centre < origin[:, 0] + 12)).all()


def test_crops_are_parts_of_the_image_and_of_the_teachers_map() -> None:
    batch = batch_of(BOXES)
    crops, origin = make_cropping(NETWORK, 12, 1, 1).cut(batch, np.random.default_rng(1))
    for index, (column, row) in enumerate(origin.reshape(-1, 2).tolist()):
        image, teacher = batch.stem[index // 2], batch.teacher[index // 2]
        window = image[:, 8 * row : 8 * row + 96, 8 * column : 8 * column + 96]
        assert torch.equal(crops.stem[index], window)
        assert torch.equal(crops.teacher[index], teacher[:, row : row + 12, column : column + 12])


def test_a_cell_of_a_crop_answers_the_same_box_as_in_the_whole_image() -> None:
    batch = batch_of(BOXES)
    crops, origin = make_cropping(NETWORK, 12, 1, 1).cut(batch, np.random.default_rng(2))
    cells = crop_cells(crops.teacher, SKYNET_ANCHORS, origin, 1, GRID)
    found = cells.boxes(flatten(crops.teacher, SKYNET_ANCHORS, 2))
    whole = whole_image(batch.teacher, SKYNET_ANCHORS)
    boxes = whole.boxes(flatten(batch.teacher, SKYNET_ANCHORS)).reshape(3, 2, 20, 45, 4)
    anchor = torch.arange(2).repeat_interleave(144).repeat(2)
    for index in range(3):
        wanted = boxes[index, anchor, cells.row[index].long(), cells.column[index].long()]
        assert torch.allclose(found[index], wanted)


def test_no_cell_takes_part_twice_and_borders_only_at_the_images_edge() -> None:
    origin = torch.tensor([[[3, 2], [5, 4], [3, 2]]])
    values = torch.zeros(3, 10, 12, 12)
    cells = crop_cells(values, SKYNET_ANCHORS, origin, 2, GRID)
    anchor = torch.arange(2).repeat_interleave(144).repeat(3)
    taking = [
        (int(a), int(r), int(c))
        for a, r, c, counts in zip(
            anchor, cells.row[0], cells.column[0], cells.counts[0], strict=True
        )
        if counts
    ]
    assert len(taking) == len(set(taking))
    assert min(c for _, _, c in taking) == 5 and min(r for _, r, _ in taking) == 4


def test_one_crop_that_is_the_whole_image_has_the_whole_images_loss() -> None:
    values = torch.randn(3, 10, 20, 20, generator=torch.Generator().manual_seed(1))
    truth = torch.tensor(BOXES)
    weights = LossWeights(place=1.0, teacher_place=1.0)
    teacher = values.flip(0)
    whole = detection_loss(values, truth, SKYNET_ANCHORS, weights, teacher)
    origin = torch.zeros(3, 1, 2, dtype=torch.int64)
    cells = crop_cells(values, SKYNET_ANCHORS, origin, 0, (20, 20))
    cropped = detection_loss(values, truth, SKYNET_ANCHORS, weights, teacher, cells)
    for name, value in whole.items():
        assert torch.allclose(value, cropped[name])


@pytest.mark.parametrize(("size", "border"), [(21, 1), (4, 2)])
def test_sizes_that_do_not_suit_are_refused(size: int, border: int) -> None:
    with pytest.raises(TandemError, match=r"data\.crop = "):
        make_cropping(NETWORK, size, 1, border)
