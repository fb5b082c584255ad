"""Two designs compared: the parts of the causes are the whole difference, to the last cycle."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from model.accelerator import Accelerator
from model.design import Design, load_design
from model.evaluation import evaluate
from search.attribution import Values, attribute
from search.compare import GROUPS, GROUPS_MAX, MEASURES, coarsened, compare
from search.compare_command import as_record, causes_table
from tandem import app
from testbench.campaign_cases import draw_case

PAIRS = [
    ("tiny", "tiny_ultra96"),
    ("tiny_odd", "tiny_f16"),
    ("tiny_bypass", "tiny_conv"),
    ("tiny_pixel", "tiny_packed"),
]


def averaged(causes: int, value: dict[int, Fraction | None]) -> list[Fraction] | None:
    """The definition: every order walked step by step, those that cannot be built left out."""
    totals, orders = [Fraction(0)] * causes, 0
    for order in permutations(range(causes)):
        states = [0]
        for index in order:
            states.append(states[-1] | 1 << index)
        found = [value[state] for state in states]
        if None in found:
            continue
        orders += 1
        for step, index in enumerate(order):
            after, before = found[step + 1], found[step]
            assert after is not None
            assert before is not None
            totals[index] += after - before
    return [total / orders for total in totals] if orders else None


@settings(max_examples=60, deadline=None)
@given(data=st.data(), causes=st.integers(0, 5))
def test_parts_are_the_average_over_all_orders_that_can_be_built(
    data: st.DataObject, causes: int
) -> None:
    numbers = st.integers(-1000, 1000).map(lambda number: Fraction(number, 7))
    full = (1 << causes) - 1
    value = {
        state: data.draw(numbers if state in (0, full) else st.one_of(st.none(), numbers))
        for state in range(full + 1)
    }

    def ask(state: int) -> Values | None:
        found = value[state]
        return None if found is None else (found, -found)

    found = attribute(causes, ask)
    first, last = value[0], value[full]
    assert first is not None
    assert last is not None
    if causes:
        assert found.whole == (last - first, first - last)
    wanted = averaged(causes, value)
    if wanted is not None:
        assert found.parts == tuple((part, -part) for part in wanted)
    else:
        assert len(found.players) < causes
    assert sum(found.players) == full


def test_causes_that_only_go_together_are_merged() -> None:
    value = {0: Fraction(0), 0b001: Fraction(5), 0b110: Fraction(2), 0b111: Fraction(9)}
    found = attribute(3, lambda state: (value[state],) if state in value else None)
    assert found.players == (0b001, 0b110)
    assert found.parts == ((Fraction(6),), (Fraction(3),))
    assert (found.orders, found.all_orders) == (2, 2)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_causes_add_up_exactly(root: Path, first: str, second: str) -> None:
    a, b = (load_design(root / "designs" / f"{name}.toml") for name in (first, second))
    found = compare(a, b)
    ends = [evaluate(design, 3, "fast") for design in (a, b)]
    runs = [end.simulation for end in ends]
    done = [run.frame_done_cycles for run in runs]
    gaps = [Fraction(times[-1] - times[0], 2) for times in done]
    assert found.adds_up
    assert found.whole["cycles_per_frame"] == gaps[1] - gaps[0]
    assert found.whole["ms_per_frame"] == gaps[1] / b.clock_khz - gaps[0] / a.clock_khz
    assert found.whole["latency_cycles"] == done[1][0] - done[0][0]
    for name in MEASURES:
        assert sum(cause.parts[name] for cause in found.causes) == found.whole[name]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 20))
def test_random_designs_add_up(seed: int) -> None:
    a, b = (draw_case(seed, number).design for number in (0, 1))
    found = compare(a, b, 2)
    assert found.adds_up
    assert len(found.causes) <= GROUPS_MAX


def test_one_difference_is_the_whole_difference(root: Path) -> None:
    a = load_design(root / "designs" / "dnn_a.toml")
    b = replace(a, clock_khz=150_000)
    (cause,) = compare(a, b, 2).causes
    assert cause.name == "clock"
    assert cause.edits == {"clock_mhz": (100, 150)}
    assert cause.parts["cycles_per_frame"] > 0  # the memory's clock does not follow
    assert cause.parts["ms_per_frame"] < 0
    assert cause.parts == cause.first == cause.last


def test_a_design_differs_in_nothing_from_itself(root: Path) -> None:
    a = load_design(root / "designs" / "tiny.toml")
    found = compare(a, replace(a, name="other", path=None))
    assert found.causes == ()
    assert set(found.whole.values()) == {Fraction(0)}
    assert found.adds_up


def test_what_cannot_be_built_between_the_two_is_named(root: Path) -> None:
    a, b = (
        load_design(root / "designs" / f"{name}.toml") for name in ("dnn_c", "dnn_c_w8f8_packed")
    )
    found = compare(a, b, 1)
    assert 0 < found.orders < found.all_orders
    ((groups, reason),) = found.refused
    assert groups == "packing"
    assert "30 bits" in reason
    packing = next(cause for cause in found.causes if cause.name == "packing")
    assert packing.first is None


def test_groups_cover_every_field_of_a_design() -> None:
    fields = {name for group in GROUPS for name in group.fields}
    assert fields | {"name", "path", "accelerator"} == set(Design.__dataclass_fields__)
    inner = [name for group in GROUPS for name in group.accelerator]
    assert sorted(inner) == sorted(Accelerator.__dataclass_fields__)


def test_many_groups_are_taken_together_until_few_enough_are_left() -> None:
    found = coarsened(GROUPS)
    assert len(found) <= GROUPS_MAX
    assert sorted(", ".join(group.name for group in found).split(", ")) == sorted(
        group.name for group in GROUPS
    )


def test_side_by_side_holds_both_and_the_sums_close(root: Path) -> None:
    a, b = (load_design(root / "designs" / f"{name}.toml") for name in ("tiny_bypass", "tiny"))
    found = compare(a, b)
    record = as_record(found)
    for side, evaluation in (("a", found.a), ("b", found.b)):
        run = evaluation.simulation
        there = [item[side] for item in record["bundles"].values() if item[side]]
        assert sum(item["cycles"] for item in there) == run.latency_cycles
        assert sum(item["tiles"] for item in there) == evaluation.schedule.stores_per_frame
        for table in ("units", "stalls"):
            for unit in record[table].values():
                assert round(3 * sum(unit[side].values())) == run.total_cycles
    assert list(record["bundles"])[-1] == "head"


def test_shown_parts_sum_to_the_shown_difference(root: Path) -> None:
    a, b = (load_design(root / "designs" / f"{name}.toml") for name in ("tiny", "tiny_ultra96"))
    found = compare(a, b, 2)
    columns = [list(column.cells) for column in causes_table(found).columns]  # type: ignore[attr-defined]
    for index in (1, 4, 5):
        *parts, whole = (float(cell.replace(",", "")) for cell in columns[index])
        assert round(sum(parts) - whole, 6) == 0


def run(*args: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["compare", *map(str, args)])
    return found.exit_code, found.stdout, found.stderr


def test_the_command_prints_json_and_tables(root: Path) -> None:
    paths = [root / "designs" / f"{name}.toml" for name in ("tiny", "tiny_conv")]
    status, text, _ = run(*paths, "--json", "--frames", 2)
    assert status == 0
    record = json.loads(text)
    assert record["adds_up"]
    exact = [Fraction(cause["exact"]["cycles_per_frame"]) for cause in record["causes"]]
    assert sum(exact) == Fraction(record["exact"]["cycles_per_frame"])
    status, text, _ = run(*paths, "--frames", 2)
    assert status == 0
    for word in ("cause, B less A", "side by side", "stall causes", "head"):
        assert word in text


def test_causes_can_be_taken_together(root: Path) -> None:
    paths = [root / "designs" / f"{name}.toml" for name in ("tiny", "tiny_ultra96")]
    _, text, _ = run(*paths, "--json", "--frames", 1, "--together", "device, clock")
    names = [cause["name"] for cause in json.loads(text)["causes"]]
    assert "device, clock" in names
    assert "clock" not in names


def test_bad_input_is_told_in_a_line(root: Path, tmp_path: Path) -> None:
    tiny = root / "designs" / "tiny.toml"
    text = tiny.read_text()
    (tmp_path / "small.toml").write_text(text.replace("input_lines = ", "input_lines = 2 #"))
    for args in (
        (tiny, tmp_path / "no.toml"),
        (tiny, tiny, "--frames", 0),
        (tiny, tmp_path / "small.toml"),
        (tiny, tiny, "--together", "speed"),
    ):
        status, out, error = run(*args)
        assert (status, out) == (2, ""), args
        assert error.count("\n") == 1
        assert error.startswith("tandem: ")
