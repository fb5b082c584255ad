"""QONNX for FINN and hls4ml: the exact Brevitas network, exported by Brevitas, run by ``qonnx``.

The graph takes normalised images (1, C, H, W) float32 and gives the head's real values. Weights,
biases and features pass through ``Quant`` nodes. Weights and features have a scale of 1: both are
the whole numbers of the hardware, and a ``Mul`` behind each convolution holds mult / 2^shift. ONNX
computes in float32, which holds 24 bits: sums up to there are exact, and only one whose product
with the multiplier lies within 2^-24 of the edge between two features may fall to the other side.
``check_qonnx`` counts how many did.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import TandemError
from model.integer_network import Integers
from model.network_file import write_atomically
from quant.exact import Exported, exact_network, whole_numbers
from quant.network import input_step, input_zero
from quant.quantised import IMAGE

HALF_UP = b"HALF_UP"
OPSET = 13


@dataclass(frozen=True)
class QonnxCheck:
    """How far the graph, run by ``qonnx``, is from the hardware's whole numbers on an image."""

    features: int  # compared: of every layer with weights but the head's last
    differing: int
    largest_step: int  # the largest difference of a feature
    head_error: float  # the largest difference of a head value, share of their largest magnitude


def export_qonnx(exported: Exported, path: str | Path) -> None:
    """Write a network as QONNX. TandemError where the path or a package is missing."""
    try:
        from brevitas.export import export_qonnx as brevitas_export  # noqa: PLC0415
    except ImportError as error:
        raise TandemError(f"QONNX needs the [quant] extra ({error})") from error
    network = exact_network(exported.network, exported.integers, whole_weights=True).float()
    for module in network.layers.values():
        module.gain = module.gain.float()
    net = network.network
    image = torch.zeros(1, net.channels, net.height, net.width)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's exporter, about itself
            graph = brevitas_export(
                network, args=image, opset_version=OPSET, dynamo=False,
                input_names=["image"], output_names=["head"],
            )  # fmt: skip
    except ModuleNotFoundError as error:
        raise TandemError(f"QONNX needs a package: {error}: pip install onnxoptimizer") from error
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "rounding_mode":  # Brevitas has no name for it
                attribute.s = HALF_UP
    write_atomically(Path(path), clean(graph).SerializeToString())


def clean(graph: Any) -> Any:
    """Constants folded into initialisers, every tensor with a name and a shape."""
    from qonnx.core.modelwrapper import ModelWrapper  # noqa: PLC0415
    from qonnx.util.cleanup import cleanup_model  # noqa: PLC0415

    return cleanup_model(ModelWrapper(graph)).model


def run_qonnx(path: str | Path, image: Integers, feature_bits: int) -> dict[str, NDArray[Any]]:
    """Every tensor of the graph for an unsigned F-bit image (C, H, W), by ``qonnx``."""
    from qonnx.core.modelwrapper import ModelWrapper  # noqa: PLC0415
    from qonnx.core.onnx_exec import execute_onnx  # noqa: PLC0415

    model = ModelWrapper(str(path))
    pixels = (image - input_zero(feature_bits)) * input_step(feature_bits)
    feed = {model.graph.input[0].name: pixels[None].astype(np.float32)}
    found: dict[str, NDArray[Any]] = execute_onnx(model, feed, return_full_exec_context=True)
    return found


def check_qonnx(exported: Exported, path: str | Path, image: Integers) -> QonnxCheck:
    """Run the file and compare it with the exact network on an unsigned F-bit image (C, H, W)."""
    from qonnx.core.modelwrapper import ModelWrapper  # noqa: PLC0415

    net = exported.network.network
    found = run_qonnx(path, image, exported.network.feature_bits)
    wanted = whole_numbers(exported.network, image)
    graph = ModelWrapper(str(path)).graph
    features = differing = largest = 0
    for name, maps in _maps(exported, graph, found).items():
        gap = np.abs(maps - wanted[name])
        features += gap.size
        differing += int(np.count_nonzero(gap))
        largest = max(largest, int(gap.max()))
    assert exported.integers.head is not None
    head = exported.integers.head.values(wanted[net.output.name])
    error = np.abs(found[graph.output[0].name][0] - head).max() / np.abs(head).max()
    return QonnxCheck(features, differing, largest, float(error))


def _maps(
    exported: Exported, graph: Any, tensors: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The features of each layer that rounds to unsigned ones; the graph has them in order."""
    nodes = iter([n for n in graph.node if n.op_type == "Quant" and not _signed(n)])
    network = exported.network.network
    found = {}
    for layer in network.layers:
        parts = exported.network.parts[layer.name]
        if parts[0][0] == IMAGE or layer is network.output:
            continue
        if layer.computes or layer.kind == "avgpool":
            pieces = [tensors[next(nodes).output[0]][0] for _ in parts]
            found[layer.name] = np.concatenate(pieces)
    return found


def _signed(node: Any) -> bool:
    return bool(next(a.i for a in node.attribute if a.name == "signed"))
