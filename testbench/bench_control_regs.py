"""control_regs: registers, start and abort pulses, interrupt and counters over AXI4-Lite."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb

from testbench.clocked import Stall, bench_rng, simulate, value

UNITS, CLASSES = 7, 4
BUILD_ID = 0x7A4D_0001
CTRL, STATUS, IRQ_ENABLE, IRQ_STATUS = 0x00, 0x04, 0x08, 0x0C
PROGRAM_ADDRESS, FRAMES, IMAGE_STRIDE, OUTPUT_STRIDE = 0x10, 0x14, 0x18, 0x1C
ERROR_INFO, FRAMES_DONE, BUILD, TOTAL, COUNTERS = 0x20, 0x24, 0x28, 0x80, 0x100


class Host:
    """Works through a list of accesses: ("w", address, data), ("r", address), ("wait", cycles)."""

    def __init__(self, dut: Any, rng: random.Random, script: list[tuple[Any, ...]]) -> None:
        self.dut, self.script = dut, script
        self.stalls = {name: Stall(rng) for name in ("aw", "w", "b", "ar", "r")}
        self.read: list[int] = []
        self.taken: list[int] = []  # cycle in which each write was taken
        self._steps: Iterator[None] = self._run()
        self.finished = False
        self.cycle = 0

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self.cycle = cycle
        if not self.finished and next(self._steps, self) is self:
            self.finished = True

    def sample(self, cycle: int) -> None:
        """Everything happens in the steps, which look before they drive the next cycle."""

    def _run(self) -> Iterator[None]:
        for kind, *arguments in self.script:
            if kind == "wait":
                for _ in range(arguments[0]):
                    yield
            elif kind == "w":
                yield from self._write(*arguments)
            else:
                yield from self._read(*arguments)

    def _write(self, address: int, data: int, strobe: int = 15) -> Iterator[None]:
        dut = self.dut
        dut.axil_awaddr_i.value, dut.axil_wdata_i.value = address, data
        dut.axil_wstrb_i.value = strobe
        aw = w = False
        while True:
            aw = aw or not self.stalls["aw"](self.cycle)
            w = w or not self.stalls["w"](self.cycle)
            dut.axil_awvalid_i.value, dut.axil_wvalid_i.value = aw, w
            # Taken in the cycle in which both are valid, as no response is pending.
            yield
            if aw and w:
                break
        self.taken.append(self.cycle - 1)
        dut.axil_awvalid_i.value = dut.axil_wvalid_i.value = 0
        while True:
            assert value(dut.axil_bvalid_o)
            assert value(dut.axil_bresp_o) == 0
            ready = not self.stalls["b"](self.cycle)
            dut.axil_bready_i.value = ready
            yield
            if ready:
                break
        dut.axil_bready_i.value = 0

    def _read(self, address: int) -> Iterator[None]:
        dut = self.dut
        while self.stalls["ar"](self.cycle):
            yield
        assert value(dut.axil_arready_o)
        dut.axil_arvalid_i.value, dut.axil_araddr_i.value = 1, address
        yield
        dut.axil_arvalid_i.value = 0
        while True:
            ready = not self.stalls["r"](self.cycle)
            dut.axil_rready_i.value = ready
            valid = value(dut.axil_rvalid_o)
            if valid and ready:
                assert value(dut.axil_rresp_o) == 0
                self.read.append(value(dut.axil_rdata_o))
            yield
            if valid and ready:
                break
        dut.axil_rready_i.value = 0


class Run:
    """The sequencer's side: runs for a number of cycles after each start, ends well or badly."""

    def __init__(self, dut: Any, rng: random.Random, lengths: list[int], bad: set[int]) -> None:
        self.dut, self.rng, self.lengths, self.bad = dut, rng, lengths, bad
        self.counts = [[0] * CLASSES for _ in range(UNITS)]
        self.runs = 0
        self.left = 0
        self.starts: list[int] = []
        self.aborts: list[int] = []
        self.classes = [0] * UNITS

    def drive(self, _cycle: int) -> None:
        """Inputs of this cycle."""
        dut = self.dut
        last = self.left == 1
        failed = self.runs - 1 in self.bad
        dut.running_i.value = self.left > 0
        dut.done_pulse_i.value, dut.error_pulse_i.value = last and not failed, last and failed
        ended = self.left == 0 and self.runs > 0
        dut.done_i.value, dut.error_i.value = ended and not failed, ended and failed
        dut.error_code_i.value = 5 if ended and failed else 0
        dut.error_info_i.value = 0x2_1234_56 if ended and failed else 0
        dut.frames_done_i.value = self.runs
        self.classes = [self.rng.randrange(CLASSES) for _ in range(UNITS)]
        dut.class_i.value = sum(item << 2 * i for i, item in enumerate(self.classes))

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        if value(self.dut.abort_o):
            self.aborts.append(cycle)
        if self.left:
            for unit, item in enumerate(self.classes):
                self.counts[unit][item] += 1
            self.left -= 1
        if value(self.dut.start_o):
            self.starts.append(cycle)
            self.counts = [[0] * CLASSES for _ in range(UNITS)]
            self.left = self.lengths[self.runs]
            self.runs += 1


