"""A board's run log against the simulator: is it of this design, and do its counters agree?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from boards.deviations import NOTHING_EXPLAINS, TOTAL, Cause, causes, counters_of, sentences
from boards.fingerprints import design_sha256, network_sha256, program_sha256, rtl_sha256
from boards.rehearsal import stand_in_bitstream
from boards.run_log import COUNTER_NAMES, LoggedRun, RunLog, read_run_log
from boards.tolerances import read_tolerances, tolerance_cycles
from model.design import Design, load_design
from model.errors import TandemError
from model.network_file import load_network
from model.schedule import Schedule, compile_schedule
from rtl_sim.generate import build_id

CLOCK_SLACK = 0.02  # a host's clock and the fabric's are not the same
HASH_SHOWN = 12


@dataclass(frozen=True)
class Comparing:
    """What to compare, and how strictly."""

    design: Path
    log: Path
    network: Path | None = None
    bitstream: Path | None = None
    tolerances: Path | None = None
    tolerance: tuple[str, ...] = ()


@dataclass(frozen=True)
class CounterRow:
    """A counter in the run in which it differs most."""

    name: str
    run: int
    board: int
    simulated: int
    tolerance: int  # cycles
    out_of_tolerance: int  # runs

    @property
    def held(self) -> bool:
        """Within tolerance in every run?"""
        return self.out_of_tolerance == 0


@dataclass(frozen=True)
class BoardComparison:
    """All counters, and what explains the deviations."""

    design: Design
    log: RunLog
    rows: tuple[CounterRow, ...]
    said: tuple[str, ...]
    causes: tuple[Cause, ...]
    bitstream_checked: bool

    @property
    def held(self) -> bool:
        """Every counter within tolerance, and every value of the self-test right?"""
        return all(row.held for row in self.rows) and not self.wrong_values

    @property
    def wrong_values(self) -> int:
        """Values of the self-test that differ."""
        return self.log.self_test[1] if self.log.self_test else 0

    @property
    def differing(self) -> int:
        """Counters that are not equal, whatever the tolerance."""
        return sum(row.board != row.simulated for row in self.rows)

    def record(self) -> dict[str, Any]:
        """For JSON: the keys of ``tandem board compare``."""
        log = self.log
        return {
            "design": self.design.name,
            "log": str(log.path),
            "target": log.target,
            "held": self.held,
            "runs": len(log.runs),
            "frames": sum(run.frames for run in log.runs),
            "clock_mhz": log.clock_mhz,
            "bitstream_sha256": log.bitstream_sha256,
            "bitstream_checked": self.bitstream_checked,
            "counters": {
                row.name: {
                    "run": row.run,
                    "board": row.board,
                    "simulator": row.simulated,
                    "tolerance": row.tolerance,
                    "held": row.held,
                    "runs_out_of_tolerance": row.out_of_tolerance,
                }
                for row in self.rows
            },
            "counters_differing": self.differing,
            "explanation": list(self.said),
            "causes": [
                {"name": item.name, "sentence": item.sentence, "explained": item.explained}
                for item in self.causes
            ],
            "self_test": _self_test_record(log),
            "mean_watts": dict(log.mean_watts),
        }


def compare_board(asked: Comparing) -> BoardComparison:
    """Simulate what the board ran and compare. TandemError: another design, bitstream or log."""
    design = load_design(asked.design)
    log = read_run_log(asked.log)
    tolerances = read_tolerances(log.target, asked.tolerances, asked.tolerance)
    schedule = compile_schedule(design, log.frames_compiled)
    checked = _check_identity(asked, design, schedule, log)

    @cache
    def simulated(frames: int) -> Mapping[str, int]:
        return counters_of(replace(schedule, frames=frames))

    rows = tuple(
        _row(name, log.runs, [simulated(run.frames) for run in log.runs], tolerances)
        for name in (TOTAL, *COUNTER_NAMES)
    )
    other_work = any(row.name.endswith(".busy") and not row.held for row in rows)
    worst = max(rows, key=lambda row: (not row.held, abs(row.board - row.simulated)))
    run = log.runs[worst.run]
    why: list[Cause] = []
    if worst.board != worst.simulated and not other_work:  # no memory changes the work
        why = causes(
            replace(schedule, frames=run.frames), run, simulated(run.frames), log.clock_mhz
        )
    return BoardComparison(design, log, rows, _said(rows, log, why), tuple(why), checked)


def _check_identity(asked: Comparing, design: Design, schedule: Schedule, log: RunLog) -> bool:
    """Is the log of this design, program, RTL, network and bitstream? Was the last one checked?

    Asked in that order, so that the first difference that explains the others is told.
    """
    where = str(log.path)
    if log.design_sha256 != design_sha256(design):
        raise TandemError(
            f"{where}: is a run of design {log.design} ({log.design_sha256[:HASH_SHOWN]}), not of "
            f"{asked.design} ({design_sha256(design)[:HASH_SHOWN]}): give the design that was "
            "packaged"
        )
    if log.program_sha256 != program_sha256(schedule):
        raise TandemError(
            f"{where}: ran another tile program than this version of Tandem writes for "
            f"{design.name}: package the design again, run again"
        )
    if log.rtl_sha256 != rtl_sha256(design) or log.build_id != build_id(design):
        raise TandemError(
            f"{where}: ran an accelerator of other RTL than this version of Tandem generates for "
            f"{design.name}: package the design again, build the bitstream, run again"
        )
    if asked.network is not None:
        wanted = network_sha256(load_network(asked.network, design))
        if log.network_sha256 != wanted:
            raise TandemError(f"{where}: ran another network than {asked.network}")
    return _check_bitstream(asked, design, log)


def _check_bitstream(asked: Comparing, design: Design, log: RunLog) -> bool:
    """Of the RTL in hand, the file given, or one beside the log; False where there is none."""
    if log.target == "simulation":
        data, name = stand_in_bitstream(design), "the RTL in hand"
    else:
        beside = log.path.parent / Path(log.bitstream_name).name
        file = asked.bitstream or (beside if beside.is_file() else None)
        if file is None:
            return False
        name = str(file)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise TandemError(f"{name}: the bitstream cannot be read: {error.strerror}") from None
    wanted = hashlib.sha256(data).hexdigest()
    if log.bitstream_sha256 != wanted:
        raise TandemError(
            f"{log.path}: ran bitstream {log.bitstream_sha256[:HASH_SHOWN]}, {name} is "
            f"{wanted[:HASH_SHOWN]}: give the bitstream that ran, or run this one"
        )
    return True


def _row(
    name: str,
    runs: Sequence[LoggedRun],
    simulated: Sequence[Mapping[str, int]],
    tolerances: Mapping[str, float],
) -> CounterRow:
    """The counter in its worst run."""
    found = []
    for index, (run, wanted) in enumerate(zip(runs, simulated, strict=True)):
        board = run.total_cycles if name == TOTAL else run.counters[name]
        allowed = tolerance_cycles(tolerances, name, wanted[TOTAL])
        found.append((abs(board - wanted[name]) - allowed, index, board, wanted[name], allowed))
    _, index, board, wanted_there, allowed = max(found, key=lambda item: (item[0], -item[1]))
    return CounterRow(name, index, board, wanted_there, allowed, sum(item[0] > 0 for item in found))


def _said(rows: Sequence[CounterRow], log: RunLog, why: Sequence[Cause]) -> tuple[str, ...]:
    """In words: what is out of tolerance, what is wrong with the clock and with values."""
    out = [row for row in rows if not row.held]
    said = list(sentences((row.name, row.board, row.simulated) for row in out))
    busy = any(row.name.endswith(".busy") for row in out)
    said += list(_clock(log))
    if log.self_test and log.self_test[1]:
        said.append(
            f"{log.self_test[1]:,} of {log.self_test[0]:,} values of the self-test differ: the "
            "bitstream computes something else (timing not met?) or memory is damaged"
        )
    if out and not busy and not why:
        said.append(NOTHING_EXPLAINS)
    return tuple(said)


def _clock(log: RunLog) -> Iterator[str]:
    """A run cannot be shorter than its cycles at the clock it says it had."""
    for index, run in enumerate(log.runs):
        shortest = run.total_cycles / (log.clock_mhz * 1e6)
        if run.seconds < shortest * (1 - CLOCK_SLACK):
            yield (
                f"run {index} took {1e3 * run.seconds:.3f} ms, its cycles take "
                f"{1e3 * shortest:.3f} ms at {log.clock_mhz:g} MHz: the fabric clock is faster "
                "than the board's software says"
            )
            return


def _self_test_record(log: RunLog) -> dict[str, int] | None:
    if log.self_test is None:
        return None
    values, differing = log.self_test
    return {"values": values, "differing": differing}
