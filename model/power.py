"""Electrical power of an accelerator at work: a first model, static terms plus energy per use.

The static terms are reported ranges; the dynamic coefficients are assumptions of the right size,
chosen so that DNN-A on the PYNQ-Z1 comes near the 2.4 W published for an accelerator of that
network. No board was measured: use it to compare designs on one device.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from model.design import Design
from model.resources import Resources


@dataclass(frozen=True)
class PowerCoefficients:
    """Of one chip family.

    Microwatts per MHz are of one DSP or RAMB18 used in every cycle, of one LUT or flip-flop that
    toggles in every eighth.
    """

    processing_system_w: float  # processors, peripherals and memory, idle traffic
    static_w: float  # fabric leakage
    clock_uw_per_mhz: float  # clock network, without its loads
    dsp_uw_per_mhz: float
    bram18_uw_per_mhz: float
    lut_uw_per_mhz: float
    ff_uw_per_mhz: float
    ddr_nj_per_byte: float  # memory device and its interface


# Zynq-7000, 28 nm. Processing system: 1.25 to 1.5 W reported for the PYNQ-Z1 without a bitstream;
# static fabric: 0.12 to 0.15 W reported for the xc7z020. All others: assumption.
ZYNQ_7000 = PowerCoefficients(
    processing_system_w=1.40,
    static_w=0.135,
    clock_uw_per_mhz=300.0,
    dsp_uw_per_mhz=14.0,
    bram18_uw_per_mhz=8.0,
    lut_uw_per_mhz=0.040,
    ff_uw_per_mhz=0.015,
    ddr_nj_per_byte=0.5,
)
# Zynq UltraScale+, 16 nm. All assumption; dynamic terms are 0.6 of the 28 nm ones.
ZYNQ_ULTRASCALE = PowerCoefficients(
    processing_system_w=2.60,
    static_w=0.30,
    clock_uw_per_mhz=180.0,
    dsp_uw_per_mhz=8.4,
    bram18_uw_per_mhz=4.8,
    lut_uw_per_mhz=0.024,
    ff_uw_per_mhz=0.009,
    ddr_nj_per_byte=0.35,
)


@dataclass(frozen=True)
class Power:
    """Watts by cause while frames run back to back."""

    processing_system: float
    static: float
    clock: float
    dsp: float
    bram: float
    logic: float
    ddr: float

    @property
    def total_w(self) -> float:
        """All of it."""
        return float(sum(asdict(self).values()))

    def record(self) -> dict[str, float]:
        """For JSON, in watts."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def coefficients(part: str) -> PowerCoefficients:
    """Of the chip with that part number."""
    return ZYNQ_ULTRASCALE if part.startswith("xczu") else ZYNQ_7000


def estimate_power(
    design: Design, resources: Resources, utilisation: float, ddr_bytes_per_second: float
) -> Power:
    """Power of a design at its clock.

    ``utilisation``: share of multipliers with useful work, 0 to 1; the memories follow it too, for
    they feed the multipliers.
    """
    found = coefficients(design.device.part)
    mhz = design.clock_mhz
    logic = found.lut_uw_per_mhz * resources.lut + found.ff_uw_per_mhz * resources.ff
    per_mhz = mhz * 1e-6
    return Power(
        processing_system=found.processing_system_w,
        static=found.static_w,
        clock=found.clock_uw_per_mhz * per_mhz,
        dsp=found.dsp_uw_per_mhz * resources.dsp * per_mhz * utilisation,
        bram=found.bram18_uw_per_mhz * resources.bram18 * per_mhz * utilisation,
        logic=logic * per_mhz,
        ddr=found.ddr_nj_per_byte * 1e-9 * ddr_bytes_per_second,
    )
