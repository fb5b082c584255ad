"""The DDR parameter record: one memory, its controller and its ports, all integers.

Times of the memory and of its controller are in ticks of the DDR command clock (`ck`): they stay
when the fabric clock changes. Times of the port interconnect are in fabric cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from model.errors import TandemError

BEAT_BYTES = 8
"""Bytes of one AXI data beat (64-bit ports)."""

BURST_BEATS = 16
"""Longest burst of an AXI3 port, in beats."""

MAX_ACCEPTANCE = 64
"""Most bursts a port may hold; the RTL model's rings have this depth."""

_POWERS_OF_TWO = ("bytes_per_ck", "burst_bytes", "banks", "page_bytes")
_MAY_BE_ZERO = frozenset(
    {
        "write_gap",
        "turn_read_write",
        "turn_write_read",
        "lookahead",
        "read_delay",
        "write_delay",
        "read_latency",
        "write_latency",
        "t_wr",
    }
)


@dataclass(frozen=True, slots=True)
class DdrTiming:
    """The `[ddr]` table of a device file. Raises TandemError where a value breaks a rule.

    Memory: `ddr_khz` command clock; `bytes_per_ck` on the data bus (both edges); `burst_bytes`
    smallest access; `banks`; `page_bytes` of a row in one bank.
    In ck: `t_rcd` activate to column, `t_rp` precharge, `t_ras` activate to precharge, `t_wr` end
    of write data to precharge, `t_refi` between refreshes, `t_rfc` of a refresh, `write_gap` idle
    bus after each write burst, `turn_read_write` and `turn_write_read` idle bus at a change of
    direction, `lookahead` how long before the bus is free the next burst may be granted,
    `read_delay` bus to interconnect (CAS latency and controller), `write_delay` end of write data
    to the response's entry into the interconnect.
    In fabric cycles: `command_latency` from the accepted address (last data beat for a write) to
    the controller, `read_latency` and `write_latency` from the controller to R and B.
    In bursts: `read_acceptance` and `write_acceptance` held by a port, `direction_limit` granted
    in one direction while the other waits.
    """

    ddr_khz: int
    bytes_per_ck: int
    burst_bytes: int
    banks: int
    page_bytes: int
    t_rcd: int
    t_rp: int
    t_ras: int
    t_wr: int
    t_refi: int
    t_rfc: int
    write_gap: int
    turn_read_write: int
    turn_write_read: int
    lookahead: int
    read_delay: int
    write_delay: int
    command_latency: int
    read_latency: int
    write_latency: int
    read_acceptance: int
    write_acceptance: int
    direction_limit: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int:
                raise TandemError(f"ddr.{name} is {value!r}: give an integer")
            least = 0 if name in _MAY_BE_ZERO else 1
            if value < least:
                raise TandemError(f"ddr.{name} is {value}: give at least {least}")
        for name in _POWERS_OF_TWO:
            value = getattr(self, name)
            if value & (value - 1):
                raise TandemError(f"ddr.{name} is {value}: give a power of two")
        if self.burst_bytes < self.bytes_per_ck:
            raise TandemError(
                f"ddr.burst_bytes is {self.burst_bytes}: give at least bytes_per_ck,"
                f" {self.bytes_per_ck}"
            )
        if self.t_rfc + self.t_rp >= self.t_refi:
            raise TandemError(
                f"ddr.t_refi is {self.t_refi}: give more than t_rfc + t_rp,"
                f" {self.t_rfc + self.t_rp}"
            )
        for name in ("read_acceptance", "write_acceptance"):
            value = getattr(self, name)
            if value > MAX_ACCEPTANCE:
                raise TandemError(f"ddr.{name} is {value}: give at most {MAX_ACCEPTANCE}")

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> DdrTiming:
        """The record of a `[ddr]` TOML table. Raises TandemError for a missing or unknown key."""
        names = [field.name for field in fields(cls)]
        values: dict[str, int] = {}
        for key, value in table.items():
            if key not in names:
                raise TandemError(f"ddr.{key} is unknown: the keys are {', '.join(names)}")
            if not isinstance(value, int) or isinstance(value, bool):
                raise TandemError(f"ddr.{key} is {value!r}: give an integer")
            values[key] = value
        missing = [name for name in names if name not in values]
        if missing:
            raise TandemError(f"ddr.{missing[0]} is missing: add it to the [ddr] table")
        return cls(**values)

    @property
    def peak_bytes_per_second(self) -> int:
        """Bytes per second of the data bus without any idle tick."""
        return self.ddr_khz * 1000 * self.bytes_per_ck

    def plusargs(self, fabric_khz: int) -> list[str]:
        """Simulator arguments that give `testbench/hdl/ddr_model.sv` the same timing."""
        values = {"fabric_khz": fabric_khz, **asdict(self)}
        return [f"+ddr_{name.removeprefix('ddr_')}={value}" for name, value in values.items()]
