"""SkyNet's published weights: read exactly, and only as they must be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import load_design
from model.errors import TandemError
from quant.skynet_weights import (
    _entries,
    matching_bundles,
    read_skynet,
    skynet_network,
    warm_start,
)

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.quant


def write_skynet(path: Path, change: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """A file as the published one is laid out, with random values; ours by our names."""
    rng = np.random.default_rng(1)
    arrays = {}
    with h5py.File(path, "w") as file:
        for name, key, shape in _entries():
            values = rng.random(shape, dtype=np.float32)
            arrays[name] = values
            file[key] = values if len(shape) != 3 else values[:, None]
        if change:
            change(file)
    return arrays


def told(path: Path) -> str:
    with pytest.raises(TandemError) as caught:
        read_skynet(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_every_array_is_read_under_our_names(tmp_path: Path) -> None:
    path = tmp_path / "skynet.h5"
    wanted = write_skynet(path)
    found = read_skynet(path)
    assert found.keys() == wanted.keys()
    assert len(found) == 61
    for name, values in wanted.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], values), name
    assert {layer.name for layer in skynet_network().compute_layers} == {
        name.partition(".weight")[0] for name in found if "bn" not in name
    }


@pytest.mark.parametrize(("name", "bundles"), [("dnn_a", 4), ("dnn_c", 5), ("tiny", 0)])
def test_bundles_that_match_from_the_front_are_taken(
    root: Path, tmp_path: Path, name: str, bundles: int
) -> None:
    weights = write_skynet(tmp_path / "skynet.h5")
    network = load_design(root / "designs" / f"{name}.toml").network
    arrays, count = warm_start(network, weights)
    assert count == matching_bundles(network, weights) == bundles
    assert len(arrays) == 10 * bundles
    assert not any(name.startswith("head") for name in arrays)


def test_all_of_skynet_comes_with_its_head(tmp_path: Path) -> None:
    weights = write_skynet(tmp_path / "skynet.h5")
    arrays, count = warm_start(skynet_network(160, 360), weights)
    assert count == 6
    assert arrays.keys() == weights.keys()


FIRST = "model_p1.0.0.weight"
MEAN = "model_p1.0.1.running_mean"


def _virtual(file: Any) -> None:
    del file[FIRST]
    layout = h5py.VirtualLayout(shape=(3, 1, 3, 3), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(3, 1, 3, 3))
    file.create_virtual_dataset(FIRST, layout)


def _external(file: Any) -> None:
    del file[FIRST]
    file.create_dataset(FIRST, (3, 1, 3, 3), "f4", external=[("/etc/hostname", 0, 108)])


def _chunks(file: Any) -> None:
    del file[MEAN]
    file.create_dataset(MEAN, (3,), "f4", chunks=(1 << 24,), maxshape=(None,))


def _replace(key: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[key]
        if value is not None:
            file[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_replace(FIRST, None), "model_p1.0.0.weight is missing"),
        (_replace(FIRST, np.zeros((3, 3, 3), np.float32)), "has shape (3, 3, 3), SkyNet's has"),
        (_replace(FIRST, np.zeros((3, 1, 3, 3), np.int32)), "holds int32 values"),
        (_replace(MEAN, np.array(["a"] * 3, h5py.string_dtype())), "holds object values"),
        (_replace(MEAN, np.full(3, np.nan)), "not a finite number"),
        (_replace("model_p1.0.1.running_var", np.full(3, -1.0)), "a negative variance"),
        (_replace(FIRST, h5py.ExternalLink("other.h5", "x")), "is a link"),
        (_replace(FIRST, h5py.SoftLink("/x")), "is a link"),
        (_virtual, "keeps its values in another file"),
        (_external, "keeps its values in another file"),
        (_chunks, "far too large"),
    ],
)
def test_hostile_files_are_refused(
    tmp_path: Path, change: Callable[[Any], None], text: str
) -> None:
    path = tmp_path / "skynet.h5"
    write_skynet(path, change)
    assert text in told(path)


def test_a_group_in_place_of_an_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "skynet.h5"

    def change(file: Any) -> None:
        del file[FIRST]
        file.create_group(FIRST)

    write_skynet(path, change)
    assert "is not an array" in told(path)


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "skynet.h5"
    write_skynet(path)
    data = path.read_bytes()
    for length in (0, 7, 100, 5000, len(data) // 2, len(data) - 100):
        path.write_bytes(data[:length])
        told(path)
    path.write_bytes(b"PK\x03\x04" * 100)
    assert "not a readable HDF5 file" in told(path)
    path.unlink()
    assert "there is no such file" in told(path)


def test_damaged_bytes_end_in_a_sentence_or_in_numbers(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "skynet.h5"
    write_skynet(path)
    data = path.read_bytes()
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, 60_000, rng.integers(1, 20)):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            found = read_skynet(path)
        except TandemError as error:
            assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)
        else:
            assert all(np.isfinite(values).all() for values in found.values())
