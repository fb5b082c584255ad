"""The model of the executors: its accounts balance, and it says what limits whom."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from executor_tasks import FACTS, squares
from typer.testing import CliRunner

from model.errors import TandemError
from search import scaling_command
from search.executor_load import LOCAL, RAY, Costs, Load, Machines
from search.executor_model import simulate
from search.rescue_command import rescue_command
from search.trials import Journal
from tandem import app

COSTS = Costs(
    claim=0.004, finish=0.004, heartbeat=0.004, batch=0.004, note=3e-5, row=1e-5, look=1e-6,
    spawn=0.003, start=0.07, leave=0.05, submit=3e-4, end=1e-5, wait=2e-6, post=6e-4,
    post_row=2e-6, mail=6e-4, mail_row=7e-6, ray_start=5, ray_worker=0.2,
)  # fmt: skip
STEADY = Load("steady", (100.0,), 0, 60, 0, 20, trials_per_worker=4)
CHATTY = replace(STEADY, name="chatty", rows_per_second=170, batch_seconds=1)
CLUSTER = Machines(32, 60, 4e9, 1e9, 0, 30, 0.04)


@pytest.mark.parametrize("executor", [LOCAL, RAY])
@pytest.mark.parametrize("load", [STEADY, CHATTY], ids=lambda load: load.name)
def test_all_trials_are_done_and_every_second_is_accounted_for(load: Load, executor: str) -> None:
    machines = replace(CLUSTER, failures_per_worker_hour=2)
    one = simulate(load, machines, COSTS, 20, executor)
    assert (one.trials, one.usage.given_up) == (80, 0)
    assert one.usage.useful == pytest.approx(8000)
    assert one.usage.retried > 0 and one.usage.lost > 0
    assert one == simulate(load, machines, COSTS, 20, executor)  # twice the same
    known = ("useful", "starting", "data", "handing", "lost", "idle")
    assert sum(one.share(name) for name in known) == pytest.approx(1, abs=0.01)


def test_one_worker_takes_the_sum_of_all_steps() -> None:
    alone = replace(CLUSTER, data_bytes=0)
    one = simulate(STEADY, alone, COSTS, 1, LOCAL)
    beats = 4 * 20  # every 5 of 100 seconds
    exact = 400 + 4 * 0.008 + beats * 0.004 + 0.003 + 0.07 + 0.05
    assert one.seconds == pytest.approx(exact, abs=0.01)


def test_a_thousand_trainings_do_not_fill_the_writer_and_a_thousand_chains_do() -> None:
    assert simulate(STEADY, CLUSTER, COSTS, 1000, RAY).writer_share < 0.2
    full = simulate(CHATTY, CLUSTER, COSTS, 1000, RAY)
    assert full.writer_share > 0.9 and full.share("useful") < 0.5
    assert simulate(CHATTY, CLUSTER, COSTS, 100, RAY).share("useful") > 0.7


def test_a_slow_server_of_the_data_set_shows_as_waiting_for_data() -> None:
    slow = replace(CLUSTER, server_bytes_per_second=1e8)
    assert simulate(STEADY, slow, COSTS, 320, RAY).share("data") > 0.2
    assert simulate(STEADY, CLUSTER, COSTS, 320, RAY).share("data") < 0.06


def test_more_workers_than_trials_do_nothing() -> None:
    few = replace(STEADY, trials=16)
    assert simulate(few, CLUSTER, COSTS, 100, RAY).share("idle") > 0.5


def test_durations_come_from_a_searchs_own_journal(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.add_trials([replace(task, kind="prototype") for task in squares(3)])
        for n in range(3):
            journal.claim("w")
            journal.finish(f"square-{n}", "w", {})
    loads, _ = scaling_command.load_data(tmp_path)
    found = {load.name: load.seconds for load in loads}
    assert len(found["prototypes"]) == 3 and max(found["prototypes"]) < 60
    usual, _ = scaling_command.load_data(None)
    assert found["training"] == next(load.seconds for load in usual if load.name == "training")
    with pytest.raises(TandemError, match="no search in it"):
        scaling_command.load_data(tmp_path / "elsewhere")


def test_the_study_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # Ray takes long to start
    monkeypatch.setattr(scaling_command, "check", lambda *_: [])
    monkeypatch.setattr(scaling_command, "QUICK_WORKERS", (1, 10))
    monkeypatch.setattr("search.executor_costs.PAUSE_SECONDS", 0)
    done = CliRunner().invoke(
        app, ["study", "scaling", "--out", str(tmp_path), "--quick", "--json"]
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["costs"]["claim"] > 0
    with (tmp_path / "scaling.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["load"] for row in rows} == {"training", "chain", "prototypes"}
    assert {int(row["workers"]) for row in rows} == set(scaling_command.QUICK_WORKERS)
    assert not list(tmp_path.glob("measured-*"))


def test_a_rescued_journal_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TandemError, match="no search in it"):
        rescue_command(tmp_path, as_json=True)
    with Journal.open(tmp_path, FACTS) as journal:
        journal.put_evaluations("c", [(f"g{n}", 0.0, {"text": "x" * 200}) for n in range(2000)])
    with pytest.raises(TandemError, match="is in order"):
        rescue_command(tmp_path, as_json=True)
    path = tmp_path / "journal.sqlite"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 8192)
    assert rescue_command(tmp_path, as_json=True) == 0
    record = json.loads(capsys.readouterr().out)
    assert "lost" in record["tables"]["evaluations"] and Path(record["damaged"]).exists()
    with Journal.open(tmp_path, FACTS) as journal:
        assert journal.damage is None and 1000 < journal.chains()["c"] < 2000
