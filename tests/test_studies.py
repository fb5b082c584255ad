"""Studies: figures of known outcomes, a journal that survives a kill, small studies whole"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import TandemError
from quant import study_precision, study_stability
from quant.study_command import StudyArguments, study_command, task_settings, train_all
from quant.study_journal import Journal, Outcome, Run, mark

needs_torch = pytest.mark.quant


def outcome(run: Run, *metric: float, loss: float = 1.0) -> Outcome:
    return Outcome(run, metric, (loss,) * len(metric), 100.0, 200.0, 1.0)


def sweep(loss_by_side: dict[str, float], seeds: int = 3) -> dict[Run, Outcome]:
    """Metric 0.9 in float, falling by a side's figure with each halving of the bits."""
    found = {}
    for run in study_precision.plan("digits", seeds):
        bits = run.weight_bits or run.feature_bits or 32
        fall = loss_by_side.get(study_precision.side_of(run), 0.0)
        found[run] = outcome(run, 0.9 - 0.001 * run.seed - fall * math.log2(32 / bits))
    return found


def test_every_seed_has_one_float_run_and_both_sweeps() -> None:
    runs = study_precision.plan("digits", 2)
    assert len(runs) == len(set(runs)) == 2 * 9
    assert {run.seed for run in runs} == {0, 1}


@pytest.mark.parametrize(
    ("weights", "features", "sensitive"),
    [(0.01, 0.03, "feature maps"), (0.04, 0.01, "weights"), (0.02, 0.02, "neither")],
)
def test_the_side_that_loses_more_is_the_sensitive_one(
    weights: float, features: float, sensitive: str
) -> None:
    outcomes = sweep({"weights": weights, "feature maps": features})
    found = study_precision.answer(outcomes, "digits")
    # Straight lines over log2 of the compression, 0 to 5: the mean gap is that half way.
    assert found.gap.mean == pytest.approx(2.5 * (features - weights), abs=1e-12)
    assert found.gap_at["32x"].mean == pytest.approx(5 * (features - weights), abs=1e-12)
    if weights != features:
        assert found.sensitive == sensitive


def test_a_gap_smaller_than_its_error_decides_nothing() -> None:
    outcomes = sweep({})
    for seed, sign in ((0, 1), (1, -1), (2, 1)):
        run = Run("digits", 1, None, seed)
        outcomes[run] = outcome(run, outcomes[run].final + 0.05 * sign)
    assert study_precision.answer(outcomes, "digits").sensitive == "neither"


def test_few_seeds_need_a_clear_gap() -> None:
    """Student's t: of two seeds the error is 12.7 times the standard error, of three 4.3 times."""
    for seeds, sensitive in ((2, "neither"), (3, "feature maps")):
        outcomes = sweep({"feature maps": 0.02}, seeds)
        run = Run("digits", None, 1, 1)
        outcomes[run] = outcome(run, outcomes[run].final + 0.1)
        assert study_precision.answer(outcomes, "digits").sensitive == sensitive


def test_one_seed_decides_nothing() -> None:
    outcomes = sweep({"feature maps": 0.1}, seeds=1)
    assert study_precision.answer(outcomes, "digits").sensitive == "neither"


def test_losses_are_taken_against_the_float_run_of_the_same_seed() -> None:
    points = study_precision.points(sweep({"weights": 0.01}), "digits")
    binary = next(p for p in points if p.side == "weights" and p.bits == 1)
    assert binary.compression == 32
    assert binary.loss.mean == pytest.approx(0.05)
    assert binary.loss.deviation == pytest.approx(0, abs=1e-12)
    assert binary.metric.deviation == pytest.approx(0.001)


def test_steadiness_tells_wobble_speed_and_collapse() -> None:
    runs = {
        Run("digits", None, None, 0): (0.2, 0.8, 0.9, 0.9, 0.9, 0.9),
        Run("digits", None, None, 1): (0.2, 0.8, 0.9, 0.9, 0.9, 0.9),
        Run("digits", 2, 2, 0): (0.1, 0.2, 0.3, 0.8, 0.9, 0.7),
        Run("digits", 2, 2, 1): (0.1, 0.1, 0.1, 0.1, 0.1, 0.1),
    }
    outcomes = {run: outcome(run, *metric) for run, metric in runs.items()}
    steady, shaky = study_stability.steadiness(outcomes, "digits")
    assert (steady.wobble.mean, steady.collapsed, steady.epochs_to_90.mean) == (0, 0, 3)
    assert shaky.deepest_drop == pytest.approx(0.2)
    assert (shaky.collapsed, shaky.runs) == (1, 2)
    assert shaky.wobble.mean == pytest.approx(0.05)
    assert shaky.epochs_to_90.mean == 2.5  # 4 and 1


def test_a_loss_that_is_no_number_is_a_collapse() -> None:
    runs = [Run("digits", None, None, 0), Run("digits", 2, 2, 0)]
    outcomes = {runs[0]: outcome(runs[0], 0.9), runs[1]: outcome(runs[1], 0.9, loss=math.nan)}
    assert [one.collapsed for one in study_stability.steadiness(outcomes, "digits")] == [0, 1]


