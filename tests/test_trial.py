"""Trials and inheritance: plain values in and out, the same bits again, weights cut to shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design_writer import design_to_dict
from model.errors import TandemError
from model.network import Network, parse_network
from quant.alignment import identities, kept_channels, matching_chains
from quant.trial import Trial, run_trial, trial_settings
from search.bundle import Bundle
from search.genome import Genome
from search.genome_space import GenomeSpace
from tests.search_spaces import small_spec

pytestmark = pytest.mark.quant

SKYNET = (48, 96, 192, 384, 512)


def network(channels: tuple[int, ...], pools: tuple[int, ...], side: int = 64) -> Network:
    chains = [["dw3", "conv1:48", "maxpool"]]
    for index, count in enumerate(channels):
        chains.append(["dw3", f"conv1:{count}"] + (["maxpool"] if index in pools else []))
    return parse_network(3, side, 2 * side, chains, ["conv1:10"])


def payload(**changes: Any) -> dict[str, Any]:
    space = GenomeSpace.of(small_spec(), Bundle(("dw3", "conv1")))
    design = space.build(Genome(space.bundle, (1.5, 1.5), (True, True), 8, 8, 0, 0), "trial")
    settings = {"data": {"views": 1}, "float": {"epochs": 2}}
    trial = Trial(design_to_dict(design), "synthetic:6", "synthetic:4", settings, ("float",))
    return trial.payload | changes


def test_keys_follow_what_is_learned() -> None:
    base = payload()
    del base["design"]["name"]

    def key(**changes: Any) -> str:
        return Trial(**(payload() | changes)).key

    design = payload()["design"]
    design["name"] = "other"
    design["accelerator"]["command_depth"] = 8
    assert key(design=design) == key()
    assert key(val="synthetic:5") != key()
    assert key(data_digest="x") != key()


def test_a_trial_is_its_payload(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ticks: list[dict[str, Any]] = []
    shared = payload(cache=str(tmp_path / "cache"))
    first = run_trial(shared, tmp_path / "one", ticks.append)
    again = run_trial(shared, tmp_path / "two", lambda _: None)
    assert [tick["epoch"] for tick in ticks] == [1, 2]
    assert first["mean_iou"] == again["mean_iou"]
    assert first["history"] == again["history"]
    resumed = run_trial(shared, tmp_path / "one", lambda _: None)  # all is there
    assert resumed["mean_iou"] == first["mean_iou"]
    assert resumed["history"] == first["history"]
    assert len(first["history"]) == 2


def test_wrong_settings_and_missing_weights_are_told(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(TandemError, match="unknown key"):
        trial_settings(payload(settings={"float": {"epoch": 1}}))
    start = payload(settings={"start": {"inherit": True}}, start=str(tmp_path / "none.h5"))
    with pytest.raises(TandemError, match="there is no such file"):
        run_trial(start, tmp_path / "trial", lambda _: None)


def test_what_is_kept_of_a_source() -> None:
    same = network((96, 192, 384, 512), (0, 1))
    assert kept_channels(same, SKYNET) == pytest.approx(0.0)
    assert kept_channels(network((48, 192, 384, 512), (0, 1)), SKYNET) == pytest.approx(-1.0)
    assert kept_channels(network((96, 192, 384), (0, 1)), SKYNET) == pytest.approx(-1.0)
    assert kept_channels(network((96, 192, 384, 512), (0, 2)), SKYNET) < -0.4
    assert kept_channels(same, ()) == 0.0
    deeper = network((96, 192, 384, 384, 512), (0, 1))
    assert identities(matching_chains(deeper), 5) == {4}
    assert kept_channels(deeper, SKYNET) == pytest.approx(0.0)


def source(seed: int) -> dict[str, Any]:
    """Arrays of a float checkpoint with three blocks."""
    torch = pytest.importorskip("torch")
    from quant.network import DetectionNetwork  # noqa: PLC0415

    torch.manual_seed(seed)
    found = DetectionNetwork(network((56, 64), (0,), 32))
    return found.to_arrays()


def test_equal_shapes_and_identities_compute_the_same() -> None:
    torch = pytest.importorskip("torch")
    from quant.inherit import inherit  # noqa: PLC0415
    from quant.network import DetectionNetwork  # noqa: PLC0415

    arrays = source(1)
    shallow = DetectionNetwork(network((56, 64), (0,), 32))
    deep = DetectionNetwork(network((56, 56, 64), (0,), 32))
    assert inherit(shallow, arrays, 1).blocks == 3
    found = inherit(deep, arrays, 1)
    assert (found.blocks, found.identities) == (3, 1)
    images = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(2)) * 4 - 2
    with torch.no_grad():
        last = len(shallow.network.bundles)
        ours = deep.eval().run(images, 0, last + 1)
        theirs = shallow.eval().run(images, 0, last)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_narrower_layers_keep_the_channels_that_count() -> None:
    pytest.importorskip("torch")
    from quant.inherit import inherit, source_blocks  # noqa: PLC0415
    from quant.network import DetectionNetwork  # noqa: PLC0415

    arrays = source(3)
    blocks = source_blocks(arrays)
    narrow = DetectionNetwork(network((48, 72), (0,), 32))
    found = inherit(narrow, arrays, 1)
    assert found.measured[:2] == ["bundle2.dw3", "bundle2.conv1"]
    kept = sorted(np.argsort(-blocks[1].weighs, kind="stable")[:48])
    ours = narrow.to_arrays()
    np.testing.assert_array_equal(
        ours["bundle1.conv1.weight"][:, :, 0, 0], blocks[1].pointwise["weight"][kept]
    )
    np.testing.assert_array_equal(ours["bundle2.dw3.weight"], blocks[2].depthwise["weight"][kept])
    np.testing.assert_array_equal(
        ours["bundle2.conv1.weight"][:64, :, 0, 0], blocks[2].pointwise["weight"][:, kept]
    )


def test_other_networks_are_refused() -> None:
    pytest.importorskip("torch")
    from quant.inherit import inherit  # noqa: PLC0415
    from quant.network import DetectionNetwork  # noqa: PLC0415

    other = DetectionNetwork(parse_network(3, 32, 64, [["conv3:8", "maxpool"]], ["conv1:10"]))
    with pytest.raises(TandemError, match="start without inheritance"):
        inherit(other, source(1), 1)
