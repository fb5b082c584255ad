"""What differs between two design files, and how it is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.design import Design
from model.design_writer import design_to_dict
from search.board_changes import FOLLOWING

Edits = dict[str, tuple[object, object]]  # key of the design file, or ddr.KEY: before, after


def differences(before: Design, after: Design) -> Edits:
    """Keys of the design file, and of the memory of the board, with both values."""
    found: Edits = {}
    pairs = (
        (flat(design_to_dict(before)), flat(design_to_dict(after))),
        (
            {f"ddr.{key}": getattr(before.device.ddr, key) for key in _ddr_keys(before)},
            {f"ddr.{key}": getattr(after.device.ddr, key) for key in _ddr_keys(after)},
        ),
    )
    for old, new in pairs:
        for key, value in new.items():
            if key != "name" and old.get(key) != value:
                found[key] = (old.get(key), value)
    return found


def _ddr_keys(design: Design) -> tuple[str, ...]:
    return tuple(design.device.ddr.__dataclass_fields__)


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested tables with dotted keys."""
    found: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found


def told(edits: Edits) -> str:
    """The keys changed, with both values; those that only follow are summed up."""
    words = []
    for prefix, follows in (("", "memories"), ("ddr.", "timing")):
        keys = [key for key in edits if key.startswith("ddr.") == bool(prefix) and key != "device"]
        first = [key for key in keys if not key.startswith(("accelerator.buffers.", "ddr.t"))]
        shown = [key for key in first or keys if key not in FOLLOWING] or keys
        words += [f"{key.split('.')[-1]} {edits[key][0]} to {edits[key][1]}" for key in shown]
        if len(shown) < len(keys):
            words.append(f"{follows} to match")
    return ", ".join(words)
