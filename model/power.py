"""Electrical power of an accelerator at work: what rests, and energy per use.

Coefficients are in the device file, each with its source: reported ranges, assumptions of the right
size, and one that is calibrated on a published board (docs/power.md has the errors). Activity comes
from the simulator's counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from model.design import Design
from model.power_coefficients import PowerCoefficients
from model.resources import Resources


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

    def energy_mj(self, fps: float) -> dict[str, float]:
        """Millijoules of a frame by part, at so many frames a second."""
        return {name: 1000 * value / fps for name, value in asdict(self).items()}


def estimate_power(
    design: Design, resources: Resources, utilisation: float, ddr_bytes_per_second: float
) -> Power:
    """Power of a design at its clock.

    ``utilisation``: share of multipliers with useful work, 0 to 1; the memories follow it too, for
    they feed the multipliers.
    """
    return power_of_use(
        design.device.power, design.clock_mhz, resources.totals(), utilisation, ddr_bytes_per_second
    )


def power_of_use(
    found: PowerCoefficients,
    mhz: float,
    demand: Mapping[str, int],
    utilisation: float,
    ddr_bytes_per_second: float,
) -> Power:
    """The same for any accelerator: ``demand`` has ``dsp``, ``bram18``, ``lut`` and ``ff``."""
    logic = found.lut_uw_per_mhz * demand["lut"] + found.ff_uw_per_mhz * demand["ff"]
    per_mhz = mhz * 1e-6
    return Power(
        processing_system=found.processing_system_w,
        static=found.static_w,
        clock=found.clock_uw_per_mhz * per_mhz,
        dsp=found.dsp_uw_per_mhz * demand["dsp"] * per_mhz * utilisation,
        bram=found.bram18_uw_per_mhz * demand["bram18"] * per_mhz * utilisation,
        logic=logic * per_mhz,
        ddr=found.ddr_nj_per_byte * 1e-9 * ddr_bytes_per_second,
    )
