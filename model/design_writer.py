"""Writing design files: the inverse of reading them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.design import Design
from model.network import Layer
from model.network_file import write_atomically


def design_to_dict(design: Design) -> dict[str, Any]:
    """The tables of the design file; ``design_from_dict`` gives the same design back."""
    net = design.network
    accelerator = asdict(design.accelerator)
    tile = {
        "height": accelerator.pop("tile_height"),
        "width": accelerator.pop("tile_width"),
    }
    clock_mhz = design.clock_khz / 1000
    return {
        "name": design.name,
        "device": design.device.name,
        "clock_mhz": int(clock_mhz) if clock_mhz.is_integer() else clock_mhz,
        "network": {
            "channels": net.channels,
            "height": net.height,
            "width": net.width,
            "bundles": [_tokens(chain) for chain in net.bundles],
            "head": _tokens(net.head),
        },
        "precision": {"weight_bits": design.weight_bits, "feature_bits": design.feature_bits},
        "accelerator": {**accelerator, "tile": tile},
    }


def design_text(design: Design, comment: str = "") -> str:
    """The design as TOML text, with a comment of one or more lines at its top."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    _write_table(design_to_dict(design), "", lines)
    return "\n".join(lines) + "\n"


def write_design(design: Design, path: str | Path, comment: str = "") -> None:
    """Write a design file; it appears whole or not at all. TandemError where that fails."""
    write_atomically(Path(path), design_text(design, comment).encode())


def _tokens(chain: Sequence[Layer]) -> list[str]:
    return [layer.token for layer in chain]


def _write_table(table: Mapping[str, Any], prefix: str, lines: list[str]) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping):
            continue
        if isinstance(value, list) and value and isinstance(value[0], list):
            lines.append(f"{key} = [")
            lines += [f"  {json.dumps(row)}," for row in value]
            lines.append("]")
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{key}"
            lines += ["", f"[{name}]"]
            _write_table(value, f"{name}.", lines)
