"""``tandem bench``: the project's measured numbers against their targets.

Wall times are shown, never asserted: only a comparison of levels that fails makes it fail.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import RenderableType

from model import console
from model.design import Design, load_design
from model.evaluation import evaluate
from model.tables import count, headline, share, table
from testbench.campaign import Journal, fingerprint
from testbench.campaign_report import distribution
from testbench.throughput import describe_throughput, throughput
from testbench.verify_command import Request, verify_design

DESIGNS = Path(__file__).resolve().parent.parent / "designs"
MEASURED = "dnn_a"
NAMED = ("dnn_a", "dnn_b", "dnn_c", "dnn_c_w8f8", "dnn_c_w8f8_packed")
EVALUATIONS = 25
TARGET_FPS = {"dnn_a": 75.0, "dnn_b": 70.0, "dnn_c": 42.0}
TARGET_CYCLES = 2_500_000
TARGET_UTILISATION = 0.85
TARGET_RATIO = 30.0
TARGET_FAST_RATIO = 1000.0
TARGET_EVALUATION_MS = 15.0
TARGET_KCYCLES_PER_SECOND = 100.0
CAMPAIGN_SEED = 1


@dataclass(frozen=True)
class Line:
    """A measured number and what it should be."""

    what: str
    measured: str
    target: str
    held: bool


def bench_command(out: Path, seed: int, as_json: bool) -> int:
    """Measure, print, return the exit status."""
    found = measure(out, seed)
    if as_json:
        console.put_json(found)
    else:
        console.put(*describe(found))
    return console.HELD if found["exact"] else console.FAILED


def measure(out: Path, seed: int) -> dict[str, Any]:
    """All numbers, for JSON."""
    verified = verify_design(Request(DESIGNS / f"{MEASURED}.toml", seed=seed, out=out)).record()
    console.progress("named designs at the cycle level ...")
    steady = {
        name: throughput(DESIGNS / f"{name}.toml") | {"target_fps": TARGET_FPS.get(name)}
        for name in NAMED
    }
    campaign = read_campaign(out / "campaign" / "journal.jsonl")
    exact = verified["exact"] and (
        campaign is None or campaign["cases_exact"] == campaign["cases_total"]
    )
    return {
        "exact": exact,
        "verify": verified,
        "evaluation": time_evaluations(load_design(DESIGNS / f"{MEASURED}.toml")),
        "steady_state": steady,
        "campaign": campaign,
    }


def time_evaluations(design: Design, runs: int = EVALUATIONS) -> dict[str, float]:
    """Wall time of whole evaluations, from the design to its record, after compilation."""
    seconds = []
    evaluate(design, engine="fast")
    for _ in range(runs):
        started = time.perf_counter()
        evaluate(design, engine="fast").record()
        seconds.append(time.perf_counter() - started)
    return {"runs": runs, "median_ms": 1000 * median(seconds), "least_ms": 1000 * min(seconds)}


def read_campaign(path: Path) -> dict[str, Any] | None:
    """Totals of the campaign that was run with the sources as they are; None where none was."""
    if not path.is_file():
        return None
    outcomes = list(Journal(path, CAMPAIGN_SEED, fingerprint()).read().values())
    return dict(distribution(outcomes)) if outcomes else None


def describe(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The numbers for people."""
    verdict = "0 differences between the levels" if found["exact"] else "the levels DIFFER"
    yield headline(f"bench: {verdict}", found["exact"])
    rows = [
        [line.what, line.measured, line.target, "yes" if line.held else "NO"]
        for line in lines(found)
    ]
    yield table(None, ("measured", "value", "target", "held"), rows)
    yield from describe_throughput(found["steady_state"])
    if found["campaign"] is None:
        yield "campaign: not run with these sources, `make full` does"


