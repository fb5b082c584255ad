"""The board's driver against the RTL: the same code, real registers, real buffers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_cases import FRAMES, boxed_network, deploy
from typer.testing import CliRunner

from boards.comparison import Comparing, compare_board
from boards.rehearsal import rehearse
from boards.run_log import read_run_log
from model.design import Design, load_design
from model.errors import RunFailed, TandemError
from model.functional import run_head
from model.network_file import save_network
from tandem import app

pytestmark = pytest.mark.xdist_group("tiny")


@pytest.fixture(scope="module")
def design(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


@pytest.fixture(scope="module")
def folder(design: Design, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rehearsal") / "deployment"
    deploy(design, out)
    return out


def rehearsed(design: Design, folder: Path, out: Path, tmp_path: Path, *arguments: str) -> Path:
    """The log of a rehearsal."""
    result = rehearse(design, folder, out.parent, arguments)
    assert result.status == 0, result.said
    log = tmp_path / "run.json"
    log.write_bytes(result.log)
    return log


@pytest.mark.parametrize("wait", ["poll", "interrupt"])
def test_the_driver_runs_the_rtl_and_its_log_has_no_difference(
    wait: str, root: Path, design: Design, folder: Path, build_root: Path, tmp_path: Path
) -> None:
    log = rehearsed(design, folder, build_root, tmp_path, "--wait", wait, "--repeat", "2")
    found = compare_board(Comparing(root / "designs" / "tiny.toml", log))
    assert found.differing == 0 and found.held and found.bitstream_checked
    assert found.log.target == "simulation" and len(found.log.runs) == 2
    assert found.log.self_test == (FRAMES * 10 * 8 * 12, 0)
    entry = json.loads(log.read_text())
    base = design.device.memory_base
    assert entry["memory_address"] != base  # the program was moved
    for run in entry["runs"]:
        assert len(run["polls"]) == (FRAMES if wait == "poll" else 0)
        assert run["seconds"] * 1e8 == pytest.approx(run["total_cycles"], rel=1, abs=0)


def test_images_of_one_s_own_give_their_boxes(
    root: Path, design: Design, folder: Path, build_root: Path, tmp_path: Path
) -> None:
    network = boxed_network(design)
    rng = np.random.default_rng(9)
    images = [rng.integers(0, 256, (3, 16, 24)) for _ in range(FRAMES + 1)]  # two starts
    names = []
    for index, image in enumerate(images):
        names.append(str(tmp_path / f"{index}.npy"))
        np.save(names[-1], image)
    log = rehearsed(design, folder, build_root, tmp_path, *names)
    answers = json.loads(log.read_text())["answers"]
    assert [answer["image"] for answer in answers] == names
    assert network.head is not None
    for answer, image in zip(answers, images, strict=True):
        wanted = network.head.detect(run_head(design, network, image))
        assert tuple(answer["box"]) == wanted.box
        assert answer["confidence"] == wanted.confidence
    assert [run.frames for run in read_run_log(log).runs] == [FRAMES, 1]
    assert compare_board(Comparing(root / "designs" / "tiny.toml", log)).differing == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("self._buffer.flush()", "record checksum"),  # the memory holds what it held
        ('self._write("FRAMES", frames)', "of 1 frames"),
    ],
)
def test_a_driver_with_a_mistake_fails_here_as_on_the_board(
    line: str, words: str, design: Design, build_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "deployment"
    deploy(design, folder)
    driver = folder / "boards" / "pynq_z1" / "driver.py"
    text = driver.read_text()
    assert line in text
    driver.write_text(text.replace(line, "pass"))
    if words == "record checksum":
        with pytest.raises(RunFailed, match=words):
            rehearse(design, folder, build_root.parent, ())
        return
    result = rehearse(design, folder, build_root.parent, ())
    assert result.status == 1  # one frame ran, the others' values are wrong
    (tmp_path / "run.json").write_bytes(result.log)
    with pytest.raises(TandemError, match="1 of 3 frames"):
        read_run_log(tmp_path / "run.json")


def test_a_folder_of_another_design_is_refused(root: Path, folder: Path, build_root: Path) -> None:
    other = load_design(root / "designs" / "tiny_odd.toml")
    with pytest.raises(TandemError, match="was packaged from another design"):
        rehearse(other, folder, build_root.parent, ())


def test_package_rehearse_and_compare_from_the_command_line(
    root: Path, design: Design, build_root: Path, tmp_path: Path
) -> None:
    file, folder = str(root / "designs" / "tiny.toml"), str(tmp_path / "board")
    network, log = str(tmp_path / "tiny.npz"), str(tmp_path / "run.json")
    save_network(boxed_network(design), design, network)

    def ran(*arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["board", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    made = ran("package", file, "--network", network, "--frames", "2", "--out", folder)
    assert made["frames"] == 2 and made["axi_ports"] == 2
    out = str(build_root.parent)
    assert ran("rehearse", file, folder, "--log", log, "--out", out)["status"] == 0
    record = ran("compare", file, log, "--network", network)
    assert record["held"] and record["counters_differing"] == 0
    assert record["self_test"]["differing"] == 0
