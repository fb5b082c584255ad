"""Selection: groups of similar latency, the best of each survive, the Pareto front."""

from __future__ import annotations

import csv
import itertools
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from model.errors import TandemError
from search.bundle import Bundle
from search.measure import RESOURCES, Limits
from search.prototypes import measure_prototype, prototype_record
from search.search_figures import PLACES, box_of, overlap, short_names
from search.selection import (
    group_latencies,
    natural_breaks,
    select,
    selection_table,
    write_selection,
)
from search.spec import SearchSpec, load_spec

Record = dict[str, Any]


def record(bundle: str, latency_ms: float, iou: float, **more: float) -> Record:
    costs = {"dsp": 200, "bram18": 100} | more
    return {
        "bundle": bundle,
        "latency_ms": latency_ms,
        "fps": 1000 / latency_ms,
        "iou": iou,
    } | costs


MIXED = [
    record("slow-good", 90.0, 0.61),
    record("fast-bad", 9.0, 0.30),
    record("fast-good", 10.0, 0.42),
    record("middle", 31.0, 0.50),
    record("middle-bad", 29.0, 0.35),
    record("slow-bad", 85.0, 0.44),
]


@pytest.fixture
def spec(root: Path) -> SearchSpec:
    return load_spec(root / "designs" / "search_small.toml")


def test_prototypes_differ_in_the_bundle_alone(spec: SearchSpec) -> None:
    records = []
    for name in ("conv1-maxpool", "conv3-maxpool"):
        bundle = Bundle.named(name)
        design, cost = measure_prototype(bundle, spec)
        network = design.network
        assert [chain[-1].out_channels for chain in network.bundles] == [8, 16, 24]
        assert (network.output.out_height, network.output.out_width) == (6, 10)
        found = prototype_record(bundle, design, cost)
        assert all(found[key] <= getattr(spec.limits, key) for key in RESOURCES)
        assert found["latency_ms"] * found["fps"] == pytest.approx(1000, rel=0.2)
        records.append(found | {"iou": 0.5})
    fast, slow = records
    assert fast["latency_ms"] < slow["latency_ms"] and fast["macs"] < slow["macs"]
    assert select(records, 1, 1).kept == ["conv1-maxpool"]


def test_a_prototype_that_fits_no_accelerator_is_refused(spec: SearchSpec) -> None:
    tight = replace(spec, limits=Limits(dsp=80, bram18=2, lut=1000, ff=1000))
    with pytest.raises(TandemError, match="no accelerator within the limits"):
        measure_prototype(Bundle.named("conv3-maxpool"), tight)


def test_names_are_shortened_only_where_all_share_the_pool() -> None:
    assert short_names(["dw3-conv1-maxpool", "conv3-maxpool"]) == (
        ["dw3-conv1", "conv3"],
        "maxpool",
    )
    assert short_names(["conv3-avgpool", "conv3-maxpool"])[1] == ""
    assert short_names(["conv3-maxpool"]) == (["conv3-maxpool"], "")


def test_the_best_of_each_group_survives() -> None:
    found = select(MIXED, groups=3, keep=1)
    assert [item.group for item in found.prototypes] == [0, 0, 1, 1, 2, 2]
    assert found.kept == ["slow-good", "middle", "fast-good"]
    assert [item.bundle for item in found.prototypes if item.front] == [
        "fast-bad", "fast-good", "middle", "slow-good",
    ]  # fmt: skip


def test_the_order_of_the_records_makes_no_difference() -> None:
    whole = select(MIXED, 3, 1)
    for seed in range(5):
        shuffled = random.Random(seed).sample(MIXED, len(MIXED))
        assert select(shuffled, 3, 1) == whole


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"latency_ms": 9.9}, {"latency_ms": 10.0}),
        ({"latency_ms": 10.0, "dsp": 190}, {"latency_ms": 10.0, "dsp": 191}),
        ({"latency_ms": 10.0, "bram18": 90}, {"latency_ms": 10.0, "bram18": 91}),
    ],
)
def test_of_equal_iou_the_cheaper_survives(
    better: dict[str, float], worse: dict[str, float]
) -> None:
    # Alphabetical order would choose the other one.
    records = [record("b", iou=0.4, **better), record("a", iou=0.4, **worse)]
    assert select(records, 1, 1).kept == ["b"]


def test_more_groups_than_prototypes_keep_all_of_them() -> None:
    assert len(select(MIXED[:2], groups=9, keep=5).kept) == 2
    assert select([], 3, 1).kept == []


def test_groups_are_of_ratios_not_of_differences() -> None:
    # By differences 10 and 20 ms would be one group, and 100 and 160 two.
    assert group_latencies([10.0, 20.0, 100.0, 160.0], 2) == [0, 0, 1, 1]
    assert group_latencies([10.0, 12.0, 100.0, 160.0], 3) == [0, 0, 1, 2]


def test_equal_latencies_are_one_group() -> None:
    assert group_latencies([5.0, 5.0, 5.0], 3) == [0, 0, 0]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 4))
def test_no_other_cut_gives_tighter_groups(whole: list[int], groups: int) -> None:
    values = [value / 7 for value in sorted(whole)]
    found = natural_breaks(values, groups)
    assert found[0] == 0 and all(b - a in (0, 1) for a, b in itertools.pairwise(found))
    count = max(found) + 1
    assert count == min(groups, len(set(values)))
    cuts = itertools.combinations(range(1, len(values)), count - 1)
    best = min(spread(values, [sum(at >= cut for cut in cut_) for at in range(len(values))])
               for cut_ in cuts)  # fmt: skip
    assert spread(values, found) == pytest.approx(best, abs=1e-9)


def spread(values: list[float], groups: list[int]) -> float:
    total = 0.0
    for group in set(groups):
        mine = [value for value, number in zip(values, groups, strict=True) if number == group]
        mean = math.fsum(mine) / len(mine)
        total += math.fsum((value - mean) ** 2 for value in mine)
    return total


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    found = select(MIXED, 3, 1)
    write_selection(found, tmp_path)
    assert json.loads((tmp_path / "prototypes.json").read_text()) == found.record()
    with (tmp_path / "prototypes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["bundle"] for row in rows if row["kept"] == "True"] == [
        "fast-good", "middle", "slow-good",
    ]  # fmt: skip


def test_the_picture_is_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_selection(select(MIXED, 3, 1), tmp_path / name)
    for name in ("prototypes.png", "prototypes.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a" / "prototypes.svg").read_text()
    assert all(item["bundle"] in text for item in MIXED)


def test_the_table_tells_survivors_from_the_others() -> None:
    console = Console(width=120, record=True, file=None, quiet=True)
    with console.capture() as told:
        console.quiet = False
        console.print(selection_table(select(MIXED, 3, 1)))
    lines = told.get().splitlines()
    assert sum("survives" in line for line in lines) == 3
    assert next(line for line in lines if "slow-good" in line).rstrip().endswith("survives")


def test_a_name_on_a_point_counts_as_overlap() -> None:
    box = box_of(0.5, 0.5, 10, PLACES[0])
    assert overlap(box, []) == pytest.approx(0.0)
    assert overlap(box, [box]) == pytest.approx((box[2] - box[0]) * (box[3] - box[1]))
    outside = box_of(0.99, 0.5, 10, PLACES[0])
    assert overlap(outside, []) > 0
