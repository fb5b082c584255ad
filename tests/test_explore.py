"""Exploration: true bounds, buffers that fit, fronts, and designs as good as those made by hand."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.fast_simulator import simulate_fast
from model.resources import estimate_resources
from model.schedule import compile_schedule, plan_design
from model.tiling import TileShape
from search import explore_command
from search.bounds import frame_work
from search.buffers import BufferSpace, ladder, levels, memory_costs, walk
from search.exploration import Exploration, Settings
from search.exploration_journal import Journal, mark
from search.fit import TILE_BUFFERS, fit_buffers, unbounded_plans
from search.measure import Limits, Point, evaluate
from search.neighbours import neighbours
from search.pareto import AXES, Front
from search.sizing import explore, size_accelerator
from search.space import base_design, structures, with_buffers
from search.survey import power_terms, survey
from tandem import app
from testbench.campaign_cases import draw_case

QUICK = Settings(evaluations=60, method="guided", frames=2, rungs=3, max_structures=6)
HAND_TUNED = {"dnn_a": 82.03, "dnn_b": 76.88, "dnn_c": 45.48, "dnn_c_w8f8": 45.48}  # FPS, 100 MHz


@pytest.fixture(scope="module")
def tiny(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@given(st.integers(0, 400), st.integers(1, 3))
def test_no_simulation_is_faster_than_the_bound(number: int, frames: int) -> None:
    design = draw_case(11, number).design
    done = simulate_fast(compile_schedule(design, frames)).total_cycles
    bound = frame_work(design, plan_design(design)).bound
    assert frame_work(design, unbounded_plans(design)).bound <= bound
    assert frames * bound <= done


@given(st.integers(0, 400))
def test_the_work_counted_is_the_work_simulated(number: int) -> None:
    design = draw_case(12, number).design
    work = frame_work(design, plan_design(design))
    schedule = compile_schedule(design, 1)
    found = simulate_fast(schedule)
    moved = found.ddr.bytes_read + found.ddr.bytes_written
    assert 0 <= moved - work.bytes_moved < 512  # the program is fetched in whole bursts
    for unit in ("load", "depthwise", "post", "store"):
        assert work.cycles[unit] <= found.units[unit].busy
    assert work.cycles["mac"] <= found.units["mac"].busy + found.units["mac"].wait_output


@given(st.integers(0, 400))
def test_trimmed_buffers_leave_the_tiles_as_they_are(number: int) -> None:
    design = draw_case(13, number).design
    fitted = fit_buffers(design)
    assert [p.tiles for p in plan_design(fitted)] == [p.tiles for p in plan_design(design)]
    assert fit_buffers(fitted).accelerator == fitted.accelerator
    for key, depth in vars(fitted.accelerator.buffers).items():
        assert depth <= getattr(design.accelerator.buffers, key)
        if key in TILE_BUFFERS and depth > 2:
            less = replace(fitted.accelerator.buffers, **{key: depth - 1})
            assert _tiles(with_buffers(fitted, less)) != _tiles(fitted)


def _tiles(design: Design) -> object:
    try:
        return [plan.tiles for plan in plan_design(design)]
    except TandemError:
        return None


@pytest.mark.parametrize("weights", ["one", "two", "all"])
@pytest.mark.parametrize("shape", [TileShape(1, 1), TileShape(3, 0), TileShape(0, 0)])
@pytest.mark.parametrize("name", ["tiny", "tiny_bypass", "tiny_conv", "tiny_f16", "dnn_a"])
def test_buffers_for_a_tile_policy_run_the_network(
    root: Path, name: str, shape: TileShape, weights: str
) -> None:
    design = load_design(root / "designs" / f"{name}.toml")
    fitted = fit_buffers(design, shape, weights)
    design_from_dict(design_to_dict(fitted))  # a legal design
    for plan in plan_design(fitted):
        assert plan.tiles[0].rows <= max(shape.rows or 1 << 20, plan.item.scale) + 1
        assert weights != "all" or plan.mac_weights.resident


def test_a_policy_that_is_none_is_refused(tiny: Design) -> None:
    with pytest.raises(TandemError, match="one, two, stream, all"):
        fit_buffers(tiny, None, "some")


@given(st.integers(0, 400), st.integers(4, 700), st.integers(1, 5000))
def test_levels_are_the_deepest_of_each_number_of_blocks(
    number: int, least: int, span: int
) -> None:
    design = draw_case(14, number).design
    costs = memory_costs(design)
    for key in ("input_lines", "weight_words", "param_words"):
        found = levels(costs[key], least, least + span)
        assert found == sorted(set(found)) and found[-1] == least + span and found[0] >= least
        totals = [_blocks(design, key, depth) for depth in found]
        assert totals == sorted(totals)
        for depth, total in zip(found[:-1], totals, strict=False):
            assert _blocks(design, key, depth + 1) != total


def _blocks(design: Design, key: str, depth: int) -> tuple[int, int]:
    buffers = replace(design.accelerator.buffers, **{key: depth})
    resources = estimate_resources(with_buffers(design, buffers))
    memory_luts = sum(part.lut for part in resources.parts) if key == "param_words" else 0
    return resources.bram18, memory_luts if depth <= 64 else 0


def test_a_front_keeps_what_nothing_beats() -> None:
    rng = random.Random(5)
    points = [(float(rng.randrange(40)), float(rng.randrange(40)), str(i)) for i in range(300)]
    front = Front()
    for cycles, cost, key in points:
        front.add(cycles, cost, key)
    kept = {key for _, _, key in points if key in front.keys}
    for cycles, cost, key in points:
        beaten = any(a <= cycles and b <= cost and (a, b) != (cycles, cost) for a, b, _ in points)
        assert not (key in kept and beaten)
        assert front.dominated(cycles, cost)


@given(st.integers(0, 1000))
def test_a_cost_that_falls_with_the_cycles_is_judged_over_all_of_them(seed: int) -> None:
    rng = random.Random(seed)
    front = Front()
    for index in range(12):
        front.add(rng.uniform(10, 50), rng.uniform(1, 3), str(index))
    cycles, floor, work, slowest = rng.uniform(10, 50), rng.uniform(0, 3), rng.uniform(0, 40), 60.0
    steps = [cycles + i * (slowest - cycles) / 400 for i in range(400)]
    beaten = all(front.dominated(c, floor + work / c) for c in steps)
    if front.above(cycles, floor, work, slowest):
        assert beaten
    elif beaten:  # only between the steps tried
        assert any(
            not front.dominated(end - 1e-9, floor + work / end)
            for end in [*(c for c in _cycles(front) if c > cycles), slowest]
        )


def _cycles(front: Front) -> list[float]:
    return [cycles for cycles, _, _ in front._points]


@pytest.mark.parametrize("name", ["tiny", "dnn_a"])
def test_the_survey_never_excludes_what_a_design_reaches(root: Path, name: str) -> None:
    design = base_design(load_design(root / "designs" / f"{name}.toml"))
    found = survey(design, Limits.of(design))
    by_structure = {item.structure: item for item in found.open}
    for item in list(by_structure.values())[:4]:
        for candidate in ladder(item.structure.apply(design), found_limits(design), 2, 1e12):
            point = evaluate(candidate.design, 2)
            assert item.bound <= candidate.bound <= point.cycles_per_frame * 1.001
            assert all(item.costs[axis] <= point.costs[axis] for axis in AXES)
            rest, energy = power_terms(candidate.design, candidate.work, candidate.costs)
            assert rest + energy / point.cycles_per_frame <= point.power_w * 1.0001
    assert found.structures == sum(1 for _ in structures(design, design.device.dsp))


def found_limits(design: Design) -> Limits:
    return Limits.of(design)


def test_neighbours_differ_and_compile(tiny: Design) -> None:
    found = list(neighbours(tiny, 220))
    accelerators = [candidate.design.accelerator for candidate in found]
    assert len(found) > 10 and len(set(accelerators)) == len(accelerators)
    assert tiny.accelerator not in accelerators
    for candidate in found:
        design_from_dict(design_to_dict(candidate.design))
        compile_schedule(candidate.design)


def test_an_exhaustive_search_finds_what_trying_everything_finds(root: Path) -> None:
    design = load_design(root / "designs" / "tiny.toml")
    limits = replace(Limits.of(design), dsp=24)
    found = explore(design, limits, Settings(method="exhaustive", frames=2))
    assert found.method == "exhaustive"
    slowest = found.survey.slowest_cycles
    rng = random.Random(3)
    base = base_design(design)
    for item in rng.sample(found.survey.open, min(8, len(found.survey.open))):
        built = item.structure.apply(base)
        space = BufferSpace(built, ratio=1.0)
        for at in walk(space):
            candidate = space.candidate(at)
            assert candidate is not None
            point = evaluate(candidate.design, 2)
            if limits.exceeded(point.costs) or point.cycles_per_frame > slowest:
                continue
            for axis, front in found.fronts.by_axis.items():
                assert front.dominated(point.cycles_per_frame, point.costs[axis])


def test_the_same_search_gives_the_same_with_a_journal_and_without(
    tiny: Design, tmp_path: Path
) -> None:
    sign = mark(base_design(tiny), QUICK.frames)
    fresh = explore(tiny, None, QUICK)
    journal = Journal(tmp_path / "journal.jsonl", sign)
    written = explore(tiny, None, QUICK, journal)
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines()
    # a run that was killed in the middle of a line, and a line of other models
    half = [*lines[: len(lines) // 2], lines[-1].replace(b'"mark": "', b'"mark": "x'), b'{"mark": ']
    (tmp_path / "journal.jsonl").write_bytes(b"\n".join(half))
    resumed = Journal(tmp_path / "journal.jsonl", sign)
    assert resumed.found == len(lines) // 2
    again = explore(tiny, None, QUICK, resumed)
    assert _result(fresh) == _result(written) == _result(again)
    assert Journal(tmp_path / "journal.jsonl", sign).points == again.points


def _result(found: Exploration) -> object:
    keys = {axis: front.keys for axis, front in found.fronts.by_axis.items()}
    return found.points, keys, found.method, found.counts


@pytest.mark.parametrize("name", ["dnn_a", "dnn_c"])
def test_sizing_from_a_poor_design_is_as_good_as_by_hand(root: Path, name: str) -> None:
    design = load_design(root / "designs" / f"{name}.toml")
    acc = replace(design.accelerator, in_lanes=2, out_lanes=8, requant_lanes=2, dw_multipliers=1)
    poor = fit_buffers(replace(design, accelerator=acc), TileShape(2, 2), "one")
    found = size_accelerator(poor)
    assert found is not None and found.fps >= HAND_TUNED[name]
    assert Limits.of(design).exceeded(found.costs) == ()
    assert found.dsp <= 220 and found.bram18 <= 280 and found.lut <= 45_000 and found.ff <= 90_000


@pytest.mark.parametrize("name", sorted(HAND_TUNED))
def test_the_committed_designs_are_no_slower_than_those_by_hand(root: Path, name: str) -> None:
    point = evaluate(load_design(root / "designs" / f"{name}.toml"))
    assert point.fps >= HAND_TUNED[name]
    assert point.dsp <= 220 and point.bram18 <= 280 and point.lut <= 45_000 and point.ff <= 90_000


def test_explore_writes_designs_that_run_as_it_says(root: Path, tmp_path: Path) -> None:
    found = run(
        "explore", root / "designs" / "tiny.toml", "--dsp", 40, "--method", "guided",
        "--evaluations", 40, "--jobs", 1, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert record["method"] == "guided" and record["held"]
    assert set(record["fronts"]) == set(AXES)
    for item in {i["file"]: i for front in record["fronts"].values() for i in front}.values():
        design = load_design(tmp_path / item["file"])
        point = evaluate(design, record["frames"])
        assert point.fps == item["fps"] and point.costs == {a: item[a] for a in AXES}
        assert point.dsp <= 40
    assert load_design(tmp_path / "tiny.toml").name == "tiny"
    with (tmp_path / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(json.loads((tmp_path / "points.json").read_text()))
    assert len(rows) == record["space"]["points_evaluated"]
    table = run(
        "explore", root / "designs" / "tiny.toml", "--dsp", 40, "--method", "guided",
        "--evaluations", 40, "--jobs", 1, "--out", tmp_path,
    )  # fmt: skip
    assert "guided" in table.stdout and "not looked at" in table.stdout


def test_a_target_out_of_reach_fails_and_says_what_is_short(root: Path, tmp_path: Path) -> None:
    args = (
        "explore",
        root / "designs" / "tiny.toml",
        "--dsp",
        40,
        "--evaluations",
        30,
        "--jobs",
        1,
    )
    found = run(*args, "--fps", 40_000, "--out", tmp_path, "--json")
    assert found.exit_code == 1, found.output
    record = json.loads(found.stdout)
    assert not record["held"] and record["nearest"]
    assert any("dsp" in line and "40" in line for line in record["shortfall"])
    assert "not met" in run(*args, "--fps", 40_000, "--out", tmp_path).stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--fps", "0"), "--fps"),
        (("--power", "-1"), "--power"),
        (("--dsp", "100000"), "--dsp"),
        (("--frames", "1"), "--frames"),
        (("--evaluations", "0"), "--evaluations"),
        (("--jobs", "0"), "--jobs"),
        (("--method", "lucky"), "--method"),
        (("--bram18", "1"), "no design"),
    ],
)
def test_bad_input_is_refused(
    root: Path, tmp_path: Path, options: Sequence[str], named: str
) -> None:
    found = run("explore", root / "designs" / "tiny.toml", "--out", tmp_path, *options)
    assert found.exit_code == (1 if named == "no design" else 2), found.output
    assert named in found.output


def test_a_stopped_run_says_how_to_go_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(explore_command, "explore", stop)
    found = run("explore", root / "designs" / "tiny.toml", "--out", tmp_path)
    assert found.exit_code == 130 and "the same command goes on from there" in found.output


def test_a_point_survives_its_record(tiny: Design) -> None:
    point = evaluate(tiny, 2)
    assert Point.of_record(json.loads(json.dumps(point.record()))) == point
