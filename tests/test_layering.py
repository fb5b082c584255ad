"""Imports go one way, and the base installation does without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("model", "quant", "rtl_sim", "testbench", "search", "boards")
# package -> the packages of this project that it may import, besides itself
MAY_IMPORT = {
    "model": set(),
    "quant": {"model"},
    "rtl_sim": {"model"},
    "testbench": {"model", "rtl_sim"},
    "search": {"model", "quant", "rtl_sim", "testbench"},
    "boards": {"model", "rtl_sim", "testbench"},
}
OURS = {*MAY_IMPORT, "tandem"}
# Pillow reads photographs; model/image.py loads it only when it meets one.
MODEL_NEEDS = {"numpy", "numba", "simpy", "PIL", "rich"}
TORCH = {"torch", "torchvision", "brevitas"}

WITHOUT_TORCH = """
import importlib, sys
for name in ("torch", "brevitas"):
    sys.modules[name] = None  # importing it now raises ImportError
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import of a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.lineno, (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    upward = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for line, name in imported(path)
        if name in OURS - MAY_IMPORT[package] - {package}
    ]
    assert upward == []


def test_the_model_needs_numpy_numba_and_simpy_only() -> None:
    foreign = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("model")
        for line, name in imported(path)
        if name not in MODEL_NEEDS | OURS | sys.stdlib_module_names
    ]
    assert foreign == []


@pytest.mark.parametrize("package", sorted(set(MAY_IMPORT) - {"quant"}))
def test_only_quant_imports_torch(package: str) -> None:
    assert [path for path in sources(package) if TORCH & {n for _, n in imported(path)}] == []


def test_everything_outside_quant_can_be_imported_without_torch() -> None:
    # Benches are imported by cocotb inside the simulator; here only as far as they need none.
    names = ["tandem"] if (ROOT / "tandem.py").exists() else []
    for package in ("model", "rtl_sim", "testbench", "search", "boards"):
        for path in sources(package):
            parts = path.relative_to(ROOT).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = [
        path
        for package in (*PACKAGES, "tests")
        for path in sources(package)
        if path.stem in {"utils", "util", "common", "helpers", "misc"}
    ]
    assert drawers == []
