"""The folder that goes to the board: RTL, memory image, manifest, driver, Vivado script.

All addresses in it count from the device's memory base; the driver moves the program to where the
board's allocator puts the memory, by a multiple of ``alignment``, under which every burst keeps its
4 KB page, its bank and hence its cycles.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.fingerprints import design_sha256, network_sha256, program_sha256, rtl_sha256
from boards.pynq_z1.driver import DEPLOYMENT_SCHEMA, DEPLOYMENT_VERSION, MANIFEST
from model.design import Design
from model.errors import TandemError
from model.fast_simulator import simulate_fast
from model.feature_map import FeatureMap
from model.functional import run_head
from model.integer_network import IntegerNetwork, Integers
from model.memory_image import build_memory
from model.network_file import write_atomically
from model.program import CHECKSUM_SEED, OPCODES, RECORD_BYTES, layout_of
from model.schedule import Schedule, compile_schedule
from rtl_sim.generate import build_id, generate, library_sources, port_count
from testbench.registers import COUNTERS, ERROR_CODES, REGISTERS

BOARD = "pynq_z1"
BITSTREAM = "tandem.bit"
MEMORY, SELF_TEST = "memory.bin", "self_test.npz"
IP, INTERRUPT = "tandem_0", "tandem_0/irq_o"
AXI_BOUNDARY = 4096  # bursts do not cross it
BOARD_FILES = Path(__file__).parent / BOARD
DRIVER_FILES = ("__init__.py", "driver.py", "layout.py", "power.py", "run.py")
UNFINISHED = {"schema": DEPLOYMENT_SCHEMA, "version": DEPLOYMENT_VERSION, "unfinished": True}
ADDRESSED = ("load", "weight", "store")  # commands with an address, at the same place in each


@dataclass(frozen=True)
class Deployment:
    """What a folder is made of."""

    schedule: Schedule
    network: IntegerNetwork
    images: Sequence[Integers]  # of the self-test, one per frame

    @property
    def design(self) -> Design:
        """The design that is deployed."""
        return self.schedule.design


def plan_deployment(
    design: Design, network: IntegerNetwork, images: Sequence[Integers]
) -> Deployment:
    """As many frames to a start as there are images. TandemError for another device."""
    if design.device.name != BOARD:
        raise TandemError(
            f"design {design.name}: is for {design.device.name}, boards can be packaged for "
            f"{BOARD} only: set device to it"
        )
    return Deployment(compile_schedule(design, len(images)), network, images)


def write_deployment(deployment: Deployment, out: Path) -> Path:
    """Write the folder; returns its manifest's path, which is written last.

    TandemError where the folder holds something else, a bitstream of other RTL, or is read-only.
    """
    _check_folder(deployment.design, out)
    data, self_test = memory_file(deployment), _self_test(deployment)
    text = json.dumps(manifest(deployment, len(data)), indent=1)
    try:
        (out / "vivado").mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).write_text(json.dumps(UNFINISHED))
        _write_rtl(deployment.design, out)
        _write_driver(out)
    except OSError as error:
        raise TandemError(
            f"{out}: cannot be written ({error.strerror}): choose another folder with --out"
        ) from error
    write_atomically(out / MEMORY, data)
    write_atomically(out / SELF_TEST, self_test)
    write_atomically(out / "vivado" / "settings.tcl", vivado_settings(deployment.design).encode())
    write_atomically(out / MANIFEST, text.encode() + b"\n")
    return out / MANIFEST


def memory_file(deployment: Deployment) -> bytes:
    """Program, weights and parameters, from the memory's start to the first image."""
    schedule = deployment.schedule
    memory = build_memory(schedule, deployment.network, deployment.images)
    return bytes(memory[: schedule.image.address - schedule.design.device.memory_base])


