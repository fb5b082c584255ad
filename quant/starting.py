"""What a training starts from: published weights, a checkpoint, a teacher, a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from model.design import Design
from model.errors import TandemError
from quant.checkpoint import Checkpoint, check_design, load_checkpoint, previous_path
from quant.inherit import inherit, recalibrate
from quant.network import DetectionNetwork
from quant.skynet_weights import Arrays, read_skynet, skynet_network, warm_start
from quant.train_state import load_module
from quant.training import stage_paths

HDF5 = (".h5", ".hdf5")


def start_from(weights: str, network: DetectionNetwork) -> int:
    """Take over every bundle that matches from the front; how many those are.

    ``weights`` is SkyNet's HDF5 file or a checkpoint of a float stage, "" for none. TandemError
    where not even the first bundle matches.
    """
    if not weights:
        return 0
    path = Path(weights)
    found = read_skynet(path) if path.suffix.lower() in HDF5 else float_arrays(path)
    arrays, bundles = warm_start(network.network, found)
    if bundles == 0:
        raise TandemError(
            f"{path}: its first bundle has other layers or shapes than the design's: nothing can "
            "be taken over, start without it"
        )
    network.load_arrays(arrays, strict=False)
    return bundles


def inherit_from(
    weights: str, network: DetectionNetwork, seed: int, images: Iterable[torch.Tensor]
) -> int:
    """Cut and pad those weights to the network's shapes; how many bundles begin with some.

    ``images``: batches (B, C, H, W), normalised, on which batch norm is measured where sums change.
    """
    path = Path(weights)
    found = read_skynet(path) if path.suffix.lower() in HDF5 else float_arrays(path)
    done = inherit(network, found, seed)
    recalibrate(network, done.measured, images)
    return done.blocks


def float_arrays(path: Path) -> Arrays:
    """The layers' arrays in a checkpoint of a float stage, by name."""
    checkpoint = load_checkpoint(path)
    _check_float(checkpoint, path)
    return checkpoint.part("model")


def take_float(network: DetectionNetwork, design: Design, out: Path, start: str) -> None:
    """Load the best float network of a folder or, where it has none, that of ``start``."""
    path = stage_paths(out, "float")[1]
    if not path.is_file():
        if not start or Path(start).suffix.lower() in HDF5:
            raise TandemError(
                f"{path}: there is no float network to quantise: train the float stage first, or "
                "name a float checkpoint with --start"
            )
        path = Path(start)
    checkpoint = load_checkpoint(path)
    check_design(checkpoint, design, path, precision=False)
    _check_float(checkpoint, path)
    with torch.no_grad():
        load_module(network, checkpoint.part("model"), str(path))


def load_teacher(path: str, network: DetectionNetwork) -> DetectionNetwork | None:
    """SkyNet with its published weights, for the same images. TandemError where heads differ."""
    if not path:
        return None
    net = network.network
    found = skynet_network(net.height, net.width)
    theirs, ours = found.output, net.output
    sides = (ours.out_channels, ours.out_height, ours.out_width)
    if (theirs.out_channels, theirs.out_height, theirs.out_width) != sides:
        raise TandemError(
            f"{path}: cannot teach this design: its head leaves {theirs.out_channels} x "
            f"{theirs.out_height} x {theirs.out_width}, the design's {' x '.join(map(str, sides))}"
        )
    teacher = DetectionNetwork(found, "relu6", network.anchors)
    arrays = read_skynet(path)
    teacher.load_arrays(arrays)
    return teacher.eval().requires_grad_(False)


def make_folder(out: Path) -> None:
    """Make the output folder. TandemError where that fails."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(f"{out}: cannot be made: {error.strerror or error}") from error


def remove_stages(out: Path, stages: tuple[str, ...]) -> None:
    """Remove the checkpoints of earlier trainings of these stages, so that none is gone on from."""
    for stage in stages:
        last, best = stage_paths(out, stage)
        for path in (last, previous_path(last), best):
            path.unlink(missing_ok=True)


def _check_float(checkpoint: Checkpoint, path: Path) -> None:
    if checkpoint.facts.get("stage") != "float":
        raise TandemError(f"{path}: is no checkpoint of a float stage")
