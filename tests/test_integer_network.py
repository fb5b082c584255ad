"""Integer networks on disk, their limits, random ones, and images."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.functional import run_functional
from model.image import random_image
from model.integer_network import IntegerNetwork, check_accumulators, check_network
from model.network_file import load_network, save_network
from model.random_network import random_network

DESIGNS = Path(__file__).parent.parent / "designs"


@pytest.fixture(scope="module")
def design() -> Design:
    return load_design(DESIGNS / "tiny.toml")


@pytest.fixture
def network(design: Design) -> IntegerNetwork:
    return random_network(design, np.random.default_rng(11))


def test_a_saved_network_loads_equal(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "net.npz"
    save_network(network, design, path)
    loaded = load_network(path, design)
    assert _as_text(loaded) == _as_text(network)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.npz"]


def test_the_file_is_the_same_bytes_each_time(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    for name in ("a.npz", "b.npz"):
        save_network(network, design, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_truncation_is_refused(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "net.npz"
    save_network(network, design, path)
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(TandemError, match=r"net\.npz: not a readable integer network"):
            load_network(path, design)


def test_every_flipped_byte_is_refused_or_harmless(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "net.npz"
    save_network(network, design, path)
    data = path.read_bytes()
    for position in range(0, len(data), 41):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            loaded = load_network(path, design)
        except TandemError:
            continue
        assert _as_text(loaded) == _as_text(network), position


def test_other_files_are_refused(design: Design, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="there is no such integer network"):
        load_network(tmp_path / "none.npz", design)
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(TandemError, match="has no manifest"):
        load_network(path, design)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(TandemError, match="has no manifest"):
        load_network(tmp_path / "x.npy", design)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest", "{}")
    with pytest.raises(TandemError, match="manifest is not an array"):
        load_network(path, design)
    with pytest.raises(TandemError, match="not a readable integer network"):
        load_network(tmp_path, design)


def test_pickles_are_never_opened(design: Design, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, manifest=np.array([{"a": 1}], dtype=object))
    with pytest.raises(TandemError, match="not a readable integer network"):
        load_network(path, design)


def test_a_network_of_another_design_is_refused(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "net.npz"
    save_network(network, design, path)
    for other, words in (
        ("dnn_a", "weight_bits = 8 (design tiny)"),
        ("tiny_conv", "bundle0.conv3 is missing"),
    ):
        with pytest.raises(TandemError) as refusal:
            load_network(path, load_design(DESIGNS / f"{other}.toml"))
        assert words in str(refusal.value)
        assert str(path) in str(refusal.value)


def test_a_network_of_other_shapes_is_refused(design: Design, network: IntegerNetwork) -> None:
    tables = design_to_dict(design)
    tables["network"]["bundles"][0][1] = "conv1:17"
    with pytest.raises(TandemError, match=r"bundle0\.conv1: weight has shape \(16, 3, 1, 1\)"):
        check_network(network, design_from_dict(tables))


def test_the_same_network_runs_on_another_accelerator(
    design: Design, network: IntegerNetwork
) -> None:
    tables = design_to_dict(design)
    tables["name"] = "wider"
    tables["accelerator"]["out_lanes"] = 16
    check_network(network, design_from_dict(tables))


BAD_MANIFESTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(format="other"), "does not say format"),
    (lambda m: m.update(version=2), "format version 2"),
    (lambda m: m.pop("layers"), "damaged"),
    (lambda m: m.update(weight_bits="many"), "damaged"),
    (lambda m: m.update(feature_bits=9), "feature_bits = 9"),
    (lambda m: m["layers"].pop(), "head.conv1 is missing"),
    (lambda m: m["layers"].reverse(), "the order"),
    (lambda m: m["layers"][0].update(name="nobody"), "nobody.weight is missing"),
    (lambda m: m["layers"][0].update(shape=[1, 3, 3]), "the manifest says (1, 3, 3)"),
    (lambda m: m["layers"][0].update(shift=48), "shift = 48"),
    (lambda m: m["layers"][0].update(shift=1.5), "shift = 1.5"),
    (lambda m: m["layers"][0].update(round=1), "round = 1"),
    (lambda m: m["layers"][0].update(pad_value=256), "pad_value = 256"),
    (lambda m: m["layers"][0].pop("pad_value"), "damaged"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD_MANIFESTS)
def test_a_bad_manifest_is_refused(
    design: Design,
    network: IntegerNetwork,
    tmp_path: Path,
    spoil: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    arrays = _arrays(design, network, tmp_path)
    manifest = json.loads(str(arrays["manifest"]))
    spoil(manifest)
    _refused(design, tmp_path, {**arrays, "manifest": np.array(json.dumps(manifest))}, words)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_manifest_that_is_no_table_is_refused(
    design: Design, network: IntegerNetwork, tmp_path: Path, text: str
) -> None:
    arrays = _arrays(design, network, tmp_path)
    _refused(design, tmp_path, {**arrays, "manifest": np.array(text)}, "manifest")


def test_bad_arrays_are_refused(design: Design, network: IntegerNetwork, tmp_path: Path) -> None:
    arrays = _arrays(design, network, tmp_path)
    key = "bundle0.conv1"
    for part, value, words in (
        ("weight", np.full((16, 3, 1, 1), 128, dtype=np.int16), "holds 128"),
        ("weight", np.zeros((16, 3, 1, 1)), "float64"),
        ("weight", np.zeros((16, 3, 1, 1), dtype=np.uint64), "signed integers"),
        ("bias", np.full(16, 1 << 31, dtype=np.int64), "bias holds 2147483648"),
        ("bias", np.zeros(15, dtype=np.int32), "bias has shape (15,)"),
        ("mult", np.full(16, 1 << 15, dtype=np.int64), "mult holds 32768"),
    ):
        _refused(design, tmp_path, {**arrays, f"{key}.{part}": value}, words)
    del arrays[f"{key}.bias"]
    _refused(design, tmp_path, arrays, f"{key}.bias is missing")


def test_an_overflow_is_refused_by_layer_channel_and_worst_case(
    design: Design, network: IntegerNetwork
) -> None:
    tables = design_to_dict(design)
    tables["accelerator"]["accumulator_bits"] = 16
    narrow = design_from_dict(tables)
    weight = np.zeros((16, 3, 1, 1), dtype=np.int64)
    weight[5] = 43  # 129 * 255 = 32895 > 32767
    layers = [replace(layer, weight=np.zeros_like(layer.weight)) for layer in network.layers]
    layers[1] = replace(layers[1], weight=weight)
    overflowing = replace(network, layers=tuple(layers))
    with pytest.raises(TandemError, match=r"bundle0\.conv1: channel 5 could reach 32895.*32767"):
        check_accumulators(overflowing, narrow)
    weight[5] = -43
    with pytest.raises(TandemError, match=r"channel 5 could reach -32895.*-32768"):
        check_accumulators(overflowing, narrow)
    weight[5, 0] = 42 - 85  # sums -129 + 0 is refused, -128 is not
    weight[5, 1:] = [[[-43]], [[-42]]]
    check_accumulators(overflowing, narrow)


@pytest.mark.parametrize("name", ["tiny", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96"])
@pytest.mark.parametrize("seed", range(5))
def test_a_random_network_is_valid_and_lively(name: str, seed: int) -> None:
    design = load_design(DESIGNS / f"{name}.toml")
    rng = np.random.default_rng(seed)
    network = random_network(design, rng)
    check_network(network, design)
    check_accumulators(network, design)
    outputs = run_functional(design, network, random_image(design, rng))
    for layer in design.network.layers[:-1]:
        values = outputs[layer.name]
        if values.size < 64:
            continue
        assert (values > 0).mean() > 0.02, (layer.name, seed)
        assert (values == design.feature_max).mean() < 0.6, (layer.name, seed)
        assert len(np.unique(values)) > 8, (layer.name, seed)


def test_a_random_network_fits_the_narrowest_accumulator(design: Design) -> None:
    tables = design_to_dict(design)
    tables["accelerator"]["accumulator_bits"] = 16
    narrow = design_from_dict(tables)
    for seed in range(20):
        network = random_network(narrow, np.random.default_rng(seed))
        check_accumulators(network, narrow)
        assert all(layer.weight.any() for layer in network.layers)


def test_the_same_seed_gives_the_same_network(design: Design) -> None:
    first, second = (random_network(design, np.random.default_rng(5)) for _ in range(2))
    assert _as_text(first) == _as_text(second)


def test_saving_into_nowhere_is_refused(
    design: Design, network: IntegerNetwork, tmp_path: Path
) -> None:
    with pytest.raises(TandemError, match="cannot be written"):
        save_network(network, design, tmp_path / "no" / "net.npz")


def _arrays(design: Design, network: IntegerNetwork, folder: Path) -> dict[str, Any]:
    path = folder / "good.npz"
    save_network(network, design, path)
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def _refused(design: Design, folder: Path, arrays: dict[str, Any], words: str) -> None:
    path = folder / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(TandemError) as refusal:
        load_network(path, design)
    assert str(path) in str(refusal.value)
    assert words in str(refusal.value)


def _as_text(network: IntegerNetwork) -> str:
    return repr(
        [
            (la.name, la.weight.tolist(), la.bias.tolist(), la.mult.tolist(), la.shift, la.round,
             la.pad_value)
            for la in network.layers
        ]
    )  # fmt: skip
