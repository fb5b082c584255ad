"""Run logs: what the driver wrote on a board, read and checked. The format: ``docs/run_log.md``.

A log that cannot have come from a run is refused, in one sentence that names the place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from boards.pynq_z1.run import LOG_SCHEMA, LOG_VERSION
from model.errors import TandemError
from model.evaluation import FRAMES_MAX
from model.events import UNITS
from testbench.registers import CLASSES, COUNTERS, STATUS_DONE, STATUS_ERROR

BYTES_MAX = 64 << 20
COUNTER_NAMES = tuple(f"{unit}.{kind}" for unit, kind in COUNTERS)
TARGETS = ("board", "simulation")
WAITS = ("poll", "interrupt")
TEXTS = ("design", "board", "finished")
HASHES = ("design_sha256", "network_sha256", "program_sha256", "rtl_sha256")
FIELDS = {
    "schema", "version", *TEXTS, *HASHES, "frames_compiled", "build_id", "bitstream", "target",
    "software", "clock_mhz", "memory_address", "wait", "runs", "answers", "self_test", "power",
    "power_problem",
}  # fmt: skip
RUN_FIELDS = {"frames", "frames_done", "status", "total_cycles", "seconds", "counters", "polls"}
ANSWER_FIELDS = {"image", "image_sha256", "head_sha256", "box", "confidence"}
WORD = 1 << 32


@dataclass(frozen=True)
class LoggedRun:
    """One start."""

    frames: int
    total_cycles: int
    seconds: float
    counters: Mapping[str, int]


@dataclass(frozen=True)
class RunLog:
    """A log that holds together."""

    path: Path
    design: str
    design_sha256: str
    network_sha256: str
    program_sha256: str
    rtl_sha256: str
    bitstream_name: str
    bitstream_sha256: str
    build_id: int
    target: str  # "board" or "simulation"
    clock_mhz: float
    frames_compiled: int
    memory_address: int
    runs: tuple[LoggedRun, ...]
    self_test: tuple[int, int] | None  # values, how many of them differ
    mean_watts: Mapping[str, float]  # by rail; empty where nothing was measured


def read_run_log(path: str | Path) -> RunLog:
    """Read and check a log. TandemError says what is wrong with it, and where."""
    path = Path(path)
    log = _Place(path, "", _parse(path))
    if log.get("schema") != LOG_SCHEMA:
        raise log.refuse(f'schema is {log.get("schema")!r}, a run log says "{LOG_SCHEMA}"')
    if log.get("version") != LOG_VERSION:
        raise log.refuse(f"version is {log.get('version')!r}, this program reads {LOG_VERSION}")
    log.exactly(FIELDS)
    for name in TEXTS:
        log.text(name)
    log.one_of("wait", WAITS)
    for place in log.at("answers").entries():
        _check_answer(place)
    problem = log.get("power_problem")
    if problem is not None:
        log.text("power_problem")
    bitstream = log.at("bitstream").exactly({"name", "sha256"})
    hashes = {name: log.sha256(name) for name in HASHES}
    return RunLog(
        path=path,
        design=log.text("design"),
        **hashes,
        bitstream_name=bitstream.text("name"),
        bitstream_sha256=bitstream.sha256("sha256"),
        build_id=log.whole("build_id", 0, WORD - 1),
        target=log.one_of("target", TARGETS),
        clock_mhz=log.number("clock_mhz", above=0),
        frames_compiled=log.whole("frames_compiled", 1, FRAMES_MAX),
        memory_address=log.whole("memory_address", 0, WORD - 1),
        runs=_runs(log),
        self_test=_self_test(log),
        mean_watts=_power(log),
    )


@dataclass(frozen=True)
class _Place:
    """A value of the log, and where it stands."""

    path: Path
    where: str
    value: Any

    def refuse(self, why: str) -> TandemError:
        return TandemError(f"{self.path}: {self.where + ': ' if self.where else ''}{why}")

    def get(self, name: str) -> Any:
        return self.value.get(name)

    def at(self, name: str) -> _Place:
        return _Place(self.path, f"{self.where}.{name}".lstrip("."), self.value[name])

    def exactly(self, names: set[str]) -> _Place:
        """An object with these fields. TandemError names one that is missing or unknown."""
        if not isinstance(self.value, dict):
            raise self.refuse("is no JSON object: the log is damaged, run again")
        for name in sorted(names - set(self.value)):
            raise self.refuse(f"{name} is missing: the log is damaged, run again")
        for name in sorted(set(self.value) - names):
            raise self.refuse(f"{name!r} is unknown in version {LOG_VERSION} of the run log")
        return self

    def entries(self) -> list[_Place]:
        if not isinstance(self.value, list):
            raise self.refuse("is no JSON list: the log is damaged, run again")
        return [
            _Place(self.path, f"{self.where}[{index}]", item)
            for index, item in enumerate(self.value)
        ]

    def whole(self, name: str, low: int, high: int) -> int:
        found = self.value[name]
        if type(found) is not int or not low <= found <= high:
            raise self.refuse(f"{name} is {found!r}, not a whole number from {low} to {high}")
        return found

    def number(self, name: str, above: float = -math.inf) -> float:
        found = self.value[name]
        if type(found) not in {int, float} or not math.isfinite(found) or found <= above:
            limit = f" above {above:g}" if math.isfinite(above) else ""
            raise self.refuse(f"{name} is {_said(found)}, not a finite number{limit}")
        return float(found)

    def text(self, name: str) -> str:
        found = self.value[name]
        if not isinstance(found, str) or not found.isprintable():
            raise self.refuse(f"{name} is {found!r}, not a text of printable characters")
        return found

    def sha256(self, name: str) -> str:
        found = self.text(name)
        if len(found) != 64 or set(found) - set("0123456789abcdef"):
            raise self.refuse(f"{name} is {found!r}, not a SHA-256 in 64 hexadecimal digits")
        return found

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        found = self.text(name)
        if found not in allowed:
            raise self.refuse(f"{name} is {found!r}, not one of {', '.join(allowed)}")
        return found


def _parse(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > BYTES_MAX:
            raise TandemError(f"{path}: has {size} bytes, more than any run log")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TandemError(f"{path}: the run log cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TandemError(f"{path}: is no run log: it is not text") from None
    if not text.strip():
        raise TandemError(f"{path}: is empty: the run wrote no log, run again")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise TandemError(
            f"{path}: is cut off or damaged at line {error.lineno} ({error.msg}): run again"
        ) from None
    except (RecursionError, ValueError):
        raise TandemError(f"{path}: is no run log: it cannot be read as JSON") from None
    if not isinstance(found, dict):
        raise TandemError(f"{path}: is no run log: it holds no JSON object")
    return found


def _runs(log: _Place) -> tuple[LoggedRun, ...]:
    places = log.at("runs").entries()
    if not places:
        raise log.refuse("runs is empty: there is nothing to compare, run again")
    compiled = log.whole("frames_compiled", 1, FRAMES_MAX)
    return tuple(_run(place, compiled) for place in places)


def _run(place: _Place, compiled: int) -> LoggedRun:
    place.exactly(RUN_FIELDS)
    frames = place.whole("frames", 1, compiled)
    done, status = place.whole("frames_done", 0, WORD - 1), place.whole("status", 0, WORD - 1)
    if status & STATUS_ERROR or not status & STATUS_DONE or done != frames:
        raise place.refuse(f"did not end well: {done} of {frames} frames, status 0x{status:x}")
    total = place.whole("total_cycles", 1, WORD - 1)
    seconds = place.number("seconds", above=0)
    counters = _counters(place.at("counters"), total)
    _check_polls(place.at("polls"), seconds, frames, total)
    return LoggedRun(frames, total, seconds, counters)


def _counters(place: _Place, total: int) -> dict[str, int]:
    place.exactly(set(COUNTER_NAMES))
    for name in COUNTER_NAMES:
        place.whole(name, 0, WORD - 1)
    for unit in UNITS:
        found = sum(place.value[f"{unit}.{kind}"] for kind in CLASSES)
        if found != total:
            raise place.refuse(
                f"the classes of {unit} sum to {found} cycles, the run has {total}: "
                "these counters are not of one run"
            )
    return dict(place.value)


def _check_polls(place: _Place, seconds: float, frames: int, total: int) -> None:
    """Seconds, frames done and cycles of each look: none runs backwards or past the end."""
    names, last = ("seconds", "frames done", "cycles"), (0.0, 0, 0)
    end = (seconds, frames, total)
    for entry in place.entries():
        look = entry.value
        if not isinstance(look, list) or len(look) != 3:
            raise entry.refuse("is not [seconds, frames done, cycles]")
        for name, before, now, most in zip(names, last, look, end, strict=True):
            if type(now) not in {int, float} or not math.isfinite(now):
                raise entry.refuse(f"{name} is {_said(now)}, not a finite number")
            if now < before:
                raise entry.refuse(f"{name} run backwards: {now} after {before}")
            if now > most:
                raise entry.refuse(f"{name} {now} lie after the end of the run, {most}")
        last = (look[0], look[1], look[2])


def _check_answer(place: _Place) -> None:
    place.exactly(ANSWER_FIELDS)
    place.text("image")
    place.sha256("image_sha256")
    place.sha256("head_sha256")
    if place.get("box") is not None:
        sides = place.at("box").entries()
        if len(sides) != 4:
            raise place.refuse("box has not four sides")
        for side in sides:
            _Place(place.path, place.where, {"box": side.value}).number("box")
        place.number("confidence")


def _self_test(log: _Place) -> tuple[int, int] | None:
    if log.get("self_test") is None:
        return None
    place = log.at("self_test").exactly({"values", "differing"})
    values = place.whole("values", 1, 1 << 62)
    return values, place.whole("differing", 0, values)


def _power(log: _Place) -> dict[str, float]:
    """Mean watts by rail. A sample that is no number is refused by its place."""
    if log.get("power") is None:
        return {}
    place = log.at("power").exactly({"seconds", "watts"})
    times = _series(place.at("seconds"))
    if any(later < earlier for earlier, later in pairwise(times)):
        raise place.refuse("seconds run backwards")
    watts = place.at("watts")
    if not isinstance(watts.value, dict):
        raise watts.refuse("is no JSON object: the log is damaged, run again")
    found = {}
    for name in watts.value:
        if not name.isprintable():
            raise watts.refuse(f"{name!r} is no name of a rail")
        samples = _series(watts.at(name))
        if not samples or len(samples) != len(times):
            raise watts.refuse(f"{name} has {len(samples)} samples, seconds has {len(times)}")
        found[name] = sum(samples) / len(samples)
    return found


def _series(place: _Place) -> list[float]:
    for entry in place.entries():
        if type(entry.value) not in {int, float} or not math.isfinite(entry.value):
            raise entry.refuse(f"is {_said(entry.value)}, not a finite number")
    return [float(value) for value in place.value]


def _said(value: Any) -> str:
    """As JSON writes it."""
    return "NaN" if value != value else repr(value)  # noqa: PLR0124  (so NaN is told)
