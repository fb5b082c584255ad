"""Synthesis counts what it should, and a small accelerator is inferred as it is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.design import load_design
from model.errors import TandemError
from rtl_sim import synth
from rtl_sim.generate import HDL
from rtl_sim.resource_campaign import run_campaign
from rtl_sim.synth import Use, synthesise, synthesise_sources

PAIR = """\
// Two memories and a product.
`default_nettype none
module pair (
  input  wire logic               clk_i,
  input  wire logic        [8:0]  addr_i,
  input  wire logic signed [15:0] a_i,
  input  wire logic signed [15:0] b_i,
  output logic  [1:0][15:0]       data_o,
  output logic signed      [31:0] y_o
);
  for (genvar n = 0; n < 2; n++) begin : gen_memory
    ram_sdp #(.Width(16), .Depth(512)) u_ram (
      .clk_i, .we_i(1'b1), .waddr_i(addr_i), .wdata_i(a_i), .re_i(1'b1), .raddr_i(addr_i),
      .rdata_o(data_o[n])
    );
  end
  logic signed [15:0] a_q, b_q;
  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    y_o <= a_q * b_q;
  end
endmodule
`default_nettype wire
"""
BROKEN = "module pair (output logic y_o);\n  no_such_module u_none (.y_o);\nendmodule\n"


def test_cells_are_counted_through_the_hierarchy() -> None:
    modules = {
        "top": {"lane": 3, "RAMB36E1": 1, "FDRE": 5},
        "lane": {"DSP48E1": 1, "tree": 2, "LUT6": 4, "CARRY4": 7},
        "tree": {"LUT2": 10, "RAM32M": 1, "FDSE": 2, "INV": 1, "SRL16E": 1, "RAMB18E1": 1},
    }
    cells = synth.count_cells(modules, "top")
    assert synth.use_of(cells) == Use(dsp=3, bram18=2 + 6, lut=3 * (4 + 2 * 16), ff=5 + 12)


def test_instances_of_an_array_are_one_unit_and_loose_cells_are_glue() -> None:
    modules = {"mux": {"LUT3": 2}, "core": {"mux": 2, "LUT2": 1}}
    instances = {"gen_port[0].u_mux": "mux", "gen_port[1].u_mux": "mux", "$abc$1": "LUT2"}
    assert synth.unit_uses(modules, instances) == {"glue": Use(0, 0, 1, 0), "port": Use(0, 0, 4, 0)}


def test_an_unknown_cell_is_named_not_ignored() -> None:
    with pytest.raises(TandemError, match="URAM288"):
        synth.use_of({"URAM288": 1})


def test_registers_of_a_product_are_absorbed_and_results_are_kept(
    tmp_path: Path, build_root: Path
) -> None:
    source = tmp_path / "pair.sv"
    source.write_text(PAIR)
    root = build_root.parent / "yosys"
    made = synthesise_sources([HDL / "ram_sdp.sv", source], "pair", root)
    assert made.units["glue"] == Use(dsp=1, bram18=0, lut=0, ff=0)
    assert made.units["memory"] == Use(dsp=0, bram18=2, lut=0, ff=2 * (16 + 1))
    source.write_text(PAIR.replace("Two memories", "Two small memories"))
    again = synthesise_sources([HDL / "ram_sdp.sv", source], "pair", root)
    assert again.cached
    assert again.units == made.units


def test_what_yosys_refuses_is_told_in_its_words_and_not_kept(
    tmp_path: Path, build_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(build_root.parent / "yowasp"))
    source = tmp_path / "pair.sv"
    source.write_text(BROKEN)
    with pytest.raises(TandemError, match="no_such_module"):
        synthesise_sources([source], "pair", tmp_path / "yosys")
    assert [path.suffix for path in (tmp_path / "yosys").iterdir()] == [".lock"]


@pytest.mark.full
def test_the_tiny_accelerator_is_inferred_as_meant(root: Path, build_root: Path) -> None:
    design = load_design(root / "designs" / "tiny.toml")
    made = synthesise(design, build_root.parent / "yosys")
    lanes = design.accelerator.in_lanes * design.accelerator.out_lanes
    assert made.units["mac_array"].dsp == lanes  # a product, one block
    assert made.units["post"].dsp == 2 * design.accelerator.requant_lanes
    assert made.units["depthwise"].dsp == 2 * design.accelerator.in_lanes  # requantising only
    assert made.dsp == sum(unit.dsp for unit in made.units.values())
    assert made.lut == sum(unit.lut for unit in made.units.values())
    assert made.bram18 == 16


@pytest.mark.full
def test_the_model_agrees_with_synthesis_over_the_campaign(build_root: Path) -> None:
    found = run_campaign(build_root.parent)
    assert len(found) >= 30
    assert [name for name, item in found if not item.agrees] == []
