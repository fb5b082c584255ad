"""Cycle constants of the compute units; each names the line of RTL it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from model.accelerator import Accelerator

DW_DRAIN = 12
"""rtl_sim/hdl/depthwise.sv, ``localparam int Drain`` without its adder levels: 3 to the window,
4 operands, product and accumulator, 5 requantise."""

MAC_STAGES = 4
"""rtl_sim/hdl/mac_array.sv, ``localparam int Stages`` without its adder levels: RAM, operands,
product; the vector is valid one cycle later."""

POST_WRITE = 8
"""rtl_sim/hdl/post_process.sv: ``valid_q[6:0]`` and the output register, from the cycle in which a
step is selected to its write; the first step is selected one cycle after the vector is valid."""


@dataclass(frozen=True)
class UnitTiming:
    """Delays of the compute units for one set of lanes, in cycles."""

    dw_drain: int  # last STREAM cycle -> last write to the mid buffer
    vector: int  # issue of a vector's last term -> vector valid at the post-process
    write: int  # vector valid -> write of its first step

    @staticmethod
    def of(acc: Accelerator) -> UnitTiming:
        """Those of an accelerator's lanes."""
        return UnitTiming(
            dw_drain=DW_DRAIN + adder_levels(acc.dw_multipliers),
            vector=MAC_STAGES + adder_levels(acc.in_lanes) + 1,
            write=1 + POST_WRITE,
        )


def adder_levels(terms: int) -> int:
    """Registered levels of a sum (rtl_sim/hdl/adder_tree.sv): ceil(log2(terms))."""
    return max(terms - 1, 0).bit_length()
