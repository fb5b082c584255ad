"""Checkpoints: whole or absent, never executed, refused in one sentence."""

from __future__ import annotations

import io
import json
import pickle
import resource
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, load_design
from model.errors import TandemError
from quant.checkpoint import (
    Checkpoint,
    check_design,
    design_differences,
    design_facts,
    load_checkpoint,
    load_last,
    previous_path,
    save_checkpoint,
    take,
)


@pytest.fixture
def design(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


@pytest.fixture
def checkpoint(design: Design, rng: np.random.Generator) -> Checkpoint:
    arrays = {
        "model/bundle0.dw3.weight": rng.normal(size=(3, 3, 3)).astype(np.float32),
        "optimiser/0/step": np.float32(7).reshape(()),
        "random/torch": rng.integers(0, 255, 100).astype(np.uint8),
        "model/empty": np.zeros((0, 3), np.int64),
    }
    return Checkpoint(design_facts(design), {"stage": "float", "epoch": 3}, arrays)


def told(path: Path) -> str:
    with pytest.raises(TandemError) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def write_members(path: Path, members: dict[str, Any], compress: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, value in members.items():
            if isinstance(value, bytes):
                archive.writestr(name, value)
            else:
                buffer = io.BytesIO()
                np.save(buffer, value)
                archive.writestr(name, buffer.getvalue())


def test_what_is_saved_is_loaded(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "a.npz"
    save_checkpoint(checkpoint, path)
    found = load_checkpoint(path)
    assert found.design == checkpoint.design
    assert found.facts == checkpoint.facts
    assert list(found.arrays) == list(checkpoint.arrays)
    for name, values in checkpoint.arrays.items():
        assert found.arrays[name].dtype == values.dtype
        assert found.arrays[name].shape == values.shape
        assert np.array_equal(found.arrays[name], values)
        assert found.arrays[name].flags.writeable
    assert list(found.part("optimiser")) == ["0/step"]


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path, checkpoint: Checkpoint) -> None:
    for name in ("a.npz", "b.npz"):
        save_checkpoint(checkpoint, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_one_before_stays_and_serves_when_the_last_is_damaged(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    path = tmp_path / "a.npz"
    save_checkpoint(checkpoint, path, keep_previous=True)
    assert not previous_path(path).exists()
    later = replace(checkpoint, facts={"stage": "float", "epoch": 4})
    save_checkpoint(later, path, keep_previous=True)
    assert load_checkpoint(previous_path(path)).facts["epoch"] == 3
    assert load_last(path)[0].facts["epoch"] == 4
    path.write_bytes(path.read_bytes()[:300])
    found, used, note = load_last(path)
    assert found.facts["epoch"] == 3
    assert used == previous_path(path)
    assert "truncated" in note


def test_every_truncation_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "a.npz"
    save_checkpoint(checkpoint, path)
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        told(path)


def test_damaged_bytes_never_end_in_anything_but_a_sentence(
    tmp_path: Path, checkpoint: Checkpoint, rng: np.random.Generator
) -> None:
    path = tmp_path / "a.npz"
    save_checkpoint(checkpoint, path)
    data = path.read_bytes()
    for _ in range(300):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            load_checkpoint(path)
        except TandemError as error:
            assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    manifest = np.array(json.dumps({"format": "tandem-checkpoint", "version": 1}))
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.float32))

    lie = io.BytesIO()
    np.lib.format.write_array_header_1_0(lie, {**header, "shape": (1 << 45,)})
    write_members(path, {"manifest.npy": manifest, "model/a.npy": lie.getvalue() + b"1234"})
    assert "shape (35184372088832,)" in told(path)

    bomb = {"manifest.npy": manifest, "a.npy": np.zeros(1 << 22)}
    write_members(path, bomb, zipfile.ZIP_DEFLATED)
    assert "not a stored array" in told(path)

    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    write_members(path, {"manifest.npy": manifest, "a.npy": objects.getvalue()})
    assert "an array of object values" in told(path)

    path.write_bytes(pickle.dumps({"weights": 1}))
    assert "not a readable checkpoint" in told(path)

    write_members(path, {"a.npy": np.zeros(3)})
    assert "has no manifest" in told(path)
    write_members(path, {"manifest.npy": np.array("[" * 100_000)})
    assert "not valid JSON" in told(path)
    write_members(path, {"manifest.npy": np.array('{"format": "other"}')})
    assert "does not say format" in told(path)
    write_members(path, {"manifest.npy": np.array('{"format": "tandem-checkpoint", "version": 9}')})
    assert "format version 9" in told(path)
    write_members(path, {"manifest.npy": manifest})
    assert "design or facts are missing" in told(path)
    path.unlink()
    assert "there is no such checkpoint" in told(path)


def test_a_checkpoint_of_another_design_names_the_difference(
    root: Path, design: Design, checkpoint: Checkpoint
) -> None:
    check_design(checkpoint, replace(design, name="other"), Path("a.npz"), precision=True)
    check_design(checkpoint, replace(design, weight_bits=4), Path("a.npz"), precision=False)
    with pytest.raises(TandemError, match=r"a\.npz: .* \(tiny\): weight_bits 8, not 4"):
        check_design(checkpoint, replace(design, weight_bits=4), Path("a.npz"), precision=True)
    dnn_a = load_design(root / "designs" / "dnn_a.toml")
    lines = design_differences(checkpoint.design, design_facts(dnn_a))
    assert lines == [
        "input 3 x 16 x 24, not 3 x 160 x 360",
        "2 bundles, not 4",
        "bundle 0 is dw3 conv1:16 maxpool, not dw3 conv1:48 maxpool",
        "bundle 1 is dw3 conv1:24, not dw3 conv1:96 maxpool",
        "weight_bits 8, not 16",
    ]


@pytest.mark.parametrize("broken", [{}, {"bundles": 3, "head": 4, "input": "x"}, {"bundles": [1]}])
def test_damaged_facts_of_a_design_only_differ(design: Design, broken: dict[str, Any]) -> None:
    assert design_differences(broken, design_facts(design))


def test_an_array_of_another_shape_is_named() -> None:
    arrays = {"w": np.zeros((2, 3), np.float32)}
    assert take(arrays, "w", np.ones((2, 3), np.float32), "x") is arrays["w"]
    with pytest.raises(TandemError, match="x: the array v is missing"):
        take(arrays, "v", arrays["w"], "x")
    differs = r"holds float32 \(2, 3\), this run needs float32 \(3, 2\)"
    with pytest.raises(TandemError, match=differs):
        take(arrays, "w", np.ones((3, 2), np.float32), "x")


WRITE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from model.errors import TandemError
from quant.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

path = Path(sys.argv[1])
save_checkpoint(Checkpoint({}, {"epoch": 1}, {"a": np.zeros(100)}), path, keep_previous=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_checkpoint(Checkpoint({}, {"epoch": 2}, {"a": np.zeros(100_000)}), path, True)
except TandemError as error:
    print(error)
assert load_checkpoint(path).facts == {"epoch": 1}
assert sorted(p.name for p in path.parent.iterdir()) == ["a.npz", "a.previous.npz"]
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on file sizes")
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path, root: Path) -> None:
    assert signal.SIGXFSZ
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path / "a.npz")],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the checkpoint cannot be saved" in done.stdout
    assert "the checkpoint before it is whole" in done.stdout
