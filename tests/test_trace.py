"""Traces: what they say of busy units is what the counters say, in SQL and in our own reader."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from model.design import load_design
from model.errors import TandemError
from model.fast_simulator import simulate_fast
from model.image import random_image
from model.random_network import random_network
from model.run_facts import EventColumns
from model.schedule import Schedule, compile_schedule
from model.simulator import Simulation, simulate
from model.spans import CAUSES, UNITS, Spans
from model.stalls import counters, stall_account
from model.timeline import build_timeline
from model.trace import Bursts, Recording, read_trace, record_simulation, write_trace
from model.trace_tracks import lanes, port_beats
from tandem import app
from testbench.campaign_cases import draw_case
from testbench.rtl_trace import differences, read_activity, record_rtl
from testbench.verify import Watch, verify

Rows = list[tuple[Any, ...]]
Query = Callable[[str], Rows]

CYCLES_BY_ACTIVITY = """
SELECT process.name, thread.name, slice.name, SUM(slice.dur) / 1000
FROM slice
JOIN thread_track ON slice.track_id = thread_track.id
JOIN thread ON thread_track.utid = thread.utid
JOIN process ON thread.upid = process.upid
WHERE thread.name LIKE '%: activity'
GROUP BY process.name, thread.name, slice.name
"""


def recorded(root: Path, name: str, frames: int = 1) -> tuple[Schedule, Simulation, Recording]:
    schedule = compile_schedule(load_design(root / "designs" / f"{name}.toml"), frames)
    run = simulate_fast(schedule)
    return schedule, run, record_simulation(schedule, build_timeline(schedule, run))


def in_sqlite(path: Path) -> Query:
    """The slices of a trace in the tables that Perfetto has, for the same SQL without Perfetto."""
    base = sqlite3.connect(":memory:")
    base.executescript(
        "CREATE TABLE process(upid, pid, name); CREATE TABLE thread(utid, tid, upid, name);"
        "CREATE TABLE thread_track(id, utid); CREATE TABLE slice(ts, dur, name, track_id);"
    )
    events = json.loads(path.read_text())["traceEvents"]
    for event in events:
        key = 1000 * event["pid"] + event.get("tid", 0)
        if event["name"] == "process_name":
            row = (event["pid"], event["pid"], event["args"]["name"])
            base.execute("INSERT INTO process VALUES(?, ?, ?)", row)
        if event["name"] == "thread_name":
            name = event["args"]["name"]
            base.execute(
                "INSERT INTO thread VALUES(?, ?, ?, ?)", (key, event["tid"], event["pid"], name)
            )
            base.execute("INSERT INTO thread_track VALUES(?, ?)", (key, key))
        if event["ph"] == "X":  # Perfetto keeps nanoseconds
            row = (1000 * event["ts"], 1000 * event["dur"], event["name"], key)
            base.execute("INSERT INTO slice VALUES(?, ?, ?, ?)", row)
    return lambda sql: base.execute(sql).fetchall()


def trace_processor() -> str | None:
    """Perfetto's own binary: its Python package does not hold it, but downloads it at first use."""
    named = os.environ.get("TANDEM_TRACE_PROCESSOR")
    found = named or shutil.which("trace_processor_shell") or shutil.which("trace_processor")
    if found:
        return found
    kept = Path.home() / ".local" / "share" / "perfetto" / "prebuilts"
    there = [path for path in kept.glob("trace_processor_shell-*") if path.suffix != ".tmp"]
    return str(there[0]) if there else None


def in_perfetto(path: Path) -> Query:
    perfetto = pytest.importorskip("perfetto.trace_processor")
    binary = trace_processor()
    if binary is None:
        pytest.skip("needs Perfetto's trace_processor_shell: TANDEM_TRACE_PROCESSOR=PATH")
    processor = perfetto.TraceProcessor(
        trace=str(path), config=perfetto.TraceProcessorConfig(bin_path=binary)
    )

    def query(sql: str) -> Rows:
        for index, column in enumerate(("process.name", "thread.name", "slice.name")):
            sql = sql.replace(f"{column},", f"{column} AS name{index},", 1)
        sql = sql.replace(" / 1000", " / 1000 AS cycles", 1)
        return [(row.name0, row.name1, row.name2, row.cycles) for row in processor.query(sql)]

    return query


