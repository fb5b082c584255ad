"""Search specifications: what they say, and every mistake told in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.errors import TandemError
from search.spec import load_spec
from tests.search_spaces import small_spec


@pytest.mark.parametrize("name", ["search_small", "search_pynq_z1"])
def test_committed_specifications_are_read(root: Path, name: str) -> None:
    spec = load_spec(root / "designs" / f"{name}.toml")
    assert spec.targets
    assert spec.network.stem_channels >= 8


def test_targets_by_latency_are_rates_and_sorted() -> None:
    spec = small_spec(targets={"fps": [2400, 1200]})
    assert [target.name for target in spec.targets] == ["fps1200", "fps2400"]
    assert spec.targets[0].least_fps == pytest.approx(1080)


def test_the_digest_follows_what_decides_the_result() -> None:
    assert small_spec().digest == small_spec().digest
    assert small_spec().digest != small_spec(scd={"seed": 2}).digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": {"fps": []}}, "targets.fps"),
        ({"targets": {"fps": [100, 100]}}, "names a target twice"),
        ({"targets": {"latency_ms": [10]}}, "both are given"),
        ({"bundles": {"pool": []}}, "has no layer that computes"),
        ({"bundles": {"pool": ["conv7"]}}, "has no layer that computes"),
        ({"bundles": {"pool": ["conv1", "conv7"]}}, "is no layer"),
        ({"network": {"downsamplings": 4}}, "more than the 3 repetitions"),
        ({"network": {"repetitions": [3, 2]}}, "the fewest and the most"),
        ({"network": {"stem": ["conv9:8"]}}, "conv9"),
        ({"network": {"max_channels": 8, "stem": ["conv3:16"]}}, "the stem leaves 16"),
        ({"precision": {"weight_bits": [3]}}, "from 4 to 16"),
        ({"prototypes": {"channels": [8]}}, "one for each repetition"),
        ({"limits": {"dsp": 0}}, "limits.dsp"),
        ({"limits": {"dps": 5}}, "did you mean dsp"),
        ({"baselines": {"methods": ["sa"]}}, "must be some of random, tpe, nsga2"),
        ({"device": "zedboard2"}, "device"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TandemError, match=r"test\.toml") as found:
        small_spec(**changes)
    assert words in str(found.value)
    assert "\n" not in str(found.value)
