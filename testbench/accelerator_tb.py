"""The simulation top of one accelerator: generated top, DDR model, nothing else.

Generated because the number of AXI ports differs; it holds instances and connections only.
"""

from __future__ import annotations

from pathlib import Path

from model.design import Design
from rtl_sim.build import Build, build
from rtl_sim.generate import (
    AXI_LITE_PORTS,
    AXI_READ_PORTS,
    AXI_WRITE_PORTS,
    build_id,
    generate,
    library_sources,
    port_count,
)

DDR_MODEL = Path(__file__).parent / "hdl" / "ddr_model.sv"
RECORDER = Path(__file__).parent / "hdl" / "activity_recorder.sv"
TOP = "tandem_tb"
_NOT_IN_DDR = ("arsize", "arburst", "awsize", "awburst")


def tb_source(design: Design, recorded: bool = False) -> str:
    """``tandem_tb``: clock, reset and AXI4-Lite as ports, memory inside.

    ``recorded``: with the recorder of what units, buffers and ports do in every cycle.
    """
    ports = port_count(design)
    declarations = [
        "input logic clk_i",
        "input logic rst_i",
        "input logic dump_i",
        "input logic load_i",
        "output logic irq_o",
    ]
    lite = [".clk_i", ".rst_i", ".irq_o"]
    for name, direction, bits in AXI_LITE_PORTS:
        width = f"[{bits - 1}:0] " if bits > 1 else ""
        declarations.append(f"{direction} logic {width}s_axil_{name}")
        lite.append(f".s_axil_{name}")
    wires, top, ddr = [], [], []
    for name, direction, bits in AXI_READ_PORTS + AXI_WRITE_PORTS:
        width = f"[{bits - 1}:0]" if bits > 1 else ""
        wires.append(f"  logic [{ports - 1}:0]{width} {name};")
        top += [f".m_axi_hp{port}_{name}({name}[{port}])" for port in range(ports)]
        if name not in _NOT_IN_DDR:
            side = "i" if direction == "output" else "o"
            wire = f"{name}_wide" if name in ("arlen", "awlen") else name
            ddr.append(f".{name}_{side}({wire})")
    for name in ("arlen", "awlen"):
        wires.append(f"  logic [{ports - 1}:0][7:0] {name}_wide;")
        wires += [f"  assign {name}_wide[{p}] = {{4'd0, {name}[{p}]}};" for p in range(ports)]
    return "\n".join(
        [
            "// One accelerator and its memory, for simulation. Generated: instances only.",
            "`default_nettype none",
            "module tandem_tb #(",
            "  parameter int MemWords = 65536,",
            f"  parameter logic [31:0] MemBase = 32'h{design.device.memory_base:08x}",
            ") (",
            ",\n".join(f"  {text}" for text in declarations),
            ");",
            *wires,
            "  tandem_top u_top (",
            ",\n".join(f"    {text}" for text in lite + top),
            "  );",
            f"  ddr_model #(.Ports({ports}), .MemWords(MemWords), .MemBase(MemBase)) u_ddr (",
            "    .clk_i, .rst_i, .dump_i, .load_i,",
            "    .time_zero_i(u_top.u_core.start),",
            ",\n".join(f"    {text}" for text in ddr),
            "  );",
            *(_recorder(ports) if recorded else []),
            "endmodule",
            "`default_nettype wire",
            "",
        ]
    )


def _recorder(ports: int) -> list[str]:
    """The instance of the recorder, tied to what it watches."""
    core = "u_top.u_core"
    tokens = ", ".join(f"{core}.u_{name}_token.posted_q" for name in ("out", "mid", "in"))
    return [
        f"  activity_recorder #(.Ports({ports})) u_activity (",
        "    .clk_i, .rst_i,",
        f"    .start_i({core}.start), .running_i({core}.running), .class_i({core}.classes),",
        f"    .banks_i({{{tokens}}}),",
        "    .rbeat_i(rvalid & rready), .rlast_i(rlast),",
        "    .wbeat_i(wvalid & wready), .wlast_i(wlast)",
        "  );",
    ]


def memory_words(memory_bytes: int) -> int:
    """Words of the simulated memory: a power of two, so that few builds serve all networks."""
    return max(1 << 14, 1 << max(0, (memory_bytes // 8 - 1)).bit_length())


def build_accelerator(
    design: Design,
    memory_bytes: int,
    build_root: Path,
    optimise: bool = True,
    recorded: bool = False,
    waveform: bool = False,
) -> Build:
    """Compile the design's accelerator with a memory of at least ``memory_bytes``.

    Designs that differ in their network, clock or memory timing only share one build. ``recorded``
    and ``waveform`` are builds of their own: they can write an activity file, an FST file.
    """
    words = memory_words(memory_bytes)
    key = f"{build_id(design):08x}-{design.device.memory_base:08x}"
    folder = build_root / "generated" / key
    generated = generate(design, folder)
    top = folder / ("tandem_tb_recorded.sv" if recorded else "tandem_tb.sv")
    source = tb_source(design, recorded)
    if not top.exists() or top.read_text() != source:
        top.write_text(source)
    return build(
        [*library_sources(), *generated, DDR_MODEL, *([RECORDER] if recorded else []), top],
        TOP,
        parameters={"MemWords": words},
        build_root=build_root,
        optimise=optimise,
        waveform=waveform,
    )
