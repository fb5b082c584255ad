"""Labelled images: formats, every kind of bad input, and splits that keep scenes whole."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import quant.dataset
import quant.sample
from model.errors import TandemError
from model.scene import draw_scene
from quant.dataset import Dataset, load_dataset, synthetic_dataset
from quant.scenes_command import Scenes, write_scenes
from quant.split import scene_names, split_by_scene

WIDTH, HEIGHT = 48, 32
HEADER = "image,xmin,ymin,xmax,ymax\n"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dac_sdc"

Make = Callable[..., Path]


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    values = np.random.default_rng(shade).integers(0, 60, (size[1], size[0], 3)) + shade % 190
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Make:
    """A CSV file of those rows in a folder with the pictures a.png to d.png."""
    for number, name in enumerate("abcd"):
        picture(tmp_path / f"{name}.png", 40 * number)

    def make(*rows: str, header: str = HEADER) -> Path:
        path = tmp_path / "data.csv"
        path.write_text(header + "".join(f"{row}\n" for row in rows))
        return path

    return make


def refusal(path: Path | str, **options: Any) -> str:
    with pytest.raises(TandemError) as found:
        load_dataset(path, **options)
    text = str(found.value)
    assert "\n" not in text
    return text


def boxes(dataset: Dataset) -> dict[str, Sequence[float]]:
    return {sample.name: sample.box for sample in dataset.samples}


# ---- CSV ----


def test_csv_gives_samples_in_its_order(data: Make) -> None:
    found = load_dataset(data("b.png,1,2,30,20", "a.png,0,0,48,32"))
    assert [s.name for s in found.samples] == ["b.png", "a.png"]
    sample = found.samples[0]
    assert (sample.width, sample.height, sample.box) == (WIDTH, HEIGHT, (1, 2, 30, 20))
    assert sample.shares == pytest.approx((1 / 48, 2 / 32, 30 / 48, 20 / 32))
    with Image.open(sample.path) as stored:
        assert np.array_equal(found.image(0), np.asarray(stored))
    assert found.report.skipped == 0
    assert "2 of 2 images used" in list(found.report.lines())[-1]


def test_pictures_become_rgb(data: Make, tmp_path: Path) -> None:
    grey = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % 256
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "a.png")
    found = load_dataset(data("a.png,1,2,30,20")).image(0)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.stack([grey] * 3, axis=2))


def test_the_largest_of_several_boxes_is_used_and_told(data: Make) -> None:
    found = load_dataset(data("a.png,1,2,5,6", "a.png,0,0,20,20", "b.png,1,1,4,4", "a.png,0,0,2,2"))
    assert boxes(found) == {"a.png": (0, 0, 20, 20), "b.png": (1, 1, 4, 4)}
    assert any("1 image has several boxes" in line for line in found.report.lines())


def test_classes_choose_boxes(data: Make) -> None:
    header = HEADER.replace("image", "class,image")
    rows = ("car,a.png,1,2,5,6", "boat,a.png,0,0,20,20", "boat,b.png,0,0,9,9")
    path = data(*rows, header=header)
    found = load_dataset(path, on_bad="skip", classes=["car"])
    assert boxes(found) == {"a.png": (1, 2, 5, 6)}
    assert found.report.counts == {"no box": 1}
    assert "no box of class car" in str(found.report.problems[0])
    assert "its classes are car, boat" in refusal(path, classes=["tree"])
    assert "have no classes" in refusal(data("a.png,1,2,5,6"), classes=["car"])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", ("image, xmin, ymin, xmax, ymax", "empty")),
        ("file,xmin,ymin,xmax,ymax\n", ("column image is missing", "file")),
        ("image,x_min,ymin,xmax,ymax\n", ("column xmin is missing", "perhaps x_min")),
        ("image,xmin,ymin\n", ("column xmax, ymax is missing",)),
        ("image,xmin,xmin,ymin,xmax,ymax\n", ("xmin stands twice",)),
        ("\x89PNG\n", ("is missing",)),
    ],
)
def test_columns_are_refused_by_name(data: Make, header: str, words: tuple[str, ...]) -> None:
    text = refusal(data(header=header))
    assert "data.csv" in text
    assert all(word in text for word in words), text


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(bytes(range(128, 256)))
    assert "cannot be read as CSV" in refusal(path)


def test_columns_not_used_are_told(data: Make) -> None:
    header = HEADER.replace("\n", ",weather\n")
    found = load_dataset(data("a.png,1,2,5,6,fog", header=header))
    assert "columns not used: weather" in found.report.lines()


# ---- what cannot be used ----

BAD_ROWS = [
    ("none.png,1,2,5,6", "missing", "there is no image"),
    ("text.png,1,2,5,6", "unreadable", "not a readable image"),
    ("half.jpg,1,2,5,6", "unreadable", "not a readable image"),
    ("a.png,10,10,49,20", "box", "stands out of the image of 48 x 32"),
    ("a.png,-1,10,20,20", "box", "stands out"),
    ("a.png,60,10,70,20", "box", "stands out"),
    ("a.png,20,10,20,20", "box", "is empty"),
    ("a.png,20,10,10,20", "box", "is empty"),
    ("a.png,1,two,5,6", "row", "is not four numbers"),
    ("a.png,1,nan,5,6", "row", "is not four numbers"),
    ("a.png,1,2,5", "row", "is not four numbers"),
    ("a.png,,,,", "no box", "no box"),
    (",1,2,5,6", "row", "no image is named"),
]


@pytest.fixture
def damaged(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    whole = picture(tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize(("row", "kind", "words"), BAD_ROWS)
def test_what_cannot_be_used_is_named_and_refused_or_skipped(
    data: Make, row: str, kind: str, words: str
) -> None:
    path = data("b.png,1,2,5,6", row)
    name = row.partition(",")[0] or "line 3"
    text = refusal(path)
    assert name in text
    assert words in text
    assert "1 problem" in text
    assert "--on-bad skip" in text
    found = load_dataset(path, on_bad="skip")
    assert boxes(found) == {"b.png": (1, 2, 5, 6)}
    assert found.report.counts == {kind: 1}
    lines = list(found.report.lines())
    assert name in lines[0]
    assert words in lines[0]
    assert f"1 {kind}" in lines[-1]


@pytest.mark.usefixtures("damaged")
def test_many_problems_are_counted_and_the_first_named(data: Make) -> None:
    rows = ["none.png,1,2,5,6", "text.png,1,2,5,6", "a.png,9,9,9,9", "half.jpg,1,2,5,6"]
    text = refusal(data(*rows, "b.png,1,2,5,6"))
    assert "4 problems in 5 images" in text
    assert "and 1 more" in text
    found = load_dataset(data(*rows, "b.png,1,2,5,6"), on_bad="skip")
    assert found.report.skipped == 4
    assert list(found.report.lines())[-1].endswith(
        "1 of 5 images used, 4 skipped (1 missing, 2 unreadable, 1 box)"
    )


def test_a_good_box_beside_a_bad_one_is_used(data: Make) -> None:
    found = load_dataset(data("a.png,1,2,5,6", "a.png,1,2,500,6"), on_bad="skip")
    assert boxes(found) == {"a.png": (1, 2, 5, 6)}
    assert found.report.counts == {"box": 1}


def test_zero_images_are_refused(data: Make) -> None:
    assert "no image is left" in refusal(data())
    text = refusal(data("none.png,1,2,5,6"), on_bad="skip")
    assert "no image is left" in text
    assert "none.png" in text


def test_half_a_pixel_outside_is_rounding_and_clipped(data: Make) -> None:
    found = load_dataset(data("a.png,-0.4,2,48.3,6"))
    assert boxes(found) == {"a.png": (0, 2, 48, 6)}


def test_an_image_too_large_is_refused_before_it_is_decoded(
    data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quant.sample, "PIXELS_MAX", 1000)
    assert "48 x 32 pixels are more than this reads" in refusal(data("a.png,1,2,5,6"))


def test_an_image_that_goes_bad_later_is_named(data: Make, tmp_path: Path) -> None:
    found = load_dataset(data("a.png,1,2,5,6"))
    found.image(0)
    forgetful = dataclasses.replace(found, _kept={})
    (tmp_path / "a.png").write_bytes(b"gone")
    with pytest.raises(TandemError, match=r"a\.png: cannot be read any more"):
        forgetful.image(0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", "there is no such file"),
        ("none.json", "there is no such file"),
        ("data.txt", "a COCO .json file"),
        ("none", "a COCO .json file"),
        (".", "holds no .xml file"),
        ("synthetic:", "from 1 to"),
        ("synthetic:0", "from 1 to"),
        ("synthetic:many", "from 1 to"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, name: str, words: str) -> None:
    path = name if name.startswith("synthetic") else tmp_path / name
    assert words in refusal(path)


def test_on_bad_is_one_of_two_words(data: Make) -> None:
    assert "refuse, skip" in refusal(data("a.png,1,2,5,6"), on_bad="ignore")


# ---- Pascal VOC ----


def voc(box: Sequence[float], name: str = "boat", file: str = "a.png") -> str:
    sides = "".join(
        f"<{key}>{value}</{key}>"
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<annotation><filename>{file}</filename><object><name>{name}</name>"
        f"<bndbox>{sides}</bndbox></object></annotation>"
    )


@pytest.mark.usefixtures("data")
def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(voc((1, 1, 48, 32)))
    (tmp_path / "b.xml").write_text(voc((11, 6, 20, 15), file="b.png"))
    found = load_dataset(tmp_path)
    assert boxes(found) == {"a.png": (0, 0, 48, 32), "b.png": (10, 5, 20, 15)}
    assert {sample.label for sample in found.samples} == {"boat"}


@pytest.mark.usefixtures("data")
def test_voc_written_from_zero_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(voc((0, 1, 48, 32)))
    (tmp_path / "b.xml").write_text(voc((11, 6, 20, 15), file="b.png"))
    found = load_dataset(tmp_path)
    assert boxes(found) == {"a.png": (0, 1, 48, 32), "b.png": (11, 6, 20, 15)}
    assert any("counted from 0" in line for line in found.report.lines())


def test_voc_folders_of_videos_and_images_elsewhere(tmp_path: Path) -> None:
    for video in ("boat1", "boat2"):
        picture(tmp_path / video / "000001.jpg")
        (tmp_path / video / "000001.xml").write_text(voc((3, 3, 9, 9), file="000001"))
    found = load_dataset(tmp_path)
    assert [sample.name for sample in found.samples] == ["boat1/000001", "boat2/000001"]
    picture(tmp_path / "set" / "JPEGImages" / "x.jpg")
    (tmp_path / "set" / "Annotations").mkdir()
    (tmp_path / "set" / "Annotations" / "x.xml").write_text(voc((3, 3, 9, 9), file="x.jpg"))
    assert len(load_dataset(tmp_path / "set" / "Annotations")) == 1


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "1"><!ENTITY y "&x;&x;&x;&x;">]>'
    "<annotation><filename>&y;</filename></annotation>"
)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTITIES.encode(), "declares a document type"),
        (ENTITIES.encode("utf-16"), "not UTF-8"),
        (b"<annotation><object>", "not a VOC annotation"),
        (b"", "not a VOC annotation"),
        (b"<html/>", "its root is <html>"),
        (voc((1, 2, 3, 4)).replace("<xmax>3</xmax>", "").encode(), "not four numbers"),
        (voc((1, 2, 3, 4), file="none.png").encode(), "there is no image"),
        (b"<annotation><filename>a.png</filename></annotation>", "no box"),
        (b"<annotation>" + b" " * (1 << 22) + b"</annotation>", "larger than"),
    ],
)
def test_bad_voc_files_are_named(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "bad.xml").write_bytes(text)
    (tmp_path / "good.xml").write_text(voc((1, 1, 9, 9), file="b.png"))
    assert words in refusal(tmp_path)
    assert len(load_dataset(tmp_path, on_bad="skip")) == 1


# ---- COCO ----


def coco(tmp_path: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2, 10, 8]},
            {"image_id": 8, "category_id": 2, "bbox": [0, 0, 48, 32]},
            {"image_id": 8, "category_id": 2, "bbox": [0, 0, 999, 99], "iscrowd": 1},
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "boat"}],
    }
    path = tmp_path / "data.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.mark.usefixtures("data")
def test_coco_boxes_are_corner_and_size(tmp_path: Path) -> None:
    found = load_dataset(coco(tmp_path))
    assert boxes(found) == {"a.png": (1, 2, 11, 10), "b.png": (0, 0, 48, 32)}
    assert [sample.label for sample in found.samples] == ["car", "boat"]


@pytest.mark.usefixtures("data")
def test_empty_classes_are_told(tmp_path: Path) -> None:
    names = [{"id": 1, "name": "car"}, {"id": 2, "name": "boat"}, {"id": 3, "name": "tree"}]
    path = coco(tmp_path, categories=names)
    found = load_dataset(path)
    assert found.report.empty_classes == ("tree",)
    assert "classes without a box: tree" in found.report.lines()
    assert "no image is left" in refusal(path, on_bad="skip", classes=["tree"])


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"image_id": 9, "bbox": [1, 2, 3, 4]}, "is no image of the file"),
        ({"image_id": 7, "bbox": [1, 2, 3]}, "annotation 0"),
        ({"image_id": 7, "bbox": "1234"}, "needs image_id and bbox"),
        ({"image_id": 7}, "needs image_id and bbox"),
        ({"image_id": [7], "bbox": [1, 2, 3, 4]}, "needs image_id and bbox"),
        ({"image_id": 7, "bbox": [1, 2, 0, 4]}, "is empty"),
        (7, "needs image_id and bbox"),
    ],
)
def test_bad_coco_annotations_are_named(tmp_path: Path, annotation: Any, words: str) -> None:
    good = {"image_id": 8, "category_id": 2, "bbox": [0, 0, 48, 32]}
    path = coco(tmp_path, annotations=[annotation, good])
    assert words in refusal(path)
    assert boxes(load_dataset(path, on_bad="skip")) == {"b.png": (0, 0, 48, 32)}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "{}", '{"images": [], "annotations": {}}', "[" * 100_000,
     '{"images": [{"id": 1}], "annotations": []}', '{"images": [7], "annotations": []}',
     '{"images": [{"id": [1], "file_name": "a"}], "annotations": []}'],
)  # fmt: skip
def test_a_file_that_is_not_coco_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    assert str(path) in refusal(path)


# ---- images in memory ----


def test_images_are_decoded_once_where_they_fit(
    data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data("a.png,1,2,5,6", "b.png,1,2,5,6")
    found = load_dataset(path)
    (tmp_path / "a.png").unlink()
    assert found.image(0).shape == (HEIGHT, WIDTH, 3)
    assert not found.image(0).flags.writeable
    picture(tmp_path / "a.png")
    monkeypatch.setattr(quant.dataset, "CACHE_BYTES", 0)
    found = load_dataset(path)
    assert not found.keep_images(1000)
    assert found.keep_images(10_000)
    (tmp_path / "a.png").unlink()
    assert found.subset([1, 0]).image(1).shape == (HEIGHT, WIDTH, 3)


# ---- synthetic scenes ----


def test_synthetic_data_needs_no_files() -> None:
    found = load_dataset("synthetic:3", seed=4)
    scene = draw_scene(4, 2, 360, 640)
    assert np.array_equal(found.image(2), scene.image)
    assert found.samples[2].box == scene.box
    assert found.keep_images()
    assert np.array_equal(found.image(2), scene.image)


def test_scenes_written_are_read_back_exactly(tmp_path: Path) -> None:
    write_scenes(Scenes(tmp_path / "new", 3, seed=6, height=40, width=64))
    found = load_dataset(tmp_path / "new" / "scenes.csv")
    for index, sample in enumerate(found.samples):
        scene = draw_scene(6, index, 40, 64)
        assert np.array_equal(found.image(index), scene.image)
        assert (sample.box, sample.label, sample.scene) == (scene.box, scene.kind, str(index))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"height": 2}, {"width": 10**6}])
def test_scenes_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(TandemError, match="must lie from"):
        write_scenes(Scenes(**{"out": tmp_path, "count": 1, **wrong}))


# ---- splits ----


def split_names(dataset: Dataset, share: float, seed: int = 1) -> tuple[set[str], set[str]]:
    sides = split_by_scene(dataset, share, seed)
    left, right = ({sample.name for sample in side.samples} for side in sides)
    assert not left & right
    assert left | right == {sample.name for sample in dataset.samples}
    return left, right


@pytest.mark.parametrize("column", ["scene", "video"])
def test_scenes_of_a_column_are_never_split(data: Make, column: str) -> None:
    header = HEADER.replace("\n", f",{column}\n")
    rows = ("a.png,1,2,5,6,p", "b.png,1,2,5,6,q", "c.png,1,2,5,6,p", "d.png,1,2,5,6,q")
    found = load_dataset(data(*rows, header=header))
    for seed in range(5):
        sides = split_names(found, 0.4, seed)
        assert {"a.png", "c.png"} in sides


def test_names_tell_videos_apart(tmp_path: Path) -> None:
    rows = []
    for video in ("boat1_", "car/", "walk-b"):
        for frame in range(3):
            name = f"{video}{frame:04}.png"
            picture(tmp_path / name)
            rows.append(f"{name},1,2,5,6\n")
    (tmp_path / "data.csv").write_text(HEADER + "".join(rows))
    found = load_dataset(tmp_path / "data.csv")
    assert len(set(scene_names(found))) == 3


def test_a_scene_stays_on_its_side_when_others_come_or_go() -> None:
    found = synthetic_dataset(40, 1, 16, 16)
    train, held = split_names(found, 0.3)
    assert 4 <= len(held) <= 20
    fewer_train, fewer_held = split_names(found.subset(range(0, 40, 2)), 0.3)
    assert fewer_train <= train
    assert fewer_held <= held
    assert split_names(found, 0.3, seed=2)[1] != held


def test_images_of_alike_colours_are_one_scene(data: Make, tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / f"{number}.png", shade=0 if number % 2 else 150)
    found = load_dataset(data(*[f"{number}.png,1,2,5,6" for number in range(6)]))
    assert scene_names(found) == ["0.png", "1.png"] * 3
    assert {"0.png", "2.png", "4.png"} in split_names(found, 0.5)


def test_one_scene_cannot_be_split(data: Make) -> None:
    header = HEADER.replace("\n", ",scene\n")
    found = load_dataset(data("a.png,1,2,5,6,p", "b.png,1,2,5,6,p", header=header))
    with pytest.raises(TandemError, match="count as one scene"):
        split_by_scene(found, 0.5, 1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the contest's sample is not here")
def test_the_contests_sample_is_whole_and_splits_by_video() -> None:
    found = load_dataset(SHARED / "val.csv")
    assert len(found) == len((SHARED / "val.csv").read_text().splitlines()) - 1 == 104
    assert found.report.problems == ()
    train, held = split_names(found, 0.3)
    assert len(train) > len(held) > 5
