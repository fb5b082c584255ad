"""Board against simulator: tolerances, causes, and logs of something else."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from board_cases import boxed_network, save, written_log
from typer.testing import CliRunner

from boards.comparison import BoardComparison, Comparing, compare_board
from model.design import Design, load_design
from model.errors import TandemError
from model.network_file import save_network
from tandem import app


@pytest.fixture(scope="module")
def design(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


def compared(root: Path, log: dict[str, Any], folder: Path, **more: Any) -> BoardComparison:
    path = save(log, folder / "run.json")
    return compare_board(Comparing(root / "designs" / "tiny.toml", path, **more))


def test_a_board_as_simulated_has_no_difference(root: Path, design: Design, tmp_path: Path) -> None:
    found = compared(root, written_log(design), tmp_path)
    assert found.held and found.differing == 0
    assert found.said == () and found.causes == ()
    assert not found.bitstream_checked


def test_fewer_frames_than_compiled_are_simulated_as_they_ran(
    root: Path, design: Design, tmp_path: Path
) -> None:
    assert compared(root, written_log(design, frames=1), tmp_path).differing == 0


@pytest.mark.parametrize(
    ("ddr", "cause"),
    [
        ({"read_latency": 20}, "read latency"),
        ({"ddr_khz": 262_500}, "bandwidth"),
        ({"t_refi": 4095 // 8}, "refresh"),
        ({"write_latency": 68}, "write latency"),
        ({"t_refi": 4_095_000}, "rarer refresh"),
        ({"t_rcd": 21, "t_rp": 21}, "row changes"),
    ],
)
def test_another_memory_is_found_as_the_cause(
    ddr: dict[str, int], cause: str, root: Path, design: Design, tmp_path: Path
) -> None:
    log = written_log(design, **ddr)
    found = compared(root, log, tmp_path, tolerance=("total_cycles=0", "wait_ddr=0"))
    assert not found.held
    assert found.causes[0].name == cause
    assert found.causes[0].explained == 1.0


def test_no_memory_changes_what_is_busy(root: Path, design: Design, tmp_path: Path) -> None:
    # Hence their default tolerance of 0.
    found = compared(root, written_log(design, ddr_khz=131_250, read_latency=99), tmp_path)
    assert found.differing > 0
    assert all(row.board == row.simulated for row in found.rows if row.name.endswith(".busy"))


def test_another_clock_is_found_as_the_cause(root: Path, design: Design, tmp_path: Path) -> None:
    slower = written_log(design, ddr_khz=420_000)  # for the fabric, as a clock of 125 MHz is
    slower["clock_mhz"] = 125.0
    slower["runs"][0]["seconds"] = 1.0
    found = compared(root, slower, tmp_path, tolerance=("total_cycles=0",))
    assert found.causes[0].name == "fabric clock" and found.causes[0].explained == 1.0


def moved(log: dict[str, Any], unit: str, source: str, to: str, cycles: int) -> dict[str, Any]:
    counters = log["runs"][0]["counters"]
    counters[f"{unit}.{source}"] -= cycles
    counters[f"{unit}.{to}"] += cycles
    return log


def test_one_busy_cycle_more_is_another_program(root: Path, design: Design, tmp_path: Path) -> None:
    found = compared(root, moved(written_log(design), "mac", "wait_input", "busy", 1), tmp_path)
    assert not found.held
    assert "mac was busy 1 cycles more" in found.said[0]
    assert "another program or another bitstream" in found.said[0]
    assert found.causes == ()


def test_a_deviation_that_nothing_explains_is_told_so(
    root: Path, design: Design, tmp_path: Path
) -> None:
    log = moved(written_log(design), "load", "wait_output", "wait_ddr", 3000)
    found = compared(root, log, tmp_path)
    assert "load waited 3,000 cycles more for memory" in found.said
    assert any("nothing" in line or "no change of memory" in line for line in found.said)


def test_tolerances_come_from_file_and_option(root: Path, design: Design, tmp_path: Path) -> None:
    log = moved(written_log(design), "load", "wait_output", "wait_ddr", 3000)
    file = tmp_path / "tolerances.toml"
    file.write_text('[tolerance]\nwait_output = 0.5\n"load.wait_ddr" = 0.5\n')
    assert compared(root, log, tmp_path, tolerances=file).held
    strict = ("load.wait_ddr=0.001",)
    assert not compared(root, log, tmp_path, tolerances=file, tolerance=strict).held


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("mac=0.1", "no counter of that name"),
        ("mac.busy=x", "NAME=SHARE"),
        ("mac.busy=nan", "NAME=SHARE"),
        ("mac.busy=2", "NAME=SHARE"),
        ("mac.busy", "NAME=SHARE"),
    ],
)
def test_a_tolerance_that_means_nothing_is_refused(
    option: str, words: str, root: Path, design: Design, tmp_path: Path
) -> None:
    with pytest.raises(TandemError, match=words):
        compared(root, written_log(design), tmp_path, tolerance=(option,))


def test_a_tolerance_file_with_another_key_is_refused(
    root: Path, design: Design, tmp_path: Path
) -> None:
    file = tmp_path / "tolerances.toml"
    for text in ("[tolerance]\nmac = 0.1\n", "tolerance = 1\n", "[other]\n", "[tolerance]\nbusy=2"):
        file.write_text(text)
        with pytest.raises(TandemError, match="tolerance"):
            compared(root, written_log(design), tmp_path, tolerances=file)


def refused(root: Path, log: dict[str, Any], tmp_path: Path, **more: Any) -> str:
    with pytest.raises(TandemError) as caught:
        compared(root, log, tmp_path, **more)
    return str(caught.value)


def test_a_log_of_something_else_is_refused_by_name(
    root: Path, design: Design, tmp_path: Path
) -> None:
    other = written_log(load_design(root / "designs" / "tiny_odd.toml"))
    assert "is a run of design tiny_odd" in refused(root, other, tmp_path)
    good = written_log(design)
    for key, words in (
        ("program_sha256", "another tile program"),
        ("rtl_sha256", "other RTL"),
    ):
        assert words in refused(root, {**good, key: "f" * 64}, tmp_path)
    assert "other RTL" in refused(root, {**good, "build_id": 1}, tmp_path)


def test_another_bitstream_is_refused(root: Path, design: Design, tmp_path: Path) -> None:
    good = written_log(design)
    file = tmp_path / "other.bit"
    file.write_bytes(b"bits")
    words = refused(root, good, tmp_path, bitstream=file)
    assert "ran bitstream 000000000000" in words and str(file) in words
    digest = hashlib.sha256(b"bits").hexdigest()
    right = {**good, "bitstream": {"name": "tandem.bit", "sha256": digest}}
    assert compared(root, right, tmp_path, bitstream=file).bitstream_checked
    # The one beside the log counts without being named.
    file.rename(tmp_path / "tandem.bit")
    assert compared(root, right, tmp_path).bitstream_checked
    assert "tandem.bit is" in refused(root, good, tmp_path)
    assert "cannot be read" in refused(root, good, tmp_path, bitstream=tmp_path / "none.bit")
    # A simulated run must be of the RTL in hand.
    assert "ran bitstream" in refused(root, {**good, "target": "simulation"}, tmp_path)


def test_another_network_is_refused(root: Path, design: Design, tmp_path: Path) -> None:
    file = tmp_path / "tiny.npz"
    save_network(boxed_network(design), design, file)
    log = written_log(design)
    assert compared(root, log, tmp_path, network=file).held
    words = refused(root, {**log, "network_sha256": "e" * 64}, tmp_path, network=file)
    assert "ran another network" in words


def test_wrong_values_and_a_fast_clock_are_told(root: Path, design: Design, tmp_path: Path) -> None:
    log = written_log(design)
    log["self_test"] = {"values": 100, "differing": 3}
    log["runs"][0]["seconds"] *= 0.5
    found = compared(root, log, tmp_path)
    assert not found.held
    assert any("3 of 100 values of the self-test differ" in line for line in found.said)
    assert any("the fabric clock is faster" in line for line in found.said)


def test_the_worst_of_many_runs_is_shown(root: Path, design: Design, tmp_path: Path) -> None:
    log = written_log(design)
    bad = copy.deepcopy(log["runs"][0])
    log["runs"] = [log["runs"][0], bad, log["runs"][0]]
    counters = bad["counters"]
    counters["load.wait_ddr"], counters["load.wait_output"] = (
        counters["load.wait_ddr"] + 3000,
        counters["load.wait_output"] - 3000,
    )
    row = next(r for r in compared(root, log, tmp_path).rows if r.name == "load.wait_ddr")
    assert (row.run, row.out_of_tolerance) == (1, 1)


def test_the_command_ends_with_the_verdict(root: Path, design: Design, tmp_path: Path) -> None:
    file = str(root / "designs" / "tiny.toml")
    good = save(written_log(design), tmp_path / "good.json")
    slow = save(written_log(design, ddr_khz=131_250), tmp_path / "slow.json")
    run = CliRunner().invoke
    assert run(app, ["board", "compare", file, str(good)]).exit_code == 0
    found = run(app, ["board", "compare", file, str(slow), "--json"])
    assert found.exit_code == 1
    record = json.loads(found.stdout)
    assert record["held"] is False and record["causes"][0]["name"] == "bandwidth"
    assert "OUT OF TOLERANCE" in run(app, ["board", "compare", file, str(slow)]).stdout
    (tmp_path / "empty.json").write_text("")
    assert run(app, ["board", "compare", file, str(tmp_path / "empty.json")]).exit_code == 2
