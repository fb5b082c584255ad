"""The hardware studies: what the model says of widths and sizes, and that Yosys says the same."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from model.memories import block_ram
from model.schedule import plan_design
from rtl_sim.block_counts import BlockCounter, Blocks, Unit, unit
from rtl_sim.generate import HDL
from rtl_sim.synth import synthesise_sources
from search import hardware_study, study_bram, study_dsp

LARGE, SMALL = study_dsp.accelerators()
# Both sides of an edge each, and what each takes: DSP48E1, RAMB18.
EDGES = {
    unit("mac_array", InLanes=1, OutLanes=2, WeightBits=8, FeatureBits=8, AccBits=32, Packing=1): (
        1,
        0,
    ),
    unit("mac_array", InLanes=1, OutLanes=1, WeightBits=25, FeatureBits=17, AccBits=42): (1, 0),
    unit("mac_array", InLanes=1, OutLanes=1, WeightBits=26, FeatureBits=17, AccBits=43): (2, 0),
    unit("mac_array", InLanes=1, OutLanes=1, WeightBits=18, FeatureBits=18, AccBits=36): (1, 0),
    unit("mac_array", InLanes=1, OutLanes=1, WeightBits=19, FeatureBits=18, AccBits=37): (2, 0),
    unit("requantise", AccBits=41, FeatureBits=16): (2, 0),
    unit("requantise", AccBits=42, FeatureBits=16): (3, 0),
    unit("ram_sdp", Width=64, Depth=516): (0, 4),
    unit("ram_sdp", Width=64, Depth=504): (0, 2),
}


@pytest.fixture(scope="module")
def counter(build_root: Path) -> BlockCounter:
    return BlockCounter(build_root.parent / "yosys")


def model_dsp(name: str, weight_bits: int, feature_bits: int) -> int:
    base = study_dsp.accelerators()[name]
    design = study_dsp.at_widths(base, weight_bits, feature_bits)
    (point,) = (
        p
        for p in study_dsp.points(NOTHING, quick=False)
        if (p.accelerator, p.weight_bits, p.feature_bits)
        == (name, design.weight_bits, design.feature_bits)
    )
    return point.model_dsp


class _Nothing(dict[Unit, Blocks]):
    def __missing__(self, key: Unit) -> Blocks:
        return Blocks(0, 0)


NOTHING = _Nothing()


def test_within_the_papers_range_only_the_requantising_product_passes_an_edge() -> None:
    found = {
        (w, f): model_dsp(LARGE, w, f)
        for w, f in ((10, 8), (14, 16), (15, 16), (17, 16), (18, 15), (18, 16))
    }
    assert found == {
        (10, 8): 216, (14, 16): 216, (15, 16): 216, (17, 16): 216, (18, 15): 216, (18, 16): 224,
    }  # fmt: skip


@pytest.mark.parametrize(("weight_bits", "feature_bits"), [(9, 8), (9, 9), (8, 10), (5, 16)])
def test_the_last_pair_that_fits_a_block_halves_the_array(
    weight_bits: int, feature_bits: int
) -> None:
    packed = model_dsp(LARGE, weight_bits - 1, feature_bits)
    assert model_dsp(LARGE, weight_bits, feature_bits) - packed == 4 * 48 // 2


def test_every_jump_has_a_reason() -> None:
    jumps = study_dsp.jumps(study_dsp.points(NOTHING, quick=False))
    assert {jump.accelerator for jump in jumps} == {LARGE, SMALL}
    assert all(jump.reason for jump in jumps)


def test_inputs_are_whole_pooling_windows_at_every_level() -> None:
    assert study_bram.size_at(1.0) == (160, 360)
    assert study_bram.size_at(0.6) == (96, 216)
    assert all(side % 8 == 0 for f in study_bram.FACTORS for side in study_bram.size_at(f))


@pytest.mark.parametrize("factor", [1.0, 0.83, 0.6])
def test_the_fitted_buffers_run_their_network_in_stripes_of_two_rows(factor: float) -> None:
    design = study_bram.design_at(study_bram.accelerator(), factor, 16)
    for plan in plan_design(design):
        assert {tile.rows for tile in plan.tiles} <= {1, 2}
        assert {tile.col for tile in plan.tiles} == {0}


def test_a_smaller_input_never_takes_more_memory() -> None:
    points = study_bram.points(study_bram.accelerator(), NOTHING, quick=True)
    for bits in study_bram.FEATURE_BITS:
        totals = [p.model_bram18 for p in points if p.feature_bits == bits]
        assert totals == sorted(totals, reverse=True)
        assert totals[0] > totals[-1]


def test_one_resize_step_halves_a_buffer_in_banks_and_not_one_in_one_piece() -> None:
    base = study_bram.accelerator()

    def blocks(factor: float, banks: int) -> int:
        return banks * block_ram(64, study_bram.bank_words(base, factor, banks)).bram18

    assert (blocks(0.96, 32), blocks(0.94, 32)) == (128, 64)
    assert (blocks(0.96, 1), blocks(0.94, 1)) == (68, 64)


def test_yosys_places_the_same_blocks_and_is_not_asked_twice(
    counter: BlockCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    found = counter.count(EDGES, told.append)
    assert {item: (one.dsp, one.bram18) for item, one in found.items()} == EDGES
    assert sum(told) == len(EDGES)
    monkeypatch.setattr(BlockCounter, "_run", lambda *_: pytest.fail("mapped again"))
    assert counter.count(EDGES) == found


@pytest.mark.full
def test_the_whole_flow_places_no_other_blocks(build_root: Path, tmp_path: Path) -> None:
    top = tmp_path / "edges_top.sv"
    lines = [f"{item.instance} u{number} ();" for number, item in enumerate(EDGES)]
    top.write_text("\n".join(["module edges_top ();", *lines, "endmodule"]))
    names = {"adder_tree", "carry_adder_tree", "mac_packed_product", "mac_array", "requantise"}
    sources = [*(HDL / f"{name}.sv" for name in (*names, "ram_sdp")), top]
    whole = synthesise_sources(sources, "edges_top", build_root.parent / "yosys")
    found = [whole.units[f"u{number}"] for number in range(len(EDGES))]
    assert [(use.dsp, use.bram18) for use in found] == list(EDGES.values())


@pytest.mark.full
def test_the_committed_results_are_todays_model(root: Path) -> None:
    points = study_dsp.points(NOTHING, quick=False)
    with (root / "docs" / "studies" / "dsp.csv").open() as file:
        rows = {
            (row["what"], int(row["weight_bits"]), int(row["feature_bits"])): row
            for row in csv.DictReader(file)
        }
    for p in points:
        row = rows[p.accelerator, p.weight_bits, p.feature_bits]
        assert int(row["model"]) == p.model_dsp
        assert row["yosys"] in {"", row["model"]}


def test_a_study_writes_its_files_and_fails_where_the_model_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = study_bram.accelerator()
    exact: dict[Unit, Blocks] = {
        item: Blocks(0, 0 if dict(item.parameters)["Distributed"] else block_ram(
            dict(item.parameters)["Width"], dict(item.parameters)["Depth"]
        ).bram18)
        for item in study_bram.all_units(base, quick=True)
    }  # fmt: skip
    monkeypatch.setattr(BlockCounter, "count", lambda *_: exact)
    assert hardware_study.bram_command(tmp_path / "a", quick=True, as_json=True) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["differing"] == 0
    assert record["compared"] == 2 * 3 + 4 * 3
    assert (tmp_path / "a" / "bram.csv").exists()
    first = next(iter(exact))
    exact[first] = Blocks(0, exact[first].bram18 + 1)
    assert hardware_study.bram_command(tmp_path / "b", quick=True, as_json=True) == 1
