"""The report: its figures, its text, and what cannot be reported."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.design import Design, load_design
from model.errors import TandemError
from search.report_command import report_command
from search.report_data import Asked, report_data
from search.report_page import _signed, embedded, page
from testbench.verified_record import FOLDER, KEPT, keep_verified, last_verified


@pytest.fixture(scope="module")
def tiny(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


@pytest.fixture(scope="module")
def report(tiny: Design, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("build")
    return report_data(tiny, Asked(Path("tiny.toml"), folder, build=folder))


def in_page(text: str) -> dict[str, Any]:
    found = re.search(
        r'<script id="report" type="application/json">(.*?)</script>', text, re.DOTALL
    )
    assert found is not None
    report: dict[str, Any] = json.loads(found.group(1))
    return report


def test_figures_of_the_page_are_those_of_the_json(report: dict[str, Any]) -> None:
    text = page(report)
    assert in_page(text) == json.loads(json.dumps(report))
    shown = dict(re.findall(r'data-figure="(\w+)" data-value="([^"]+)"', text))
    assert len(shown) == 6
    for key, value in shown.items():
        assert float(value) == report["simulation"][key]


def test_nothing_is_fetched(report: dict[str, Any]) -> None:
    assert not re.search(r"https?://|src=|@import|url\(", page(report))


def test_cycles_of_units_and_bundles_add_up(report: dict[str, Any]) -> None:
    total = report["simulation"]["total_cycles"]
    for account in report["stalls"]["units"].values():
        assert sum(account.values()) == total
    frames = report["simulation"]["frames"]
    assert sum(item["cycles"] for item in report["bundles"]) == pytest.approx(total / frames)
    assert sum(item["macs"] for item in report["bundles"]) == report["simulation"]["macs"]


def test_the_timeline_has_every_cycle(report: dict[str, Any]) -> None:
    line, stalls = report["timeline"], report["stalls"]["units"]
    for unit in line["units"]:
        lengths = [int(length, 36) for length in unit["lengths"].split(" ")]
        assert sum(lengths) == line["cycles"]
        found = dict.fromkeys(line["causes"], 0)
        for length, cause in zip(lengths, unit["causes"], strict=True):
            found[line["causes"][int(cause)]] += length
        assert found == stalls[unit["name"]]


def test_no_bundle_is_above_the_roof(report: dict[str, Any]) -> None:
    roof = report["roofline"]
    assert roof["points"]
    for point in roof["points"]:
        assert point["gmacs_per_s"] <= roof["multiplier_gmacs_per_s"]
        assert point["gmacs_per_s"] <= roof["ddr_gbytes_per_s"] * point["macs_per_byte"]


def test_energy_is_power_over_rate(report: dict[str, Any]) -> None:
    run = report["simulation"]
    assert sum(report["energy_mj"].values()) == pytest.approx(1000 * run["power_w"] / run["fps"])


@pytest.mark.parametrize("name", ["</script><b>", "a\"b'c<i>&", "\u202edesign", "<!--"])
def test_a_hostile_name_is_only_text(report: dict[str, Any], name: str) -> None:
    text = page({**report, "design": name})
    assert html.escape(name) in text
    assert in_page(text)["design"] == name
    assert "<" not in embedded({**report, "design": name})
    assert text.count("</script>") == 2


def test_what_was_verified_is_said_for_exactly_this_design(tiny: Design, tmp_path: Path) -> None:
    record = dict.fromkeys(KEPT, 0) | {"network": None, "image_source": "x", "exact": True}
    assert last_verified(tmp_path, tiny) is None
    keep_verified(tmp_path, tiny, record)
    found = last_verified(tmp_path, tiny)
    assert found is not None
    assert found["exact"]
    assert last_verified(tmp_path, replace(tiny, clock_khz=50_000)) is None
    path = tmp_path / FOLDER / "tiny.json"
    sound = json.loads(path.read_text())
    for key, value in (("values", "many"), ("frames", None), ("when", 5), ("network", [])):
        path.write_text(json.dumps({**sound, key: value}))
        assert last_verified(tmp_path, tiny) is None
    path.write_text('{"exact": tr')
    assert last_verified(tmp_path, tiny) is None


def test_a_verified_design_says_so(tiny: Design, tmp_path: Path) -> None:
    record = dict.fromkeys(KEPT, 3) | {"network": None, "image_source": "x", "exact": True}
    keep_verified(tmp_path, tiny, record)
    asked = Asked(Path("tiny.toml"), tmp_path, build=tmp_path, sensitivities=False)
    text = page(report_data(tiny, asked))
    assert "verified on the RTL on" in text
    assert "0 differ" in text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.004, 2, "0"),
        (-0.004, 2, "0"),
        (0.005001, 2, "+0.01"),
        (-1234.0, 0, "-1,234"),
        (10, 0, "+10"),
    ],
)
def test_what_is_nothing_when_rounded_has_no_sign(value: float, digits: int, text: str) -> None:
    assert _signed(value, digits) == text


def test_the_command_writes_page_and_json(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asked(root / "designs" / "tiny.toml", tmp_path / "out", build=tmp_path)
    assert report_command(asked, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["page"] == str(tmp_path / "out" / "report.html")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["design"] == "tiny"
    assert (tmp_path / "out" / "report.html").stat().st_size < 3_000_000


def test_a_folder_that_cannot_be_written_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    asked = Asked(root / "designs" / "tiny.toml", tmp_path / "file" / "out", sensitivities=False)
    with pytest.raises(TandemError, match="choose another with --out"):
        report_command(asked, as_json=True)
