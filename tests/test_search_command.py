"""The whole search on synthetic scenes: designs out, resumed for nothing, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.design import load_design
from model.errors import TandemError
from search.codesign import CoDesign
from search.executor import make_executor
from search.measure import evaluate
from search.search_command import SearchArguments, check_data, chosen_spec, search_command
from search.search_report import report_of, write_report
from search.spec import SearchSpec
from search.stages import Progress
from search.trials import Journal
from tests.search_spaces import small_spec

pytestmark = pytest.mark.quant


def search(spec: SearchSpec, folder: Path) -> tuple[Progress, list[str]]:
    """Run a search in this process; what it found and what it said."""
    pytest.importorskip("torch")
    said: list[str] = []
    folder.mkdir(exist_ok=True)
    with Journal.open(folder, {"specification": spec.digest}) as journal:
        executor = make_executor("local", 0, journal)
        digest = check_data(spec)
        run = CoDesign(spec, folder, journal, executor, digest, said.append, lambda *_: None)
        found = run.run()
        write_report(report_of(found, journal, "tandem search test.toml"), folder)
    return found, said


def test_a_search_leaves_designs_with_their_networks_and_rtl(tmp_path: Path) -> None:
    spec = small_spec(targets={"fps": [1200]})
    found, _ = search(spec, tmp_path)
    assert [item["target_fps"] for item in found.winners] == [1200.0]
    for item in found.winners:
        design = load_design(item["path"])
        assert evaluate(design).fps == pytest.approx(item["fps"])
        assert item["fps"] >= item["target_fps"] * 0.9
        assert Path(item["network"]).is_file()
        assert (Path(item["rtl"]) / "tandem_top.sv").is_file()
        assert 0 <= item["mean_iou"] <= 1
    assert {item.method for item in found.candidates} == {"scd", "random"}
    before = json.loads((tmp_path / "report.json").read_text())
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trials/*/*/*.npz")}
    search(spec, tmp_path)  # everything is there already
    after = json.loads((tmp_path / "report.json").read_text())
    assert before["designs"] == after["designs"]
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    with pytest.raises(TandemError, match="holds another search"):
        search(small_spec(targets={"fps": [1200]}, scd={"seed": 9}), tmp_path)


def test_a_target_out_of_reach_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match=r"out of reach.*nearest target"):
        search(small_spec(targets={"fps": [1e5]}), tmp_path)
    assert not list(tmp_path.glob("trials/*"))


def test_one_image_is_no_data_set() -> None:
    with pytest.raises(TandemError, match="synthetic:1: 1 image, a search needs 2"):
        check_data(small_spec(data={"train": "synthetic:1"}))


def test_files_that_are_not_there_are_named(root: Path, tmp_path: Path) -> None:
    arguments = SearchArguments(
        root / "designs" / "search_small.toml", tmp_path / "out", data="nowhere.csv"
    )
    with pytest.raises(TandemError, match=r"nowhere\.csv: there is no such file"):
        chosen_spec(arguments)
    with pytest.raises(TandemError, match="name a specification"):
        search_command(SearchArguments(None, tmp_path), False)


def test_two_searches_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    with Journal.open(tmp_path, {}), pytest.raises(TandemError, match="process"):
        Journal.open(tmp_path, {})
