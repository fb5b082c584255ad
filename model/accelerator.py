"""The accelerator's parameters: lanes, buffers, ports, tile limits."""

from __future__ import annotations

from dataclasses import dataclass

from model.packing import PACKINGS, refusal
from model.toml_reader import Table

LANES_MAX = 16
OUT_LANES_MAX = 256
DEPTH_MAX = 1 << 20
MULTIPLIER_STYLES = ("dsp", "lut")


@dataclass(frozen=True)
class Buffers:
    """Depths of the on-chip memories; input, mid and output: of each of their two banks."""

    input_lines: int
    mid_words: int
    output_lines: int
    weight_words: int  # ring of the MAC array
    param_words: int
    dw_weight_words: int  # ring of the depth-wise unit
    dw_param_words: int
    dw_line_words: int  # longest row of a depth-wise tile, padding included


@dataclass(frozen=True)
class PortMap:
    """Which AXI port of the device each DMA unit uses."""

    program: int
    weight: int
    load: int
    store: int


@dataclass(frozen=True)
class Accelerator:
    """One built accelerator, whatever network it runs."""

    in_lanes: int
    out_lanes: int
    requant_lanes: int
    dw_multipliers: int  # taps per cycle and lane
    dw_multiplier_style: str  # "lut" | "dsp"
    dw_kernel_max: int
    conv_kernel_max: int
    accumulator_bits: int
    outstanding_bursts: int  # of each DMA unit
    command_depth: int
    buffers: Buffers
    ports: PortMap
    tile_height: int  # convolution output rows; 0: chosen by the scheduler
    tile_width: int
    mac_packing: str = "none"  # products per multiplier of the MAC array: "none" 1 | "pair" 2


def read_accelerator(
    table: Table, axi_ports: int, weight_bits: int, feature_bits: int
) -> Accelerator:
    """Read and check ``[accelerator]``. TandemError names file, key, value and rule."""
    in_lanes = _lanes(table, "in_lanes")
    requant_lanes = _lanes(table, "requant_lanes")
    out_lanes = table.integer("out_lanes", 1, OUT_LANES_MAX)
    align = channel_align(in_lanes, requant_lanes, feature_bits)
    if out_lanes % align:
        raise table.refuse(
            "out_lanes",
            out_lanes,
            f"must be a multiple of {align}, the largest of in_lanes, requant_lanes and "
            "features per 64-bit beat",
        )
    accumulator_bits = table.integer("accumulator_bits", 16, 48)
    if accumulator_bits < weight_bits + feature_bits:
        raise table.refuse(
            "accumulator_bits",
            accumulator_bits,
            f"must be at least {weight_bits + feature_bits}, the width of one product "
            "(weight_bits + feature_bits)",
        )
    dw_kernel_max = table.one_of("dw_kernel_max", (3, 5))
    tile = table.table("tile", optional=True)
    found = Accelerator(
        in_lanes=in_lanes,
        out_lanes=out_lanes,
        requant_lanes=requant_lanes,
        dw_multipliers=table.integer("dw_multipliers", 1, dw_kernel_max**2),
        dw_multiplier_style=table.text("dw_multiplier_style", MULTIPLIER_STYLES, default="lut"),
        dw_kernel_max=dw_kernel_max,
        conv_kernel_max=table.one_of("conv_kernel_max", (1, 3, 5)),
        accumulator_bits=accumulator_bits,
        outstanding_bursts=table.integer("outstanding_bursts", 1, 64),
        command_depth=table.integer("command_depth", 2, 64),
        buffers=_read_buffers(table.table("buffers")),
        ports=_read_ports(table.table("ports", optional=True), axi_ports),
        tile_height=tile.integer("height", 0, 4094, default=0),
        tile_width=tile.integer("width", 0, 4094, default=0),
        mac_packing=_packing(table, weight_bits, feature_bits),
    )
    tile.finish()
    table.finish()
    return found


def channel_align(in_lanes: int, requant_lanes: int, feature_bits: int) -> int:
    """LB: the multiple to which the channels of a map's last block are rounded up."""
    return max(in_lanes, requant_lanes, 8 if feature_bits <= 8 else 4)


def _packing(table: Table, weight_bits: int, feature_bits: int) -> str:
    packing = table.text("mac_packing", PACKINGS, default="none")
    reason = refusal(weight_bits, feature_bits) if packing == "pair" else None
    if reason is not None:
        raise table.refuse("mac_packing", packing, reason)
    return packing


def _lanes(table: Table, key: str) -> int:
    return table.one_of(key, (1, 2, 4, 8, LANES_MAX))


def _read_buffers(table: Table) -> Buffers:
    found = Buffers(
        **{
            key: table.integer(key, 2, DEPTH_MAX)
            for key in (
                "input_lines",
                "mid_words",
                "output_lines",
                "weight_words",
                "param_words",
                "dw_weight_words",
                "dw_param_words",
                "dw_line_words",
            )
        }
    )
    table.finish()
    return found


def _read_ports(table: Table, axi_ports: int) -> PortMap:
    """Port numbers; all on port 0 where nothing is said, which is right on any device."""
    found = PortMap(
        **{
            key: table.integer(key, 0, axi_ports - 1, default=0)
            for key in ("program", "weight", "load", "store")
        }
    )
    table.finish()
    return found
