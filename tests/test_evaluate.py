"""`tandem evaluate` and `tandem scenes`: levels, JSON, pictures, and bad input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from model.design import Design, load_design
from model.detection import BoxHead, decode, iou, to_pixels
from model.functional import run_functional
from model.image import from_pixels, load_image, scene_image
from model.integer_network import IntegerNetwork
from model.network_file import save_network
from model.random_network import random_network
from model.scene import draw_scene
from quant.augment import plain
from quant.contact_sheet import CAPTION, FOUND, TILE_WIDTH, TRUE, Tile, draw_sheet
from quant.dataset import load_dataset
from quant.evaluate_command import Evaluation, evaluate
from tandem import app
from testbench.rtl_inference import RtlHead, run_rtl_heads

KEYS = {"mean_iou", "boxes", "level", "images", "skipped", "seconds"}
HEAD = BoxHead((0.003,) * 10, tuple(0.05 * c for c in range(10)))


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def refused(*args: object) -> str:
    found = run(*args)
    assert found.exit_code == 2, found.output
    assert found.stdout == ""
    (line,) = found.stderr.strip().splitlines()
    assert line.startswith("tandem: ")
    return line


@pytest.fixture(scope="module")
def path(root: Path) -> Path:
    return root / "designs" / "tiny.toml"


@pytest.fixture(scope="module")
def design(path: Path) -> Design:
    return load_design(path)


@pytest.fixture(scope="module")
def network(design: Design) -> IntegerNetwork:
    return dataclasses.replace(random_network(design, np.random.default_rng(2)), head=HEAD)


@pytest.fixture
def net(design: Design, network: IntegerNetwork, tmp_path: Path) -> Path:
    save_network(network, design, tmp_path / "net.npz")
    return tmp_path / "net.npz"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    assert (
        run("scenes", tmp_path / "set", "--count", 5, "--height", 40, "--width", 64).exit_code == 0
    )
    return tmp_path / "set" / "scenes.csv"


def wanted_boxes(design: Design, network: IntegerNetwork, data: Path) -> dict[str, Sequence[int]]:
    """The same by the plain way: every layer, one image after the other."""
    found = {}
    dataset = load_dataset(data)
    for index, sample in enumerate(dataset.samples):
        image = load_image(sample.path, design, resize=True)
        outputs = run_functional(design, network, image)
        detection = HEAD.detect(outputs[design.network.output.name])
        found[sample.name] = to_pixels(detection.box, *dataset.image(index).shape[1::-1])
    return found


def test_functional_level_gives_boxes_and_their_mean_iou(
    path: Path, design: Design, network: IntegerNetwork, net: Path, data: Path
) -> None:
    found = run("evaluate", path, "--network", net, "--data", data, "--json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert set(record) >= KEYS
    boxes = {name: tuple(box) for name, box in record["boxes"].items()}
    assert boxes == wanted_boxes(design, network, data)
    true = {sample.name: sample.box for sample in load_dataset(data).samples}
    assert record["mean_iou"] == pytest.approx(np.mean([iou(boxes[n], true[n]) for n in true]))
    assert (record["level"], record["images"], record["skipped"]) == ("functional", 5, 0)
    assert abs(record["mean_iou_unrounded"] - record["mean_iou"]) < 0.1


def test_the_table_names_metric_and_figures(path: Path, net: Path, data: Path) -> None:
    found = run("evaluate", path, "--network", net, "--data", data, "--limit", 2)
    assert found.exit_code == 0, found.output
    for words in ("tiny, functional level: mean IoU 0.", "most confident box", "2 images"):
        assert words in found.stdout
    assert "5 of 5 images used" in found.stderr


def test_images_that_cannot_be_used_are_skipped_and_counted(
    path: Path, net: Path, data: Path
) -> None:
    (data.parent / "images" / "scene00003.png").write_bytes(b"broken")
    asked = ("evaluate", path, "--network", net, "--data", data)
    assert "scene00003.png" in refused(*asked)
    found = run(*asked, "--on-bad", "skip", "--json")
    assert found.exit_code == 0
    record = json.loads(found.stdout)
    assert (record["listed"], record["images"], record["skipped"]) == (5, 4, 1)
    assert record["problems"] == {"unreadable": 1}
    assert "scene00003.png" in found.stderr


def test_synthetic_data_and_classes(path: Path, net: Path, data: Path) -> None:
    asked = ("evaluate", path, "--network", net, "--data")
    record = json.loads(run(*asked, "synthetic:2", "--seed", 9, "--json").stdout)
    assert set(record["boxes"]) == {"scene00000", "scene00001"}
    assert "its classes are" in refused(*asked, data, "--only", "zeppelin")


def test_pictures_show_both_boxes(path: Path, net: Path, data: Path, tmp_path: Path) -> None:
    asked = ("evaluate", path, "--network", net, "--data", data)
    assert run(*asked, "--pictures", tmp_path / "pics").exit_code == 0
    (sheet,) = (tmp_path / "pics").iterdir()
    with Image.open(sheet) as found:
        assert found.size == (3 * TILE_WIDTH, 2 * (300 + CAPTION))
        colours = {tuple(colour) for colour in np.asarray(found).reshape(-1, 3)}
    assert {TRUE, FOUND} <= colours
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused(*asked, "--pictures", tmp_path / "file" / "pics")


def test_a_sheet_marks_the_pixels_of_the_boxes() -> None:
    picture = np.zeros((30, 60, 3), np.uint8)
    sheet = draw_sheet([Tile(picture, (10, 10, 20, 20), (30.0, 5.0, 50.0, 25.0), "both")])
    assert sheet.size == (TILE_WIDTH, 240 + CAPTION)
    assert sheet.getpixel((80, 120)) == TRUE
    assert sheet.getpixel((240, 120)) == FOUND
    assert sheet.getpixel((180, 120)) == (0, 0, 0)


# ---- RTL ----


def test_the_rtl_gives_the_boxes_of_the_functional_level(
    path: Path, design: Design, network: IntegerNetwork, net: Path, data: Path, root: Path
) -> None:
    asked = ("evaluate", path, "--network", net, "--data", data, "--level", "rtl", "--limit", 5)
    found = run(*asked, "--out", root / "build", "--json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert record["value_mismatches"] == 0
    boxes = {name: tuple(box) for name, box in record["boxes"].items()}
    assert boxes == wanted_boxes(design, network, data)
    assert not list((root / "build").glob("rtl_inference-*"))


def test_an_rtl_that_differs_fails(path: Path, net: Path, data: Path, root: Path) -> None:
    def differ(*args: Any) -> Iterator[RtlHead]:
        for head in run_rtl_heads(*args):
            yield RtlHead(head.accumulators, head.differing + 1)

    asked = Evaluation(path, net, str(data), "rtl", limit=2, out=root / "build")
    assert evaluate(asked, differ).differing == 2


# ---- bad input ----


def test_a_network_without_a_head_is_refused(path: Path, design: Design, tmp_path: Path) -> None:
    net = tmp_path / "plain.npz"
    save_network(random_network(design, np.random.default_rng(1)), design, net)
    for level in ("functional", "rtl"):
        asked = ("evaluate", path, "--network", net, "--data", "synthetic:1", "--level", level)
        assert "has no box head" in refused(*asked)


def test_wrong_files_and_words_are_refused(path: Path, net: Path, root: Path, data: Path) -> None:
    def refusal(*args: object, design: Path = path, network: Path = net) -> str:
        return refused("evaluate", design, "--network", network, *args)

    assert "float, functional, rtl" in refusal("--data", data, "--level", "fast")
    assert "no such file" in refusal("--data", "none.csv")
    assert "no such integer network" in refusal("--data", data, network=root / "none.npz")
    assert "refuse, skip" in refusal("--data", data, "--on-bad", "hide")
    odd = root / "designs" / "tiny_odd.toml"
    assert "channels = 5" in refusal("--data", data, design=odd)
    data.write_text("image,xmin,ymin,xmax,ymax\n")
    assert "no image is left" in refusal("--data", data)


def test_a_folder_for_scenes_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused("scenes", tmp_path / "file" / "below", "--count", 1)
    assert "must lie from 1" in refused("scenes", tmp_path, "--count", 0)


# ---- float ----


@pytest.mark.quant
def test_float_level_runs_a_checkpoint_and_refuses_others(
    path: Path, design: Design, net: Path, data: Path, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    from quant.checkpoint import Checkpoint, design_facts, save_checkpoint  # noqa: PLC0415
    from quant.network import build_network, normalise  # noqa: PLC0415

    torch.manual_seed(3)
    module = build_network(design, "relu6").eval()
    arrays = {f"model/{name}": value for name, value in module.to_arrays().items()}
    checkpoint = tmp_path / "float.npz"
    asked = ("evaluate", path, "--data", data, "--level", "float", "--network")
    save_checkpoint(Checkpoint(design_facts(design), {"stage": "float"}, arrays), checkpoint)
    record = json.loads(run(*asked, checkpoint, "--json").stdout)
    dataset = load_dataset(data)
    for index, sample in enumerate(dataset.samples):
        image = torch.from_numpy(plain(dataset.image(index), (16, 24)))[None]
        with torch.no_grad():
            values = module(normalise(image))[0].double().numpy()
        box = to_pixels(decode(values, module.anchors).box, 64, 40)
        assert tuple(record["boxes"][sample.name]) == box
    save_checkpoint(Checkpoint(design_facts(design), {"stage": "qat"}, arrays), checkpoint)
    assert "stage qat" in refused(*asked, checkpoint)
    assert "checkpoint" in refused(*asked, net)


# ---- images from pixels ----


def test_scenes_reach_the_network_as_their_highest_bits(design: Design) -> None:
    scene = draw_scene(3, 1, 16, 24).image.transpose(2, 0, 1)
    assert np.array_equal(scene_image(design, 3, 1), scene)
    narrow = dataclasses.replace(design, feature_bits=5)
    assert np.array_equal(from_pixels(scene, narrow), scene >> 3)
    wide = dataclasses.replace(design, feature_bits=11)
    assert np.array_equal(from_pixels(scene, wide), scene)
