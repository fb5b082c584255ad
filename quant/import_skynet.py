"""SkyNet's published float weights as an integer network, by post-training quantisation.

SkyNet reads (pixel / 255 - 0.5) / 0.25, networks here (pixel - 128) / 64: the difference is a
factor of 256 / 255 and an offset, both folded exactly into the first layer. Its zero padding lies
halfway between the pixels 127 and 128; 128 is padded, half a grey level off along the border.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from model.design import Design
from model.errors import TandemError
from model.integer_network import IntegerNetwork, Integers
from quant.skynet_weights import Arrays, read_skynet, skynet_network

SKYNET_STEP = 4 / 255  # what one grey level is worth to SkyNet
BATCH = 8  # images at a time


def import_skynet(path: str | Path, design: Design, images: Iterable[Integers]) -> IntegerNetwork:
    """Quantise the published HDF5 file for a design with SkyNet's network, of any W and F.

    ``images``, raw RGB of the network's size, set the ranges of the features: each reaches to the
    largest one, for an object is few pixels and the brightest ones are its own. TandemError names
    the file and what is wrong with it.
    """
    arrays = for_our_input(read_skynet(path), design.feature_bits)
    try:
        import torch  # noqa: PLC0415  (only with the [quant] extra)

        from quant.calibration import CalibrationSettings, calibrate  # noqa: PLC0415
        from quant.export import to_integer_network  # noqa: PLC0415
        from quant.network import build_network, normalise  # noqa: PLC0415
    except ImportError as error:
        raise TandemError(
            f"quantising SkyNet needs the [quant] extra ({error}): "
            "pip install 'tandem-codesign[quant]'"
        ) from error
    network = build_network(design, "relu6")
    network.load_arrays(arrays)
    raw = list(images)
    stacks = [np.stack(raw[first : first + BATCH]) for first in range(0, len(raw), BATCH)]
    # In double precision the order of sums, another with each number of threads, changes no scale.
    batches = [normalise(torch.from_numpy(s), design.feature_bits).double() for s in stacks]
    try:
        quantised = calibrate(
            network.eval(),
            batches,
            design.weight_bits,
            design.feature_bits,
            CalibrationSettings(features="max"),
        )
        return to_integer_network(quantised, design)
    except TandemError as error:
        raise TandemError(f"{path}: {error}") from error


def for_our_input(arrays: Arrays, feature_bits: int) -> Arrays:
    """SkyNet's arrays with the first layer and its batch norm for images as networks here see them.

    A feature of fewer than 8 bits stands for the middle of its pixels.
    """
    first = skynet_network().compute_layers[0].name
    weight, mean = (arrays[f"{first}.{part}"] for part in ("weight", "bn.running_mean"))
    pixels = 1 << max(0, 8 - feature_bits)
    # pixel = 64 * ours + 128 + middle, and SkyNet's input is (pixel - 127.5) * SKYNET_STEP.
    offset = (0.5 + (pixels - 1) / 2) * SKYNET_STEP
    sums = weight.astype(np.float64).reshape(len(weight), -1).sum(axis=1)
    return {
        **arrays,
        f"{first}.weight": (weight * (64 * SKYNET_STEP)).astype(np.float32),
        f"{first}.bn.running_mean": (mean - offset * sums).astype(np.float32),
    }
