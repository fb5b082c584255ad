"""QONNX: written by Brevitas, run by qonnx, the same features as the hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("onnx")
pytest.importorskip("onnxoptimizer")
pytest.importorskip("qonnx")
import onnx
from quantised_cases import (
    BUNDLES,
    JOINED,
    batches,
    lively_network,
    pixels,
    scenes,
    small_design,
)

from model.errors import TandemError
from quant.calibration import calibrate
from quant.exact import Exported
from quant.export import export
from quant.qonnx_export import check_qonnx, export_qonnx

pytestmark = [pytest.mark.quant, pytest.mark.filterwarnings("default")]


def exported(bundles: object, bits: tuple[int, int]) -> Exported:
    design = small_design(bundles, *bits)  # type: ignore[arg-type]
    images = scenes(design, 2)
    network = calibrate(lively_network(design, images, 1), batches(images, bits[1]), *bits)
    return export(network, design)


@pytest.mark.parametrize("bundles", [BUNDLES, JOINED])
@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (11, 8), (16, 16)])
def test_qonnx_runs_to_the_same_features(
    bundles: object, bits: tuple[int, int], tmp_path: Path
) -> None:
    network = exported(bundles, bits)
    path = tmp_path / "network.onnx"
    export_qonnx(network, path)
    image = pixels(scenes(small_design(bundles, *bits), 2), bits[1])[1]  # type: ignore[arg-type]
    found = check_qonnx(network, path, image)
    assert found.features > 15_000
    # Sums of 24 bits are exact; at 16 bits a few in a thousand fall to the other side of an edge.
    assert found.differing <= (0.03 if bits == (16, 16) else 1e-4) * found.features
    assert found.largest_step <= (8 if bits == (16, 16) else 1)
    assert found.head_error < 1e-2


def test_every_quantiser_shows_its_bits_and_rounds_half_up(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export_qonnx(exported(JOINED, (5, 6)), path)
    graph = onnx.load(path).graph
    values = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Quant"]
    widths = sorted(int(values[node.input[3]]) for node in nodes)
    layers = 6  # dw, conv, dw, conv, conv, dw, and the head
    assert widths == [5] * (layers + 1) + [6] * (layers + 1) + [32] * layers
    assert {a.s for n in nodes for a in n.attribute if a.name == "rounding_mode"} == {b"HALF_UP"}


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="cannot be written"):
        export_qonnx(exported(JOINED, (8, 8)), tmp_path / "none" / "network.onnx")
