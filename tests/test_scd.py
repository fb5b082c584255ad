"""Coordinate descent: deterministic, within its budget, exact, replayable; and the baselines."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from model.design import design_from_dict
from search.baselines import search_baseline
from search.bundle import Bundle
from search.chain import run_chain
from search.evaluator import BudgetSpent, Evaluator
from search.genome_space import GenomeSpace
from search.hypervolume import front_of, growth, hypervolume
from search.measure import evaluate
from search.quality import QualityModel
from search.reach import check_reach, reach_of
from search.scd import Chain, replay
from tests.search_spaces import small_spec

SPEC = small_spec()
SPACE = GenomeSpace.of(SPEC, Bundle(("dw3", "conv1")))
BUDGET = 40


def evaluator(budget: int = BUDGET) -> Evaluator:
    return Evaluator(SPACE, QualityModel().predict, budget)


def chain(seed: int, plain: bool = False) -> Chain:
    return Chain(SPEC.targets[0], SPACE, evaluator(), random.Random(seed), 4, plain=plain)


@pytest.mark.parametrize("plain", [False, True])
def test_a_chain_is_its_seed(plain: bool) -> None:
    first, again = chain(3, plain), chain(3, plain)
    assert [e.genome for e in first.run()] == [e.genome for e in again.run()]
    assert [step.record() for step in first.steps] == [step.record() for step in again.steps]
    assert first.evaluate.spent == BUDGET


def test_candidates_meet_the_target_fit_the_chip_and_differ() -> None:
    found = chain(1).run()
    assert found
    for point in found:
        assert point.fps >= SPEC.targets[0].least_fps
        assert not SPEC.limits.exceeded(point.costs)
        again = evaluate(SPACE.build(point.genome), 1)
        assert again.latency_cycles == point.latency_cycles  # exact
    assert len({point.genome.network_key for point in found}) == len(found)
    assert [p.quality for p in found] == sorted((p.quality for p in found), reverse=True)


def test_a_trace_replays_to_the_cycle() -> None:
    found = chain(2)
    found.run()
    records = [step.record() for step in found.steps]
    assert records
    assert replay(records, evaluator(1000)) == []
    records[0]["cycles"] += 1
    assert [index for index, _, _ in replay(records, evaluator(1000))] == [0]


def test_what_does_not_fit_costs_no_evaluation() -> None:
    large = replace(SPACE.random(random.Random(1)), lanes=len(SPACE.lanes) - 1, weight_bits=8)
    tight = Evaluator(replace_limits(), QualityModel().predict, 1)
    assert not tight(large).feasible
    assert tight.spent == 0
    found, rng = evaluator(1), random.Random(1)

    def spend() -> None:
        for _ in range(100):
            found(SPACE.random(rng))

    with pytest.raises(BudgetSpent):
        spend()
    assert found.spent == 1


def replace_limits() -> GenomeSpace:
    record = SPACE.record()
    record["limits"]["bram18"] = 1
    return GenomeSpace.of_record(record)


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2"])
def test_baselines_spend_the_same_budget(method: str) -> None:
    if method != "random":
        pytest.importorskip("optuna")
    runs = [evaluator(), evaluator()]
    first, again = (search_baseline(method, e, SPEC.targets[0], 5, 3) for e in runs)
    assert runs[0].spent <= BUDGET
    assert [e.genome for e in first] == [e.genome for e in again]
    assert all(e.meets(SPEC.targets[0]) for e in first)


def test_a_chain_as_a_task_tells_all_it_evaluated() -> None:
    batches: list[dict[str, Any]] = []
    payload = {
        "chain": "scd-test",
        "space": SPACE.record(),
        "target": {"fps": 1200.0, "tolerance": 0.1},
        "method": "scd",
        "seed": 1,
        "evaluations": 20,
        "candidates": 2,
        "quality": QualityModel().record(),
    }
    found = run_chain(payload, None, batches.append)  # type: ignore[arg-type]
    assert sum(len(batch["evaluations"]) for batch in batches) == found["spent"] == 20
    for record in found["candidates"]:
        design = design_from_dict(record["design"], "candidate")
        assert evaluate(design, 1).latency_cycles == record["latency_cycles"]


def test_targets_out_of_reach_are_told_with_the_bound() -> None:
    bundles = [Bundle(("dw3", "conv1")), Bundle(("conv1",))]
    reach = reach_of(SPEC, bundles)
    assert 0 < reach.fps_found <= reach.fps_bound
    far = small_spec(targets={"fps": [1e5]})
    with pytest.raises(Exception, match="out of reach") as found:
        check_reach(far, bundles)
    assert f"{reach.fps_bound:.1f}" in str(found.value)
    assert f"{reach.fps_found:.1f}" in str(found.value)


def test_hypervolume_is_an_area() -> None:
    points = [(2.0, 1.0), (1.0, 2.0), (0.5, 0.5), (-1.0, 9.0)]
    assert hypervolume(points, (0.0, 0.0)) == pytest.approx(3.0)
    assert growth(points, (0.0, 0.0), [1, 2, 4]) == pytest.approx([2.0, 3.0, 3.0])
    assert front_of(points) == [(2.0, 1.0), (1.0, 2.0), (-1.0, 9.0)]
