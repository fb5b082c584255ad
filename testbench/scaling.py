"""What an evaluation costs as frames and networks grow: time and memory against tiles.

Every point is measured in a process of its own, so that its peak of resident memory is one
evaluation's: interpreter, libraries and compiled code included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from model import console
from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.evaluation import evaluate
from model.tables import count, table

SCALED = Path(__file__).resolve().parent.parent / "designs" / "dnn_a.toml"  # whose accelerator
SIZES = ((80, 160), (120, 240), (160, 320), (240, 480), (320, 640), (480, 960), (640, 1280))
BUNDLES = (5, 10, 20, 40, 60)
RUNS = 5
MEMORY_TARGET_MB = 200.0


@dataclass(frozen=True)
class Cost:
    """One evaluation on the fast engine."""

    height: int
    width: int
    bundles: int
    tiles: int
    bursts: int
    events: int
    cycles: int
    compile_ms: float  # all but the simulation: schedule, resources, power; best of RUNS
    simulate_ms: float  # best of RUNS
    peak_mb: float


def scaled(design: Design, height: int, width: int, bundles: int) -> Design:
    """A design of that many bundles on frames of that size; the accelerator is ``design``'s."""
    tables = design_to_dict(design)
    pooled = [["dw3", f"conv1:{channels}", "maxpool"] for channels in (48, 96, 192)]
    deep = [["dw3", "conv1:192"]] * (bundles - len(pooled))
    tables["name"] = f"scaled_{height}x{width}_{bundles}"
    tables["network"] = {
        "channels": 3, "height": height, "width": width, "bundles": [*pooled, *deep],
        "head": ["conv1:10"],
    }  # fmt: skip
    return design_from_dict(tables)


def measure_cost(design: Design) -> Cost:
    """Evaluate in this process; call it in a fresh one for the peak of memory to mean something."""
    evaluate(design, engine="fast")
    totals, found = [], evaluate(design, engine="fast")
    for _ in range(RUNS):
        started = time.perf_counter()
        found = evaluate(design, engine="fast")
        totals.append(time.perf_counter() - started - found.simulation.seconds)
    run, net = found.simulation, design.network
    simulated = [evaluate(design, engine="fast").simulation.seconds for _ in range(RUNS)]
    return Cost(
        height=net.height,
        width=net.width,
        bundles=len(net.chains) - 1,
        tiles=found.schedule.stores_per_frame,
        bursts=run.ddr.row_hits + run.ddr.row_misses,
        events=len(run.events),
        cycles=run.total_cycles,
        compile_ms=1000 * min(totals),
        simulate_ms=1000 * min(simulated),
        peak_mb=_peak_mb(),
    )


def _peak_mb() -> float:
    """Peak of this process' resident memory in MB (2^20 bytes).

    From Linux' VmHWM where it is there: ru_maxrss also counts the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [row for row in status.read_text().splitlines() if row.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scaling_bench(design: Path, as_json: bool) -> int:
    """Measure, print, return the exit status."""
    found = scaling(design)
    if as_json:
        console.put_json(found)
    else:
        console.put(*describe_scaling(found))
    return console.HELD


def scaling(design: Path) -> dict[str, Any]:
    """Both series: frame sizes with 5 bundles, and numbers of bundles at 160 x 320."""
    return {
        "frames": _series(design, [(*size, BUNDLES[0]) for size in SIZES], "tiles"),
        "bundles": _series(design, [(160, 320, number) for number in BUNDLES], "tiles"),
        "memory_target_mb": MEMORY_TARGET_MB,
    }


def _series(design: Path, points: Sequence[tuple[int, int, int]], key: str) -> dict[str, Any]:
    costs = []
    for point in points:
        console.progress("{} x {}, {} bundles ...".format(*point))
        costs.append(_in_fresh_process(design, *point))
    size = np.array([cost[key] for cost in costs], dtype=float)
    milliseconds = np.array([cost["compile_ms"] + cost["simulate_ms"] for cost in costs])
    memory = np.array([cost["peak_mb"] for cost in costs])
    return {
        "points": costs,
        "time": _line(size, milliseconds),
        "memory": _line(size, memory),
        "exponent": float(np.polyfit(np.log(size), np.log(milliseconds), 1)[0]),
    }


def _line(size: np.ndarray[Any, Any], cost: np.ndarray[Any, Any]) -> dict[str, float]:
    """Least squares: ``cost = offset + slope * size``, and how much of the variance it explains."""
    slope, offset = np.polyfit(size, cost, 1)
    rest = cost - offset - slope * size
    around = cost - cost.mean()
    explained = 1 - float(rest @ rest) / max(float(around @ around), 1e-12)
    return {"slope": float(slope), "offset": float(offset), "r_squared": explained}


def _in_fresh_process(design: Path, height: int, width: int, bundles: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "testbench.scaling", str(design)]
    command += [str(height), str(width), str(bundles)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TandemError(f"scaling: {height} x {width}, {bundles} bundles failed: {last}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def describe_scaling(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Both series for people."""
    for name, title in (("frames", "frame size, 5 bundles"), ("bundles", "bundles, 160 x 320")):
        series = found[name]
        rows = [
            [
                f"{cost['height']} x {cost['width']}",
                count(cost["bundles"]),
                count(cost["tiles"]),
                count(cost["bursts"]),
                f"{cost['compile_ms']:.1f}",
                f"{cost['simulate_ms']:.1f}",
                f"{cost['peak_mb']:.0f}",
            ]
            for cost in series["points"]
        ]
        head = ("frame", "bundles", "tiles", "bursts", "compile, ms", "simulate, ms", "peak, MB")
        yield table(f"scaling with the {title}", head, rows)
        line, memory = series["time"], series["memory"]
        yield (
            f"time = {line['offset']:.1f} ms + {1000 * line['slope']:.1f} us a tile, R2 "
            f"{line['r_squared']:.3f}, exponent {series['exponent']:.2f}; memory "
            f"{memory['offset']:.0f} MB + {1024 * memory['slope']:.1f} KB a tile"
        )


def main() -> None:
    """One point: design file, height, width, bundles; its cost as JSON."""
    path, height, width, bundles = sys.argv[1:]
    design = scaled(load_design(path), int(height), int(width), int(bundles))
    print(json.dumps(asdict(measure_cost(design))))


if __name__ == "__main__":
    main()