@pytest.mark.parametrize("query", [in_sqlite, in_perfetto])
@pytest.mark.parametrize("name", ["tiny", "tiny_bypass"])
def test_sql_finds_the_counters_and_the_causes(
    name: str, query: Callable[[Path], Query], root: Path, tmp_path: Path
) -> None:
    schedule, run, recording = recorded(root, name, 2)
    path = tmp_path / "trace.json"
    write_trace(path, name, [recording])
    found = {row[:3]: row[3] for row in query(path)(CYCLES_BY_ACTIVITY)}
    account = stall_account(schedule, run)
    for unit in UNITS:
        key = "simulator", f"{unit}: activity"
        assert found[(*key, "busy")] == run.units[unit].busy
        causes = {cause: found.get((*key, cause), 0) for cause in CAUSES}
        assert causes == account[unit]


def test_both_engines_write_the_same_trace(root: Path, tmp_path: Path) -> None:
    schedule, _, recording = recorded(root, "tiny_odd", 2)
    slow = record_simulation(schedule, build_timeline(schedule, simulate(schedule)))
    for name, item in (("fast", recording), ("simpy", slow)):
        write_trace(tmp_path / name, "tiny_odd", [item])
    assert (tmp_path / "fast").read_bytes() == (tmp_path / "simpy").read_bytes()


def test_tiles_and_tracks(root: Path, tmp_path: Path) -> None:
    _, run, recording = recorded(root, "tiny_bypass")
    path = tmp_path / "trace.json"
    lines = write_trace(path, "tiny_bypass", [recording])
    trace = read_trace(path)
    assert len(trace.events) == lines
    assert trace.head["total_cycles"] == {"simulator": run.total_cycles}
    starts = [event for event in run.events if event.kind == "tile_start" and event.unit == "mac"]
    slices = trace.slices("simulator", "mac")
    assert [(s["ts"], s["name"]) for s in slices if s["cat"] == "tile"] == [
        (event.cycle, f"{event.bundle}/{event.tile}") for event in starts
    ]
    ports = [e["args"]["name"] for e in trace.events if str(e.get("args")).count("DDR port")]
    assert {name.split()[-1] for name in ports} == {"read", "write"}
    for name in ports:
        check_no_overlap(trace.slices("simulator", name))
    for unit in UNITS:
        check_no_overlap(trace.slices("simulator", f"{unit}: activity"))
        check_no_overlap(trace.slices("simulator", unit))
        assert trace.cycles("simulator", unit) == run.units[unit].busy


def check_no_overlap(slices: list[Any]) -> None:
    for before, after in pairwise(slices):
        assert before["ts"] + before["dur"] <= after["ts"]


def test_curves(root: Path, tmp_path: Path) -> None:
    _, run, recording = recorded(root, "tiny")
    write_trace(tmp_path / "t", "tiny", [recording])
    points = [event for event in read_trace(tmp_path / "t").events if event["ph"] == "C"]
    window = 64
    for name, moved in (("read", run.ddr.bytes_read), ("write", run.ddr.bytes_written)):
        curve = [p for p in points if p["name"] == f"DDR {name}, MB/s"]
        assert [p["ts"] for p in curve] == [window * i for i in range(len(curve))]
        total = sum(p["args"]["value"] for p in curve) * window / 100  # 100 MHz
        assert total == pytest.approx(moved, abs=0.01 * len(curve))
    for name in ("input", "mid", "output"):
        levels = [p["args"]["value"] for p in points if p["name"] == f"{name} buffer, banks full"]
        assert levels[0] == 0 and set(levels) <= {0, 1, 2} and len(levels) > 4


def test_lanes_and_windows() -> None:
    assert lanes(np.array([1, 5, 9]), np.array([4, 8, 9])) == [0, 0, 0]
    assert lanes(np.array([1, 4, 5, 6]), np.array([4, 6, 5, 7])) == [0, 1, 0, 0]
    assert lanes(np.array([], np.int64), np.array([], np.int64)) == []
    beats = port_beats(np.array([3, 14]), np.array([6, 18]), 20, 8)
    assert beats.tolist() == [4, 2, 3]