def lines(found: Mapping[str, Any]) -> Iterator[Line]:
    """One line per number."""
    run = found["verify"]
    differing = run["value_mismatches"] + run["event_mismatches"] + run["counter_mismatches"]
    compared = run["values"] + run["events"] + run["counters"]
    yield Line(f"{MEASURED}: differing of {count(compared)}", count(differing), "0", differing == 0)
    offset = abs(run["sim_cycles"] - run["rtl_cycles"])
    frame = f"{count(run['rtl_cycles'])} cycles, SimPy {offset:+d}"
    held = offset == 0 and run["rtl_cycles"] < TARGET_CYCLES
    limit = f"below {TARGET_CYCLES / 1e6:.1f} M"
    yield Line(f"{MEASURED}: one frame at the RTL level", frame, limit, held)
    fps = f"{run['latency_ms']:.2f} ms, {run['fps']:.1f} FPS"
    yield Line(f"{MEASURED}: one frame at {run['clock_mhz']:g} MHz", fps, "", True)
    speed = run["rtl_kcycles_per_second"]
    goal = TARGET_KCYCLES_PER_SECOND
    yield Line(
        "RTL under Verilator and cocotb",
        f"{speed:.0f} kcycles/s",
        f"{goal:.0f} kcycles/s",
        speed >= goal,
    )
    ratio = run["ratio"]
    yield Line(
        "SimPy against RTL simulation",
        f"{ratio:.0f} x faster",
        f"{TARGET_RATIO:.0f} x",
        ratio >= TARGET_RATIO,
    )
    yield from _fast(run, found["evaluation"])
    for name, item in found["steady_state"].items():
        yield _throughput(name, item)
    use = found["steady_state"][MEASURED]["mac_utilisation"]
    yield Line(
        f"{MEASURED}: MAC array used", share(use), share(TARGET_UTILISATION),
        use >= TARGET_UTILISATION,
    )  # fmt: skip
    yield from _fits(found["steady_state"])
    if found["campaign"] is not None:
        yield from _campaign(found["campaign"])


def _fast(run: Mapping[str, Any], evaluation: Mapping[str, float]) -> Iterator[Line]:
    ratio = run["fast_ratio"]
    value = f"{count(round(ratio))} x faster, {1000 * run['fast_seconds']:.1f} ms"
    goal = f"{count(round(TARGET_FAST_RATIO))} x"
    yield Line("fast engine against RTL simulation", value, goal, ratio >= TARGET_FAST_RATIO)
    value = f"{evaluation['median_ms']:.1f} ms, median of {evaluation['runs']:.0f}"
    held = evaluation["median_ms"] < TARGET_EVALUATION_MS
    goal = f"below {TARGET_EVALUATION_MS:.0f} ms"
    yield Line(f"{MEASURED}: design object to result", value, goal, held)


def _throughput(name: str, item: Mapping[str, Any]) -> Line:
    value = f"{item['cycles_per_frame']:,.1f} cycles, {item['fps']:.1f} FPS"
    goal = item["target_fps"]
    if goal is None:
        return Line(f"{name}: steady state", value, "", True)
    return Line(f"{name}: steady state", value, f"{goal:.0f} FPS", item["fps"] >= goal)


def _fits(steady: Mapping[str, Any]) -> Iterator[Line]:
    for name, item in steady.items():
        used = item["resources"]
        value = f"{used['dsp']} DSP, {used['bram18']} RAMB18"
        yield Line(f"{name}: resource model", value, "fits the device", used["fits"])


def _campaign(found: Mapping[str, Any]) -> Iterator[Line]:
    total, exact = found["cases_total"], found["cases_exact"]
    held = exact == total
    yield Line(f"campaign: exact of {count(total)} cases", count(exact), count(total), held)
    for name in ("value", "event", "counter"):
        bad, among = found[f"{name}_differences"], found[f"{name}s"]
        what = f"campaign: {name}s differing of {count(among)}"
        yield Line(what, count(bad), "0", bad == 0)
