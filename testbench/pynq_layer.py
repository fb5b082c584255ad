"""A simulated PYNQ board: the part of the pynq package that a host driver uses, over cocotb.

The very code that runs on the board runs here against the RTL. A register access is an AXI4-Lite
access of the RTL. A buffer is the processor's view of memory: as on the board, whose ports are not
coherent, ``flush`` brings it to the DDR (the DDR model's memory) and ``invalidate`` fetches from
there, so a driver that forgets one fails here too. Time is simulated time.

Drivers are synchronous: they run in a thread of ``cocotb.task.bridge``, and each access hands over
to the simulator with ``cocotb.task.resume``.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cocotb.task import resume
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge, Timer
from cocotb.utils import get_sim_time
from numpy.typing import DTypeLike, NDArray

from testbench.axi_lite import Lite

PAGE_BYTES = 4096  # what the board's allocator aligns to
WORD_BYTES = 8
REGISTERS_AT = 0x43C0_0000  # where Vivado puts the first AXI4-Lite slave
REGISTER_BYTES = 0x1000
VERSION = "simulated by Tandem"
TARGET = "simulation"


@dataclass(frozen=True)
class BoardPlan:
    """What the simulated board is: its memory, its clock, what the block design calls things."""

    memory_base: int
    memory_bytes: int
    clock_mhz: float
    period_ns: int  # of a clock cycle in the simulation, whatever the clock is
    watchdog_cycles: int  # the longest wait for an interrupt
    ip: str
    interrupt: str


@dataclass(frozen=True)
class DdrFiles:
    """Where the DDR model reads from and writes to: its plusargs of the same names."""

    memory_load: Path
    memory_out: Path


class SimulatedBoard:
    """The coroutines: reset, registers, memory and time of the device under test."""

    def __init__(self, dut: Any, plan: BoardPlan, files: DdrFiles) -> None:
        self.dut, self.plan, self._files = dut, plan, files
        self._lite = Lite(dut, plan.period_ns)
        self._next_free = plan.memory_base + PAGE_BYTES  # never where a schedule assumes it

    async def reset(self) -> None:
        """As loading a bitstream does."""
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, 4)
        await FallingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    async def read(self, offset: int) -> int:
        """One register."""
        return await self._lite.read(offset)

    async def write(self, offset: int, value: int) -> None:
        """One register."""
        await self._lite.write(offset, value)

    async def store(self, address: int, data: bytes) -> None:
        """Bytes into the DDR; address and length are multiples of a word."""
        first = (address - self.plan.memory_base) // WORD_BYTES
        digits = data[::-1].hex()  # last byte first: every 16 digits are one word, last word first
        words = [digits[at : at + 16] for at in range(len(digits) - 16, -1, -16)]
        self._files.memory_load.write_text("\n".join([f"@{first:x}", *words]) + "\n")
        await self._pulse(self.dut.load_i)

    async def fetch(self, address: int, size: int) -> bytes:
        """Bytes of the DDR."""
        await self._pulse(self.dut.dump_i)
        lines = self._files.memory_out.read_text().splitlines()
        words = [line for line in lines if line and line[0] not in "/@"]
        first = (address - self.plan.memory_base) // WORD_BYTES
        picked = words[first : first + size // WORD_BYTES]
        return bytes.fromhex("".join(reversed(picked)))[::-1]

    async def interrupt(self) -> None:
        """Return while the interrupt is high. TimeoutError after the watchdog's cycles."""
        if self.dut.irq_o.value == 1:
            return
        watchdog = Timer(self.plan.watchdog_cycles * self.plan.period_ns, "ns")
        await First(watchdog, RisingEdge(self.dut.irq_o))
        if self.dut.irq_o.value != 1:
            raise TimeoutError(f"no interrupt within {self.plan.watchdog_cycles} cycles")

    async def sleep(self, seconds: float) -> None:
        """At least one cycle of simulated time."""
        cycles = max(1, round(seconds * self.plan.clock_mhz * 1e6))
        await ClockCycles(self.dut.clk_i, cycles)

    def allocate(self, size: int) -> int:
        """Physical address of so many bytes. MemoryError where there are none left."""
        address = self._next_free
        self._next_free += -(-size // PAGE_BYTES) * PAGE_BYTES
        if self._next_free > self.plan.memory_base + self.plan.memory_bytes:
            raise MemoryError(f"the simulated board has no {size} bytes left")
        return address

    async def _pulse(self, signal: Any) -> None:
        await FallingEdge(self.dut.clk_i)
        signal.value = 1
        await FallingEdge(self.dut.clk_i)
        signal.value = 0


class SimulatedTime:
    """``perf_counter`` and ``sleep`` of the ``time`` module, in simulated seconds."""

    def __init__(self, board: SimulatedBoard) -> None:
        self._board = board

    def perf_counter(self) -> float:
        """Seconds since the simulation began."""
        cycles = get_sim_time("ns") / self._board.plan.period_ns
        return float(cycles / (self._board.plan.clock_mhz * 1e6))

    def sleep(self, seconds: float) -> None:
        """Let the accelerator go on."""
        resume(self._board.sleep)(seconds)


class Buffer(np.ndarray[Any, Any]):
    """The processor's view of contiguous memory, as ``pynq.allocate`` gives it."""

    board: SimulatedBoard
    physical_address: int

    @property
    def device_address(self) -> int:
        """As the accelerator sees it."""
        return self.physical_address

    def flush(self) -> None:
        """To the DDR."""
        data = self.tobytes()
        padded = data + bytes(-len(data) % WORD_BYTES)
        resume(self.board.store)(self.physical_address, padded)

    def invalidate(self) -> None:
        """From the DDR."""
        size = self.nbytes + -self.nbytes % WORD_BYTES
        data = resume(self.board.fetch)(self.physical_address, size)
        self.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)[: self.nbytes]

    sync_to_device, sync_from_device = flush, invalidate

    def freebuffer(self) -> None:
        """Nothing is used twice here."""


