"""Boxes: decoding, clipping and rounding, IoU, and the head in an integer network's file."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.design import Design, load_design
from model.detection import (
    BOX_CHANNELS,
    SKYNET_ANCHORS,
    BoxHead,
    check_box_head,
    clip,
    decode,
    iou,
    mean_iou,
    to_pixels,
)
from model.errors import TandemError
from model.integer_network import IntegerNetwork
from model.network_file import load_network, read_arrays, save_network
from model.random_network import random_network

CHANNELS = BOX_CHANNELS * len(SKYNET_ANCHORS)


def values(height: int = 4, width: int = 6) -> Any:
    found = np.zeros((CHANNELS, height, width))
    found[[4, 9]] = -5
    return found


def box_head(scale: float = 0.01, offset: float = 0.0) -> BoxHead:
    return BoxHead((scale,) * CHANNELS, (offset,) * CHANNELS)


# ---- decoding ----


@pytest.mark.parametrize("anchor", [0, 1])
def test_the_most_confident_cell_decides(anchor: int) -> None:
    head = values()
    cell = slice(5 * anchor, 5 * anchor + 5)
    head[cell, 2, 3] = (0.5, -0.5, 0.3, -0.2, 4)
    found = decode(head, SKYNET_ANCHORS)
    sigmoid = 1 / (1 + math.exp(-0.5))
    x, y = (sigmoid + 3) / 6, (1 - sigmoid + 2) / 4
    w = math.exp(0.3) * SKYNET_ANCHORS[anchor][0] / 6
    h = math.exp(-0.2) * SKYNET_ANCHORS[anchor][1] / 4
    assert found.box == pytest.approx((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    assert found.confidence == pytest.approx(1 / (1 + math.exp(-4)))


def test_of_equal_confidences_the_first_counts() -> None:
    head = values()
    head[4, 1, 2] = head[4, 3, 5] = head[9, 0, 0] = 2
    x = (0.5 + 2) / 6
    w = SKYNET_ANCHORS[0][0] / 6
    assert decode(head, SKYNET_ANCHORS).box[0] == pytest.approx(x - w / 2)


@pytest.mark.parametrize("extreme", [1e4, -1e4, 1e300])
def test_extreme_values_give_finite_boxes(extreme: float) -> None:
    head = values()
    head[:5, 1, 1] = extreme
    head[4, 1, 1] = 1e5
    found = decode(head, SKYNET_ANCHORS)
    assert all(map(math.isfinite, found.box))
    assert found.confidence == 1
    xmin, ymin, xmax, ymax = to_pixels(found.box, 640, 360)
    assert 0 <= xmin <= xmax <= 640
    assert 0 <= ymin <= ymax <= 360


def test_a_box_head_scales_accumulators_by_channel() -> None:
    accumulators = np.arange(CHANNELS * 24).reshape(CHANNELS, 4, 6)
    head = BoxHead(
        tuple(0.5 * c for c in range(CHANNELS)), tuple(float(c) for c in range(CHANNELS))
    )
    found = head.values(accumulators)
    assert found.dtype == np.float64
    assert found[3, 1, 2] == accumulators[3, 1, 2] * 1.5 + 3
    assert head.detect(accumulators) == decode(found, SKYNET_ANCHORS)


# ---- pixels and IoU ----


def test_boxes_are_clipped_and_rounded_half_to_even() -> None:
    assert to_pixels((-0.2, 0.005, 0.505, 1.7), 100, 100) == (0, 0, 50, 100)
    assert to_pixels((0.015, 0.25, 0.75, 0.995), 100, 100) == (2, 25, 75, 100)
    assert clip((-0.2, 0.005, 0.505, 1.7), 100, 100) == pytest.approx((0, 0.5, 50.5, 100))


def test_iou_counts_pixels_max_exclusive() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert iou((5, 5, 2, 2), (0, 0, 10, 10)) == 0


def test_mean_iou_is_the_mean_over_images() -> None:
    same, apart = ((0, 0, 4, 4), (0, 0, 4, 4)), ((0, 0, 4, 4), (8, 8, 9, 9))
    assert mean_iou([same, apart, same, apart]) == 0.5
    assert mean_iou([]) == 0


SIDES = st.tuples(*[st.integers(0, 50)] * 4)


@given(SIDES, SIDES)
def test_iou_agrees_with_counting_pixels(a: Any, b: Any) -> None:
    def mask(box: Any) -> Any:
        found = np.zeros((50, 50), bool)
        found[box[1] : box[3], box[0] : box[2]] = True
        return found

    both, either = (mask(a) & mask(b)).sum(), (mask(a) | mask(b)).sum()
    assert iou(a, b) == pytest.approx(both / either if either else 0)
    assert iou(a, b) == iou(b, a)


# ---- the head in files ----


@pytest.fixture(scope="module")
def design(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


@pytest.fixture
def network(design: Design) -> IntegerNetwork:
    return random_network(design, np.random.default_rng(3))


def with_head(network: IntegerNetwork, head: BoxHead | None) -> IntegerNetwork:
    return dataclasses.replace(network, head=head)


def test_a_head_survives_its_file_exactly(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    head = BoxHead(tuple(1 / (3 + c) for c in range(CHANNELS)), (math.pi,) * CHANNELS)
    for found in (None, head):
        save_network(with_head(network, found), design, tmp_path / "net.npz")
        assert load_network(tmp_path / "net.npz", design).head == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": (0.1,) * 9}, "scale has 9 values"),
        ({"offset": (0.0,) * 11}, "offset has 11 values"),
        ({"scale": (math.nan,) * CHANNELS}, "finite"),
        ({"offset": (math.inf,) * CHANNELS}, "finite"),
        ({"anchors": ((1.0, 0.0), (1.0, 1.0))}, "above 0"),
        ({"anchors": ((1.0, 1.0),)}, "5"),
        ({"anchors": ()}, "anchors"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    design: Design, network: IntegerNetwork, change: Any, words: str, tmp_path: Path
) -> None:
    wrong = with_head(network, dataclasses.replace(box_head(), **change))
    with pytest.raises(TandemError, match=words):
        save_network(wrong, design, tmp_path / "net.npz")


@pytest.mark.parametrize(
    "head",
    [
        True, 7, "head", [1], {"scale": 1}, {"scale": [1.0] * 10, "offset": [0.0] * 10},
        {"scale": ["a"] * 10, "offset": [0.0] * 10, "anchors": [[1, 1], [2, 2]]},
        {"scale": [10**400] * 10, "offset": [0.0] * 10, "anchors": [[1, 1], [2, 2]]},
        {"scale": [1.0] * 10, "offset": [0.0] * 10, "anchors": [[1, 1, 1], [2, 2]]},
    ],
)  # fmt: skip
def test_a_damaged_head_in_a_file_is_refused(
    design: Design, network: IntegerNetwork, head: Any, tmp_path: Path
) -> None:
    path = tmp_path / "net.npz"
    save_network(network, design, path)
    arrays = read_arrays(path)
    manifest = json.loads(str(arrays["manifest"]))
    arrays["manifest"] = np.array(json.dumps({**manifest, "head": head}))
    np.savez(path, **arrays)
    with pytest.raises(TandemError) as refusal:
        load_network(path, design)
    assert str(path) in str(refusal.value)


def test_a_design_without_room_for_a_box_is_told_what_to_write(root: Path) -> None:
    network = load_design(root / "designs" / "tiny_conv.toml").network
    with pytest.raises(TandemError, match="conv3:10"):
        check_box_head(network, SKYNET_ANCHORS)
