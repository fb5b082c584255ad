"""The journal: no trial twice, no row lost, no folder for two, no damage unsaid."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from executor_tasks import FACTS, rows, squares

from model.errors import TandemError
from search.journal_db import DiskFull
from search.journal_lock import is_alive, process_name
from search.journal_rates import rate
from search.journal_salvage import rescue
from search.trials import DONE, FAILED, RUNNING, WAITING, Journal

HOLD = """
import sys
from pathlib import Path
from search.trials import Journal
journal = Journal.open(Path(sys.argv[1]), {"spec": "a1", "sources": "b2"})
print("held", flush=True)
sys.stdin.read()
"""


CUT_OFF = """
import os, signal, sys
from pathlib import Path
from search.trials import Journal
db = Journal.join(Path(sys.argv[1]))._connection
db.execute("BEGIN IMMEDIATE")
db.execute("DELETE FROM trials")
os.kill(os.getpid(), signal.SIGKILL)
"""


def claim_all(folder: str, name: str) -> list[str]:
    claimed = []
    with Journal.join(Path(folder)) as journal:
        while (trial := journal.claim(name)) is not None:
            claimed.append(trial.task.key)
            journal.finish(trial.task.key, name, {})
    return claimed


def write_batches(folder: str, chain: str) -> None:
    with Journal.join(Path(folder)) as journal:
        for first in range(0, 2000, 100):
            journal.put_evaluations(chain, rows(100, first))
            journal.put_steps(chain, [(first, time.time(), {"first": first})])


def test_a_trial_is_kept_once_and_its_result_for_good(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.add_trials(squares(2))
        journal.add_trials(squares(3))
        trial = journal.claim("w1")
        assert trial is not None and trial.task == squares(1)[0] and trial.attempts == 1
        assert journal.heartbeat("square-0", "w1", {"epoch": 3})
        assert journal.trials()[0].progress == {"epoch": 3}
        assert journal.finish("square-0", "w1", {"iou": 0.1 + 0.2})
        assert journal.counts() == {"train": {WAITING: 2, RUNNING: 0, DONE: 1, FAILED: 0}}
    with Journal.open(tmp_path, FACTS) as journal:
        assert journal.results() == {"square-0": {"iou": 0.1 + 0.2}}
        journal.add_trials(squares(3))
        assert [trial.state for trial in journal.trials()] == [DONE, WAITING, WAITING]


def test_two_processes_never_claim_the_same_trial(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.add_trials(squares(60))
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            one, two = pool.starmap(claim_all, [(str(tmp_path), "w1"), (str(tmp_path), "w2")])
        assert sorted(one + two) == sorted(task.key for task in squares(60))


def test_only_the_worker_that_holds_a_trial_ends_it(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.add_trials(squares(1))
        assert journal.claim("w1")
        assert [trial.task.key for trial in journal.release("w1", "was killed")] == ["square-0"]
        assert journal.claim("w2")
        assert not journal.finish("square-0", "w1", {"y": 1})
        assert not journal.heartbeat("square-0", "w1")
        assert journal.finish("square-0", "w2", {"y": 2})
        assert journal.results() == {"square-0": {"y": 2}}


def test_a_worker_of_a_killed_search_claims_nothing_from_the_next(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.add_trials(squares(1))
        host, pid, began = process_name().rsplit(":", 2)
        assert journal.claim("orphan", f"{host}:{pid}:{int(began) - 1}") is None
        assert journal.claim("w1", process_name()) is not None


def test_a_trial_that_kills_three_workers_fails_and_one_taken_back_does_not(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.add_trials(squares(1))
        for _ in range(5):
            assert journal.claim("w1")
            journal.release("w1")
        for attempt in (1, 2, 3):
            trial = journal.claim("w1")
            assert trial is not None and trial.attempts == attempt
            journal.release("w1", "its worker was killed")
        assert journal.claim("w1") is None
        assert "3 attempts" in journal.failures()["square-0"]
    with Journal.open(tmp_path, FACTS) as journal:  # started again, it is tried again
        journal.add_trials(squares(1))
        assert journal.claim("w1")


def test_two_processes_write_evaluations_at_once(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.starmap(write_batches, [(str(tmp_path), "c1"), (str(tmp_path), "c2")])
        assert journal.chains() == {"c1": 2000, "c2": 2000}
        assert [step["first"] for step in journal.steps("c2")] == list(range(0, 2000, 100))
        assert journal.evaluations_per_minute().best_minute == 4000


def test_a_chain_that_begins_again_repeats_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        for _ in range(2):
            journal.put_evaluations("c", rows(5))
            journal.put_steps("c", [(n, 0.0, {"n": n}) for n in range(3)])
        journal.put_steps("c", [(1, 0.0, {"n": 10})])
        assert [key for key, _, _ in journal.evaluations("c")] == [f"g{n}" for n in range(5)]
        assert journal.steps("c") == [{"n": 0}, {"n": 10}, {"n": 2}]


def test_the_pace_is_that_of_the_best_minute() -> None:
    found = rate([1000.0 + n / 8 for n in range(1000)] + [5000.0])
    assert (found.evaluations, found.best_minute) == (1001, 480)
    assert found.per_minute == pytest.approx(1001 * 60 / 4000)
    assert rate([]).per_minute == 0


def test_another_searchs_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    Journal.open(tmp_path, FACTS).close()
    with pytest.raises(TandemError, match=r"spec is a1 there and a9 here\): choose another"):
        Journal.open(tmp_path, {**FACTS, "spec": "a9"})
    Journal.open(tmp_path, FACTS).close()  # the refusal left no lock


def test_a_second_search_in_the_folder_is_told_who_is_there(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(TandemError, match=f"process {holder.pid} searches in this folder"):
            Journal.open(tmp_path, FACTS)
        with Journal.open(tmp_path, {}, read_only=True) as watching:
            assert watching.counts() == {}
        holder.kill()
    Journal.open(tmp_path, FACTS).close()  # the lock went with its process


def test_a_reader_writes_nothing_and_needs_a_search(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="no search in it"):
        Journal.open(tmp_path, {}, read_only=True)
    Journal.open(tmp_path, FACTS).close()
    journal = Journal.open(tmp_path, {}, read_only=True)
    with journal, pytest.raises(TandemError, match="reading only"):
        journal.add_trials(squares(1))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TandemError, match="choose another folder with --out"):
        Journal.open(tmp_path / "file", FACTS)


def filled(folder: Path) -> Path:
    """A journal of 20 results and 4000 evaluations."""
    with Journal.open(folder, FACTS) as journal:
        journal.add_trials(squares(20))
        for n in range(20):
            journal.claim("w")
            journal.finish(f"square-{n}", "w", {"y": n})
        for first in range(0, 4000, 500):
            journal.put_evaluations("c", rows(500, first))
        journal.put_steps("c", [(n, 0.0, {"n": n}) for n in range(10)])
        journal.put_steps("c", [(n, 0.0, {"n": n}) for n in range(10)])
    return folder / "journal.sqlite"


def overwrite(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def test_a_damaged_journal_is_read_only_and_says_what_is_lost(tmp_path: Path) -> None:
    path = filled(tmp_path)
    overwrite(path, path.stat().st_size // 2, 3 * 4096)
    with Journal.open(tmp_path, FACTS) as journal:
        assert journal.damage is not None
        tables = journal.damage.tables
        assert str(tables["trials"]) == "all 20 rows" and str(tables["steps"]) == "all 10 rows"
        saved = tables["evaluations"]
        assert saved.readable + saved.lost == 4000 and 0 < saved.lost < 400
        assert len(journal.results()) == 20
        assert journal.chains() == {"c": saved.readable}
        with pytest.raises(TandemError, match=rf"{saved.lost} lost.*--rescue") as told:
            journal.add_trials(squares(30))
        assert "damaged" in str(told.value)
        assert b"\xa5" in path.read_bytes()
        kept = rescue(tmp_path, journal.damage)
    assert kept.exists()
    with Journal.open(tmp_path, FACTS) as journal:  # goes on with what could be read
        assert journal.damage is None
        assert len(journal.results()) == 20
        journal.put_evaluations("c", rows(4000))
        assert journal.chains() == {"c": 4000}


@pytest.mark.parametrize("read_only", [False, True])
def test_a_journal_without_its_first_page_is_lost_as_a_whole(
    tmp_path: Path, read_only: bool
) -> None:
    path = filled(tmp_path)
    overwrite(path, 0, 4096)
    with Journal.open(tmp_path, FACTS, read_only) as journal:
        assert journal.damage is not None
        assert "trials: 0 rows, 0 or more lost" in journal.damage.sentence
        assert journal.results() == {}


def test_a_journal_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = filled(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    with Journal.open(tmp_path, FACTS) as journal:
        assert journal.damage is not None
        saved = journal.damage.tables["evaluations"]
        assert saved.readable + saved.lost == 4000 and saved.lost > 0
        assert len(journal.results()) == 20


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    with Journal.open(tmp_path, FACTS) as journal:
        journal.put_evaluations("c", rows(10))
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DiskFull, match="the disk is full: make room and start the same"):
            journal.put_evaluations("c", rows(5000))
        assert journal.chains() == {"c": 10}
        journal._connection.execute("PRAGMA max_page_count = 100000")
        journal.put_evaluations("c", rows(5000))
        assert journal.chains() == {"c": 5000}


def test_a_kill_between_two_writes_leaves_a_sound_journal(tmp_path: Path) -> None:
    filled(tmp_path)
    subprocess.run([sys.executable, "-c", CUT_OFF, str(tmp_path)], check=False)
    with Journal.open(tmp_path, FACTS) as journal:
        assert journal.damage is None and len(journal.results()) == 20


def test_a_worker_of_an_ended_search_is_told_from_a_new_process() -> None:
    own = process_name()
    host, pid, began = own.rsplit(":", 2)
    assert is_alive(own)
    assert not is_alive(f"{host}:{pid}:{int(began) - 1}")  # the number was given out again
    assert not is_alive(f"elsewhere:{pid}:{began}")


def test_the_file_is_plain_sqlite(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM trials WHERE state = 'done'").fetchone() == (20,)
    db.close()
