"""The accelerator as its host sees it: memory, registers, start, wait, counters.

Runs on the board (Python 3.8, NumPy, pynq) and, with the same code, on the simulated board of
``testbench/pynq_layer.py``. What it needs to know of an accelerator is in ``deployment.json``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boards.pynq_z1.layout import MapLayout, relocate

if TYPE_CHECKING:
    from numpy.typing import NDArray

CTRL_START, CTRL_ABORT = 1, 2
STATUS_BUSY, STATUS_DONE, STATUS_ERROR = 1, 2, 4
IRQ_BOTH = 3  # done, error
MANIFEST = "deployment.json"
DEPLOYMENT_SCHEMA, DEPLOYMENT_VERSION = "tandem-deployment", 1
POLL_SECONDS = 100e-6


class BoardError(Exception):
    """Something is wrong with the folder, the board or a run, in one sentence."""


@dataclass(frozen=True)
class Run:
    """One start to its end."""

    frames: int
    frames_done: int
    status: int
    total_cycles: int
    seconds: float  # from the start write to the moment the end was seen
    counters: dict[str, int]  # "unit.class" -> cycles
    polls: list[tuple[float, int, int]]  # seconds, frames done, cycles; when a frame was new


@dataclass(frozen=True)
class Host:
    """Where the accelerator is reached: the pynq package, and a clock (``time``, or simulated)."""

    pynq: Any
    time: Any


def read_manifest(folder: Path) -> dict[str, Any]:
    """The deployment's manifest. BoardError where the folder is none of this version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BoardError(
            f"{path}: cannot be read ({error}): copy the whole folder of tandem board package"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != DEPLOYMENT_SCHEMA:
        raise BoardError(f"{path}: is no manifest of tandem board package")
    if manifest.get("version") != DEPLOYMENT_VERSION:
        raise BoardError(
            f"{path}: has version {manifest.get('version')}, this driver reads "
            f"{DEPLOYMENT_VERSION}: package again"
        )
    if manifest.get("unfinished"):
        raise BoardError(f"{path}: packaging was interrupted: package again")
    return manifest


