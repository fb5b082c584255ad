"""What was verified and when: a small record beside the compiled simulations, for reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.design import Design
from model.design_writer import design_to_dict
from model.network_file import write_atomically

FOLDER = "verified"
KEPT = (
    "network", "image_source", "seed", "frames", "exact", "events", "event_mismatches", "values",
    "value_mismatches", "counters", "counter_mismatches", "rtl_cycles", "rtl_seconds",
)  # fmt: skip


def digest(design: Design) -> str:
    """Names a design by all that its file says."""
    return hashlib.sha256(json.dumps(design_to_dict(design), sort_keys=True).encode()).hexdigest()


def keep_verified(folder: Path, design: Design, record: Mapping[str, Any]) -> None:
    """Write the record of a comparison into ``folder``/verified. TandemError: cannot be written."""
    found = {key: record[key] for key in KEPT}
    found |= {"design": design.name, "digest": digest(design)}
    found["when"] = datetime.now(UTC).isoformat(timespec="seconds")
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / f"{design.name}.json", (json.dumps(found, indent=1) + "\n").encode())


def last_verified(folder: Path, design: Design) -> dict[str, Any] | None:
    """The last comparison of exactly this design; None where there is none, or of another one."""
    try:
        found = json.loads((folder / FOLDER / f"{design.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not all(_sound(found, key) for key in (*KEPT, "when")):
        return None
    return found if found.get("digest") == digest(design) else None


def _sound(found: Mapping[str, Any], key: str) -> bool:
    """Whether a record of a file has this key, with a value as :func:`keep_verified` writes it."""
    kinds: tuple[type, ...] = (int,)
    if key in ("network", "image_source", "when"):
        kinds = (str, type(None)) if key == "network" else (str,)
    elif key == "rtl_seconds":
        kinds = (int, float)
    return key in found and isinstance(found[key], kinds)