def test_a_hundred_thousand_events_take_less_than_a_second(tmp_path: Path) -> None:
    count = 100_000 // len(UNITS)
    start = np.arange(count) * 2 + 1
    spans = Spans(start, start % 9, np.arange(count) % 60_000, 2 * count)
    nothing = np.array([], np.int64)
    recording = Recording(
        "simulator",
        2 * count,
        100_000,
        EventColumns([]),
        dict.fromkeys(UNITS, spans),
        CAUSES,
        Bursts(nothing, nothing, nothing, nothing, []),
        {},
    )
    best = float("inf")
    for _ in range(3):  # another process may be busy
        started = time.perf_counter()
        lines = write_trace(tmp_path / "trace.json", "many", [recording])
        best = min(best, time.perf_counter() - started)
    assert lines >= 99_990
    assert best < 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ('{"otherData":{"tool":"tandem"', "cut off or damaged at character"),
        ("[]", "no trace of tandem"),
        ('{"traceEvents":[]}', "no trace of tandem"),
        ('{"otherData":{"tool":"tandem","format":1,"events":2},"traceEvents":[{}]}', "has 1 of"),
        ('{"otherData":{"tool":"tandem","format":9,"events":1},"traceEvents":[{}]}', "format 9"),
    ],
)
def test_a_trace_that_is_not_whole_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(TandemError, match=told) as error:
        read_trace(path)
    assert "\n" not in str(error.value)


def test_a_trace_cut_anywhere_is_refused(root: Path, tmp_path: Path) -> None:
    _, _, recording = recorded(root, "tiny_pixel")
    path = tmp_path / "trace.json"
    write_trace(path, "tiny_pixel", [recording])
    whole = path.read_bytes()
    read_trace(path)
    for size in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(TandemError):
            read_trace(path)
    with pytest.raises(TandemError, match="cannot be read"):
        read_trace(tmp_path / "nothing")


def test_names_are_escaped(root: Path, tmp_path: Path) -> None:
    _, _, recording = recorded(root, "tiny_pixel")
    hostile = '"}],"x":"</script>\\'
    write_trace(tmp_path / "t", hostile, [replace(recording, name=hostile)])
    trace = read_trace(tmp_path / "t")
    assert trace.head["design"] == hostile
    assert trace.cycles(hostile, "mac") > 0


# ---- command ----


def test_simulate_writes_the_trace_and_the_stalls(root: Path, tmp_path: Path) -> None:
    design, path = str(root / "designs" / "tiny.toml"), tmp_path / "trace.json"
    found = CliRunner().invoke(app, ["simulate", design, "--trace", str(path), "--json"])
    assert found.exit_code == 0
    record = json.loads(found.stdout)
    assert record["trace"] == {"file": str(path), "events": len(read_trace(path).events)}
    for unit, account in record["stalls"]["units"].items():
        assert sum(account.values()) == record["total_cycles"]
        assert account["busy"] == record["units"][unit]["busy"]
    assert list(tmp_path.iterdir()) == [path]
    found = CliRunner().invoke(app, ["simulate", design])
    assert "memory: latency" in found.stdout and "before its first tile" in found.stdout


def test_a_trace_that_cannot_be_written_is_one_sentence(root: Path, tmp_path: Path) -> None:
    design = str(root / "designs" / "tiny.toml")
    for command in ("simulate", "verify"):
        arguments = [command, design, "--trace", str(tmp_path / "no" / "where")]
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code == 2
        assert "cannot be written" in found.stderr and "Traceback" not in found.stderr


# ---- RTL ----


@dataclass(frozen=True)
class Verified:
    design: Path
    record: dict[str, Any]
    trace: Path
    fst: Path | None


def verified(design: Path, out: Path, folder: Path, fst: bool) -> Verified:
    paths = folder / "both.json", folder / "wave.fst"
    arguments = ["verify", str(design), "--frames", "2", "--out", str(out), "--json"]
    arguments += ["--trace", str(paths[0]), *(["--fst", str(paths[1])] if fst else [])]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    return Verified(design, json.loads(found.stdout), paths[0], paths[1] if fst else None)


