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
    "name", ["tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel", "tiny_bypass"]
)
def test_small_designs_are_exact(name: str, root: Path, build_root: Path, tmp_path: Path) -> None:
    check(load_design(root / "designs" / f"{name}.toml"), 2, 2, build_root, tmp_path)


def on_hardware_of(root: Path, name: str, **network: Any) -> Design:
    data = design_to_dict(load_design(root / "designs" / f"{name}.toml"))
    data["network"].update(network)
    return design_from_dict(data, f"on the hardware of {name}")


@pytest.mark.xdist_group("tiny_bypass")
@pytest.mark.parametrize(
    "bundles",
    [
        # An output that fills no block, recomputed; a depth-wise layer with nothing after it.
        [["dw3", "conv1:11"], ["maxpool", "dw3"], ["bypass:0", "dw3"]],
        # Two bypasses from one map, copied; the second reads what the first made.
        [["conv1:5"], ["avgpool"], ["bypass:0", "conv1:9"], ["bypass:0", "maxpool"]],
        # A bypass of a bypass' output.
        [["dw3", "maxpool"], ["conv1:3", "maxpool"], ["bypass:0", "dw3"], ["conv1:7"],
         ["maxpool"], ["bypass:2", "conv1:6"]],
    ],
)  # fmt: skip
def test_a_bypass_between_any_layers_is_exact(
    bundles: list[list[str]], root: Path, build_root: Path, tmp_path: Path
) -> None:
    design = on_hardware_of(root, "tiny_bypass", bundles=bundles, height=16, width=24)
    check(design, 5, 2, build_root, tmp_path)


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
    design = on_hardware_of(
        root, "tiny", channels=1, height=8, width=8, bundles=bundles, head=["conv1:10"]
    )
    check(design, 3, 3, build_root, tmp_path)
