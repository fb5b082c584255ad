"""A small search space for tests: frames of 32 x 64, networks of two or three bundles."""

from __future__ import annotations

from typing import Any

from search.spec import SearchSpec, spec_from_dict

TABLES: dict[str, Any] = {
    "name": "test",
    "device": "pynq_z1",
    "clock_mhz": 100,
    "data": {"train": "synthetic:6", "val": "synthetic:4"},
    "targets": {"fps": [1200, 2400], "tolerance": 0.1},
    "limits": {"dsp": 60},
    "network": {
        "channels": 3,
        "height": 32,
        "width": 64,
        "stem": ["conv3:8", "maxpool"],
        "head": ["conv1:10"],
        "repetitions": [2, 3],
        "downsamplings": 2,
        "max_channels": 32,
    },
    "precision": {"weight_bits": [6, 8], "feature_bits": [8]},
    "bundles": {"pool": ["dw3", "conv1", "maxpool"], "layers": 2, "draw": 2, "seed": 1},
    "prototypes": {
        "repetitions": 2,
        "channels": [16, 16],
        "settings": {"data": {"views": 1}, "float": {"epochs": 1}},
    },
    "scd": {"evaluations": 12, "candidates": 3, "trained": 1, "chains": 1, "samples": 1},
    "training": {
        "candidate": {"data": {"views": 1}, "float": {"epochs": 1}},
        "winner": {"data": {"views": 1}, "float": {"epochs": 1}, "qat": {"epochs": 0}},
    },
    "finish": {"verify_frames": 0, "synthesise": False},
    "baselines": {"methods": ["random"], "seeds": 1, "trained": 1},
}


def tables(**changes: Any) -> dict[str, Any]:
    """The tables with some of them changed: ``tables(targets={"fps": [1]})``."""
    found = {key: dict(part) if isinstance(part, dict) else part for key, part in TABLES.items()}
    for key, change in changes.items():
        found[key] = {**found[key], **change} if isinstance(change, dict) else change
    return found


def small_spec(**changes: Any) -> SearchSpec:
    """The specification of these tables."""
    return spec_from_dict(tables(**changes), "test.toml")