@pytest.fixture(scope="module")
def tiny_odd(root: Path, build_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """One RTL run with a trace and, where the headers are there, a waveform: one compilation."""
    fst = Path("/usr/include/lz4.h").exists()
    folder = tmp_path_factory.mktemp("trace")
    return verified(root / "designs" / "tiny_odd.toml", build_root.parent, folder, fst)


def check_rtl(run: Verified) -> None:
    """Class of every unit in every cycle; the sums of the causes are what the RTL's trace says."""
    assert run.record["exact"] and run.record["activity_mismatches"] == 0
    cycles = read_trace(run.trace).head["total_cycles"]
    assert cycles["RTL"] == cycles["simulator"] == run.record["rtl_cycles"]
    sql = {row[:3]: row[3] for row in in_sqlite(run.trace)(CYCLES_BY_ACTIVITY)}
    schedule = compile_schedule(load_design(run.design), 2)
    account = stall_account(schedule, simulate_fast(schedule))
    for unit in UNITS:
        for name, wanted in counters(account[unit]).items():
            assert sql.get(("RTL", f"{unit}: activity", name), 0) == wanted


@pytest.mark.xdist_group("trace_rtl")
def test_the_rtl_does_the_same_in_every_cycle(tiny_odd: Verified) -> None:
    check_rtl(tiny_odd)


@pytest.mark.full
@pytest.mark.parametrize("name", ["tiny", "tiny_conv", "tiny_f16", "tiny_ultra96", "tiny_bypass"])
def test_other_designs_do_the_same_in_every_cycle(
    name: str, root: Path, build_root: Path, tmp_path: Path
) -> None:
    check_rtl(verified(root / "designs" / f"{name}.toml", build_root.parent, tmp_path, False))


@pytest.mark.full
@pytest.mark.parametrize("number", range(10))
def test_random_cases_do_the_same_in_every_cycle(
    number: int, build_root: Path, tmp_path: Path
) -> None:
    """Random networks, wirings and memories on two builds."""
    case = draw_case(7, number)
    rng = np.random.default_rng(number)
    network = random_network(case.design, rng)
    images = [random_image(case.design, rng) for _ in range(case.frames)]
    watch = Watch(trace=True)
    found = verify(case.design, network, images, build_root, tmp_path, False, watch)
    assert found.activity_differences == ()
    assert found.exact


@pytest.mark.xdist_group("trace_rtl")
def test_a_waveform_is_written(tiny_odd: Verified) -> None:
    if tiny_odd.fst is None:
        pytest.skip("needs liblz4-dev")
    head = tiny_odd.fst.read_bytes()[:57]
    # Block type 0 and its length; first and last time; Euler's number as test of the byte order.
    assert struct.unpack(">BQQ", head[:17]) == (0, 329, 0)
    assert struct.unpack("<d", head[25:33])[0] == np.e
    scopes, variables = struct.unpack(">QQ", head[41:57])
    assert scopes > 20 and variables > 500
    assert struct.unpack(">Q", head[17:25])[0] > tiny_odd.record["rtl_cycles"]


def activity_of(recording: Recording) -> str:
    """What the recorder would write of a recording."""
    lines = []
    for number, unit in enumerate(UNITS):
        spans = recording.activity[unit].by_class()
        pairs = zip(spans.start.tolist(), spans.cause.tolist(), strict=True)
        lines += [f"0 {cycle} {number} {kind}" for cycle, kind in pairs]
    bursts = recording.bursts
    columns = (bursts.write, bursts.first, bursts.last, bursts.port)
    for write, first, last, port in zip(*(c.tolist() for c in columns), strict=True):
        lines.append(f"{2 + write} {first} {last} {port}")
    for number, edges in enumerate(recording.buffers.values()):
        inside = edges[edges[:, 0] <= recording.total]
        levels = zip(inside[:, 0].tolist(), np.cumsum(inside[:, 1]).tolist(), strict=True)
        lines += [f"1 {cycle} {number} {level}" for cycle, level in levels]
    lines.append(f"4 {recording.total} 0 0")
    return "\n".join(lines) + "\n"


def test_a_difference_in_one_cycle_is_found(root: Path, tmp_path: Path) -> None:
    schedule, run, ours = recorded(root, "tiny_pixel")
    path = tmp_path / "activity.txt"
    text = activity_of(ours)
    path.write_text(text)
    assert differences(ours, record_rtl(schedule, run.events, path)) == []
    lines = text.splitlines()
    for kind, told in (("0 ", "another class"), ("2 ", "another burst"), ("1 ", "banks full")):
        index = max(i for i, line in enumerate(lines) if line.startswith(kind))
        first, cycle, *rest = lines[index].split()
        changed = [*lines]
        changed[index] = " ".join([first, str(int(cycle) - 1), *rest])
        path.write_text("\n".join(changed))
        found = differences(ours, record_rtl(schedule, run.events, path))
        assert len(found) == 1 and told in found[0]


@pytest.mark.parametrize("text", ["", "0 1 2", "0 1 2 x", "0 1 2 3"])
def test_an_activity_file_that_is_not_whole_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "activity.txt"
    path.write_text(text)
    with pytest.raises(TandemError, match="verify again with --trace"):
        read_activity(path)
