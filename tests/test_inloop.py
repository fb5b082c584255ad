"""The evaluation inside a search says what the whole one says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.design import load_design
from search.inloop import evaluate_exact
from search.measure import evaluate
from testbench.campaign_cases import draw_case


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_design_is_worth_the_same(root: Path, frames: int) -> None:
    design = load_design(root / "designs" / "dnn_a.toml")
    found, wanted = evaluate_exact(design, frames), evaluate(design, frames)
    assert found.record() == {key: getattr(wanted, key) for key in found.record()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 20), number=st.integers(0, 1 << 20))
def test_random_designs_are_worth_the_same(seed: int, number: int) -> None:
    design = draw_case(seed, number).design
    found, wanted = evaluate_exact(design), evaluate(design, 2)
    assert found.record() == {key: getattr(wanted, key) for key in found.record()}