def manifest(deployment: Deployment, file_bytes: int) -> dict[str, Any]:
    """``deployment.json``: all that the driver has to know."""
    schedule, design, network = deployment.schedule, deployment.design, deployment.network
    base, ddr = design.device.memory_base, design.device.ddr
    counters = {f"{unit}.{kind}": address for (unit, kind), address in COUNTERS.items()}
    return {
        "schema": DEPLOYMENT_SCHEMA,
        "version": DEPLOYMENT_VERSION,
        "design": design.name,
        "board": BOARD,
        "clock_mhz": design.clock_mhz,
        "design_sha256": design_sha256(design),
        "network_sha256": network_sha256(network),
        "program_sha256": program_sha256(schedule),
        "rtl_sha256": rtl_sha256(design),
        "build_id": build_id(design),
        "bitstream": BITSTREAM,
        "ip": IP,
        "interrupt": INTERRUPT,
        "registers": REGISTERS,
        "counters": counters,
        "error_codes": {str(code): text for code, text in ERROR_CODES.items()},
        "frames": schedule.frames,
        "expected_cycles": simulate_fast(schedule).total_cycles,
        "feature_bits": design.feature_bits,
        "memory": {
            "file": MEMORY,
            "file_bytes": file_bytes,
            "bytes": schedule.memory_bytes,
            "base": base,
            "alignment": max(AXI_BOUNDARY, ddr.page_bytes * ddr.banks),
            "entry": schedule.program_address - base,
            "program": {
                "bytes": len(schedule.commands) * RECORD_BYTES,
                "opcodes": [OPCODES[unit] for unit in ADDRESSED],
                "address_bit": _address_bit(),
                "checksum_seed": CHECKSUM_SEED,
            },
        },
        "image": map_layout(schedule.image, base, schedule.image_stride),
        "output": map_layout(schedule.output, base, schedule.output_stride),
        "head": _head(network),
        "self_test": SELF_TEST,
    }


def map_layout(found: FeatureMap, base: int, stride: int) -> dict[str, Any]:
    """The fields of ``boards.pynq_z1.layout.MapLayout``."""
    assert found.contiguous
    return {
        "offset": found.address - base,
        "stride": stride,
        "channels": found.channels,
        "height": found.height,
        "width": found.width,
        "block_channels": found.block_channels,
        "align": found.align,
        "feature_bytes": found.feature_bytes,
        "step_channels": found.step_channels,
        "slices": found.slices,
        "positions": [int(place) for place in found.positions],
    }


def vivado_settings(design: Design) -> str:
    """``vivado/settings.tcl``: the numbers and names that ``build.tcl`` needs."""
    names = [f"rtl/{name}" for name in _rtl_names()]
    values: Mapping[str, object] = {
        "design_name": design.name,
        "part": design.device.part,
        "clock_mhz": f"{design.clock_mhz:g}",
        "axi_ports": port_count(design),
        "build_id": f"0x{build_id(design):08x}",
        "ip_name": IP,
        "bitstream": BITSTREAM,
    }
    lines = ["# Written by tandem board package; read by build.tcl."]
    lines += [f"set {name} {{{value}}}" for name, value in values.items()]
    lines += ["set sources {", *(f"    {name}" for name in names), "}"]
    return "\n".join(lines) + "\n"


def _rtl_names() -> list[str]:
    return [path.name for path in library_sources()] + ["design_pkg.sv", "tandem_top.sv"]


def _address_bit() -> int:
    places = {layout_of(unit)["address"] for unit in ADDRESSED}
    ((low, bits),) = places  # one place for all
    assert bits == 32
    assert low <= 32
    return low


def _head(network: IntegerNetwork) -> dict[str, Any] | None:
    head = network.head
    if head is None:
        return None
    return {
        "scale": list(head.scale),
        "offset": list(head.offset),
        "anchors": [list(anchor) for anchor in head.anchors],
    }


def _self_test(deployment: Deployment) -> bytes:
    """Images (N, C, H, W) and the head's accumulators of the functional level."""
    design, network = deployment.design, deployment.network
    heads = [run_head(design, network, image) for image in deployment.images]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, images=np.array(deployment.images, dtype=np.int32), heads=np.array(heads)
    )
    return buffer.getvalue()


def _check_folder(design: Design, out: Path) -> None:
    """Refuse to mix with what is there."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).exists()):
        raise TandemError(f"{out}: holds something else: choose a new folder with --out")
    if (out / BITSTREAM).exists():
        try:
            found = json.loads((out / MANIFEST).read_text()).get("rtl_sha256")
        except (OSError, ValueError, AttributeError):
            found = None
        if found != rtl_sha256(design):
            raise TandemError(
                f"{out}: holds the bitstream of another accelerator: choose a new folder with "
                "--out, or remove it"
            )


def _write_rtl(design: Design, out: Path) -> None:
    generate(design, out / "rtl")
    for path in library_sources():
        shutil.copyfile(path, out / "rtl" / path.name)
    shutil.copyfile(BOARD_FILES / "vivado" / "build.tcl", out / "vivado" / "build.tcl")


def _write_driver(out: Path) -> None:
    """The driver under its own name, so that it is imported on the board as it is here."""
    folder = out / "boards" / BOARD
    folder.mkdir(parents=True, exist_ok=True)
    (out / "boards" / "__init__.py").write_text('"""The board\'s side of Tandem."""\n')
    for name in DRIVER_FILES:
        shutil.copyfile(BOARD_FILES / name, folder / name)
