"""Random cases run without a difference, and a difference would be seen and shrunk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from model.design import design_from_dict
from model.design_writer import design_to_dict
from model.schedule import Schedule, compile_schedule
from model.simulator import Simulation, simulate
from testbench import verify
from testbench.campaign import Journal, Places, campaign, main, read_case, run_build, write_case
from testbench.campaign_cases import CASES_PER_BUILD, SMALL_BUILDS, Case, draw_case
from testbench.campaign_report import Outcome, describe, distribution, print_report
from testbench.shrink import shrink

SEED = 1
BUILDS = 48  # 240 cases


def cases_of(build: int) -> range:
    return range(build * CASES_PER_BUILD, (build + 1) * CASES_PER_BUILD)


def kinds(case: Case) -> list[str]:
    return [layer.kind for layer in case.design.network.layers]


def assert_exact(outcomes: Sequence[Outcome]) -> None:
    wrong = [line for found in outcomes if not found.exact for line in describe(found, SEED)]
    assert not wrong, "\n".join(wrong)
    assert all(outcome.values and outcome.events and outcome.counters for outcome in outcomes)


@pytest.mark.parametrize("build", range(SMALL_BUILDS))
def test_no_difference(build: int, build_root: Path, tmp_path: Path) -> None:
    assert_exact(run_build(SEED, cases_of(build), Places(build_root, tmp_path)))


@pytest.mark.full
@pytest.mark.parametrize("build", range(SMALL_BUILDS, BUILDS))
def test_no_difference_in_the_long_run(build: int, build_root: Path, root: Path) -> None:
    # The journal makes this resumable, and `python -m testbench.campaign` prints its distribution.
    places = Places(build_root, root / "build" / "campaign")
    assert_exact(campaign(SEED, cases_of(build), 1, places, Console(quiet=True)))


# ---- cases


@pytest.fixture(scope="module")
def short() -> list[Case]:
    """The cases of `make test`."""
    return [draw_case(SEED, number) for number in range(SMALL_BUILDS * CASES_PER_BUILD)]


def test_a_case_is_fixed_by_seed_and_number(short: list[Case]) -> None:
    assert draw_case(SEED, 7) == short[7]
    assert draw_case(SEED + 1, 7) != short[7]


def test_the_cases_of_a_build_share_one_accelerator(short: list[Case]) -> None:
    def hardware(case: Case) -> dict[str, object]:
        tables = design_to_dict(case.design)
        return {**tables["accelerator"], **tables["precision"], "tile": None}

    for build in range(SMALL_BUILDS):
        first, *others = (hardware(short[number]) for number in cases_of(build))
        assert all(other == first for other in others)


def test_the_short_campaign_meets_every_layer_and_option(short: list[Case]) -> None:
    designs = [case.design for case in short]
    layers = {(layer.kind, layer.kernel) for d in designs for layer in d.network.layers}
    assert layers == {
        *(("conv", kernel) for kernel in (1, 3, 5)),
        *(("dw", kernel) for kernel in (3, 5)),
        ("maxpool", 2),
        ("avgpool", 2),
        ("bypass", 1),
    }
    accelerators = [design.accelerator for design in designs]
    assert {a.dw_multiplier_style for a in accelerators} == {"dsp", "lut"}
    assert {a.in_lanes for a in accelerators} >= {1, 2, 4, 8}
    assert {a.requant_lanes for a in accelerators} >= {1, 2, 8}
    assert {d.feature_bytes for d in designs} == {1, 2}
    assert {case.frames for case in short} == {1, 2, 3}
    assert any(d.network.height == 1 for d in designs)
    assert any(d.network.width == 1 for d in designs)
    plans = [plan for case in short for plan in compile_schedule(case.design).plans]
    assert any(not plan.mac_weights.resident for plan in plans)
    assert any(plan.dw_weights and not plan.dw_weights.resident for plan in plans)
    assert any(plan.target.blocks > 1 for plan in plans)
    assert any(plan.item.conv is None and plan.item.depthwise is None for plan in plans)
    assert any(plan.item.conv is None and plan.item.depthwise is not None for plan in plans)
    assert any(plan.target.height % plan.tiles[0].rows for plan in plans)
    assert {bool(plan.item.layers) for plan in plans if plan.item.to_depth} == {False, True}
    assert any(plan.source.lanes for plan in plans)


def test_a_case_comes_back_from_its_files(short: list[Case], tmp_path: Path) -> None:
    for case in short[:: CASES_PER_BUILD - 1]:
        folder = tmp_path / str(case.number)
        command = write_case(case, folder).split()
        ddr = folder / "ddr.toml"
        assert ("--ddr" in command) == ddr.exists()
        found = read_case(
            folder / "design.toml", ddr if ddr.exists() else None, case.frames, case.data_seed
        )
        assert design_to_dict(found.design) == design_to_dict(case.design)
        assert found.design.device == case.design.device
        assert (found.frames, found.data_seed) == (case.frames, case.data_seed)


# ---- failures


def late_by_one(schedule: Schedule) -> Simulation:
    """A simulator that is wrong by one cycle in one event of depth-wise layers."""
    found = simulate(schedule)
    for index, event in enumerate(found.events):
        if event.unit == "depthwise":
            moved = event._replace(cycle=event.cycle + 1)
            return replace(found, events=(*found.events[:index], moved, *found.events[index + 1 :]))
    return found


def test_one_cycle_is_seen_and_shrunk(
    build_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = next(n for n in cases_of(0) if "dw" in kinds(draw_case(SEED, n)))
    monkeypatch.setattr(verify, "simulate", late_by_one)
    places = Places(build_root, tmp_path)
    (outcome,) = run_build(SEED, [number], places)
    assert not outcome.exact
    assert (outcome.event_differences, outcome.value_differences) == (2, 0)  # one a side
    assert outcome.shrunk is not None
    small = read_case(tmp_path / f"case{number}" / "design.toml", None, 1, 1).design
    assert small.accelerator.in_lanes == draw_case(SEED, number).design.accelerator.in_lanes
    assert [layer.kind for layer in small.network.layers] == ["dw", "conv"]
    assert (small.network.height, small.network.width, small.network.channels) == (1, 1, 1)
    assert any(outcome.shrunk in line for line in describe(outcome, SEED))
    assert any(f"--seed {SEED} --case {number}" in line for line in describe(outcome, SEED))


def test_what_a_level_dies_of_is_an_outcome(
    build_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadlock(_: Schedule) -> Simulation:
        raise RuntimeError("stopped after 0 of 1 frames")

    monkeypatch.setattr(verify, "simulate", deadlock)
    monkeypatch.setattr("testbench.campaign.SHRINK_RUNS", 3)
    (outcome,) = run_build(SEED, [0], Places(build_root, tmp_path))
    assert outcome.error == "RuntimeError: stopped after 0 of 1 frames"
    assert not outcome.exact


def test_shrinking_keeps_what_fails_and_nothing_else(short: list[Case]) -> None:
    def fails(case: Case) -> bool:
        return any(la.kind == "avgpool" and la.in_width > 4 for la in case.design.network.layers)

    for case in filter(fails, short):
        small = shrink(case, fails, 500)
        assert fails(small)
        assert small.frames == 1
        assert small.design.clock_khz == 100_000
        assert (small.design.network.height, small.design.network.width) == (2, 5)
        assert kinds(small) == ["avgpool", "conv"]
        assert small.design.network.output.out_channels == 1


def test_shrinking_stops_at_its_budget(short: list[Case]) -> None:
    calls: list[Case] = []

    def fails(case: Case) -> bool:
        calls.append(case)
        return False

    assert shrink(short[0], fails, 5) == short[0]
    assert len(calls) == 5


# ---- journal and report


def test_the_journal_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, 1, "other sources").append([Outcome(0, values=1)])
    Journal(path, 2, "sources").append([Outcome(1, values=1)])
    journal = Journal(path, 1, "sources")
    journal.append([Outcome(2, values=1), Outcome(3, error="hung")])
    with path.open("a") as file:
        file.write(json.dumps({"seed": 1, "sources": "sources"})[:-4])
    journal.append([Outcome(4, values=5)])
    assert set(journal.read()) == {2, 3, 4}
    assert journal.read()[4] == Outcome(4, values=5)


def test_the_report_counts_differences() -> None:
    outcomes = [
        Outcome(0, values=10, events=5, counters=28),
        Outcome(1, values=10, events=5, counters=28, event_differences=3, cycle_difference=-2),
        Outcome(2, error="SimulationFailed: no"),
    ]
    total = distribution(outcomes)
    assert (total["cases_total"], total["cases_exact"], total["cases_with_error"]) == (3, 1, 1)
    assert (total["values"], total["value_differences"]) == (20, 0)
    assert (total["event_differences"], total["cases_without_event_difference"]) == (3, 1)
    console = Console(record=True, width=100, quiet=True)
    print_report(outcomes, SEED, console)
    assert not any(outcome.exact for outcome in outcomes[1:])


def test_wrong_input_has_its_own_exit_status(tmp_path: Path) -> None:
    assert main(["--design", str(tmp_path / "none.toml"), "--out", str(tmp_path)]) == 2
    (tmp_path / "file").touch()
    assert main(["--cases", "1", "--out", str(tmp_path / "file")]) == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--jobs", "0"])
    assert stopped.value.code == 2


def test_every_design_obeys_the_rules_of_design_files(short: list[Case]) -> None:
    for case in short:
        assert design_to_dict(design_from_dict(design_to_dict(case.design))) == design_to_dict(
            case.design
        )
