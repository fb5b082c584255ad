"""The float level of an evaluation: a checkpoint, or SkyNet's published weights, run by torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model.design import Design
from model.detection import Detection, decode
from model.errors import TandemError
from quant.augment import plain
from quant.dataset import Dataset

BATCH = 8  # images at a time
HDF5 = (".h5", ".hdf5")

Detect = Callable[[Dataset], Iterator[Detection]]


def float_detections(path: Path, design: Design) -> Detect:
    """What finds a box in every image of a data set, in order, with the float network of a file.

    ``path`` is a checkpoint of a float stage or SkyNet's HDF5 file. TandemError: torch is not
    installed, the file is damaged, or it is of another network.
    """
    try:
        import torch  # noqa: PLC0415  (only with the [quant] extra)

        from quant.network import normalise  # noqa: PLC0415
    except ImportError as error:
        raise TandemError(
            f"--level float needs the [quant] extra ({error}): pip install 'tandem-codesign[quant]'"
        ) from error
    network = _load(path, design).eval()
    size = (design.network.height, design.network.width)

    def detect(dataset: Dataset) -> Iterator[Detection]:
        for start in range(0, len(dataset), BATCH):
            indices = range(start, min(start + BATCH, len(dataset)))
            images = np.stack([plain(dataset.image(index), size) for index in indices])
            with torch.inference_mode():
                values = network(normalise(torch.from_numpy(images), design.feature_bits))
            for head in values.double().numpy():
                yield decode(head, network.anchors)

    return detect


def _load(path: Path, design: Design) -> Any:
    from quant.checkpoint import check_design, load_checkpoint  # noqa: PLC0415
    from quant.network import build_network  # noqa: PLC0415  (torch)
    from quant.skynet_weights import read_skynet  # noqa: PLC0415

    if path.suffix.lower() in HDF5:
        network = build_network(design, "relu6")
        arrays = read_skynet(path)
        output = design.network.output
        arrays[f"{output.name}.bias"] = np.zeros(output.out_channels, np.float32)  # it has none
        try:
            network.load_arrays(arrays)
        except TandemError as error:
            raise TandemError(f"{path}: not for design {design.name}: {error}") from error
        return network
    checkpoint = load_checkpoint(path)
    check_design(checkpoint, design, path, precision=False)
    if checkpoint.facts.get("stage") != "float":
        raise TandemError(
            f"{path}: a checkpoint of the stage {checkpoint.facts.get('stage')}, --level float "
            "runs those of the float stage"
        )
    network = build_network(design, str(checkpoint.facts.get("activation", "relu6")))
    try:
        network.load_arrays(checkpoint.part("model"))
    except TandemError as error:
        raise TandemError(f"{path}: {error}") from error
    return network
