"""Published accelerators: descriptions, predictions, and what is wrong with a description."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from boards.regress_command import PUBLISHED, Regression, board_regress_command, regress
from model.device import load_device
from model.errors import TandemError
from model.loop_nest import Memory, Unit, load_loop_nest


@pytest.fixture(scope="module")
def found() -> Regression:
    return regress(PUBLISHED)


def test_every_time_is_within_15_per_cent(found: Regression) -> None:
    assert len(found.points) == 9
    assert all(abs(point.error) <= 0.15 for point in found.points)
    assert found.held


def test_those_whose_source_is_public_are_within_4_per_cent(found: Regression) -> None:
    public = [point for point in found.points if not point.name.startswith("DNN")]
    assert len(public) == 3
    assert all(abs(p.error) < 0.04 and p.ideal_error < -0.4 for p in public)


def test_what_was_used_for_calibration_is_said(found: Regression) -> None:
    used = {
        (point.name.split(",")[0], point.clock_mhz) for point in found.points if point.calibration
    }
    assert used == {("iSmart2 rebuild", 83.333), ("SkrSkr", 333), ("DNN-B", 100)}
    assert [point.calibration for point in found.power] == [True, False, False]


def test_power_is_within_10_and_images_per_joule_within_15_per_cent(found: Regression) -> None:
    assert len(found.power) == 3
    for point in found.power:
        assert abs(point.error) <= 0.10
        assert abs(point.images_error) <= 0.15


@pytest.mark.parametrize(
    ("name", "cycles", "megabytes"),
    [
        ("ismart2_pynq_z1", 8.50e6, None),
        ("skynet_ultra96", 18.88e6, 159),
        ("skrskr_ultra96", 10.58e6, 86.5),
    ],
)
def test_loop_bounds_and_traffic_are_those_stated(
    name: str, cycles: float, megabytes: float | None
) -> None:
    nest = load_loop_nest(PUBLISHED / f"{name}.toml")
    assert nest.ideal_cycles == pytest.approx(cycles, rel=0.011)
    if megabytes:
        assert nest.moved == pytest.approx(1e6 * megabytes, rel=0.01)


def test_a_loop_that_is_not_pipelined_waits_for_every_word() -> None:
    memory = Memory(load_device("pynq_z1").ddr, 100_000, 4)
    burst = Unit("load", (8, 40), 1, 0, "read", 2, 0, True)
    single = Unit("load", (8, 40), 1, 0, "read", 2, 0, False)
    assert single.cycles(memory) == 320 * memory.cycles("read", 1, 1, 0)
    assert burst.cycles(memory) < single.cycles(memory) / 5
    assert burst.ideal == single.ideal == 320


def test_computing_does_not_look_at_the_memory() -> None:
    memory = Memory(load_device("pynq_z1").ddr, 100_000, 1)
    assert Unit("pw", (2, 42, 82), 2, 1024, "none", 0, 0, True).cycles(memory) == 14_800


def edited(tmp_path: Path, old: str, new: str) -> Path:
    shutil.copytree(PUBLISHED, tmp_path / "own")
    path = tmp_path / "own" / "ismart2_pynq_z1.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("loops = [66, 42]", "loops = [66, 0]", "units.image.loops"),
        ("loops = [66, 42]", "loops = []", "units.image.loops"),
        ('moves = "read", word_bytes = 1', 'moves = "reed", word_bytes = 1', "units.image.moves"),
        ('units = ["image"]', 'units = ["imago"]', "must be of image, bias"),
        ("frames = 1", "frames = 0", "frames"),
        ("burst = false", "burts = false", "did you mean burst"),
        ('device = "pynq_z1"', 'device = "pink_z1"', "pynq_z1"),
        ("calibration = true", 'calibration = "yes"', "true or false"),
    ],
)
def test_a_wrong_description_is_told_by_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(TandemError, match=said.replace("[", "\\[")):
        load_loop_nest(path)


def test_a_folder_without_descriptions_or_boards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match=r"boards\.toml"):
        regress(tmp_path)
    shutil.copy(PUBLISHED / "boards.toml", tmp_path)
    with pytest.raises(TandemError, match="describes no accelerator"):
        regress(tmp_path)


def test_a_point_that_is_off_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = edited(tmp_path, "measured_ms = 198.7", "measured_ms = 98.7")
    assert board_regress_command(path.parent, as_json=True) == 1
    record = json.loads(capsys.readouterr().out)
    assert not record["held"]
    assert {"name", "predicted_ms", "measured_ms", "error", "calibration"} <= set(
        record["points"][0]
    )
