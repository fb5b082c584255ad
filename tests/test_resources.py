"""The resource model: shapes of multipliers and memories, and designs that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.design import Design, load_design
from model.memories import Memory, block_ram, lut_ram, memories
from model.resources import estimate_resources, multiplier_dsps, requantise_dsps
from model.soft_logic import WEIGHT_STORE, logic
from rtl_sim.resource_campaign import named


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


# Whole designs of the campaign by Yosys 0.70: DSP48E1, RAMB18, LUT, FF.
DESIGNS = {
    "w4f4, short products": (12, 11, 8127, 8330),
    "w5f7, odd widths": (28, 15, 8476, 8700),
    "w13f11, odd widths": (28, 20, 11174, 10317),
    "w16f8": (28, 20, 10891, 10386),
    "one requantising lane": (22, 20, 8607, 8489),
    "eight requantising lanes": (36, 16, 9778, 10315),
    "24 output lanes": (60, 24, 11073, 11345),
    "accumulator of 48 bits": (32, 16, 9925, 10102),
}


@pytest.mark.parametrize(("name", "measured"), DESIGNS.items())
def test_the_model_agrees_with_synthesis(name: str, measured: tuple[int, int, int, int]) -> None:
    found = estimate_resources(named(name))
    assert (found.dsp, found.bram18) == measured[:2]
    assert found.lut == pytest.approx(measured[2], rel=0.08)
    assert found.ff == pytest.approx(measured[3], rel=0.08)


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
    buffers = replace(dnn_a.accelerator.buffers, weight_words=4096)
    acc = replace(dnn_a.accelerator, in_lanes=8, buffers=buffers)
    wide = replace(dnn_a, accelerator=acc)
    found = {item.resource: item for item in estimate_resources(wide).shortages()}
    assert set(found) == {"dsp", "bram18"}
    assert found["dsp"].need == 2 * 192 + 16 + 16
    assert found["dsp"].limit == dnn_a.device.dsp
    assert "accelerator.out_lanes" in found["dsp"].advice
    assert "half its depth" in found["bram18"].advice
    assert "too many" in str(found["bram18"])
    assert estimate_resources(wide).record()["fits"] is False


# LUT and FF of units by Yosys 0.70: weight bits, feature bits, requantising lanes -> depth-wise
# unit, post-process; the other parameters as in designs/tiny.toml.
UNITS = {
    (4, 4, 4): ((1106, 1511), (1310, 1318)),
    (5, 7, 4): ((1712, 1940), (1386, 1342)),
    (8, 8, 1): ((2282, 2387), (1015, 864)),
    (8, 8, 4): ((2282, 2387), (1417, 1350)),
    (8, 8, 8): ((2282, 2387), (1906, 2013)),
    (13, 11, 4): ((4141, 3270), (1549, 1403)),
    (16, 8, 4): ((3992, 3299), (1417, 1350)),
}


@pytest.mark.parametrize(("widths", "measured"), UNITS.items())
def test_the_logic_of_a_unit_follows_its_widths_and_lanes(
    root: Path,
    widths: tuple[int, int, int],
    measured: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    base = load_design(root / "designs" / "tiny.toml")
    acc = replace(base.accelerator, requant_lanes=widths[2])
    found = logic(replace(base, weight_bits=widths[0], feature_bits=widths[1], accelerator=acc))
    store = WEIGHT_STORE  # of the depth-wise weights, which are a unit of their own
    depthwise, post = found["depth-wise"], found["post-process"]
    assert depthwise.lut - store.lut == pytest.approx(measured[0][0], rel=0.1)
    assert depthwise.ff - store.ff == pytest.approx(measured[0][1], rel=0.1)
    assert post.lut == pytest.approx(measured[1][0], rel=0.1)
    assert post.ff == pytest.approx(measured[1][1], rel=0.1)
