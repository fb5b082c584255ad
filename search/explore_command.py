"""``tandem explore``: the best accelerators for a design's network, device and clock."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from model import console
from model.design import Design, load_design
from model.errors import TandemError
from model.evaluation import check_frames
from model.tables import count, facts, headline, table
from search.exploration import Exploration, Settings, check_settings
from search.exploration_journal import Journal, mark
from search.explore_files import NAMES, NEAREST, chosen, write_all
from search.measure import RESOURCES, Limits, Point
from search.pareto import AXES
from search.sizing import explore
from search.space import base_design
from search.survey import nearest_demand

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class ExploreArguments:
    """What the command line says; None: the device's."""

    design: Path
    out: Path | None = None
    fps: float | None = None
    power: float | None = None
    dsp: int | None = None
    bram18: int | None = None
    lut: int | None = None
    ff: int | None = None
    frames: int = 3
    evaluations: int = 1500
    method: str = "auto"
    jobs: int = 2


def explore_command(arguments: ExploreArguments, as_json: bool) -> int:
    """Search, write, print, return the exit status."""
    design = load_design(arguments.design)
    limits = limits_of(arguments, design)
    settings = settings_of(arguments)
    out = arguments.out or Path("build") / f"explore_{design.name}"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{out}: cannot be written ({error.strerror}): choose another --out"
        ) from None
    base = base_design(design)
    journal = Journal(out / JOURNAL, mark(base, settings.frames))
    if journal.found:
        console.progress(f"{out / JOURNAL}: {journal.found} points are there already")
    try:
        found = _watched(design, limits, settings, journal)
    except KeyboardInterrupt:
        console.progress(
            f"tandem: stopped; {len(journal.points)} points are in {out / JOURNAL}: "
            "the same command goes on from there"
        )
        return console.STOPPED
    names = write_all(out, base, found, command_line(arguments))
    record = summary(base, found, settings, out, names)
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(base, found, record))
    return console.HELD if found.held else console.FAILED


def _watched(design: Design, limits: Limits, settings: Settings, journal: Journal) -> Exploration:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{design.name}: surveying", total=None)

        def report(text: str, done: int, total: int) -> None:
            bar.update(task, description=f"{design.name}: {text}", completed=done, total=total)

        return explore(design, limits, settings, journal, report)


def limits_of(arguments: ExploreArguments, design: Design) -> Limits:
    """The device's, where the command line says nothing else. TandemError for nonsense."""
    limits = Limits.of(design)
    for name in RESOURCES:
        value = getattr(arguments, name)
        if value is None:
            continue
        most = getattr(design.device, name)
        if not 1 <= value <= most:
            raise TandemError(
                f"--{name} {value}: must be from 1 to {most}, what {design.device.name} has"
            )
        limits = replace(limits, **{name: value})
    for option, target in (("--fps", arguments.fps), ("--power", arguments.power)):
        if target is not None and not 0 < target < float("inf"):
            raise TandemError(f"{option} {target}: must be a number above 0")
    return replace(limits, power_w=arguments.power, fps=arguments.fps or 0.0)


def settings_of(arguments: ExploreArguments) -> Settings:
    """Checked. TandemError for values that make no sense."""
    check_frames(arguments.frames)
    if arguments.frames < 2:
        raise TandemError(f"--frames {arguments.frames}: a steady state takes 2 or more")
    settings = Settings(
        frames=arguments.frames,
        evaluations=arguments.evaluations,
        jobs=arguments.jobs,
        method=arguments.method,
    )
    check_settings(settings)
    return settings


def command_line(arguments: ExploreArguments) -> str:
    """The command that gives the same again, without where it writes."""
    parts = ["tandem", "explore", str(arguments.design)]
    plain = ExploreArguments(arguments.design)
    for name in ("fps", "power", *RESOURCES, "frames", "evaluations", "method"):
        value = getattr(arguments, name)
        if value != getattr(plain, name):
            parts += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(parts)


def summary(
    base: Design, found: Exploration, settings: Settings, out: Path, names: Mapping[str, str]
) -> dict[str, Any]:
    """For JSON."""
    hertz = base.clock_khz * 1000
    survey, counts = found.survey, found.counts
    best = found.best
    return {
        "design": base.name,
        "device": base.device.name,
        "clock_mhz": base.clock_mhz,
        "frames": settings.frames,
        "method": found.method,
        "held": found.held,
        "limits": asdict(found.limits),
        "bound_fps": hertz / survey.best_bound if survey.best_bound else None,
        "best": _record(best, names) if best is not None else None,
        "recommended": (
            _record(found.recommended, {found.recommended.key: f"{base.name}.toml"})
            if found.recommended is not None
            else None
        ),
        "fronts": {
            axis: [_record(point, names) for point in front]
            for axis, front in chosen(found).items()
        },
        "nearest": [] if found.held else [_record(p, names) for p in found.feasible[:NEAREST]],
        "shortfall": [] if found.held else shortfall(base, found),
        "space": {
            "points": survey.points,
            "structures": survey.structures,
            "structures_infeasible": survey.infeasible_structures,
            "infeasible": survey.infeasible,
            "structures_too_slow": survey.too_slow,
            "structures_pruned": counts["structures pruned"],
            "structures_opened": counts["structures opened"],
            "structures_not_reached": counts["structures not reached"],
            "points_evaluated": counts["evaluated"],
            "points_pruned": counts["pruned"],
            "points_over_a_limit": counts["over a limit"],
            "points_alike": counts["alike"],
            "points_left": counts["points left"],
            "slowest_fps": hertz / survey.slowest_cycles if survey.slowest_cycles else None,
        },
        "seconds": found.seconds,
        "out": str(out),
    }


