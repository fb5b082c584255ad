"""The resource model: shapes of multipliers and memories, and designs that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.design import Design, load_design
from model.memories import Memory, block_ram, lut_ram, memories
from model.resources import estimate_resources, multiplier_dsps, requantise_dsps


@pytest.fixture(scope="module")
def dnn_a(root: Path) -> Design:
    return load_design(root / "designs" / "dnn_a.toml")


@pytest.mark.parametrize(
    ("a_bits", "b_bits", "blocks"),
    [
        (8, 9, 1),
        (25, 18, 1),
        (18, 25, 1),
        (26, 18, 2),
        (33, 16, 2),  # requantising lane, accumulators up to 32 bits
        (42, 16, 2),
        (43, 16, 3),
        (49, 16, 3),  # requantising lane, 48-bit accumulator
        (25, 19, 2),
        (42, 35, 4),
    ],
)
def test_a_multiplier_is_cut_where_an_operand_crosses_a_port(
    a_bits: int, b_bits: int, blocks: int
) -> None:
    assert multiplier_dsps(a_bits, b_bits) == blocks


# What Yosys 0.70 (synth_xilinx -family xc7) makes of rtl_sim/hdl/ram_sdp.sv, in RAMB18.
SYNTHESISED = {
    (4, 20000): 5,
    (8, 5000): 3,
    (12, 700): 1,
    (16, 256): 1,
    (16, 1000): 1,
    (16, 2048): 2,
    (16, 9000): 9,
    (16, 33000): 34,
    (20, 3000): 5,
    (24, 9000): 14,
    (32, 64): 1,
    (32, 600): 2,
    (32, 1024): 2,
    (32, 3000): 6,
    (32, 6144): 12,
    (32, 17408): 34,
    (36, 513): 2,
    (40, 1600): 5,
    (48, 96): 2,
    (48, 100): 2,
    (64, 64): 2,
    (64, 384): 2,
    (64, 512): 2,
    (64, 700): 4,
    (64, 864): 4,
    (64, 1024): 4,
    (64, 1025): 6,
    (64, 2049): 10,
    (64, 5000): 20,
    (64, 8704): 36,
    (64, 12288): 48,
    (64, 16384): 64,
    (128, 384): 4,
}


@pytest.mark.parametrize(("shape", "blocks"), SYNTHESISED.items())
def test_a_memory_takes_the_blocks_that_synthesis_gives_it(
    shape: tuple[int, int], blocks: int
) -> None:
    assert block_ram(*shape).bram18 == blocks


def test_blocks_are_never_counted_by_bits() -> None:
    assert block_ram(10, 1025).bram18 == 2  # 10,250 of a block's 18,432 bits


@pytest.mark.parametrize(("width", "depth", "luts"), [(6, 32, 4), (48, 16, 32), (48, 64, 64)])
def test_small_parameter_memories_are_made_of_luts(width: int, depth: int, luts: int) -> None:
    assert lut_ram(width, depth) == luts
    memory = Memory("part", "name", "key", width, depth, distributed=True)
    assert (memory.bram18, memory.lut) == (0, luts)


@pytest.mark.parametrize(
    ("name", "dsp", "bram18", "lut", "ff"),
    [("tiny", 28, 16, 10887, 9609), ("dnn_a", 216, 260, 26392, 25211)],
)
def test_the_model_agrees_with_synthesis(
    root: Path, name: str, dsp: int, bram18: int, lut: int, ff: int
) -> None:
    found = estimate_resources(load_design(root / "designs" / f"{name}.toml"))
    assert (found.dsp, found.bram18) == (dsp, bram18)
    assert found.lut == pytest.approx(lut, rel=0.15)
    assert found.ff == pytest.approx(ff, rel=0.15)


def test_every_memory_of_the_rtl_is_in_the_list(dnn_a: Design) -> None:
    # ram_sdp instances: input, mid, line, output, 48 + 1 of weights, 8 + 4 of parameters
    assert sum(memory.count for memory in memories(dnn_a)) == 4 + 49 + 12


def test_parts_sum_to_the_total(dnn_a: Design) -> None:
    found = estimate_resources(dnn_a)
    record = found.record()
    for name, total in found.totals().items():
        assert total == record[name] == sum(getattr(part, name) for part in found.parts)


def test_depthwise_multipliers_move_between_luts_and_dsps(dnn_a: Design) -> None:
    style = replace(dnn_a, accelerator=replace(dnn_a.accelerator, dw_multiplier_style="dsp"))
    luts, dsps = estimate_resources(dnn_a), estimate_resources(style)
    assert dsps.dsp == luts.dsp + 4 * 9
    assert dsps.lut < luts.lut


def test_an_accumulator_of_48_bits_costs_a_third_dsp_per_requantising_lane() -> None:
    assert (requantise_dsps(32), requantise_dsps(33), requantise_dsps(48)) == (2, 2, 3)


def test_a_design_that_does_not_fit_is_a_value_that_says_what_to_change(dnn_a: Design) -> None:
    assert estimate_resources(dnn_a).shortages() == ()
    wide = replace(dnn_a, accelerator=replace(dnn_a.accelerator, in_lanes=8))
    found = {item.resource: item for item in estimate_resources(wide).shortages()}
    assert set(found) == {"dsp", "bram18"}
    assert found["dsp"].need == 2 * 192 + 16 + 16
    assert found["dsp"].limit == dnn_a.device.dsp
    assert "accelerator.out_lanes" in found["dsp"].advice
    assert "half its depth" in found["bram18"].advice
    assert "too many" in str(found["bram18"])
    assert estimate_resources(wide).record()["fits"] is False
