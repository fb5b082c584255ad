"""The integer networks that lie beside their design files: they fit, and they find the object."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.design import load_design
from model.detection import iou, to_pixels
from model.functional import run_head
from model.image import scene_image
from model.integer_network import check_accumulators
from model.network_file import load_network
from model.scene import draw_scene
from model.schedule import compile_schedule

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = sorted((ROOT / "designs").rglob("*.npz"))  # those of designs/found too
SCENES = range(6)


def test_dnn_a_b_and_c_are_trained() -> None:
    assert {"dnn_a", "dnn_b", "dnn_c", "dnn_c_w8f8", "dnn_c_w4f4"} <= {p.stem for p in NETWORKS}


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_trained_network_fits_its_design(path: Path) -> None:
    design = load_design(path.with_suffix(".toml"))
    network = load_network(path, design)
    check_accumulators(network, design)
    compile_schedule(design, 1)
    assert network.head is not None and network.design_name == design.name


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_it_finds_most_objects_of_scenes_it_was_never_trained_on(path: Path) -> None:
    design = load_design(path.with_suffix(".toml"))
    network = load_network(path, design)
    assert network.head is not None
    height, width = design.network.height, design.network.width
    found = 0
    for index in SCENES:
        image = scene_image(design, 1, index)
        box = network.head.detect(run_head(design, network, image)).box
        found += iou(to_pixels(box, width, height), draw_scene(1, index, height, width).box) > 0.1
    assert found >= len(SCENES) // 2


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("dnn_a", 0.593),
        ("dnn_b", 0.612),
        ("dnn_c", 0.686),
        ("found/pynq_z1_fps40_e7202b75", 0.723),
        ("found/pynq_z1_fps60_0818543d", 0.719),
        ("found/pynq_z1_fps80_f3d6487e", 0.707),
        ("found/pynq_z1_fast_fps86_7e79fdc2", 0.697),
    ],
)
def test_the_level_on_real_images(name: str, level: float) -> None:
    from quant.dataset import load_dataset  # noqa: PLC0415  (with the data only)
    from quant.evaluate_command import input_image  # noqa: PLC0415

    data = Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
    csv = data / "dac_sdc" / "val.csv"
    if not csv.is_file():
        pytest.skip(f"{csv} is not there")
    design = load_design(ROOT / "designs" / f"{name}.toml")
    network = load_network(ROOT / "designs" / f"{name}.npz", design)
    assert network.head is not None
    images = load_dataset(str(csv))
    total = 0.0
    for index, sample in enumerate(images.samples):
        head = run_head(design, network, input_image(images, index, design))
        box = to_pixels(network.head.detect(head).box, sample.width, sample.height)
        total += iou(box, sample.box)
    assert total / len(images) >= level
