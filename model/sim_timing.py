"""Cycle constants of the RTL: each names the line it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from model.accelerator import Accelerator

# rtl_sim/hdl/requantise.sv: add+relu, two multiplier stages, shift, clamp.
REQUANTISE_LATENCY = 5


def _levels(terms: int) -> int:
    """Registered adder levels of a sum of ``terms`` terms."""
    return max(terms - 1, 0).bit_length()


@dataclass(frozen=True)
class UnitTiming:
    """Delays of the compute units for one set of lanes, in cycles."""

    dw_drain: int  # last STREAM cycle -> last write to the mid buffer
    vector: int  # issue of a vector's last term -> vector valid at the post-process
    write: int  # vector valid -> first write of its first step

    @staticmethod
    def of(acc: Accelerator) -> UnitTiming:
        """Those of an accelerator's lanes."""
        return UnitTiming(
            dw_drain=7 + _levels(acc.dw_multipliers) + REQUANTISE_LATENCY,
            vector=5 + _levels(acc.in_lanes),
            write=4 + REQUANTISE_LATENCY,
        )