class Overlay:
    """The bitstream is already there; loading it resets the accelerator."""

    def __init__(self, board: SimulatedBoard, bitfile_name: str, download: bool = True) -> None:
        if not Path(bitfile_name).is_file():
            raise OSError(f"Bitstream file {bitfile_name} does not exist.")
        self.bitfile_name = bitfile_name
        place = {"phys_addr": REGISTERS_AT, "addr_range": REGISTER_BYTES}
        self.ip_dict: Mapping[str, Mapping[str, int]] = {board.plan.ip: place}
        self.interrupt_pins: Mapping[str, Any] = {board.plan.interrupt: {}}
        if download:
            resume(board.reset)()


class MMIO:
    """Registers of the accelerator."""

    def __init__(self, board: SimulatedBoard, base_addr: int, length: int = 4) -> None:
        if not REGISTERS_AT <= base_addr <= base_addr + length <= REGISTERS_AT + REGISTER_BYTES:
            raise ValueError(f"nothing answers at 0x{base_addr:x}, {length} bytes")
        self._board, self._base, self._length = board, base_addr - REGISTERS_AT, length

    def read(self, offset: int = 0) -> int:
        """One 32-bit register."""
        return resume(self._board.read)(self._at(offset))

    def write(self, offset: int, data: int) -> None:
        """One 32-bit register."""
        resume(self._board.write)(self._at(offset), int(data) & 0xFFFF_FFFF)

    def _at(self, offset: int) -> int:
        if offset % 4 or not 0 <= offset < self._length:
            raise IndexError(f"no register at offset 0x{offset:x}")
        return self._base + offset


class Interrupt:
    """The accelerator's interrupt, by its pin."""

    def __init__(self, board: SimulatedBoard, pinname: str) -> None:
        if pinname != board.plan.interrupt:
            raise ValueError(f"No Pin of name {pinname} found")
        self._board = board

    async def wait(self) -> None:
        """Until it is high."""
        resume(self._board.interrupt)()


def allocate(
    board: SimulatedBoard, shape: Sequence[int] | int, dtype: DTypeLike = "u4", **_: Any
) -> Buffer:
    """A buffer of zeros; the memory behind it holds what it held."""
    plain: NDArray[Any] = np.zeros(shape, dtype=dtype)
    found = plain.view(Buffer)
    found.board, found.physical_address = board, board.allocate(plain.nbytes)
    return found


def pynq_module(board: SimulatedBoard) -> types.ModuleType:
    """What ``import pynq`` is to give."""
    module = types.ModuleType("pynq", "A simulated board.")
    vars(module).update(
        {part.__name__: partial(part, board) for part in (Overlay, MMIO, Interrupt, allocate)}
    )
    clocks = types.SimpleNamespace(fclk0_mhz=board.plan.clock_mhz)
    vars(module).update(Clocks=clocks, get_rails=dict, __version__=VERSION, TARGET=TARGET)
    return module
