"""Bundles: which there are, and how far their analytic estimates are from the simulator."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import mean

import pytest

from model.design import load_design
from model.errors import TandemError
from model.schedule import plan_design
from search.analytic import estimate
from search.analytic_cycles import frame_cycles
from search.bundle import Bundle
from search.bundle_pool import draw_bundles, enumerate_bundles
from search.bundle_report import accuracy, measure_bundles, write_bundles
from search.bundles_command import BundleArguments, bundle_pool, bundles_command
from search.genome_space import GenomeSpace
from search.inloop import evaluate_exact
from search.quality import kendall_tau
from search.spec import SearchSpec, load_spec

WHOLE_POOL = ("dw3", "dw5", "conv1", "conv3", "conv5", "maxpool", "avgpool")


@pytest.fixture(scope="module")
def spec(root: Path) -> SearchSpec:
    return load_spec(root / "designs" / "search_small.toml")


def test_the_whole_pool_is_every_chain_with_a_convolution() -> None:
    found = enumerate_bundles(WHOLE_POOL, 3)
    chains = 5 + 5**2 + 5**3
    depthwise = 2 + 2**2 + 2**3
    assert found.possible == len(found.bundles) == 2 * (chains - depthwise)
    assert len(set(found.bundles)) == len(found.bundles)
    assert len(found.refused) == 2 * depthwise
    assert all("no convolution" in item.reason for item in found.refused)
    assert all(Bundle.named(bundle.name) == bundle for bundle in found.bundles)


def test_a_draw_follows_from_its_seed_and_holds_no_bundle_twice() -> None:
    first, again = (draw_bundles(WHOLE_POOL, 3, 20, 5) for _ in range(2))
    assert first == again
    assert len(set(first.bundles)) == 20
    assert draw_bundles(WHOLE_POOL, 3, 20, 6).bundles != first.bundles
    assert set(first.bundles) <= set(enumerate_bundles(WHOLE_POOL, 3).bundles)


def test_a_small_pool_is_drawn_empty() -> None:
    found = draw_bundles(("dw3", "conv1", "dw3"), 2, 50, 1)
    assert set(found.bundles) == set(enumerate_bundles(("dw3", "conv1"), 2).bundles)
    assert {item.reason for item in found.duplicates} > {"is in the pool 2 times, it counts once"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pool": "maxpool,relu"}, "no layer that computes"),
        ({"pool": ""}, "no layer that computes"),
        ({"pool": "dw3,conv7"}, "'conv7' is no layer"),
        ({"pool": "dw3,dw5"}, "no convolution across channels"),
        ({"layers": 4}, "--layers 4: must be from 1 to 3"),
        ({"draw": 0}, "--draw 0: must be from 1"),
        ({"draw": 3, "whole": True}, "contradict"),
    ],
)
def test_nonsense_is_refused(spec: SearchSpec, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(TandemError, match=said):
        bundle_pool(spec.bundles, BundleArguments(Path("x"), **arguments))  # type: ignore[arg-type]


def test_estimates_hold_over_random_accelerators(root: Path) -> None:
    """Every parallel factor, tile height and precision of the space, not those of the report."""
    spec = load_spec(root / "designs" / "search_pynq_z1.toml")
    rng = random.Random(11)
    guessed, truth, latency, traffic = [], [], [], []
    for bundle in rng.sample(enumerate_bundles(WHOLE_POOL, 3).bundles, 60):
        space = GenomeSpace.of(spec, bundle)
        design = space.build(space.random(rng))
        found, exact = estimate(design), evaluate_exact(design, 2)
        guessed.append(found.cycles)
        truth.append(exact.cycles_per_frame)
        latency.append(abs(found.latency / exact.latency_cycles - 1))
        traffic.append(abs(found.traffic_bytes / exact.ddr_bytes - 1))
    errors = [abs(a / b - 1) for a, b in zip(guessed, truth, strict=True)]
    assert mean(errors) < 0.01 and max(errors) < 0.10
    assert mean(latency) < 0.01 and max(latency) < 0.10
    assert max(traffic) < 0.001
    assert kendall_tau(guessed, truth) > 0.98


@pytest.mark.parametrize("name", ["dnn_a", "dnn_b", "dnn_c", "dnn_c_w8f8_packed"])
def test_estimates_hold_for_designs_sized_by_explore(root: Path, name: str) -> None:
    design = load_design(root / "designs" / f"{name}.toml")
    found, exact = frame_cycles(design, plan_design(design)), evaluate_exact(design, 2)
    assert found.steady == pytest.approx(exact.cycles_per_frame, rel=0.10)
    assert found.latency == pytest.approx(exact.latency_cycles, rel=0.10)


def test_demand_is_that_of_the_exact_models(root: Path) -> None:
    design = load_design(root / "designs" / "dnn_a.toml")
    found, exact = estimate(design), evaluate_exact(design, 1)
    for name in ("dsp", "bram18", "lut", "ff"):
        assert getattr(found, name) == getattr(exact, name)
    assert found.macs == design.network.macs


def test_the_report_of_a_pool(spec: SearchSpec, tmp_path: Path) -> None:
    refused: list[str] = []
    bundles = enumerate_bundles(spec.bundles.pool, 1).bundles
    found = measure_bundles(spec, bundles, refuse=lambda name, _: refused.append(name))
    how = accuracy(found)
    assert {item.bundle for item in found} == {bundle.name for bundle in bundles}
    assert how.points == len(found) and how.worst_error < 0.10 and how.latency_worst < 0.10
    assert how.tau > 0.9
    write_bundles(found, tmp_path)
    lines = (tmp_path / "bundles.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found) and not refused


def test_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = root / "designs" / "search_small.toml"
    arguments = BundleArguments(spec, pool="dw3,conv1,conv1", draw=2, seed=3, out=tmp_path)
    assert bundles_command(arguments, as_json=True) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["bundles"]) == 2
    assert record["duplicates"][0]["bundle"] == "conv1"
    assert record["accuracy"]["worst_error"] < 0.10
    assert (tmp_path / "bundles.csv").exists()
