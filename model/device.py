"""Devices: what a chip and its board offer an accelerator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from model.ddr_timing import DdrTiming
from model.errors import TandemError
from model.power_coefficients import PowerCoefficients
from model.toml_reader import Table, read_toml

DEVICE_DIRECTORY = Path(__file__).parent / "devices"


@dataclass(frozen=True)
class Device:
    """Resources, memory region and DDR of one board."""

    name: str
    part: str
    dsp: int
    bram18: int
    lut: int
    ff: int
    memory_base: int  # byte address of the region the accelerator may use
    memory_bytes: int
    axi_ports: int  # 64-bit high-performance ports
    ddr: DdrTiming
    power: PowerCoefficients


def known_devices() -> tuple[str, ...]:
    """Names of the devices with a file in ``model/devices``."""
    paths = DEVICE_DIRECTORY.glob("*.toml")
    return tuple(sorted(path.stem for path in paths if "." not in path.stem))


@cache
def load_device(name: str) -> Device:
    """The device of that name. TandemError lists the known ones, or names the key that is wrong."""
    known = known_devices()
    if name not in known:
        raise TandemError(f'device "{name}" is unknown, the known devices are {", ".join(known)}')
    return read_device(read_toml(DEVICE_DIRECTORY / f"{name}.toml", "device file"), name)


def read_device(table: Table, name: str) -> Device:
    """Read and check a device file."""
    memory = table.table("memory")
    base = memory.integer("base", 0, 0xFFFF_FFFF)
    size = memory.integer("bytes", 1 << 16, (1 << 32) - base)
    if base % 4096:
        raise memory.refuse("base", base, "must be a multiple of 4096, where bursts may start")
    memory.finish()
    found = Device(
        name=name,
        part=table.text("part"),
        dsp=table.integer("dsp", 1, 1 << 20),
        bram18=table.integer("bram18", 1, 1 << 20),
        lut=table.integer("lut", 1, 1 << 24),
        ff=table.integer("ff", 1, 1 << 24),
        memory_base=base,
        memory_bytes=size,
        axi_ports=table.integer("axi_ports", 1, 16),
        ddr=_read_ddr(table),
        power=PowerCoefficients.read(table.table("power")),
    )
    table.finish()
    return found


def _read_ddr(table: Table) -> DdrTiming:
    try:
        return DdrTiming.from_table(table.mapping("ddr"))
    except TandemError as error:
        raise TandemError(f"{table.source}: {error}") from error
