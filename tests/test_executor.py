"""The executors: one answer from any number of workers, whatever happens to them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from executor_tasks import FACTS, squares

from model.errors import TandemError
from search import executor_ray
from search.executor import Event, HereExecutor, LocalExecutor, make_executor
from search.journal_db import DiskFull
from search.journal_lock import is_alive
from search.trials import DONE, RUNNING, WAITING, Journal, Task

PATIENCE_SECONDS = 30.0
ANSWER = {f"square-{x}": x * x for x in range(4)}
MANY = 12  # trials: some are left when a slow machine sees the first one done


def until(holds: Callable[[], bool]) -> None:
    """Wait for another process."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def answer(journal: Journal, jobs: int, tasks: list[Task]) -> dict[str, object]:
    found = make_executor("local", jobs, journal).run(tasks)
    return {key: result["y"] for key, result in found.items()}


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_the_answer_does_not_depend_on_the_number_of_workers(tmp_path: Path, jobs: int) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        assert answer(journal, jobs, squares(4)) == ANSWER
        backwards = list(reversed(squares(4)))
        assert list(answer(journal, jobs, backwards)) == [task.key for task in backwards]
        # Asked for twice, done once.
        assert {result["begun"] for result in journal.results().values()} == {1}
        assert len(journal.steps("square-3")) == 1
        assert journal.chains() == dict.fromkeys(ANSWER, 4)
        assert all(trial.progress == {"epoch": 1} for trial in journal.trials())


def test_a_killed_worker_loses_its_own_trial_only_and_that_is_done_elsewhere(
    tmp_path: Path,
) -> None:
    events: list[Event] = []
    mortal = [
        Task("dies-twice", "train", "executor_tasks:mortal", {"deaths": 2}),
        Task("dies-always", "train", "executor_tasks:mortal", {"deaths": 99}),
    ]
    with Journal.open(tmp_path, FACTS) as journal:
        found = LocalExecutor(2, journal).run([*mortal, *squares(3)], events.append)
        assert found.pop("dies-twice") == {"begun": 3}
        assert found == {f"square-{x}": {"y": x * x, "begun": 1} for x in range(3)}
        assert list(journal.failures()) == ["dies-always"]
        assert "after 3 attempts" in journal.failures()["dies-always"]
        assert "SIGKILL" in journal.failures()["dies-always"]
        assert journal.chains()["dies-twice"] == 3  # those of the first attempt, kept
    retried = [key for one in events for key in one.retried]
    assert sorted(retried) == ["dies-always"] * 2 + ["dies-twice"] * 2
    assert (events[-1].done, events[-1].failed, events[-1].open) == (4, 1, 0)


def test_a_task_that_cannot_be_done_fails_with_its_sentence_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    tasks = [
        Task("mistaken", "train", "executor_tasks:mistaken", {}),
        Task("broken", "train", "executor_tasks:broken", {"zero": 0}),
        Task("hungry", "train", "executor_tasks:hungry", {}),
        *squares(2),
    ]
    with Journal.open(tmp_path, FACTS) as journal:
        found = LocalExecutor(1, journal).run(tasks)
        failures = journal.failures()
    assert list(found) == ["square-0", "square-1"]
    assert failures["mistaken"] == "data.csv: holds one image: give at least two"
    assert failures["broken"].startswith("ZeroDivisionError")
    assert "1 // payload" in (tmp_path / "trials/train/broken/error.txt").read_text()
    assert failures["hungry"].endswith("its worker ran out of memory")


def states(folder: Path) -> dict[str, str]:
    try:
        with Journal.open(folder, {}, read_only=True) as journal:
            return journal.states()
    except TandemError:  # not there yet
        return {}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_search_resumes_to_the_same_answer(tmp_path: Path, end: signal.Signals) -> None:
    # A shell starts what it sends to the background with SIGINT ignored, and children inherit that.
    code = (
        "import executor_tasks, signal, sys; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"executor_tasks.drive(sys.argv[1], {MANY}, 0.4)"
    )
    script = tmp_path / "drive.py"
    script.write_text(f"if __name__ == '__main__':\n    {code}\n")
    tests = Path(__file__).parent
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={"PYTHONPATH": f"{tests.parent}:{tests}"},
        stderr=subprocess.DEVNULL,
    )
    until(lambda: {DONE, RUNNING} <= set(states(tmp_path).values()))
    with Journal.open(tmp_path, {}, read_only=True) as journal:
        workers = [trial.worker for trial in journal.trials() if trial.worker is not None]
    driver.send_signal(end)
    driver.wait(PATIENCE_SECONDS)
    if end == signal.SIGINT:
        assert set(states(tmp_path).values()) == {DONE, WAITING}
        assert not any(is_alive(worker) for worker in workers)
    with Journal.open(tmp_path, FACTS) as journal:
        until(lambda: not any(is_alive(worker) for worker in workers))
        before = set(journal.results())
        assert 0 < len(before) < MANY
        wanted = {f"square-{x}": x * x for x in range(MANY)}
        assert answer(journal, 2, squares(MANY)) == wanted
        begun = {key: result["begun"] for key, result in journal.results().items()}
        assert {begun[key] for key in before} == {1}


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_full_disk_ends_the_run_and_a_later_one_goes_on(tmp_path: Path, jobs: int) -> None:
    room = tmp_path / "room"
    tasks = [*squares(1), Task("c", "train", "executor_tasks:crowded", {"room": str(room)})]
    with Journal.open(tmp_path, FACTS) as journal:
        with pytest.raises(DiskFull, match="make room and start the same command again"):
            make_executor("local", jobs, journal).run(tasks)
        assert journal.states() == {"square-0": DONE, "c": WAITING}
        room.touch()
        assert make_executor("local", jobs, journal).run(tasks)["c"] == {"stored": True}


def test_workers_that_end_before_a_trial_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    told = pytest.raises(TandemError, match="3 workers in turn ended with exit code 1")
    with Journal.open(tmp_path, FACTS) as journal, told:
        LocalExecutor(1, journal).run(squares(1))


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        with pytest.raises(TandemError, match="--executor slurm: is none of local, ray"):
            make_executor("slurm", 1, journal)
        assert isinstance(make_executor("local", 0, journal), HereExecutor)


def test_ray_without_its_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", *executor_ray.QUIET):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "ray", None)
    told = pytest.raises(TandemError, match=r"pip install 'tandem-codesign\[cluster\]'")
    with Journal.open(tmp_path, FACTS) as journal, told:
        make_executor("ray", 2, journal)
