"""The quantised stage of a training run, and the integer network that comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from model.console import progress
from model.design import Design
from model.detection import PixelBox, iou, to_pixels
from model.functional import run_head
from model.integer_network import IntegerNetwork
from model.network_file import save_network
from quant.batches import PLAIN, picture_batches, split
from quant.calibration import CalibrationSettings, calibrate
from quant.evaluate_command import input_image
from quant.exact import Exported
from quant.export import export
from quant.network import DetectionNetwork, normalise
from quant.pictures import Labelled
from quant.quantised import QuantisedNetwork, build_quantised
from quant.settings import TrainSettings
from quant.train_log import bar

CALIBRATION_BATCH = 16


def starting_network(
    network: DetectionNetwork,
    design: Design,
    pictures: Labelled,
    settings: TrainSettings,
    calibrated: bool,
) -> QuantisedNetwork:
    """The folded, calibrated network; not ``calibrated`` where a checkpoint fills it anyway."""
    if calibrated:
        progress(f"qat: scales from {min(settings.calibration.images, len(pictures))} images")
        found = calibrate(
            network.cpu().eval(),
            calibration_batches(pictures, design, settings),
            design.weight_bits,
            design.feature_bits,
            calibration_settings(settings),
        )
    else:
        found = build_quantised(design, network.anchors)
    found.set_learned_scales(settings.qat.learned_scales)
    return found


def calibration_settings(settings: TrainSettings) -> CalibrationSettings:
    """The part of the settings that calibration knows."""
    part: dict[str, Any] = asdict(settings.calibration)
    del part["images"]
    return CalibrationSettings(**part)


def calibration_batches(
    pictures: Labelled, design: Design, settings: TrainSettings
) -> list[Tensor]:
    """Normalised images without augmentation, chosen by the seed."""
    order = np.random.default_rng((settings.run.seed, 3)).permutation(len(pictures))
    groups = split(order[: settings.calibration.images], CALIBRATION_BATCH)
    made = picture_batches(pictures, groups, PLAIN, settings.data.workers)
    return [normalise(images, design.feature_bits) for images, _ in made]


def export_network(quantised: QuantisedNetwork, design: Design, path: Path) -> Exported:
    """Write the integer network. Weights of channels that could overflow get larger steps."""
    exported = export(quantised, design, shrink=True)
    save_network(exported.integers, design, path)
    return exported


def export_onnx(exported: Exported, design: Design, pictures: Labelled, path: Path) -> None:
    """Write the network as QONNX, run the file on an image, and tell how far it is off."""
    from quant.qonnx_export import check_qonnx, export_qonnx  # noqa: PLC0415  (slow to load)

    export_qonnx(exported, path)
    found = check_qonnx(exported, path, input_image(pictures.data, 0, design))
    progress(
        f"{path}: QONNX; run on one image, {found.differing:,} of {found.features:,} features "
        f"differ, by {found.largest_step} at most: ONNX computes in float32"
    )


def integer_score(
    network: IntegerNetwork, design: Design, pictures: Labelled
) -> tuple[float, Mapping[str, PixelBox]]:
    """Mean IoU at the functional level, and the box of each image by name."""
    assert network.head is not None
    boxes: dict[str, PixelBox] = {}
    total = 0.0
    for index in bar(range(len(pictures)), len(pictures), "functional level"):
        sample = pictures.data.samples[index]
        image = input_image(pictures.data, index, design)
        found = network.head.detect(run_head(design, network, image)).box
        boxes[sample.name] = to_pixels(found, sample.width, sample.height)
        total += iou(boxes[sample.name], sample.box)
    return total / len(pictures), boxes