class Accelerator:
    """A deployed accelerator, loaded into the FPGA, its program and weights in memory."""

    def __init__(self, folder: Path, host: Host, wait: str = "poll") -> None:
        self.manifest = read_manifest(folder)
        self.image = MapLayout.from_json(self.manifest["image"])
        self.output = MapLayout.from_json(self.manifest["output"])
        self._host, self._registers = host, self.manifest["registers"]
        self._loop: Any = None
        self._interrupt: Any = None
        bitstream = folder / self.manifest["bitstream"]
        if not bitstream.exists():
            raise BoardError(f"{bitstream}: is missing: build it with vivado/build.tcl")
        overlay = host.pynq.Overlay(str(bitstream))
        entry = overlay.ip_dict[self.manifest["ip"]]
        self._mmio = host.pynq.MMIO(entry["phys_addr"], entry["addr_range"])
        found, wanted = self._read("BUILD_ID"), self.manifest["build_id"]
        if found != wanted:
            raise BoardError(
                f"the FPGA holds accelerator 0x{found:08x}, this folder is for 0x{wanted:08x}: "
                "build the bitstream from this folder"
            )
        if wait == "interrupt":
            self._prepare_interrupt()
        self._buffer = self._place_memory(folder)

    @property
    def memory_address(self) -> int:
        """Physical address of the accelerator's memory."""
        return int(self._buffer.physical_address) + self._start

    @property
    def build_id(self) -> int:
        """As the hardware says it."""
        return self._read("BUILD_ID")

    @property
    def clock_mhz(self) -> float:
        """The fabric clock as the board's software says it."""
        return float(self._host.pynq.Clocks.fclk0_mhz)

    def run(
        self,
        images: Sequence[NDArray[np.int64]],
        timeout_s: float,
        between: Callable[[], None] = lambda: None,
    ) -> tuple[Run, list[NDArray[np.int64]]]:
        """Frames back to back, and the head's accumulators (C, H, W) of each.

        ``images``: unsigned features (C, H, W), at most as many as the deployment has room for.
        ``between`` is called at every poll. BoardError where the run does not end well.
        """
        self._check_images(images)
        for index, image in enumerate(images):
            at = self._start + self.image.offset + index * self.image.stride
            self._buffer[at : at + self.image.total_bytes()] = self.image.pack(image)
        self._buffer.flush()
        run = self._start_and_wait(len(images), timeout_s, between)
        self._buffer.invalidate()
        heads = []
        for index in range(len(images)):
            at = self._start + self.output.offset + index * self.output.stride
            data = np.array(self._buffer[at : at + self.output.total_bytes()])
            heads.append(self.output.unpack(data))
        return run, heads

    def close(self) -> None:
        """Give the memory back."""
        self._buffer.freebuffer()
        if self._loop is not None:
            self._loop.close()

    def _read(self, name: str) -> int:
        return int(self._mmio.read(self._registers[name]))

    def _write(self, name: str, value: int) -> None:
        self._mmio.write(self._registers[name], value)

    def _prepare_interrupt(self) -> None:
        # pynq's interrupts belong to the event loop that is current when they are made.
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._interrupt = self._host.pynq.Interrupt(self.manifest["interrupt"])

    def _place_memory(self, folder: Path) -> Any:
        """One buffer for all; the program is moved to where the buffer is."""
        memory = self.manifest["memory"]
        path = folder / memory["file"]
        data = np.fromfile(str(path), dtype=np.uint8)
        if len(data) != memory["file_bytes"]:
            raise BoardError(
                f"{path}: has {len(data)} bytes, {memory['file_bytes']} are wanted: copy it again"
            )
        align = memory["alignment"]
        buffer = self._host.pynq.allocate(shape=(memory["bytes"] + align,), dtype=np.uint8)
        physical = int(buffer.physical_address)
        self._start: int = -physical % align
        program = memory["program"]
        end = program["bytes"]
        moved = relocate(
            data[:end],
            physical + self._start - memory["base"],
            program["opcodes"],
            program["address_bit"],
            program["checksum_seed"],
        )
        buffer[self._start : self._start + end] = moved
        buffer[self._start + end : self._start + len(data)] = data[end:]
        return buffer

    def _check_images(self, images: Sequence[NDArray[np.int64]]) -> None:
        room, highest = self.manifest["frames"], (1 << self.manifest["feature_bits"]) - 1
        if not 1 <= len(images) <= room:
            raise BoardError(f"{len(images)} images: this deployment takes 1 to {room} at a time")
        for image in images:
            if image.shape != self.image.shape:
                raise BoardError(f"an image has shape {image.shape}, not {self.image.shape}")
            if image.min() < 0 or image.max() > highest:
                raise BoardError(f"an image holds values outside 0 to {highest}")

    def _start_and_wait(self, frames: int, timeout_s: float, between: Callable[[], None]) -> Run:
        if self._read("STATUS") & STATUS_BUSY:
            raise BoardError("the accelerator is busy with another run: wait, or load it again")
        self._write("IRQ_STATUS", IRQ_BOTH)
        self._write("IRQ_ENABLE", 0 if self._interrupt is None else IRQ_BOTH)
        self._write("PROGRAM_ADDRESS", self.memory_address + self.manifest["memory"]["entry"])
        self._write("FRAMES", frames)
        self._write("IMAGE_STRIDE", self.image.stride)
        self._write("OUTPUT_STRIDE", self.output.stride)
        clock = self._host.time.perf_counter
        begin = clock()
        self._write("CTRL", CTRL_START)
        if self._interrupt is None:
            polls = self._poll(begin, timeout_s, between)
        else:
            polls = []
            self._await_interrupt(timeout_s)
        seconds = clock() - begin
        status = self._read("STATUS")
        self._write("IRQ_STATUS", IRQ_BOTH)
        if status & STATUS_ERROR or not status & STATUS_DONE:
            raise BoardError(self._what_failed(status))
        counters = {
            name: int(self._mmio.read(at)) for name, at in self.manifest["counters"].items()
        }
        done, total = self._read("FRAMES_DONE"), self._read("TOTAL_CYCLES")
        return Run(frames, done, status, total, seconds, counters, polls)

    def _poll(
        self, begin: float, timeout_s: float, between: Callable[[], None]
    ) -> list[tuple[float, int, int]]:
        """Look until the run has ended; note each new frame."""
        time, polls, seen = self._host.time, [], 0
        while True:
            ended = not self._read("STATUS") & STATUS_BUSY
            done, total = self._read("FRAMES_DONE"), self._read("TOTAL_CYCLES")
            passed = time.perf_counter() - begin
            if done != seen:
                polls.append((passed, done, total))
                seen = done
            between()
            if ended:
                return polls
            if passed > timeout_s:
                self._write("CTRL", CTRL_ABORT)
                raise BoardError(f"no end after {timeout_s:g} s, {done} frames were done: aborted")
            time.sleep(POLL_SECONDS)

    def _await_interrupt(self, timeout_s: float) -> None:
        async def patience() -> None:
            await asyncio.wait_for(self._interrupt.wait(), timeout_s)

        try:
            self._loop.run_until_complete(patience())
        except asyncio.TimeoutError:  # noqa: UP041  (another class before Python 3.11)
            self._write("CTRL", CTRL_ABORT)
            raise BoardError(f"no interrupt after {timeout_s:g} s: aborted") from None

    def _what_failed(self, status: int) -> str:
        code, info = status >> 8 & 0xFF, self._read("ERROR_INFO")
        name = self.manifest["error_codes"].get(str(code), "unknown")
        return (
            f"the run stopped with error {code} ({name}) in bundle {info & 0xFF}, "
            f"tile {info >> 8 & 0xFFFF}, response {info >> 24 & 3}"
        )