def test_the_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "runs.jsonl", "a")
    given = [outcome(Run("digits", 4, None, seed), 0.1, 1 / 3) for seed in range(3)]
    for one in given:
        journal.append(one)
    assert list(journal.read().values()) == given
    assert Journal(tmp_path / "runs.jsonl", "b").read() == {}


@pytest.mark.parametrize(
    "rest", [b"", b'{"mark": "a", "run"', b"\xff\xfe", b"[]\n", b'{"mark": "a"}\n']
)
def test_a_line_that_is_none_is_passed_over_and_the_next_is_whole(
    tmp_path: Path, rest: bytes
) -> None:
    path = tmp_path / "runs.jsonl"
    journal = Journal(path, "a")
    first, second = (outcome(Run("digits", None, 1, seed), 0.5) for seed in (0, 1))
    journal.append(first)
    path.write_bytes(path.read_bytes() + rest)
    journal.append(second)
    assert list(journal.read().values()) == [first, second]


def test_another_setting_has_another_mark() -> None:
    names = ("study_tasks.py",)
    assert mark({"epochs": 3}, names) == mark({"epochs": 3}, names)
    assert mark({"epochs": 3}, names) != mark({"epochs": 4}, names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": 0}, "--seeds 0: must be from 1"),
        ({"jobs": 0}, "--jobs 0: must be at least 1"),
        ({"val": "val.csv"}, "--val: names images to score --data with"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(TandemError, match=words):
        study_command("precision", replace(StudyArguments(tmp_path), **arguments), False)


@needs_torch
@pytest.mark.parametrize("study", ["precision", "stability"])
def test_a_small_study_writes_figure_table_and_summary(
    study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = StudyArguments(tmp_path / "new", small=True, jobs=1)
    assert study_command(study, arguments, True) == 0
    out = arguments.out
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((out / f"{study}.json").read_text())
    assert (out / f"{study}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / f"{study}.svg").read_text().startswith("<?xml")
    rows = list(csv.DictReader((out / f"{study}.csv").read_text().splitlines()))
    assert len(rows) == record["trainings"] * (2 if study == "stability" else 1)
    assert all(0 <= float(row["value"]) <= 1 for row in rows)
    assert len(record["answers"]) == 2
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    assert study_command(study, arguments, False) == 0  # trains nothing: the journal has it all
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


@needs_torch
def test_a_training_gives_the_same_figures_twice() -> None:
    from quant.study_training import Job, train  # noqa: PLC0415

    settings = task_settings(StudyArguments(Path(), small=True))[0]
    job = Job(Run("digits", 4, 4, 3), settings, annealed=True)
    one, two = train(job), train(job)
    assert (one.metric, one.loss) == (two.metric, two.loss)


@needs_torch
def test_bits_that_are_asked_for_are_those_of_the_layers() -> None:
    import torch  # noqa: PLC0415

    from quant.network import normalise  # noqa: PLC0415
    from quant.study_network import StudyNetwork  # noqa: PLC0415
    from quant.study_training import cached_task  # noqa: PLC0415

    task = cached_task(task_settings(StudyArguments(Path(), small=True))[0])
    images = normalise(torch.from_numpy(task.train_images[:64]))
    torch.manual_seed(0)
    for weight_bits, feature_bits in ((None, None), (4, 3), (2, 2), (1, 1)):
        network = StudyNetwork(task.network, weight_bits, feature_bits)
        for _ in range(3):
            network(images)
        network.eval()
        with torch.no_grad():
            convolution, *_ = network.layers[0]
            weights = convolution.quant_weight().value if weight_bits else convolution.weight
            features = network.layers[0](images)
            features = features.value if hasattr(features, "value") else features
        levels = len(torch.unique(weights[0]))
        assert levels <= (2**weight_bits if weight_bits else levels)
        if weight_bits == 2:
            assert levels == 3  # ternary: -1, 0, 1
        if feature_bits:
            assert 2 <= len(torch.unique(features)) <= 2**feature_bits
        assert features.min() >= 0


@needs_torch
def test_a_killed_study_resumes_and_trains_nothing_twice(tmp_path: Path, root: Path) -> None:
    command = [sys.executable, "tandem.py", "study", "stability", "--small", "--seeds", "1"]
    command += ["--jobs", "1", "--out", str(tmp_path)]
    journal = tmp_path / "stability.jsonl"
    running = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    while running.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n")):
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    before = journal.read_bytes()
    assert not (tmp_path / "stability.json").exists()
    arguments = StudyArguments(tmp_path, small=True, seeds=1, jobs=1)
    assert study_command("stability", arguments, True) == 0
    lines = journal.read_bytes().splitlines()
    assert journal.read_bytes().startswith(before)
    assert len(lines) == json.loads((tmp_path / "stability.json").read_text())["trainings"]
    never_stopped = train_all(
        "stability", task_settings(arguments), 1, replace(arguments, out=tmp_path / "other")
    )
    resumed = train_all("stability", task_settings(arguments), 1, arguments)
    assert [one.metric for one in resumed.values()] == [
        one.metric for one in never_stopped.values()
    ]
