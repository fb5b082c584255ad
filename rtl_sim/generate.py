"""Generates what is particular to one accelerator: a package of constants and a thin top.

The logic is the hand-written library in ``rtl_sim/hdl``; here Python only computes numbers. The top
``tandem_top`` names one AXI port per high-performance port of the device, as IP packagers want it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from model.design import Design, load_design
from model.errors import TandemError
from model.program import package_text

HDL = Path(__file__).parent / "hdl"
PROGRAM_PACKAGE = HDL / "program_pkg.sv"

AXI_READ_PORTS = (
    ("arvalid", "output", 1),
    ("arready", "input", 1),
    ("araddr", "output", 32),
    ("arlen", "output", 4),
    ("arsize", "output", 3),
    ("arburst", "output", 2),
    ("rvalid", "input", 1),
    ("rready", "output", 1),
    ("rdata", "input", 64),
    ("rresp", "input", 2),
    ("rlast", "input", 1),
)
AXI_WRITE_PORTS = (
    ("awvalid", "output", 1),
    ("awready", "input", 1),
    ("awaddr", "output", 32),
    ("awlen", "output", 4),
    ("awsize", "output", 3),
    ("awburst", "output", 2),
    ("wvalid", "output", 1),
    ("wready", "input", 1),
    ("wdata", "output", 64),
    ("wstrb", "output", 8),
    ("wlast", "output", 1),
    ("bvalid", "input", 1),
    ("bready", "output", 1),
    ("bresp", "input", 2),
)
AXI_LITE_PORTS = (
    ("awvalid", "input", 1),
    ("awready", "output", 1),
    ("awaddr", "input", 12),
    ("wvalid", "input", 1),
    ("wready", "output", 1),
    ("wdata", "input", 32),
    ("wstrb", "input", 4),
    ("bvalid", "output", 1),
    ("bready", "input", 1),
    ("bresp", "output", 2),
    ("arvalid", "input", 1),
    ("arready", "output", 1),
    ("araddr", "input", 12),
    ("rvalid", "output", 1),
    ("rready", "input", 1),
    ("rdata", "output", 32),
    ("rresp", "output", 2),
)


def library_sources() -> list[Path]:
    """Every file of the RTL library, packages first."""
    others = sorted(path for path in HDL.glob("*.sv") if path != PROGRAM_PACKAGE)
    return [PROGRAM_PACKAGE, *others]


def port_count(design: Design) -> int:
    """AXI ports of the built accelerator: up to the highest one used."""
    ports = design.accelerator.ports
    return 1 + max(ports.program, ports.weight, ports.load, ports.store)


def core_parameters(design: Design) -> dict[str, int]:
    """Parameters of ``tandem_core``, by their SystemVerilog names."""
    acc = design.accelerator
    buffers, ports = acc.buffers, acc.ports
    return {
        "InLanes": acc.in_lanes,
        "OutLanes": acc.out_lanes,
        "RequantLanes": acc.requant_lanes,
        "DwTaps": acc.dw_multipliers,
        "DwLutMultipliers": int(acc.dw_multiplier_style == "lut"),
        "DwKernelMax": acc.dw_kernel_max,
        "ConvKernelMax": acc.conv_kernel_max,
        "WeightBits": design.weight_bits,
        "FeatureBits": design.feature_bits,
        "AccBits": acc.accumulator_bits,
        "MacPacking": int(acc.mac_packing == "pair"),
        "Outstanding": acc.outstanding_bursts,
        "CommandDepth": acc.command_depth,
        "InputLines": buffers.input_lines,
        "MidWords": buffers.mid_words,
        "OutputLines": buffers.output_lines,
        "WeightWords": buffers.weight_words,
        "ParamWords": buffers.param_words,
        "DwWeightWords": buffers.dw_weight_words,
        "DwParamWords": buffers.dw_param_words,
        "DwLineWords": buffers.dw_line_words,
        "Ports": port_count(design),
        "ProgramPort": ports.program,
        "WeightPort": ports.weight,
        "LoadPort": ports.load,
        "StorePort": ports.store,
    }


def build_id(design: Design) -> int:
    """32 bits that tell one built accelerator from another (register BUILD_ID)."""
    text = repr(sorted(core_parameters(design).items()))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def package_source(design: Design) -> str:
    """``design_pkg``: the constants of this accelerator."""
    lines = [
        "// Constants of one accelerator. Generated; the design file is the source.",
        "`default_nettype none",
        "package design_pkg;",
    ]
    lines += [f"  localparam int {k} = {v};" for k, v in core_parameters(design).items()]
    lines += [
        f"  localparam logic [31:0] BuildId = 32'h{build_id(design):08x};",
        "endpackage",
        "`default_nettype wire",
        "",
    ]
    return "\n".join(lines)


def top_source(design: Design) -> str:
    """``tandem_top``: the core with one named AXI port per HP port and the AXI4-Lite slave."""
    ports = port_count(design)
    declarations = ["input logic clk_i", "input logic rst_i", "output logic irq_o"]
    for name, direction, bits in AXI_LITE_PORTS:
        declarations.append(f"{direction} logic {_range(bits)}s_axil_{name}")
    for port in range(ports):
        for name, direction, bits in AXI_READ_PORTS + AXI_WRITE_PORTS:
            declarations.append(f"{direction} logic {_range(bits)}m_axi_hp{port}_{name}")
    connections = [".clk_i", ".rst_i", ".irq_o"]
    for name, direction, _ in AXI_LITE_PORTS:
        connections.append(f".axil_{name}_{direction[0]}(s_axil_{name})")
    for name, direction, _ in AXI_READ_PORTS + AXI_WRITE_PORTS:
        joined = ", ".join(f"m_axi_hp{port}_{name}" for port in reversed(range(ports)))
        connections.append(f".axi_{name}_{direction[0]}({{{joined}}})")
    parameters = [f".{name}(design_pkg::{name})" for name in (*core_parameters(design), "BuildId")]
    return "\n".join(
        [
            "// The accelerator with named ports. Generated: instances and connections only.",
            "`default_nettype none",
            "module tandem_top (",
            ",\n".join(f"  {text}" for text in declarations),
            ");",
            "  tandem_core #(",
            ",\n".join(f"    {text}" for text in parameters),
            "  ) u_core (",
            ",\n".join(f"    {text}" for text in connections),
            "  );",
            "endmodule",
            "`default_nettype wire",
            "",
        ]
    )


def generate(design: Design | str | Path, out_dir: Path) -> list[Path]:
    """Write ``design_pkg.sv`` and ``tandem_top.sv``; returns them, to be put after the library."""
    if not isinstance(design, Design):
        design = load_design(design)
    written = []
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("design_pkg.sv", package_source(design)),
            ("tandem_top.sv", top_source(design)),
        ):
            path = out_dir / name
            path.write_text(text)
            written.append(path)
    except OSError as error:
        raise TandemError(
            f"{out_dir}: cannot write the generated RTL ({error.strerror}): choose another folder"
        ) from None
    return written


def _range(bits: int) -> str:
    return f"[{bits - 1}:0] " if bits > 1 else ""


if __name__ == "__main__":
    PROGRAM_PACKAGE.write_text(package_text())
