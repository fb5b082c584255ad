"""``tandem board regress``: published accelerators, predicted against measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.errors import TandemError
from model.loop_nest import LoopNest, load_loop_nest
from model.power import power_of_use
from model.tables import facts, headline, table
from model.toml_reader import read_toml

PUBLISHED = Path(__file__).parent / "published"
BOARDS = "boards.toml"
TIME_LIMIT = 0.15  # of a prediction
POWER_LIMIT, IMAGES_LIMIT = 0.10, 0.15


@dataclass(frozen=True)
class TimePoint:
    """Predicted against measured time of one accelerator at one clock."""

    name: str
    board: str
    clock_mhz: float
    predicted_ms: float
    measured_ms: float
    error: float  # predicted over measured, less 1
    ideal_ms: float  # with a memory that answers at once
    ideal_error: float
    calibration: bool
    megabytes: float  # of a batch


@dataclass(frozen=True)
class PowerPoint:
    """Predicted against published power and images per joule."""

    name: str
    predicted_w: float
    measured_w: float
    error: float
    predicted_images_per_joule: float
    measured_images_per_joule: float
    images_error: float
    calibration: bool
    energy_mj: dict[str, float]  # of a frame by part, predicted


@dataclass(frozen=True)
class Regression:
    """All points; ``held`` where every one is within its limit."""

    points: tuple[TimePoint, ...]
    power: tuple[PowerPoint, ...]

    @property
    def held(self) -> bool:
        """Times within 15 %, power within 10 % and images per joule within 15 %."""
        times = all(abs(point.error) <= TIME_LIMIT for point in self.points)
        return times and all(
            abs(p.error) <= POWER_LIMIT and abs(p.images_error) <= IMAGES_LIMIT for p in self.power
        )

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "points": [asdict(point) for point in self.points],
            "power": [asdict(point) for point in self.power],
            "limits": {"time": TIME_LIMIT, "power": POWER_LIMIT, "images": IMAGES_LIMIT},
            "held": self.held,
        }


def board_regress_command(folder: Path | None, as_json: bool) -> int:
    """Predict every published point, print, return the exit status."""
    found = regress(folder or PUBLISHED)
    if as_json:
        console.put_json(found.record())
    else:
        console.put(*describe(found))
    return console.HELD if found.held else console.FAILED


def regress(folder: Path) -> Regression:
    """All accelerators described in a folder. TandemError for a wrong description, or for none."""
    outstanding = _boards(folder / BOARDS)
    nests = [load_loop_nest(p) for p in sorted(folder.glob("*.toml")) if p.name != BOARDS]
    if not nests:
        raise TandemError(f"{folder}: describes no accelerator: give a folder with descriptions")
    for nest in nests:
        if nest.device.name not in outstanding:
            raise TandemError(f"{folder / BOARDS}: add a table [{nest.device.name}]")
    pairs = [(nest, outstanding[nest.device.name]) for nest in nests]
    return Regression(
        tuple(point for nest, bursts in pairs for point in times_of(nest, bursts)),
        tuple(power_of(nest, bursts) for nest, bursts in pairs if nest.power is not None),
    )


def _boards(path: Path) -> dict[str, int]:
    """Outstanding bursts of a port by device."""
    whole = read_toml(path, "list of boards")
    found = {}
    for name in whole.names():
        item = whole.table(name)
        found[name] = item.integer("outstanding_bursts", 1, 64)
        item.finish()
    return found


def times_of(nest: LoopNest, outstanding: int) -> Iterator[TimePoint]:
    """Every measured point of an accelerator."""
    for point in nest.points:
        predicted = nest.cycles(point.clock_khz, outstanding) / point.clock_khz
        ideal = nest.ideal_cycles / point.clock_khz
        yield TimePoint(
            name=nest.name,
            board=nest.device.name,
            clock_mhz=point.clock_khz / 1000,
            predicted_ms=predicted,
            measured_ms=point.measured_ms,
            error=predicted / point.measured_ms - 1,
            ideal_ms=ideal,
            ideal_error=ideal / point.measured_ms - 1,
            calibration=point.calibration,
            megabytes=nest.moved / 1e6,
        )


def power_of(nest: LoopNest, outstanding: int) -> PowerPoint:
    """Power at the clock of the last point, from predicted time alone."""
    known = nest.power
    assert known is not None
    clock = nest.points[-1].clock_khz
    cycles = nest.cycles(clock, outstanding) / nest.frames
    fps = clock * 1000 / cycles
    use = known.macs / (cycles * known.demand["dsp"])
    traffic = nest.moved / nest.frames * fps
    power = power_of_use(nest.device.power, clock / 1000, known.demand, use, traffic)
    watts = power.total_w
    return PowerPoint(
        name=nest.name,
        predicted_w=watts,
        measured_w=known.measured_w,
        error=watts / known.measured_w - 1,
        predicted_images_per_joule=fps / watts,
        measured_images_per_joule=known.images_per_joule,
        images_error=fps / watts / known.images_per_joule - 1,
        calibration=known.calibration,
        energy_mj=power.energy_mj(fps),
    )


def describe(found: Regression) -> Iterator[RenderableType]:
    """The result for people."""
    yield headline("published accelerators: predicted against measured")
    heads = ["accelerator", "MHz", "predicted", "measured", "error", "ideal memory", "used for"]
    yield table("time of a batch, ms", heads, [_time_row(point) for point in found.points])
    heads = ["accelerator", "W", "published", "error", "images/J", "published", "error", "used for"]
    yield table("power", heads, [_power_row(point) for point in found.power])
    worst = max((abs(p.error) for p in found.points if not p.calibration), default=0.0)
    yield facts(
        [
            ("worst prediction", f"{worst:.1%}, asked within {TIME_LIMIT:.0%}"),
            ("ideal memory", "loop bounds and intervals alone"),
        ]
    )


def _use(calibration: bool) -> str:
    return "calibration" if calibration else "prediction"


def _time_row(point: TimePoint) -> Sequence[str]:
    return [
        point.name, f"{point.clock_mhz:g}", f"{point.predicted_ms:.1f}", f"{point.measured_ms:.1f}",
        f"{point.error:+.1%}", f"{point.ideal_error:+.1%}", _use(point.calibration),
    ]  # fmt: skip


def _power_row(point: PowerPoint) -> Sequence[str]:
    return [
        point.name, f"{point.predicted_w:.2f}", f"{point.measured_w:.2f}", f"{point.error:+.1%}",
        f"{point.predicted_images_per_joule:.2f}", f"{point.measured_images_per_joule:.2f}",
        f"{point.images_error:+.1%}", _use(point.calibration),
    ]  # fmt: skip
