"""The same on a Ray cluster of two workers on this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_tasks import FACTS, squares

from search.executor import Event, make_executor
from search.journal_db import DiskFull
from search.trials import WAITING, Journal, Task

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install -e '.[cluster]'"
)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    tests = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{tests.parent}:{tests}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with Journal.open(tmp_path / "run", FACTS) as opened:
        yield opened


@pytest.mark.filterwarnings("default")  # Ray's own
def test_two_ray_workers_one_of_them_killed_in_mid_trial(journal: Journal, tmp_path: Path) -> None:
    events: list[Event] = []
    executor = make_executor("ray", 2, journal)
    tasks = [
        Task("dies-once", "train", "executor_tasks:mortal", {"deaths": 1}),
        Task("mistaken", "train", "executor_tasks:mistaken", {}),
        *squares(4, seconds=0.1),
    ]
    try:
        found = executor.run(tasks, events.append)
        # Another stage, on the same cluster.
        later = executor.run([Task("cube", "late", "executor_tasks:square", {"x": 5})])
        # A full disk ends the run; what ended beside it is kept.
        crowded = Task("full", "late", "executor_tasks:crowded", {"room": str(tmp_path / "no")})
        with pytest.raises(DiskFull):
            executor.run([crowded])
    finally:
        executor.close()
    assert found.pop("dies-once") == {"begun": 2}
    assert found == {f"square-{x}": {"y": x * x, "begun": 1} for x in range(4)}
    assert later == {"cube": {"y": 25, "begun": 1}}
    assert journal.failures() == {"mistaken": "data.csv: holds one image: give at least two"}
    assert [key for one in events for key in one.retried] == ["dies-once"]
    # What the tasks said came through the mailbox, that of the killed one too.
    assert journal.chains() == {"dies-once": 3, "cube": 4, **{f"square-{x}": 4 for x in range(4)}}
    assert journal.states()["full"] == WAITING
    assert journal.steps("square-3") == [{"x": 3}]
    assert not (tmp_path / "home").exists()
    assert not (journal.folder / "ray").exists()
