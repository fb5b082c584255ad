"""``tandem import``: published weights as an integer network and a design file that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from model import console
from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict, write_design
from model.errors import TandemError
from model.image import resize_nearest
from model.integer_network import IntegerNetwork, Integers, check_accumulators
from model.network_file import save_network
from model.tables import count, facts, headline
from quant.dataset import load_dataset
from quant.import_skrskr import import_skrskr
from quant.import_skynet import import_skynet

DESIGNS = Path(__file__).resolve().parent.parent / "designs"
CALIBRATION_IMAGES = 64  # at most about that many, evenly spaced over the data
CALIBRATION = "synthetic:16"  # scenes that come with the program
ACCUMULATOR_MAX = 48  # bits that can be built
SKYNET_BITS = (11, 9)  # W and F of the published accelerator


@dataclass(frozen=True)
class Imported:
    """What was written."""

    design: Design
    network: IntegerNetwork
    design_path: Path
    network_path: Path
    ranges: str  # where the ranges of the features come from

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "design": str(self.design_path),
            "network": str(self.network_path),
            "weight_bits": self.network.weight_bits,
            "feature_bits": self.network.feature_bits,
            "accumulator_bits": self.design.accelerator.accumulator_bits,
            "layers": len(self.network.layers),
            "weights": sum(layer.weight.size for layer in self.network.layers),
            "ranges": self.ranges,
        }


def import_skrskr_command(file: Path, out: Path, as_json: bool) -> int:
    """Import SkrSkr, print, return the exit status."""
    design = load_design(DESIGNS / "skrskr.toml")
    network = import_skrskr(file, design)
    comment = "SkrSkr as published, all integer, W6 F8; its network file stands beside this one."
    return _finish(design, network, out, comment, "published", as_json)


def import_skynet_command(
    file: Path, out: Path, data: str, bits: tuple[int, int], as_json: bool
) -> int:
    """Quantise SkyNet to ``bits`` (W, F), print, return the exit status."""
    template = _with_bits(load_design(DESIGNS / "skynet.toml"), bits)
    images = calibration_images(data, template)  # after the file: a wrong one is told at once
    network = import_skynet(file, _with_accumulator(template, ACCUMULATOR_MAX), images)
    widest = max(template.accelerator.accumulator_bits, _accumulator_bits(network, template))
    design = _with_accumulator(template, widest)
    comment = (
        f"SkyNet, its published float weights quantised to W{bits[0]} F{bits[1]}; its network\n"
        "file stands beside this one."
    )
    return _finish(design, network, out, comment, f"largest of {data}", as_json)


def calibration_images(data: str, design: Design) -> Iterator[Integers]:
    """Some images of a data set, raw RGB, resized to the network; those unusable are left out."""
    console.progress(f"calibrating on {data} ...")
    dataset = load_dataset(data, on_bad="skip")
    net = design.network
    step = -(-len(dataset) // CALIBRATION_IMAGES)
    for index in range(0, len(dataset), step):
        yield resize_nearest(dataset.image(index).transpose(2, 0, 1), net.height, net.width)


def _with_bits(design: Design, bits: tuple[int, int]) -> Design:
    """The design with another W and F, under a name that says so. TandemError: out of range."""
    if bits == (design.weight_bits, design.feature_bits):
        return design
    tables = design_to_dict(design)
    tables["name"] = f"{design.name}_w{bits[0]}f{bits[1]}"
    tables["precision"] = {"weight_bits": bits[0], "feature_bits": bits[1]}
    return design_from_dict(tables, f"design {tables['name']}")


def _with_accumulator(design: Design, bits: int) -> Design:
    return replace(design, accelerator=replace(design.accelerator, accumulator_bits=bits))


def _accumulator_bits(network: IntegerNetwork, design: Design) -> int:
    """The narrowest accumulator that the network cannot overflow."""
    worst = max(
        int(np.abs(layer.weight.clip(*side)).reshape(len(layer.weight), -1).sum(axis=1).max())
        for layer in network.layers
        for side in ((0, None), (None, 0))
    )
    return (worst * design.feature_max).bit_length() + 1


def _finish(
    design: Design, network: IntegerNetwork, out: Path, comment: str, ranges: str, as_json: bool
) -> int:
    check_accumulators(network, design)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{out}: cannot write there ({error.strerror}): choose another folder with --out"
        ) from error
    written = Imported(
        design, network, out / f"{design.name}.toml", out / f"{design.name}.npz", ranges
    )
    save_network(network, design, written.network_path)
    write_design(design, written.design_path, comment)
    if as_json:
        console.put_json(written.record())
    else:
        console.put(*describe(written))
    return console.HELD


def describe(written: Imported) -> Iterator[RenderableType]:
    """What was written, for people."""
    record = written.record()
    yield headline(f"{written.design.name}: W{record['weight_bits']} F{record['feature_bits']}")
    yield facts(
        [
            ("design", record["design"]),
            ("network", record["network"]),
            ("layers", f"{record['layers']}, {count(record['weights'])} weights"),
            ("feature ranges", record["ranges"]),
            ("accumulator", f"{record['accumulator_bits']} bits"),
        ]
    )
