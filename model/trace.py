"""Traces that Perfetto and chrome://tracing open: what every unit did when, on one time axis.

The format is Chrome's JSON. Simulator and RTL go through the same function, so both can lie in one
file, each as a process of its own. A cycle is one microsecond of the trace: whole numbers, exact
for every clock; ``docs/trace.md`` says how to read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model import memory_state as at
from model.errors import TandemError
from model.network_file import write_atomically
from model.run_facts import EventColumns
from model.schedule import Schedule
from model.spans import CAUSES, UNITS, Column, Spans
from model.timeline import Timeline
from model.trace_tracks import counter_lines, lanes, port_beats

FORMAT = 1
_WINDOWS = 1000  # points of the bandwidth curve, at least half as many
_SLICES, _ACTIVITY, _PORTS = 11, 101, 201  # first thread number of each group
_INSTANTS = ("first_beat", "last_beat", "weight_ready", "bundle_done", "frame_done")


@dataclass(frozen=True)
class Bursts:
    """Data on the ports: first and last beat of each burst, inclusive, by column."""

    first: Column
    last: Column
    port: Column
    write: Column  # 0 or 1
    unit: Sequence[str]  # whose it is, "" where that is not known


@dataclass(frozen=True)
class Recording:
    """One run as a trace shows it: a process of the trace."""

    name: str
    total: int  # cycles
    clock_khz: int
    events: EventColumns
    activity: Mapping[str, Spans]
    names: Sequence[str]  # of the numbers in ``activity``
    bursts: Bursts
    buffers: Mapping[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]  # (cycle, change)


def record_simulation(schedule: Schedule, timeline: Timeline) -> Recording:
    """The recording of a simulated run, of either engine."""
    log = timeline.bursts
    master = log.column(at.G_MASTER)
    units = np.array(("program", "weight", "load", "store"))
    bursts = Bursts(
        log.column(at.G_FIRST),
        log.column(at.G_LAST),
        np.array(log.ports)[master],
        (master == at.STORE).astype(np.int64),
        units[master].tolist(),
    )
    return Recording(
        "simulator",
        timeline.total,
        schedule.design.clock_khz,
        timeline.events,
        timeline.units,
        CAUSES,
        bursts,
        timeline.buffers,
    )


def write_trace(path: Path, design: str, recordings: Sequence[Recording]) -> int:
    """Write a trace of one run or several to ``path``, whole or not at all.

    Returns the number of its events. TandemError where the file cannot be written.
    """
    lines: list[str] = []
    for number, recording in enumerate(recordings, 1):
        lines += _process(number, recording)
    head = {
        "format": FORMAT,
        "tool": "tandem",
        "design": design,
        "clock_khz": recordings[0].clock_khz,
        "cycle": "1 us of the trace",
        "total_cycles": {item.name: item.total for item in recordings},
        "events": len(lines),
    }
    text = '{"otherData":' + json.dumps(head) + ',"traceEvents":[\n' + ",\n".join(lines) + "\n]}\n"
    write_atomically(path, text.encode())
    return len(lines)


@dataclass(frozen=True)
class Trace:
    """A trace that was read back."""

    head: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]

    def slices(self, process: str, track: str) -> list[Mapping[str, Any]]:
        """The slices of one track, such as ("simulator", "mac: activity")."""
        pid = self._number("process_name", process, None)
        tid = self._number("thread_name", track, pid)
        found = [e for e in self.events if e["ph"] == "X" and e["pid"] == pid]
        return [e for e in found if e["tid"] == tid]

    def cycles(self, process: str, unit: str, name: str = "busy") -> int:
        """Cycles of a unit in slices of one name: busy, or a cause, or in the RTL a class."""
        return sum(e["dur"] for e in self.slices(process, f"{unit}: activity") if e["name"] == name)

    def _number(self, kind: str, name: str, pid: int | None) -> int:
        for event in self.events:
            if event["ph"] == "M" and event["name"] == kind and event["args"]["name"] == name:
                if pid is None:
                    return int(event["pid"])
                if event["pid"] == pid:
                    return int(event["tid"])
        raise KeyError(name)


def read_trace(path: Path) -> Trace:
    """Read a trace. TandemError: not there, empty, cut off, or not one of ours."""
    again = "write it again with tandem simulate --trace"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TandemError(f"{path}: the trace cannot be read ({error}): {again}") from error
    if not text.strip():
        raise TandemError(f"{path}: the trace is empty: {again}")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise TandemError(
            f"{path}: the trace is cut off or damaged at character {error.pos}: {again}"
        ) from error
    head = found.get("otherData") if isinstance(found, dict) else None
    events = found.get("traceEvents") if isinstance(found, dict) else None
    if not isinstance(head, dict) or head.get("tool") != "tandem" or not isinstance(events, list):
        raise TandemError(f"{path}: this is no trace of tandem: {again}")
    if head.get("format") != FORMAT:
        raise TandemError(f"{path}: format {head.get('format')}, this is {FORMAT}: {again}")
    if head.get("events") != len(events) or not events:
        raise TandemError(f"{path}: the trace has {len(events)} of its events: {again}")
    return Trace(head, events)


def _process(pid: int, recording: Recording) -> list[str]:
    """All lines of one run."""
    lines = [
        _meta(pid, 0, "process_name", recording.name),
        f'{{"ph":"M","name":"process_sort_index","pid":{pid},"args":{{"sort_index":{pid}}}}}',
    ]
    for index, unit in enumerate(UNITS):
        lines += _tiles(pid, _SLICES + 4 * index, unit, recording.events)
        lines += _activity(pid, _ACTIVITY + index, unit, recording)
    lines += _ports(pid, recording.bursts)
    lines += _counters(pid, recording)
    return lines


def _meta(pid: int, tid: int, kind: str, name: str) -> str:
    named = json.dumps({"name": name})
    return f'{{"ph":"M","name":"{kind}","pid":{pid},"tid":{tid},"args":{named}}}'


def _thread(pid: int, tid: int, name: str) -> list[str]:
    order = f'{{"ph":"M","name":"thread_sort_index","pid":{pid},"tid":{tid},"args":'
    return [_meta(pid, tid, "thread_name", name), order + f'{{"sort_index":{tid}}}}}']


def _tiles(pid: int, tid: int, unit: str, events: EventColumns) -> list[str]:
    """A slice a tile from its start to its end, named bundle/tile; the other events as instants.

    Tiles of a unit may overlap, where one drains while the next begins: then a second track.
    """
    start, tags = events.where(unit, "tile_start")
    end = events.cycles(unit, "tile_end")
    if unit == "sequencer":
        start, tags = events.where(unit, "dispatch")
        end = start
    lane = lanes(start, end)
    lines = []
    for index in range(max(lane, default=0) + 1):
        lines += _thread(pid, tid + index, unit if index == 0 else f"{unit} ({index + 1})")
    lines += [
        f'{{"ph":"X","name":"{tag >> 16}/{tag & 0xFFFF}","cat":"tile","ts":{begin},'
        f'"dur":{last - begin + 1},"pid":{pid},"tid":{tid + track}}}'
        for begin, last, tag, track in zip(
            start.tolist(), end.tolist(), tags.tolist(), lane, strict=True
        )
    ]
    for kind in _INSTANTS:
        cycles, tags = events.where(unit, kind)
        lines += [
            f'{{"ph":"i","s":"t","name":"{kind} {tag >> 16}/{tag & 0xFFFF}","cat":"{kind}",'
            f'"ts":{cycle},"pid":{pid},"tid":{tid}}}'
            for cycle, tag in zip(cycles.tolist(), tags.tolist(), strict=True)
        ]
    return lines


def _activity(pid: int, tid: int, unit: str, recording: Recording) -> list[str]:
    """What the unit does in every cycle; args: the tile."""
    spans = recording.activity[unit]
    columns = (spans.start, spans.cycles, spans.cause, spans.tag)
    return [
        *_thread(pid, tid, f"{unit}: activity"),
        *(
            f'{{"ph":"X","name":"{recording.names[cause]}","cat":"activity","ts":{start},'
            f'"dur":{cycles},"pid":{pid},"tid":{tid}'
            + (f',"args":{{"tile":"{tag >> 16}/{tag & 0xFFFF}"}}}}' if tag >= 0 else "}")
            for start, cycles, cause, tag in zip(*(c.tolist() for c in columns), strict=True)
        ),
    ]


def _ports(pid: int, bursts: Bursts) -> list[str]:
    """A track a port and direction, a slice a burst."""
    lines = []
    columns = zip(
        bursts.first.tolist(), bursts.last.tolist(), bursts.port.tolist(), bursts.write.tolist(),
        bursts.unit, strict=True,
    )  # fmt: skip
    words = ("read", "write")
    for port, write in sorted(set(zip(bursts.port.tolist(), bursts.write.tolist(), strict=True))):
        lines += _thread(pid, _PORTS + 2 * port + write, f"DDR port {port} {words[write]}")
    lines += [
        f'{{"ph":"X","name":"{unit or words[write]}","cat":"burst","ts":{first},'
        f'"dur":{last - first + 1},"pid":{pid},"tid":{_PORTS + 2 * port + write}}}'
        for first, last, port, write, unit in columns
    ]
    return lines


def _counters(pid: int, recording: Recording) -> Iterable[str]:
    """Bandwidth on the ports, and how many banks of each buffer are full."""
    bursts = recording.bursts
    window = 1 << max(6, (recording.total // _WINDOWS).bit_length())
    mega = 8 * recording.clock_khz / 1000 / window  # MB/s of a beat in each window
    for write, name in enumerate(("read", "write")):
        chosen = bursts.write == write
        beats = port_beats(bursts.first[chosen], bursts.last[chosen], recording.total, window)
        cycles = np.arange(len(beats)) * window
        yield from counter_lines(pid, f"DDR {name}, MB/s", cycles, np.round(beats * mega, 3))
    for name, edges in recording.buffers.items():
        cycles, inverse = np.unique(edges[:, 0], return_inverse=True)
        change = np.bincount(inverse, weights=edges[:, 1]).astype(np.int64)
        level = np.cumsum(change)
        keep = (change != 0) & (cycles <= recording.total)
        cycles, level = np.append(0, cycles[keep]), np.append(0, level[keep])
        yield from counter_lines(pid, f"{name}, banks full", cycles, level)
