"""``tandem verify``: a design at all three levels, every value, event and counter compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.markup import escape

from model import console
from model.design import Design, load_design
from model.errors import TandemError
from model.evaluation import check_frames
from model.image import load_image, random_image, scene_image
from model.integer_network import IntegerNetwork, Integers, check_accumulators
from model.network_file import load_network
from model.random_network import random_network
from model.schedule import Schedule, compile_schedule
from model.spans import UNITS
from model.tables import count, facts, headline, table
from model.trace import write_trace
from rtl_sim.build import SimulationFailed
from rtl_sim.cache import lock, staged
from testbench.accelerator_tb import build_accelerator
from testbench.rtl_inference import repays_optimising
from testbench.verified_record import keep_verified
from testbench.verify import MapDifference, Verification, Watch, verify
from testbench.verify_files import hand_over, output_folder, writable

FIRST_DIFFERENCES = 10
LOG = "simulation.log"
WAVEFORM = "waveform.fst"
SCENE_CHANNELS = 3


@dataclass(frozen=True)
class Request:
    """What to verify, with which data; everything is written below ``out``."""

    design: Path
    network: Path | None = None
    image: Path | None = None
    seed: int = 1
    frames: int = 1
    out: Path = Path("build")
    resize: bool = False  # the image to the network's size, nearest neighbour
    trace: Path | None = None  # for Perfetto: simulator and RTL in one file
    fst: Path | None = None  # waveform of the RTL


@dataclass(frozen=True)
class Verified:
    """A request, what it was compiled to, and how the levels compare."""

    request: Request
    schedule: Schedule
    result: Verification

    @property
    def ratio(self) -> float:
        """How many times faster SimPy is than the RTL."""
        return self.result.rtl.seconds / self.result.simulation.seconds

    @property
    def fast_ratio(self) -> float:
        """How many times faster the compiled engine is than the RTL."""
        return self.result.rtl.seconds / self.result.fast.seconds

    @property
    def kcycles_per_second(self) -> float:
        """Speed of the RTL simulation."""
        return self.result.rtl.total_cycles / self.result.rtl.seconds / 1000

    @property
    def image_source(self) -> str:
        """Where the images come from, in words."""
        if self.request.image is not None:
            return str(self.request.image)
        scene = self.schedule.design.network.channels == SCENE_CHANNELS
        return f"{'synthetic scene' if scene else 'random'}, seed {self.request.seed}"

    def record(self) -> dict[str, Any]:
        """For JSON: the keys of ``tandem verify``."""
        result, run, rtl = self.result, self.result.simulation, self.result.rtl
        design, request = self.schedule.design, self.request
        return {
            "design": design.name,
            "device": design.device.name,
            "clock_mhz": design.clock_mhz,
            "weight_bits": design.weight_bits,
            "feature_bits": design.feature_bits,
            "network": str(request.network) if request.network else None,
            "image": str(request.image) if request.image else None,
            "image_source": self.image_source,
            "seed": request.seed,
            "frames": self.schedule.frames,
            "exact": result.exact,
            "sim_cycles": run.total_cycles,
            "rtl_cycles": rtl.total_cycles,
            "events": result.events,
            "event_mismatches": len(result.event_differences),
            "values": result.values,
            "value_mismatches": result.value_mismatches,
            "counters": result.counters,
            "counter_mismatches": len(result.counter_differences),
            "latency_cycles": run.latency_cycles,
            "cycles_per_frame": run.cycles_per_frame,
            "latency_ms": run.latency_cycles / design.clock_khz,
            "fps": design.clock_khz * 1000 / run.cycles_per_frame,
            "functional_seconds": result.functional_seconds,
            "sim_seconds": run.seconds,
            "rtl_seconds": rtl.seconds,
            "ratio": self.ratio,
            "fast_seconds": result.fast.seconds,
            "fast_ratio": self.fast_ratio,
            "engines_agree": result.engines_agree,
            "rtl_kcycles_per_second": self.kcycles_per_second,
            "trace": str(request.trace) if request.trace else None,
            "fst": str(request.fst) if request.fst else None,
            "activity_mismatches": len(result.activity_differences) if request.trace else None,
            "maps": [asdict(item) for item in result.maps],
            "first_differences": list(differences(result)),
        }


def verify_command(request: Request, as_json: bool) -> int:
    """Verify, print, return the exit status."""
    found = verify_design(request)
    keep_verified(output_folder(request.out), found.schedule.design, found.record())
    if request.trace is not None:
        write_trace(request.trace, found.schedule.design.name, found.result.recordings)
    if as_json:
        console.put_json(found.record())
    else:
        console.put(*describe(found))
    return console.HELD if found.result.exact else console.FAILED


def verify_design(request: Request) -> Verified:
    """Run all three levels.

    TandemError: the design, the data or a tool. SimulationFailed: the RTL did not come to an end.
    """
    check_frames(request.frames)
    for path in filter(None, (request.trace, request.fst)):
        writable(path)
    design = load_design(request.design)
    schedule = compile_schedule(design, request.frames)
    network, images = _data(design, request)
    out = output_folder(request.out)
    long_run = repays_optimising(schedule, schedule.frames)
    console.progress(
        f"{design.name}: {len(schedule.plans)} passes, {schedule.stores_per_frame} tiles, "
        f"{len(schedule.commands)} commands; building the RTL ..."
    )
    started = time.perf_counter()
    watched = request.trace is not None, request.fst is not None
    build = build_accelerator(design, schedule.memory_bytes, out / "verilator", long_run, *watched)
    seconds = time.perf_counter() - started
    console.progress("found it built" if build.cached else f"built in {seconds:.0f} s")
    frames = "one frame" if request.frames == 1 else f"{request.frames} frames"
    console.progress(f"running {frames}: functional level, SimPy, RTL ...")
    result = _run(request, design, (network, images), out, long_run)
    return Verified(request, schedule, result)


def _run(
    request: Request,
    design: Design,
    data: tuple[IntegerNetwork, Sequence[Integers]],
    out: Path,
    long_run: bool,
) -> Verification:
    """Verify in a scratch folder that becomes ``verify_NAME`` when it is complete."""
    folder = out / f"verify_{design.name.replace('.', '_')}"
    with lock(folder), staged(folder) as scratch:
        waveform = scratch / WAVEFORM if request.fst is not None else None
        try:
            watch = Watch(request.trace is not None, waveform)
            result = verify(design, *data, out / "verilator", scratch, long_run, watch)
        except (TandemError, SimulationFailed) as error:
            # What was read is right and the RTL is built: it is the RTL that failed. Its log stays.
            failure = str(error).replace(str(scratch), str(folder))
        else:
            if request.fst is not None and waveform is not None:
                hand_over(waveform, request.fst)
            return result
    raise SimulationFailed(failure)


def _data(design: Design, request: Request) -> tuple[IntegerNetwork, list[Integers]]:
    """Network and one image a frame: as given, else from the seed, scenes where colours fit."""
    weights, pictures = (np.random.default_rng([request.seed, stream]) for stream in range(2))
    if request.network is None:
        network = random_network(design, weights)
    else:
        network = load_network(request.network, design)
        check_accumulators(network, design)
    if request.image is not None:
        return network, [load_image(request.image, design, request.resize)] * request.frames
    if design.network.channels == SCENE_CHANNELS:
        return network, [scene_image(design, request.seed, i) for i in range(request.frames)]
    return network, [random_image(design, pictures) for _ in range(request.frames)]


def differences(result: Verification) -> Iterator[str]:
    """The first differences of each kind, in words."""
    for item in [found for found in result.maps if found.differing][:FIRST_DIFFERENCES]:
        yield f"value: {item.name}, frame {item.frame}, first at channel, row, column {item.first}"
    sides = {"left": "SimPy", "right": "RTL"}
    for side, event in result.event_differences[:FIRST_DIFFERENCES]:
        yield (
            f"event: only in {sides[side]}: cycle {event.cycle} {event.unit} {event.kind} "
            f"bundle {event.bundle} tile {event.tile}"
        )
    if not result.engines_agree:
        yield "engine: the fast engine and SimPy differ, which is a mistake of Tandem"
    for name, ours, theirs in result.counter_differences[:FIRST_DIFFERENCES]:
        yield f"counter: {name}: SimPy {ours}, RTL {theirs}"
    for difference in result.activity_differences:
        yield f"activity: {difference} in simulator and RTL"


def describe(found: Verified) -> Iterator[RenderableType]:
    """The comparison for people."""
    result, record = found.result, found.record()
    verdict = "functional level, SimPy and RTL agree: 0 differences"
    if not result.exact:
        verdict = "the levels DIFFER"
    yield headline(
        f"{record['design']} on {record['device']}, W{record['weight_bits']} "
        f"F{record['feature_bits']}, {record['clock_mhz']:g} MHz: {verdict}",
        result.exact,
    )
    yield map_table(result.maps)
    yield compared_table(record)
    yield facts(_facts(record))
    for line in record["first_differences"]:
        yield f"[red]differs[/] {escape(line)}"


def map_table(maps: Sequence[MapDifference]) -> RenderableType:
    """Feature maps that reach memory; the last one once a frame."""
    rows = [[m.name, count(m.frame + 1), count(m.values), count(m.differing)] for m in maps]
    return table(None, ("feature map in memory", "frame", "values", "differing"), rows)


def compared_table(record: dict[str, Any]) -> RenderableType:
    """What was compared, and between whom."""
    rows = [
        [what, between, count(record[f"{what}s"]), count(record[f"{what}_mismatches"])]
        for what, between in (
            ("value", "functional level, RTL"),
            ("event", "SimPy, RTL"),
            ("counter", "SimPy, RTL"),
        )
    ]
    both = 0 if record["engines_agree"] else record["events"]
    rows.append(["event", "SimPy, fast engine", count(record["events"]), count(both)])
    if record["activity_mismatches"] is not None:
        cycles = record["rtl_cycles"] * len(UNITS)
        differing = count(record["activity_mismatches"])
        rows.append(["unit's class in a cycle", "SimPy, RTL", count(cycles), differing])
    offset = record["sim_cycles"] - record["rtl_cycles"]
    rows.append(["cycle", "SimPy, RTL", count(record["rtl_cycles"]), count(abs(offset))])
    return table(None, ("compared", "between", "number", "differing"), rows, left=(0, 1))


def _facts(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, kind in (("trace for Perfetto", "trace"), ("waveform", "fst")):
        if record[kind] is not None:
            yield name, record[kind]
    random = f"random, seed {record['seed']}"
    yield "weights", record["network"] or random
    yield "image", record["image_source"]
    yield "latency", f"{count(record['latency_cycles'])} cycles, {record['latency_ms']:.2f} ms"
    how = "steady state" if record["frames"] > 1 else "one frame alone"
    yield "throughput", f"{record['fps']:.1f} FPS ({how})"
    yield "functional level", f"{record['functional_seconds']:.2f} s"
    yield "SimPy", f"{record['sim_seconds']:.2f} s"
    speed = f"{record['rtl_kcycles_per_second']:.0f} kcycles/s"
    yield "RTL under Verilator and cocotb", f"{record['rtl_seconds']:.2f} s, {speed}"
    yield "SimPy is faster by", f"{record['ratio']:.0f} x"
    fast = f"{1000 * record['fast_seconds']:.1f} ms, {count(round(record['fast_ratio']))} x faster"
    yield "fast engine", fast
