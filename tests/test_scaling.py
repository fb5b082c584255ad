"""What an evaluation costs: the bench's own arithmetic, and the peak of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.design import load_design
from model.errors import TandemError
from model.fast_simulator import prepare
from testbench import scaling as bench


def test_a_scaled_design_keeps_the_accelerator(root: Path) -> None:
    design = load_design(root / "designs" / "dnn_a.toml")
    found = bench.scaled(design, 80, 160, 7)
    assert found.accelerator == design.accelerator
    assert (found.network.height, found.network.width) == (80, 160)
    assert len(found.network.chains) == 8  # the head is a chain too


def test_one_evaluation_stays_below_its_memory(root: Path) -> None:
    prepare()  # compiling takes more, once
    design = root / "designs" / "dnn_a.toml"
    cost = bench._in_fresh_process(design, 160, 320, 5)
    assert cost["tiles"] > 0
    assert cost["events"] > cost["tiles"]
    assert cost["peak_mb"] < bench.MEMORY_TARGET_MB


def test_a_point_that_fails_is_named(root: Path) -> None:
    with pytest.raises(TandemError, match="8 x 16, 3 bundles"):
        bench._in_fresh_process(root / "designs" / "none.toml", 8, 16, 3)


def test_a_line_is_found_with_its_share_of_the_variance() -> None:
    size = np.array([1.0, 2.0, 3.0, 4.0])
    found = bench._line(size, 5 + 2 * size)
    assert found["slope"] == pytest.approx(2)
    assert found["offset"] == pytest.approx(5)
    assert found["r_squared"] == pytest.approx(1)
