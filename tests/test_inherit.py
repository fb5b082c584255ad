"""Inherited weights: copies, identities, and what is cut or padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.quant

from quant.inherit import inherit, inherited_rates, recalibrate  # noqa: E402  (after the skip)
from quant.network import DetectionNetwork, build_network  # noqa: E402
from quant.skynet_weights import Arrays  # noqa: E402

STEM = ["dw3", "conv1:48", "maxpool"]
SOURCE = [STEM, ["dw3", "conv1:96", "maxpool"], ["dw3", "conv1:192", "maxpool"]]


@pytest.fixture
def base(root: Path) -> dict[str, Any]:
    return design_to_dict(load_design(root / "designs" / "tiny.toml"))


def _network(base: dict[str, Any], bundles: list[list[str]]) -> DetectionNetwork:
    tables = {**base, "network": {**base["network"], "bundles": bundles, "head": ["conv1:10"]}}
    tables["network"] |= {"channels": 3, "height": 32, "width": 64}
    design: Design = design_from_dict(tables, "test")
    torch.manual_seed(3)
    return build_network(design, "relu6")


def _source(base: dict[str, Any]) -> tuple[DetectionNetwork, Arrays]:
    network = _network(base, SOURCE)
    named = {}
    for chain, number in zip(network.network.bundles, (1, 2, 3), strict=True):
        layers = [layer for layer in chain if layer.computes]
        for layer, name in zip(layers, ("dw3", "conv1"), strict=True):
            for part, values in network.to_arrays().items():
                if part.startswith(f"{layer.name}."):
                    named[f"bundle{number}.{name}{part[len(layer.name) :]}"] = values
    return network, named


def _features(network: DetectionNetwork, bundles: int) -> Any:
    """Before the head, on one image."""
    network.eval()
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return network.run(images, 0, bundles)


def test_equal_shapes_are_a_copy_and_an_extra_repetition_the_identity(base: dict[str, Any]) -> None:
    source, arrays = _source(base)
    same = _network(base, SOURCE)
    assert inherit(same, arrays, seed=1).blocks == 3
    longer = _network(base, [*SOURCE, ["dw3", "conv1:192"]])
    found = inherit(longer, arrays, seed=1)
    assert (found.blocks, found.identities) == (3, 1)
    wanted = _features(source, 3)
    assert torch.allclose(_features(same, 3), wanted, atol=1e-6)
    assert torch.allclose(_features(longer, 4), wanted, atol=1e-4)


@pytest.mark.parametrize("channels", [64, 136])
def test_cut_and_padded_layers_compute_and_repeat(base: dict[str, Any], channels: int) -> None:
    _, arrays = _source(base)
    bundles = [STEM, ["dw3", f"conv1:{channels}", "maxpool"], ["dw3", "conv1:192", "maxpool"]]
    first, second = _network(base, bundles), _network(base, bundles)
    found = inherit(first, arrays, seed=1)
    inherit(second, arrays, seed=1)
    assert found.blocks == 3
    assert found.measured
    recalibrate(first, found.measured, [torch.rand(2, 3, 32, 64)])
    assert torch.isfinite(_features(first, 3)).all()
    ours, theirs = first.to_arrays(), second.to_arrays()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours if "running" not in name)


def test_other_bundles_begin_at_random_and_learn_fully(base: dict[str, Any]) -> None:
    _, arrays = _source(base)
    network = _network(base, [STEM, ["conv1:96", "maxpool"], ["conv1:96", "maxpool"]])
    assert inherit(network, arrays, seed=1).blocks == 1
    assert inherited_rates(network.network) == [0.1, 1.0, 1.0, 1.0]


def test_a_source_that_fits_nothing_is_refused(base: dict[str, Any]) -> None:
    with pytest.raises(TandemError, match="inherit"):
        inherit(_network(base, SOURCE), {}, seed=1)