@cocotb.test()
async def a_run_as_the_host_sees_it(dut: Any) -> None:
    """Parameters, start, a refused second start, interrupt, counters, an error, the next run."""
    rng = bench_rng()
    lengths = [900, 700]
    script = [
        ("r", BUILD),
        ("r", STATUS),
        ("w", PROGRAM_ADDRESS, 0x1234_5678),
        ("w", PROGRAM_ADDRESS, 0xFFFF_FFAB, 0b0001),
        ("w", FRAMES, 3),
        ("w", IMAGE_STRIDE, 0x1000),
        ("w", OUTPUT_STRIDE, 0x2000),
        ("w", IRQ_ENABLE, 3),
        ("r", PROGRAM_ADDRESS),
        ("w", CTRL, 1),
        ("r", STATUS),
        ("w", CTRL, 1),
        ("w", CTRL, 2),
        ("r", STATUS),
        ("wait", 1500),
        ("r", STATUS),
        ("r", IRQ_STATUS),
        ("w", IRQ_STATUS, 1),
        ("r", IRQ_STATUS),
        ("r", FRAMES_DONE),
        ("r", TOTAL),
        *(("r", COUNTERS + 16 * u + 4 * k) for u in range(UNITS) for k in range(CLASSES)),
        ("w", CTRL, 2),
        ("w", CTRL, 1),
        ("wait", 1500),
        ("r", STATUS),
        ("r", ERROR_INFO),
        ("r", IRQ_STATUS),
        ("r", TOTAL),
    ]
    host = Host(dut, rng, script)
    run = Run(dut, rng, lengths, bad={1})
    irq: list[int] = []
    counts: list[list[int]] = []

    class Watch:
        def drive(self, _cycle: int) -> None: ...

        def sample(self, _cycle: int) -> None:
            irq.append(value(dut.irq_o))
            if run.runs == 1 and run.left == 0:
                counts[:] = [list(row) for row in run.counts]

    await simulate(dut, [host, run, Watch()], lambda: host.finished)
    expected = [BUILD_ID, 0, 0x1234_56AB, 0x01, 0x09, 0x0A, 1, 0, 1, lengths[0]]
    expected += [item for row in counts for item in row]
    expected += [0x0504, 0x2_1234_56, 2, lengths[1]]
    assert host.read == expected
    assert [sum(row) for row in counts] == [lengths[0]] * UNITS
    assert len(run.starts) == 2
    assert len(run.aborts) == 1
    starts = [host.taken[i] for i, (_, a, d) in enumerate(_writes(script)) if (a, d) == (CTRL, 1)]
    assert run.starts == [starts[0] + 1, starts[2] + 1]
    first_irq = run.starts[0] + lengths[0] + 2
    assert irq[:first_irq].count(1) == 0
    assert irq[first_irq] == 1


def _writes(script: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [item[:3] for item in script if item[0] == "w"]