def shortfall(base: Design, found: Exploration) -> list[str]:
    """In words: why the targets are not met."""
    if found.best is None:
        return ["no design fits the limits", *nearest_demand(base, replace(found.limits, fps=0.0))]
    proof = ["no point of the space reaches that speed: all were looked at or excluded by bound"]
    return [*(proof if found.excluded else []), *nearest_demand(base, found.limits)]


def _record(point: Point, names: Mapping[str, str]) -> dict[str, Any]:
    values = {name: getattr(point, name) for name in ("fps", "cycles_per_frame", "latency_cycles")}
    return {**values, **point.costs, "key": point.key, "file": names.get(point.key)}


def describe(
    base: Design, found: Exploration, record: Mapping[str, Any]
) -> Iterator[RenderableType]:
    """The result for people."""
    best = found.best
    target = f", {found.limits.fps:g} FPS wanted" if found.limits.fps else ""
    result = f"{best.fps:.2f} FPS" if best is not None else "no design fits"
    yield headline(f"{base.name} on {base.device.name}: {result}{target}", found.held)
    yield facts(_facts(record))
    for axis, front in chosen(found).items():
        if front:
            yield front_table(axis, front, record)
    if not found.held:
        yield from _shortfall(found, record)
    yield f"Written to {record['out']}: design files, points.csv, points.json, {JOURNAL}"


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    space = record["space"]
    if record["method"] == "exhaustive":
        yield "search", "exhaustive: every point was simulated or excluded by its bound or demand"
    else:
        yield (
            "search",
            f"guided, not exhaustive: {space['points_left']:.2g} points were not looked at",
        )
    yield (
        "space",
        f"{space['points']:.3g} points around {count(space['structures'])} structures",
    )
    reasons = ", ".join(f"{n} too much {NAMES[name]}" for name, n in space["infeasible"].items())
    slowest = f"slower than {space['slowest_fps']:.1f} FPS" if space["slowest_fps"] else "too slow"
    yield (
        "structures",
        (
            f"{count(space['structures_infeasible'])} infeasible ({reasons or 'none'}), "
            f"{count(space['structures_too_slow'])} {slowest} by their bound, "
            f"{count(space['structures_pruned'])} beaten by their bound, "
            f"{count(space['structures_opened'])} opened, "
            f"{count(space['structures_not_reached'])} not reached"
        ),
    )
    yield (
        "points",
        (
            f"{count(space['points_evaluated'])} simulated, {count(space['points_pruned'])} pruned "
            f"by their bound, {count(space['points_over_a_limit'])} over a limit"
        ),
    )
    if record["bound_fps"]:
        yield (
            "upper bound",
            f"{record['bound_fps']:.2f} FPS: nothing within the limits beats it",
        )
    if record["recommended"]:
        item = record["recommended"]
        yield (
            "recommended",
            (
                f"{item['file']}: {item['fps']:.2f} FPS with {item['dsp']} DSP, "
                f"{item['bram18']} RAMB18"
            ),
        )
    yield "took", f"{record['seconds']:.1f} s"


def front_table(axis: str, front: list[Point], record: Mapping[str, Any]) -> RenderableType:
    """A front, the fastest first."""
    files = {item["key"]: item["file"] or "" for item in record["fronts"][axis]}
    rows = []
    for point in front:
        acc = point.accelerator
        lanes = f"{acc.in_lanes} x {acc.out_lanes} + {acc.requant_lanes}"
        depthwise = f"{acc.dw_multipliers} {acc.dw_multiplier_style}"
        rows.append(
            [
                files.get(point.key, ""),
                f"{point.fps:.2f}",
                lanes,
                depthwise,
                count(point.dsp),
                count(point.bram18),
                count(point.lut),
                count(point.ff),
                f"{point.power_w:.2f}",
            ]
        )
    titles = ("file", "FPS", "lanes", "depth-wise", "DSP", "RAMB18", "LUT", "FF", "W")
    return table(f"FPS against {NAMES[axis]}", titles, rows, left=(0, 2, 3))


def _shortfall(found: Exploration, record: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield "[bold red]the targets are not met[/]"
    yield from record["shortfall"]
    rows = [
        [f"{p.fps:.2f}", *(count(getattr(p, name)) for name in RESOURCES), f"{p.power_w:.2f}"]
        for p in found.feasible[:NEAREST]
    ]
    if rows:
        yield table("nearest", ("FPS", *(NAMES[axis] for axis in AXES)), rows, left=())
