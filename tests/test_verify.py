"""Whole designs at all three levels: functional, cycle, RTL. Nothing may differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.image import random_image
from model.random_network import random_network
from testbench.verify import verify


def check(design: Design, seed: int, frames: int, build_root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(design, rng)
    images = [random_image(design, rng) for _ in range(frames)]
    result = verify(design, network, images, build_root, tmp_path, optimise=False)
    assert result.event_differences == ()
    assert [item for item in result.maps if item.differing] == []
    assert result.counter_differences == ()
    assert result.rtl.total_cycles == result.simulation.total_cycles
    assert result.exact


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.xdist_group("tiny")
def test_tiny_is_exact(frames: int, root: Path, build_root: Path, tmp_path: Path) -> None:
    check(load_design(root / "designs" / "tiny.toml"), 1, frames, build_root, tmp_path)


@pytest.mark.parametrize(
    "name", ["tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel"]
)
def test_small_designs_are_exact(name: str, root: Path, build_root: Path, tmp_path: Path) -> None:
    check(load_design(root / "designs" / f"{name}.toml"), 2, 2, build_root, tmp_path)


def on_tiny_hardware(root: Path, **network: Any) -> Design:
    data = design_to_dict(load_design(root / "designs" / "tiny.toml"))
    data["network"].update(network)
    return design_from_dict(data, "on tiny hardware")


@pytest.mark.xdist_group("tiny")
@pytest.mark.parametrize(
    "bundles",
    [
        [["conv1:16"]],  # one term: its first vector would overtake the head's of the frame before
        [["conv1:16", "maxpool"]],
        [["conv1:16", "avgpool"]],
        [["maxpool"], ["conv1:16"]],
    ],
)
def test_a_short_layer_after_a_slow_one_waits_for_the_post_process(
    bundles: list[list[str]], root: Path, build_root: Path, tmp_path: Path
) -> None:
    design = on_tiny_hardware(
        root, channels=1, height=8, width=8, bundles=bundles, head=["conv1:10"]
    )
    check(design, 3, 3, build_root, tmp_path)
