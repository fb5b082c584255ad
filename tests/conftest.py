"""Fixtures that every test may use."""

from __future__ import annotations

import importlib.util
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Examples are the same on every run and every machine; time limits would depend on the machine.
settings.register_profile("tandem", deadline=None, derandomize=True, database=None)
settings.load_profile("tandem")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the [quant] extra where it is not installed."""
    if importlib.util.find_spec("torch") and importlib.util.find_spec("brevitas"):
        return
    skip = pytest.mark.skip(reason="needs torch and brevitas: pip install -e '.[quant]'")
    for item in items:
        if item.get_closest_marker("quant"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def build_root() -> Path:
    """Where compiled simulations are kept, between runs and for all workers."""
    return ROOT / "build" / "verilator"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fixed number per test, or TANDEM_SEED. Printed, so pytest shows it when the test fails."""
    chosen = os.environ.get("TANDEM_SEED")
    value = int(chosen) if chosen else zlib.crc32(request.node.nodeid.encode())
    print(f"TANDEM_SEED={value}")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Randomness of the test, from `seed`."""
    return np.random.default_rng(seed)
