"""``tandem board package`` and ``tandem board rehearse``: a folder for the board, tried here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boards.deployment import BOARD, plan_deployment, write_deployment
from boards.rehearsal import rehearse
from model import console
from model.design import Design, load_design
from model.evaluation import check_frames
from model.image import random_image, scene_image
from model.integer_network import Integers, check_accumulators
from model.network_file import load_network, write_atomically
from model.tables import count, facts, headline
from rtl_sim.generate import build_id, port_count

SCENE_CHANNELS = 3


@dataclass(frozen=True)
class Packaging:
    """What to package; the seed is of the self-test's images."""

    design: Path
    network: Path
    out: Path
    frames: int = 4
    seed: int = 1


def package_command(asked: Packaging, as_json: bool) -> int:
    """Write the folder, say what is in it, return the exit status."""
    check_frames(asked.frames)
    design = load_design(asked.design)
    network = load_network(asked.network, design)
    check_accumulators(network, design)
    images = self_test_images(design, asked.frames, asked.seed)
    deployment = plan_deployment(design, network, images)
    console.progress(f"{design.name}: computing the self-test's {asked.frames} frames ...")
    manifest = write_deployment(deployment, asked.out)
    record = {
        "design": design.name,
        "board": BOARD,
        "folder": str(asked.out),
        "manifest": str(manifest),
        "frames": asked.frames,
        "memory_bytes": deployment.schedule.memory_bytes,
        "axi_ports": port_count(design),
        "build_id": build_id(design),
    }
    if as_json:
        console.put_json(record)
        return console.HELD
    console.put(
        headline(f"{design.name} packaged for {BOARD}: {asked.out}"),
        facts(
            [
                ("frames to a start", count(asked.frames)),
                ("memory", f"{count(deployment.schedule.memory_bytes)} bytes"),
                ("accelerator", f"0x{build_id(design):08x}, {port_count(design)} HP ports"),
                ("bitstream", "vivado -mode batch -source vivado/build.tcl, in that folder"),
                ("on the board", "python3 -m boards.pynq_z1.run, in that folder, as root"),
            ]
        ),
    )
    return console.HELD


def rehearse_command(
    design: Path, folder: Path, log: Path, out: Path, driver: Sequence[str], as_json: bool
) -> int:
    """Run the folder's driver against the RTL, keep its log, return the exit status."""
    found = load_design(design)
    console.progress(f"{found.name}: the driver runs against the RTL ...")
    result = rehearse(found, folder, out, driver)
    write_atomically(log, result.log)
    if as_json:
        record = {"design": found.name, "log": str(log), "status": result.status}
        console.put_json(record)
    else:
        verdict = "the self-test holds" if result.status == 0 else "the self-test's values DIFFER"
        console.put(headline(f"{found.name} on the simulated board: {verdict}", not result.status))
        console.put(facts([("run log", str(log))]))
    return result.status


def self_test_images(design: Design, frames: int, seed: int) -> list[Integers]:
    """Scenes where colours fit, else random pictures; (C, H, W) each."""
    if design.network.channels == SCENE_CHANNELS:
        return [scene_image(design, seed, index) for index in range(frames)]
    rng = np.random.default_rng(seed)
    return [random_image(design, rng) for _ in range(frames)]
