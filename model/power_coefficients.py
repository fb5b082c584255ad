"""What power a chip family takes for what: the [power] table of a device file."""

from __future__ import annotations

from dataclasses import dataclass, fields

from model.toml_reader import Table


@dataclass(frozen=True)
class PowerCoefficients:
    """Watts at rest, and energy per use.

    Microwatts per MHz are of one DSP or RAMB18 used in every cycle, of one LUT or flip-flop that
    toggles in every eighth.
    """

    processing_system_w: float  # processors, peripherals and memory, and the rest of the board
    static_w: float  # fabric leakage
    clock_uw_per_mhz: float  # clock network, without its loads
    dsp_uw_per_mhz: float
    bram18_uw_per_mhz: float
    lut_uw_per_mhz: float
    ff_uw_per_mhz: float
    ddr_nj_per_byte: float  # memory device and its interface

    @staticmethod
    def read(table: Table) -> PowerCoefficients:
        """From the [power] table. TandemError names the key that is wrong."""
        names = [field.name for field in fields(PowerCoefficients)]
        found = PowerCoefficients(**{name: float(table.number(name, 0, 1e6)) for name in names})
        table.finish()
        return found
