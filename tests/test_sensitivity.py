"""What to change next: every figure is a simulation's, every change a file that can be read."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.design import Design, load_design
from model.device import read_device
from model.errors import TandemError
from model.schedule import plan_design
from model.tiling import TileShape, needs
from model.toml_reader import Table
from search.board_changes import BOARD_CHANGES, device_text, next_grade, twice_the_width
from search.changes import (
    BOARD,
    CHANGES,
    NOTHING,
    RETRAINING,
    checked,
    follow,
    one_more_port,
    packed_lanes,
)
from search.inloop import evaluate_exact
from search.measure import RESOURCES, evaluate
from search.sensitivity import LARGER_CHIP, Study, sensitivities, study
from tandem import app

ALL = {change.name for change in (*CHANGES, *BOARD_CHANGES)}


@pytest.fixture(scope="module")
def tiny(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


@pytest.fixture(scope="module")
def dnn_a(root: Path) -> Design:
    return load_design(root / "designs" / "dnn_a.toml")


@pytest.fixture(scope="module")
def found(tiny: Design) -> Study:
    return study(tiny)


def test_every_change_is_either_measured_or_refused_with_a_reason(found: Study) -> None:
    measured, refused = {item.name for item in found.found}, {item.name for item in found.refused}
    assert measured | refused == ALL
    assert not measured & refused
    assert all(item.reason for item in found.refused)


def test_a_change_is_worth_what_its_design_is_worth_alone(tiny: Design, found: Study) -> None:
    base = evaluate(tiny)
    for item in (*found.found, *found.pairs):
        alone = evaluate(item.design)
        assert item.fps == alone.fps
        assert item.fps_gain == alone.fps - base.fps
        assert item.latency_cycles == alone.latency_cycles
        assert item.power_change_w == alone.power_w - base.power_w
        for name in RESOURCES:
            assert item.paid[name] == getattr(alone, name) - getattr(base, name)


def test_changes_that_need_least_come_first_then_those_that_gain_most(found: Study) -> None:
    order = [NOTHING, RETRAINING, BOARD, LARGER_CHIP]
    keys = [(order.index(item.needs), -item.fps_gain) for item in found.found]
    assert keys == sorted(keys)


def test_the_list_of_a_program_is_the_study_without_pairs(tiny: Design, found: Study) -> None:
    assert sensitivities(tiny) == list(found.found)


def test_what_does_not_fit_says_so(dnn_a: Design) -> None:
    found = {item.name: item for item in study(dnn_a, frames=1, pairs=False).found}
    lanes = found["in_lanes"]  # 8 x 48 multipliers, the chip has 220
    assert not lanes.fits
    assert lanes.needs == LARGER_CHIP
    assert any("dsp" in shortage for shortage in lanes.shortages)
    assert found["weight_bit"].needs == RETRAINING
    assert found["refresh_half"].needs == BOARD
    assert "timing closure" in found["clock_plus"].sentence


def test_pairs_are_made_of_the_best_three(found: Study) -> None:
    best = [item.name for item in found.found if item.faster][:3]
    assert found.pairs
    for pair in found.pairs:
        assert set(pair.parts) <= set(best)
        assert pair.name == "+".join(pair.parts)


@pytest.mark.parametrize("name", ["dnn_a", "skynet", "tiny_odd"])
def test_memories_follow_so_that_tiles_and_weight_groups_stay(root: Path, name: str) -> None:
    before = load_design(root / "designs" / f"{name}.toml")
    acc = replace(before.accelerator, in_lanes=2 * before.accelerator.in_lanes)
    out = -(-acc.out_lanes // max(8, acc.in_lanes)) * max(8, acc.in_lanes)
    after = checked(follow(before, replace(before, accelerator=replace(acc, out_lanes=out))))
    for old, new in zip(plan_design(before), plan_design(after), strict=True):
        shape = TileShape(old.tiles[0].rows, old.tiles[0].cols)
        found = needs(new.item, new.source, new.target, after.accelerator, shape)
        assert all(need.fits for need in found), found
        assert new.mac_weights.resident >= old.mac_weights.resident


def test_memories_follow_where_more_lanes_join_passes(root: Path) -> None:
    before = load_design(root / "designs" / "skrskr.toml")
    (after,) = (checked(design) for design in packed_lanes(before))
    assert len(plan_design(before)) == 9  # a map too narrow for its lanes is moved by a pass alone
    assert len(plan_design(after)) == 8
    assert evaluate_exact(after, 2).fps > 1.5 * evaluate_exact(before, 2).fps


def test_a_design_that_stays_as_it_is_keeps_its_memories(dnn_a: Design) -> None:
    assert follow(dnn_a, dnn_a) == dnn_a


def test_one_more_port_splits_what_shares_one(dnn_a: Design) -> None:
    maps = [tuple(vars(other.accelerator.ports).values()) for other in one_more_port(dnn_a)]
    assert maps == [(1, 2, 0, 0), (1, 1, 0, 2)]
    own = replace(dnn_a.accelerator, ports=replace(dnn_a.accelerator.ports, weight=2, store=3))
    with pytest.raises(TandemError, match="port of its own already"):
        next(one_more_port(replace(dnn_a, accelerator=own)))


def test_a_faster_grade_keeps_times_and_a_wider_memory_its_clock(dnn_a: Design) -> None:
    old = dnn_a.device.ddr
    (graded,) = next_grade(dnn_a)
    new = graded.device.ddr
    assert new.ddr_khz == 666_500
    for key in ("t_rcd", "t_rp", "t_ras", "t_wr", "t_rfc", "read_delay"):
        assert getattr(new, key) / new.ddr_khz >= getattr(old, key) / old.ddr_khz
    assert new.t_refi / new.ddr_khz <= old.t_refi / old.ddr_khz
    (wide,) = twice_the_width(dnn_a)
    assert wide.device.ddr.peak_bytes_per_second == 2 * old.peak_bytes_per_second
    assert wide.device.ddr.ddr_khz == old.ddr_khz


def test_a_written_device_file_has_the_new_memory_and_all_else(dnn_a: Design) -> None:
    (graded,) = next_grade(dnn_a)
    text = device_text(dnn_a.device, graded.device, "faster")
    assert text.startswith("# faster\n")
    read = read_device(Table(tomllib.loads(text), "device"), graded.device.name)
    assert read == graded.device


def run(*args: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["sensitivities", *map(str, args)])
    return found.exit_code, found.stdout, found.stderr


def test_the_command_writes_what_improves_and_the_files_hold(
    root: Path, tmp_path: Path, found: Study
) -> None:
    status, text, _ = run(root / "designs" / "tiny.toml", "--json", "--out", tmp_path)
    record = json.loads(text)
    assert status == 0
    items = [*record["sensitivities"], *record["pairs"]]
    assert [item["name"] for item in record["sensitivities"]] == [i.name for i in found.found]
    written = {item["file"]: item for item in items if item["file"]}
    assert set(written) == {path.name for path in tmp_path.glob("*.toml")}
    assert set(written) == {item["file"] for item in items if item["improves"]}
    for name, item in written.items():
        if item["needs"] != BOARD:
            assert evaluate_exact(load_design(tmp_path / name), 3).fps == item["fps"]
    assert record["seconds"] > 0
    assert {item["name"] for item in record["not_possible"]} == {i.name for i in found.refused}


def test_the_table_names_every_change(root: Path) -> None:
    status, text, _ = run(root / "designs" / "tiny.toml", "--frames", 1)
    assert status == 0
    for word in ("more input lanes", "half the refresh", "not possible", "a bit less a weight"):
        assert word in text


def test_bad_input_is_told_in_a_line(root: Path, tmp_path: Path) -> None:
    tiny = root / "designs" / "tiny.toml"
    (tmp_path / "file").write_text("")
    (tmp_path / "small.toml").write_text(
        tiny.read_text().replace("input_lines = ", "input_lines = 2 #")
    )
    for args in (
        (tiny, "--frames", 0),
        (tmp_path / "no.toml",),
        (tmp_path / "small.toml",),
        (tiny, "--out", tmp_path / "file"),
    ):
        status, text, error = run(*args)
        assert (status, text) == (2, ""), args
        assert error.count("\n") == 1
        assert error.startswith("tandem: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(root: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    status, _, error = run(root / "designs" / "tiny.toml", "--out", tmp_path)
    tmp_path.chmod(0o700)
    assert status == 2
    assert error.count("\n") == 1
