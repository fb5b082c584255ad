"""How a search stands is read from its journal: counts, the best so far, the time left."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.executor import Event, Task
from search.journal_view import Trial
from search.references import TANDEM_POINTS, beaten
from search.search_figures import descents, draw_designs, draw_traces
from search.search_log import best_gaps
from search.search_report import markdown, write_report
from search.search_status import put_ended, put_facts, put_notes, share_done, status_of
from search.search_view import SearchView, describe_status, duration
from search.spec import SearchSpec, load_spec
from search.trials import RUNNING, Journal

WORKER = "nowhere:1:1"


@pytest.fixture
def spec(root: Path) -> SearchSpec:
    found = load_spec(root / "designs" / "search_small.toml")
    return replace(
        found,
        bundles=replace(found.bundles, draw=4),
        prototypes=replace(found.prototypes, groups=2),
        scd=replace(found.scd, trained=2),
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path, {"spec": "1"}) as found:
        yield found


def task(kind: str, name: str, **payload: Any) -> Task:
    return Task(f"{kind}-{name}", kind, "nothing:at_all", payload)


def begin(journal: Journal, *tasks: Task) -> None:
    journal.add_trials(tasks)
    for _ in tasks:
        claim(journal)


def claim(journal: Journal) -> Trial | None:
    holder = journal.meta("holder")
    return journal.claim(WORKER, holder)


def end(journal: Journal, found: Task, **result: Any) -> None:
    assert journal.finish(found.key, WORKER, result)


def prototypes(journal: Journal) -> list[Task]:
    """Five prototypes in two groups of latency, one trained in each, one running."""
    tasks = [task("prototype", name, stages=["float"]) for name in "abcde"]
    notes = {
        item.key: [{"bundle": f"bundle-{item.key[-1]}", "latency_ms": ms, "fps": 1000 / ms}]
        for item, ms in zip(tasks, (10.0, 11.0, 12.0, 50.0, 55.0), strict=True)
    }
    put_notes(journal, "prototype", notes)
    journal.add_trials(tasks)
    for iou in (0.3, 0.5):
        trial = claim(journal)
        assert trial is not None
        end(journal, trial.task, mean_iou=iou)
    return tasks


def candidates(journal: Journal) -> None:
    """A chain that found two; both are trained, one of them for two targets."""
    chain = task("chain", "scd", target={"fps": 1500.0})
    begin(journal, chain)
    end(journal, chain, candidates=[{"fps": 1515.0}, {"fps": 1650.0}])
    one, two = task("candidate", "one"), task("candidate", "two")
    note = {"target": "fps1500", "bundle": "dw3-conv1-maxpool", "method": "scd", "fps": 1515.0}
    put_notes(
        journal,
        "candidate",
        {
            one.key: [note | {"name": "n1"}],
            two.key: [note | {"name": "n2"}, note | {"name": "n3", "target": "fps9"}],
        },
    )
    begin(journal, one, two)
    end(journal, one, mean_iou=0.41)
    end(journal, two, mean_iou=0.44)


def test_a_search_that_has_not_begun(journal: Journal, spec: SearchSpec) -> None:
    put_facts(journal, spec)
    found = status_of(journal)
    assert found["name"] == "search_small" and found["state"] == "running"
    assert found["seconds_left"] is None and found["evaluations"] == 0
    assert {name: item["total"] for name, item in found["stages"].items()} == {
        "prototype": 4, "chain": 2, "candidate": 2, "size": 1, "winner": 1, "finish": 1,
    }  # fmt: skip
    assert set(found["not_known"]) == set(found["stages"])


def test_a_journal_without_a_word_about_the_search(journal: Journal) -> None:
    tasks = prototypes(journal)
    journal.put_meta("status prototype", "{}")
    found = status_of(journal)
    assert found["stages"]["prototype"]["done"] == 2
    assert found["groups"] == [] and found["best"] == {"prototype": 0.5}
    claim(journal)
    assert status_of(journal)["running"][0]["what"] == tasks[2].key.removeprefix("prototype-")


def test_the_best_of_each_group(journal: Journal, spec: SearchSpec) -> None:
    put_facts(journal, spec)
    prototypes(journal)
    one, two = status_of(journal)["groups"]
    assert (one["prototypes"], one["trained"], two["trained"]) == (3, 2, 0)
    assert one["best"] == {"bundle": "bundle-b", "iou": 0.5, "fps": 1000 / 11}
    assert two["latency_ms"] == [50.0, 55.0] and two["best"] == {}


def test_the_best_of_each_target(journal: Journal, spec: SearchSpec) -> None:
    put_facts(journal, spec)
    candidates(journal)
    (found,) = status_of(journal)["best_by_target"]
    assert (found["chains"], found["candidates"]) == (1, 2)
    assert found["smallest_gap"] == pytest.approx(0.01)
    best = found["candidate"]
    assert (best["name"], best["iou"], best["trained"]) == ("n2", 0.44, 2)
    assert found["winner"] == {"trained": 0}


def test_a_winner_is_judged_by_its_integer_network(journal: Journal, spec: SearchSpec) -> None:
    put_facts(journal, spec)
    winner = task("winner", "w")
    put_notes(journal, "winner", {winner.key: [{"target": "fps1500", "name": "n1", "fps": 1510.0}]})
    begin(journal, winner)
    end(journal, winner, mean_iou=0.46, integer_iou=0.45)
    (found,) = status_of(journal)["best_by_target"]
    assert found["winner"]["iou"] == 0.45


def test_time_left_counts_what_the_running_ones_have_done(journal: Journal) -> None:
    prototypes(journal)
    for _ in range(2):
        claim(journal)
    rewrite_times(journal, done=100.0)
    journal.heartbeat(
        "prototype-c", WORKER, {"stage": "float", "epoch": 3, "epochs": 4, "mean_iou": 0.2}
    )
    found = status_of(journal)
    assert found["stages"]["prototype"]["seconds_each"] == pytest.approx(100)
    # A quarter of one, all of another and one that waits, on two workers.
    assert found["seconds_left"] == pytest.approx(100 * (0.25 + 1 + 1) / 2)
    assert [item["share"] for item in found["running"]] == [0.75, 0.0]


def test_time_left_before_any_has_ended(journal: Journal) -> None:
    begin(journal, task("winner", "x", stages=["float", "qat"]))
    journal.heartbeat("winner-x", WORKER, {"stage": "qat", "epoch": 1, "epochs": 2})
    (trial,) = journal.trials()
    assert share_done(trial) == 0.75 and trial.claimed_at is not None
    found = status_of(journal, now=trial.claimed_at + 300)
    assert found["stages"]["winner"]["seconds_each"] == pytest.approx(400)
    assert found["seconds_left"] == pytest.approx(100)


def rewrite_times(journal: Journal, done: float) -> None:
    journal._connection.execute(
        "UPDATE trials SET finished_at = claimed_at + ? WHERE finished_at IS NOT NULL", (done,)
    )


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        ({}, 0.0),
        ({"step": "synthesis"}, 0.0),
        ({"spent": 30, "budget": 60}, 0.5),
        ({"stage": "float", "epoch": 2, "epochs": 4}, 0.25),
        ({"stage": "qat", "epoch": 4, "epochs": 4}, 1.0),
    ],
)
def test_share_done(progress: dict[str, Any], share: float) -> None:
    of = task("winner", "x", stages=["float", "qat"])
    trial = Trial(of, RUNNING, WORKER, 1, 0.0, 0.0, None, progress, None)
    assert share_done(trial) == share


def test_the_view_from_another_terminal(journal: Journal, spec: SearchSpec) -> None:
    put_facts(journal, spec)
    prototypes(journal)
    claim(journal)
    journal.heartbeat(
        "prototype-c", WORKER, {"stage": "float", "epoch": 3, "epochs": 4, "mean_iou": 0.2}
    )
    with Journal.open(journal.folder, {}, read_only=True) as seen:
        status = json.loads(json.dumps(status_of(seen)))
    text = printed(status)
    assert "search_small in" in text and "running" in text
    assert "2 of 5" in text and "at most 2" in text
    assert "bundle-c" in text and "float epoch 3 of 4, IoU 0.2000" in text
    assert "bundle-b" in text and "0.5000" in text
    assert "chain, candidate, size, winner, finish: none has ended yet" in text


def test_a_failure_and_a_damage_are_told(journal: Journal) -> None:
    begin(journal, task("candidate", "x"))
    journal.fail("candidate-x", WORKER, "val.csv: one image [only]: give it more")
    text = printed(status_of(journal) | {"damage": "journal.sqlite: 3 rows are lost"})
    assert "val.csv: one image [only]: give it more" in text
    assert "3 rows are lost" in text


def test_an_ended_search_has_no_time_left(journal: Journal, spec: SearchSpec) -> None:
    put_facts(journal, spec)
    candidates(journal)
    put_ended(journal)
    found = status_of(journal)
    assert found["state"] == "ended" and found["seconds_left"] == 0 and not found["not_known"]
    assert "time left" not in printed(found)
    put_facts(journal, spec)  # it goes on
    assert status_of(journal)["state"] == "running"


def test_a_killed_search_is_stopped(tmp_path: Path, spec: SearchSpec) -> None:
    with Journal.open(tmp_path, {"spec": "1"}) as journal:
        put_facts(journal, spec)
        begin(journal, task("winner", "x"))
        journal.put_meta("holder", "elsewhere:1:1")
    with Journal.open(tmp_path, {}, read_only=True) as seen:
        (trial,) = seen.trials()
        assert trial.heartbeat_at is not None
        assert status_of(seen, trial.heartbeat_at + 5)["state"] == "running"
        assert status_of(seen, trial.heartbeat_at + 60)["state"] == "stopped"


def printed(status: dict[str, Any]) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=140)
    for part in describe_status(status):
        console.print(part)
    return stream.getvalue()


@pytest.fixture
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.search_log._writer", lambda _: None)


@pytest.mark.usefixtures("no_log")
def test_without_a_terminal_every_change_is_a_line(
    journal: Journal, spec: SearchSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    with SearchView(spec, journal, Console(file=io.StringIO())) as view:
        view.say("4 bundles")
        for _ in range(3):
            view.watch("prototype", Event(0, 0, 2, 4))
        view.watch("prototype", Event(1, 1, 2, 4, retried=("prototype-a",)))
    assert capsys.readouterr().err.splitlines() == [
        "4 bundles",
        "prototype: 0 of 4 done",
        "prototype prototype-a: its worker was lost, it begins again",
        "prototype: 1 of 4 done, 1 failed",
    ]
    assert status_of(journal)["state"] == "ended"


@pytest.mark.usefixtures("no_log")
def test_on_a_terminal_the_view_is_drawn(journal: Journal, spec: SearchSpec) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=120, height=50)
    with SearchView(spec, journal, terminal) as view:
        prototypes(journal)
        view.say("selected: a[b]")
        view.watch("prototype", Event(2, 0, 0, 5))
    text = stream.getvalue()
    assert "2 of 5" in text and "selected: a[b]" in text


@pytest.mark.usefixtures("no_log")
def test_a_search_that_breaks_off_has_not_ended(journal: Journal, spec: SearchSpec) -> None:
    with pytest.raises(KeyboardInterrupt), SearchView(spec, journal, Console(file=io.StringIO())):
        raise KeyboardInterrupt
    assert status_of(journal)["state"] != "ended"


@pytest.mark.quant
def test_the_log_holds_every_trial_once(journal: Journal, spec: SearchSpec) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    candidates(journal)
    prototypes(journal)
    journal.put_steps("chain-scd", [(n, 0.0, {"gap_after": gap}) for n, gap in enumerate(GAPS)])
    for _ in range(2):  # the second time it goes on
        with SearchView(spec, journal, Console(file=io.StringIO())) as view:
            view.watch("candidate", Event(2, 0, 0, 2))
    log = reader.EventAccumulator(str(journal.folder / "tensorboard"))
    log.Reload()
    assert [round(item.value, 6) for item in log.Scalars("iou/candidate")] == [0.41, 0.44]
    assert [item.step for item in log.Scalars("best_iou/prototype")] == [1, 2]
    gaps = [round(item.value, 6) for item in log.Scalars("best_fps_gap/chain-scd")]
    assert gaps == [0.5, 0.2, 0.2]


GAPS = (0.5, -0.2, 0.4)


def test_the_smallest_gap_so_far() -> None:
    steps = [{"gap_after": gap} for gap in (None, *GAPS)]
    assert best_gaps(steps) == [None, 0.5, 0.2, 0.2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.14, "3.1 s"), (42, "42 s"), (720, "12 min"), (12_000, "3 h 20 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_beaten() -> None:
    a = next(point for point in TANDEM_POINTS if point.name == "DNN-A")
    assert "DNN-A" in beaten(a.fps + 1, a.iou + 0.01)
    assert "DNN-A" not in beaten(a.fps, a.iou + 0.01)
    assert beaten(1000.0, 0.1) == []


REPORT: dict[str, Any] = {
    "name": "uav",
    "device": "pynq_z1",
    "clock_mhz": 100.0,
    "command": "tandem search uav.toml --out run",
    "limits": {"dsp": 220, "bram18": 280, "lut": 44954, "ff": 89908},
    "targets": [{"fps": 40.0, "tolerance": 0.03}, {"fps": 80.0, "tolerance": 0.03}],
    "evaluations": 24000,
    "evaluations_per_minute": {"evaluations": 24000, "seconds": 61.0, "best_minute": 23500},
    "trained": 31,
    "designs": [
        {
            "name": "uav_fps40", "target_fps": 40.0, "fps": 41.0, "mean_iou": 0.701,
            "float_iou": None, "bundle": "dw3-conv1-maxpool", "weight_bits": 8, "feature_bits": 8,
            "dsp": 216, "bram18": 140, "lut": 20000, "ff": 22000, "power_w": 2.1, "verified": True,
            "path": "run/a.toml", "network": "run/a.npz", "beats": [],
        }
    ],
    "selected": ["dw3-conv1-maxpool"],
    "prototypes": [],
    "candidates": [],
    "baselines": [
        {"target_fps": 40.0, "scd": 0.7, "scd_mean": 0.69, "scd_trained": 4, "random": None,
         "random_mean": None, "random_trained": 0},
    ],
    "refused": [{"bundle": "dw3-maxpool", "reason": "channels cannot grow"}],
    "quality": {"samples": 8, "error": 0.012, "mean_error": 0.02, "tau": 0.7},
    "chains": [],
    "failures": {"candidate-x": "no disk"},
}  # fmt: skip


def test_the_report_says_what_was_found_and_what_was_not(tmp_path: Path) -> None:
    text = "\n".join(markdown(REPORT))
    costs = "216 | 140 | 20,000 | 22,000 | 2.10"
    for line in (
        "    tandem search uav.toml --out run",
        "    tandem verify run/a.toml --network run/a.npz",
        f"| 40 | 41.0 | 0.7010 |  | dw3-conv1-maxpool | 8, 8 | {costs} | 0 differ | run/a.toml |",
        "No design for 80 FPS.",
        "| 40 |  | 0.7000 (0.6900, 4) |",
        "- dw3-maxpool: channels cannot grow",
        "- candidate-x: no disk",
    ):
        assert line in text.splitlines(), line
    assert "23,500 in the best minute" in text and "tau) of 0.70" in text
    write_report(REPORT, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == REPORT


def test_tables_of_the_report_are_whole() -> None:
    columns = 0
    for line in markdown(REPORT):
        cells = line.count("|") if line.startswith("|") else 0
        assert not cells or not columns or cells == columns, line
        columns = cells


def test_pictures_of_a_search(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    steps = [
        {"index": n, "gap_before": before, "gap_after": after, "accepted": True}
        for n, (before, after) in enumerate(((0.9, 0.5), (0.5, -0.2), (0.7, 0.1)))
    ]
    rejected = {"index": 3, "gap_before": 0.1, "gap_after": 0.4, "accepted": False}
    assert descents([*steps, rejected]) == [[(0, 0.9), (1, 0.5), (2, -0.2)], [(2, 0.7), (3, 0.1)]]
    traces = {"one": steps, "two": []}
    assert draw_traces(tmp_path / "traces", traces, {"one": 40.0, "two": 80.0}, 0.03)
    assert not draw_traces(tmp_path / "none", {"one": []}, {"one": 40.0}, 0.03)
    found = [{"fps": 44.0, "iou": 0.5, "method": "scd"}]
    assert draw_designs(tmp_path / "designs", REPORT["designs"], found, [40.0])
    assert "uav_fps40" in (tmp_path / "designs.svg").read_text()
