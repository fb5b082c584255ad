"""Design files: device, clock, network, precision and accelerator in one validated TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.accelerator import Accelerator, channel_align, read_accelerator
from model.device import Device, known_devices, load_device
from model.network import CHANNELS_MAX, SIDE_MAX, Layer, Network, parse_network
from model.toml_reader import Table, read_toml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Design:
    """A whole design. Checked when it is read: no part of it contradicts another."""

    name: str
    device: Device
    clock_khz: int
    network: Network
    weight_bits: int  # W, signed
    feature_bits: int  # F, unsigned
    accelerator: Accelerator
    path: Path | None = None

    @property
    def clock_mhz(self) -> float:
        """The fabric clock in MHz."""
        return self.clock_khz / 1000

    @property
    def feature_bytes(self) -> int:
        """Bytes of one feature in DDR."""
        return 1 if self.feature_bits <= 8 else 2

    @property
    def beat_features(self) -> int:
        """Features in one 64-bit beat."""
        return 8 // self.feature_bytes

    @property
    def channel_align(self) -> int:
        """LB: channels of a map's last block are rounded up to a multiple of this."""
        acc = self.accelerator
        return channel_align(acc.in_lanes, acc.requant_lanes, self.feature_bits)

    @property
    def feature_max(self) -> int:
        """The largest feature, 2^F - 1."""
        return (1 << self.feature_bits) - 1

    @property
    def weight_range(self) -> tuple[int, int]:
        """Smallest and largest weight."""
        return -(1 << (self.weight_bits - 1)), (1 << (self.weight_bits - 1)) - 1


def load_design(path: str | Path) -> Design:
    """Read a design file. TandemError names file, key, value and rule."""
    path = Path(path)
    return _read_design(read_toml(path, "design file"), path)


def design_from_dict(data: Mapping[str, Any], source: str = "design") -> Design:
    """A design from the tables of a design file, checked alike; ``source`` leads every error."""
    return _read_design(Table(data, source), None)


def _read_design(table: Table, path: Path | None) -> Design:
    name = table.text("name")
    if not _NAME.fullmatch(name):
        raise table.refuse("name", name, "must be letters, digits, '_', '-' and '.'")
    device = load_device(table.text("device", known_devices()))
    clock_mhz = table.number("clock_mhz", 1, 1000)
    precision = table.table("precision")
    weight_bits = precision.integer("weight_bits", 4, 16)
    feature_bits = precision.integer("feature_bits", 4, 16)
    precision.finish()
    accelerator_table = table.table("accelerator")
    accelerator = read_accelerator(accelerator_table, device.axi_ports, weight_bits, feature_bits)
    network = _read_network(table.table("network"))
    table.finish()
    for layer in network.compute_layers:
        _check_kernel(accelerator_table, accelerator, layer)
    return Design(
        name=name,
        device=device,
        clock_khz=round(clock_mhz * 1000),
        network=network,
        weight_bits=weight_bits,
        feature_bits=feature_bits,
        accelerator=accelerator,
        path=path,
    )


def _read_network(table: Table) -> Network:
    channels = table.integer("channels", 1, CHANNELS_MAX)
    height = table.integer("height", 1, SIDE_MAX)
    width = table.integer("width", 1, SIDE_MAX)
    bundles = table.string_lists("bundles")
    head = table.strings("head")
    table.finish()
    return parse_network(channels, height, width, bundles, head, f"{table.source}: network")


def _check_kernel(table: Table, accelerator: Accelerator, layer: Layer) -> None:
    key = "dw_kernel_max" if layer.kind == "dw" else "conv_kernel_max"
    built = accelerator.dw_kernel_max if layer.kind == "dw" else accelerator.conv_kernel_max
    if layer.kernel > built:
        raise table.refuse(
            key, built, f"layer {layer.name} needs a kernel of {layer.kernel}, raise it"
        )
