"""A small accelerator on a board that is not there: network, deployment, run log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boards.deployment import plan_deployment, write_deployment
from boards.deviations import TOTAL, counters_of
from boards.fingerprints import design_sha256, network_sha256, program_sha256, rtl_sha256
from boards.package_command import self_test_images
from boards.rehearsal import stand_in_bitstream
from model.design import Design
from model.detection import BOX_CHANNELS, SKYNET_ANCHORS, BoxHead
from model.integer_network import IntegerNetwork
from model.random_network import random_network
from model.schedule import compile_schedule
from rtl_sim.generate import build_id

FRAMES = 3


def boxed_network(design: Design) -> IntegerNetwork:
    """Random weights; where the channels are those of two anchors, a head that gives boxes."""
    network = random_network(design, np.random.default_rng(4))
    channels = design.network.output.out_channels
    if channels != BOX_CHANNELS * len(SKYNET_ANCHORS):
        return network
    head = BoxHead(tuple(0.001 * (i + 1) for i in range(channels)), (0.25,) * channels)
    return replace(network, head=head)


def deploy(design: Design, out: Path) -> IntegerNetwork:
    """Package the design with its network; returns the network."""
    network = boxed_network(design)
    images = self_test_images(design, FRAMES, 1)
    write_deployment(plan_deployment(design, network, images), out)
    return network


def written_log(design: Design, frames: int = FRAMES, **ddr: int) -> dict[str, Any]:
    """The log of a board that behaves as simulated, with another memory where ``ddr`` says so."""
    schedule = compile_schedule(design, FRAMES)
    device = replace(design.device, ddr=replace(design.device.ddr, **ddr))
    board = replace(schedule, design=replace(design, device=device), frames=frames)
    counters = counters_of(board)
    total = counters.pop(TOTAL)
    digest = "0" * 64
    return {
        "schema": "tandem-run-log",
        "version": 1,
        "design": design.name,
        "design_sha256": design_sha256(design),
        "network_sha256": network_sha256(boxed_network(design)),
        "program_sha256": program_sha256(schedule),
        "rtl_sha256": rtl_sha256(design),
        "board": "pynq_z1",
        "frames_compiled": FRAMES,
        "build_id": build_id(design),
        "bitstream": {"name": "tandem.bit", "sha256": digest},
        "target": "board",
        "software": {"python": "3.10.4", "numpy": "1.21.5", "pynq": "3.0.1"},
        "finished": "2026-01-01T00:00:00Z",
        "clock_mhz": design.clock_mhz,
        "memory_address": 0x16800000,
        "wait": "poll",
        "runs": [
            {
                "frames": frames,
                "frames_done": frames,
                "status": 2,
                "total_cycles": total,
                "seconds": 1.1 * total / (design.clock_mhz * 1e6),
                "counters": counters,
                "polls": [[1e-5, 1, 100], [2e-5, frames, total]],
            }
        ],
        "answers": [
            {"image": "a.png", "image_sha256": digest, "head_sha256": digest,
             "box": [0.1, 0.2, 0.3, 0.4], "confidence": 0.5}
        ],
        "self_test": None,
        "power": {"seconds": [0.0, 0.1], "watts": {"5V": [2.0, 2.5]}},
        "power_problem": None,
    }  # fmt: skip


def save(log: dict[str, Any], path: Path) -> Path:
    """Write it as JSON; NaN as Python writes it."""
    path.write_text(json.dumps(log))
    return path


__all__ = ["FRAMES", "boxed_network", "deploy", "save", "stand_in_bitstream", "written_log"]
