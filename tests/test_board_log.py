"""Run logs: a whole one is read, and everything that cannot have come from a run is refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from board_cases import save, written_log

from boards.pynq_z1 import driver
from boards.pynq_z1.run import LOG_SCHEMA, LOG_VERSION
from boards.run_log import ANSWER_FIELDS, COUNTER_NAMES, FIELDS, RUN_FIELDS, read_run_log
from model.design import load_design
from model.errors import TandemError
from testbench import registers

Log = dict[str, Any]


@pytest.fixture(scope="module")
def log(root: Path) -> Log:
    return written_log(load_design(root / "designs" / "tiny.toml"))


def refusal(path: Path) -> str:
    with pytest.raises(TandemError) as caught:
        read_run_log(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text


def test_a_whole_log_is_read(log: Log, tmp_path: Path) -> None:
    found = read_run_log(save(log, tmp_path / "run.json"))
    assert found.design == "tiny" and found.target == "board"
    assert found.runs[0].counters == log["runs"][0]["counters"]
    assert found.mean_watts == {"5V": 2.25}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("[]", "holds no JSON object"),
        ("{}", 'schema is None, a run log says "tandem-run-log"'),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"schema": "tandem-run-log", "version": 2}', "version is 2, this program reads 1"),
        ('{"schema": "tandem-run-log", "version": 1}', "is missing: the log is damaged"),
    ],
)
def test_what_is_no_log_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    assert words in refusal(path)


def test_a_log_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none.json")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "bits").write_bytes(b"\xff\xfe\x00")
    assert "not text" in refusal(tmp_path / "bits")


def test_a_log_cut_off_anywhere_is_refused(log: Log, tmp_path: Path) -> None:
    text = json.dumps(log, indent=1)
    path = tmp_path / "run.json"
    for end in range(1, len(text), max(1, len(text) // 60)):
        path.write_text(text[:end])
        assert "cut off or damaged" in refusal(path)


Change = Callable[[Log], Any]
RUN: Callable[[Log], Log] = lambda log: log["runs"][0]  # noqa: E731


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.pop("runs"), "runs is missing"),
        (lambda log: log.update(runs=[]), "runs is empty"),
        (lambda log: log.update(more=1), "'more' is unknown"),
        (lambda log: log.update(target="moon"), "target is 'moon', not one of"),
        (lambda log: log.update(design_sha256="12"), "design_sha256 is '12', not a SHA-256"),
        (lambda log: log.update(clock_mhz=math.nan), "clock_mhz is NaN, not a finite number"),
        (lambda log: log.update(clock_mhz=0), "clock_mhz is 0, not a finite number above 0"),
        (lambda log: RUN(log).update(frames_done=2), "2 of 3 frames"),
        (lambda log: RUN(log).update(status=0x704), "did not end well"),
        (lambda log: RUN(log).update(seconds=math.inf), "seconds is inf"),
        (lambda log: RUN(log).update(total_cycles=1.5), "total_cycles is 1.5"),
        (lambda log: RUN(log)["counters"].pop("mac.busy"), "mac.busy is missing"),
        (lambda log: RUN(log)["counters"].update({"mac.busy": -1}), "mac.busy is -1"),
        (lambda log: RUN(log)["counters"].update({"mac.busy": True}), "mac.busy is True"),
        (
            lambda log: RUN(log)["counters"].update({"mac.busy": 7}),
            "runs[0].counters: the classes of mac sum to",
        ),
        (
            lambda log: RUN(log).update(polls=[[1e-5, 1, 900], [2e-5, 1, 800]]),
            "runs[0].polls[1]: cycles run backwards: 800 after 900",
        ),
        (
            lambda log: RUN(log).update(polls=[[1e-5, 2, 900], [2e-5, 1, 950]]),
            "runs[0].polls[1]: frames done run backwards: 1 after 2",
        ),
        (lambda log: RUN(log).update(polls=[[1e-5, 1, 1 << 40]]), "lie after the end of the run"),
        (lambda log: RUN(log).update(polls=[[math.nan, 1, 5]]), "seconds is NaN"),
        (lambda log: RUN(log).update(polls=[5]), "runs[0].polls[0]: is not [seconds"),
        (
            lambda log: log["power"]["watts"].update({"5V": [2.0, math.nan]}),
            "power.watts.5V[1]: is NaN, not a finite number",
        ),
        (lambda log: log["power"].update(seconds=[1.0, 0.5]), "power: seconds run backwards"),
        (lambda log: log["power"]["watts"].update({"5V": [2.0]}), "5V has 1 samples"),
        (lambda log: log["answers"][0].update(box=[0, 1]), "box has not four sides"),
        (lambda log: log["answers"][0].update(box=[0, 1, 2, math.nan]), "box is NaN"),
        (lambda log: log.update(design="a\nb"), r"design is 'a\nb', not a text of printable"),
        (lambda log: log["power"]["watts"].update({"\x1b[2J": []}), "is no name of a rail"),
        (lambda log: RUN(log).update(frames=4), "runs[0]: frames is 4, not a whole number from 1"),
        (lambda log: log.update(frames_compiled=1 << 31), "frames_compiled is 2147483648"),
        (lambda log: log.update(self_test={"values": 3, "differing": 4}), "differing is 4"),
    ],
)
def test_a_log_that_contradicts_itself_is_refused(
    change: Change, words: str, log: Log, tmp_path: Path
) -> None:
    changed = copy.deepcopy(log)
    change(changed)
    assert words in refusal(save(changed, tmp_path / "run.json"))


def test_the_board_and_the_bench_know_the_same_registers() -> None:
    assert set(COUNTER_NAMES) == {f"{unit}.{kind}" for unit, kind in registers.COUNTERS}
    for name in ("CTRL_START", "CTRL_ABORT", "STATUS_BUSY", "STATUS_DONE", "STATUS_ERROR"):
        assert getattr(driver, name) == getattr(registers, name)


def test_the_documentation_names_every_field_of_this_version(root: Path) -> None:
    text = (root / "docs" / "run_log.md").read_text()
    assert f"`{LOG_SCHEMA}`, version {LOG_VERSION}." in text
    missing = [name for name in FIELDS | RUN_FIELDS | ANSWER_FIELDS if f"`{name}`" not in text]
    assert missing == []
