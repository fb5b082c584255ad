"""sequencer: what reaches the command FIFOs and when, the frame loop, errors and restarts."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb

from model.program import FIELDS, OPCODES, RECORD_BYTES, Command, checksum, encode, layout_of
from testbench.axi_agents import UNIT_READ, ReadSlave
from testbench.clocked import Stall, bench_rng, simulate, value
from testbench.command_source import record

UNITS = ("load", "weight", "depthwise", "mac", "store")
DEPTH = 2
PROGRAM_ADDRESS = 0x1000_0F00
IMAGE_STRIDE, OUTPUT_STRIDE = 0x0012_3400, 0x0000_4560
PAYLOAD_BITS = 480
FRAME_LAST = layout_of("store")["frame_last"][0]  # bit
FIFO_BURSTS, RECORDS_PER_BURST = 2, 2
ERROR_INFO = {"weight_error": 4 << 8 | 1, "load_error": 5 << 8 | 2, "store_error": 6 << 8 | 3}


def random_program(rng: random.Random, count: int) -> list[Command]:
    """Commands with random fields; the last one is a frame's last store, then `end`."""
    commands = []
    for index in range(count):
        unit = "store" if index == count - 1 else rng.choice(UNITS)
        fields = {name: rng.getrandbits(bits) for name, bits in FIELDS[unit]}
        if unit == "store":
            fields["frame_last"] = int(index == count - 1)
        commands.append(Command(unit, rng.getrandbits(8), rng.getrandbits(16), fields))
    return [*commands, Command("end", 0, 0)]


def words(program: bytes) -> dict[int, int]:
    """Byte address -> 64 bits."""
    return {
        PROGRAM_ADDRESS + i: int.from_bytes(program[i : i + 8], "little")
        for i in range(0, len(program), 8)
    }


def dispatched(command: Command, frame: int, stores_before: int) -> int:
    """The payload that reaches the unit: offsets and store base added."""
    fields = dict(command.fields)
    stride = {"load": IMAGE_STRIDE, "store": OUTPUT_STRIDE}.get(command.unit, 0)
    if fields.get("frame_offset"):
        fields["address"] = (fields["address"] + frame * stride) & 0xFFFF_FFFF
    if command.unit == "load":
        fields["sync"] = (fields["sync"] + stores_before) & 0xFFFF
    moved = Command(command.unit, command.bundle, command.tile, fields)
    return record(moved) & (1 << PAYLOAD_BITS) - 1


class Accelerator:
    """Command FIFOs, frame ends, masters: everything around the sequencer. Also the host."""

    def __init__(self, dut: Any, rng: random.Random, frames: int) -> None:
        self.dut, self.rng, self.frames = dut, rng, frames
        self.stalls = [Stall(rng) for _ in UNITS]
        self.fill = [0] * len(UNITS)
        self.pushes: list[tuple[int, int, int]] = []  # cycle, unit, payload
        self.not_full: list[list[int]] = [[] for _ in UNITS]  # cycles
        self.frame_ends: deque[int] = deque()
        self.starts = {5}
        self.pulses: dict[str, int] = {}  # input name -> cycle
        self.idle_from = 0
        self.done: list[int] = []
        self.failed: list[int] = []
        self.classes: list[int] = []
        self.running: list[int] = []
        self._ended = False

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        dut = self.dut
        dut.start_i.value = cycle in self.starts
        dut.program_address_i.value, dut.frames_i.value = PROGRAM_ADDRESS, self.frames
        dut.image_stride_i.value, dut.output_stride_i.value = IMAGE_STRIDE, OUTPUT_STRIDE
        dut.cmd_full_i.value = sum((fill == DEPTH) << i for i, fill in enumerate(self.fill))
        for unit, fill in enumerate(self.fill):
            if fill < DEPTH:
                self.not_full[unit].append(cycle)
        self._ended = bool(self.frame_ends) and self.frame_ends[0] <= cycle
        dut.frame_done_i.value = self._ended
        dut.masters_idle_i.value = cycle >= self.idle_from
        for name, when in self.pulses.items():
            getattr(dut, name).value = when == cycle
        for name, info in ERROR_INFO.items():
            getattr(dut, f"{name}_info_i").value = info

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        dut = self.dut
        self.classes.append(value(dut.class_o))
        if self._ended:
            self.frame_ends.popleft()
        for unit, stall in enumerate(self.stalls):
            if self.fill[unit] and not stall(cycle):
                self.fill[unit] -= 1
        push = value(dut.cmd_push_o)
        assert value(dut.event_dispatch_o) == bool(push)
        if push:
            unit = push.bit_length() - 1
            assert push == 1 << unit
            self.fill[unit] += 1
            payload = value(dut.cmd_o)
            self.pushes.append((cycle, unit, payload))
            if unit == UNITS.index("store") and payload >> FRAME_LAST & 1:
                self.frame_ends.append(cycle + 30 + self.rng.randrange(200))
        if value(dut.running_o):
            self.running.append(cycle)
        if value(dut.done_pulse_o):
            self.done.append(cycle)
        if value(dut.error_pulse_o):
            assert value(dut.flush_o)
            self.failed.append(cycle)
            self.fill = [0] * len(UNITS)
            self.frame_ends.clear()


@dataclass
class Fetch:
    """The program bursts of one frame: cycles of their acceptance and of the beats so far."""

    accepted: list[int]
    arrivals: list[int]


def _fetches(slave: ReadSlave) -> list[Fetch]:
    """One per frame, which begins with the burst at the program address."""
    frames: list[Fetch] = []
    position = 0
    for burst in slave.bursts:
        if burst.address == PROGRAM_ADDRESS:
            frames.append(Fetch([], []))
        frames[-1].accepted.append(burst.accepted)
        beats = slave.beats[position : position + burst.beats]
        frames[-1].arrivals += [cycle for cycle, _ in beats]
        position += burst.beats
    return frames


def _check_run(
    commands: list[Command], around: Accelerator, slave: ReadSlave, start: int, frames: int
) -> None:
    fetches = _fetches(slave)
    pushes = iter(around.pushes)
    stores = sum(command.unit == "store" for command in commands)
    cycle = start + 1
    for frame in range(frames):
        checks: list[int] = []
        began = cycle
        for index, command in enumerate(commands):
            for beat in fetches[frame].arrivals[8 * index : 8 * index + 8]:
                cycle = max(cycle, beat + 1) + 1
            check = cycle
            checks.append(check)
            if command.unit == "end":
                landed = fetches[frame].arrivals[-1]
                cycle = max(check + 1, landed + 1) + 1  # RESTART until nothing is in flight
                break
            unit = UNITS.index(command.unit)
            pushed = next(c for c in around.not_full[unit] if c > check)
            payload = dispatched(command, frame, frame * stores)
            assert next(pushes) == (pushed, unit, payload), (frame, index)
            assert set(around.classes[check + 1 : pushed]) <= {2}
            cycle = pushed + 1
        _check_fetch(fetches[frame].accepted, began, checks, exact=slave.ar_stall.mode == "none")
    assert next(pushes, None) is None


def _check_fetch(accepted: list[int], began: int, checks: list[int], *, exact: bool) -> None:
    """A burst is offered when the FIFO has room for it, the master is idle, `end` is not seen."""
    offer = began
    for index, cycle in enumerate(accepted):
        if index >= FIFO_BURSTS:
            offer = max(offer, checks[RECORDS_PER_BURST * (index - FIFO_BURSTS + 1) - 1])
        assert offer <= checks[-1], index
        assert cycle >= offer + 2, index  # CALC, REQ
        assert not exact or cycle == offer + 2, index
        offer = cycle + 1
    following = RECORDS_PER_BURST * (len(accepted) - FIFO_BURSTS + 1) - 1
    if following < len(checks):
        assert max(offer, checks[following]) > checks[-1]


@cocotb.test()
async def records_reach_their_units(dut: Any) -> None:
    """Payload and cycle of every push over three frames, then done."""
    rng = bench_rng()
    commands = random_program(rng, 25)
    slave = ReadSlave(dut, rng, UNIT_READ, words(encode(commands)))
    around = Accelerator(dut, rng, frames=3)
    await simulate(dut, [slave, around], lambda: bool(around.done))
    _check_run(commands, around, slave, 5, 3)
    assert around.running == list(range(6, around.done[0] + 1))
    assert value(dut.frames_done_o) in (2, 3)


async def _fails(
    dut: Any, program: bytes, code: int, pulses: dict[str, int], fault: tuple[int, int] | None
) -> int:
    """A run that must stop with `code`, then a good run; returns ERROR_INFO of the first."""
    rng = bench_rng()
    slave = ReadSlave(dut, rng, UNIT_READ, words(program), fault=fault)
    around = Accelerator(dut, rng, frames=2)
    around.pulses = pulses
    around.idle_from = 700  # other masters take a while
    info = 0
    good = random_program(rng, 9)

    def over() -> bool:
        nonlocal info
        if around.failed and max(around.starts) < around.failed[0]:
            assert around.failed[0] > 700
            info = value(dut.error_info_o)
            assert value(dut.error_code_o) == code
            slave.memory, slave.fault = words(encode(good)), None
            slave.bursts.clear()
            slave.beats.clear()
            around.pushes.clear()
            around.starts.add(around.failed[0] + 20)
        return bool(around.done)

    await simulate(dut, [slave, around], over)
    assert len(around.failed) == 1
    _check_run(good, around, slave, max(around.starts), 2)
    assert value(dut.error_o) == 0
    return info


def _corrupt(program: bytes, index: int, payload: bytes) -> bytes:
    start = RECORD_BYTES * index
    return program[:start] + payload + program[start + RECORD_BYTES :]


@cocotb.test()
async def bad_checksum_stops(dut: Any) -> None:
    """Error 1, with the record's bundle and tile."""
    commands = random_program(bench_rng(), 10)
    program = encode(commands)
    bad = bytearray(program[5 * RECORD_BYTES : 6 * RECORD_BYTES])
    bad[40] ^= 4
    info = await _fails(dut, _corrupt(program, 5, bytes(bad)), 1, {}, None)
    assert info == commands[5].tile << 8 | commands[5].bundle


@cocotb.test()
@cocotb.parametrize(opcode=[0, max(OPCODES.values()) + 1])
async def bad_opcode_stops(dut: Any, opcode: int) -> None:
    """Error 2 for a record whose checksum is right."""
    payload = (opcode | 7 << 4 | 9 << 12).to_bytes(RECORD_BYTES - 4, "little")
    payload += checksum(payload).to_bytes(4, "little")
    program = _corrupt(encode(random_program(bench_rng(), 10)), 3, payload)
    assert await _fails(dut, program, 2, {}, None) == 9 << 8 | 7


@cocotb.test()
async def bad_response_stops(dut: Any) -> None:
    """Error 3 with the response; a bad response beyond `end` is none."""
    program = encode(random_program(bench_rng(), 10))
    info = await _fails(dut, program, 3, {}, (2, 3))
    assert info >> 24 == 3


@cocotb.test()
@cocotb.parametrize(
    case=[
        (4, ("weight_error", "load_error", "store_error")),
        (5, ("load_error", "store_error")),
        (6, ("store_error",)),
        (7, ()),
    ]
)
async def errors_of_units_stop(dut: Any, case: tuple[int, tuple[str, ...]]) -> None:
    """Errors 4, 5, 6 and an abort, 7; of several in one cycle the lowest number wins."""
    code, sources = case
    program = encode(random_program(bench_rng(), 30))
    pulses = {f"{name}_i": 90 for name in sources} | {"abort_i": 90}
    info = await _fails(dut, program, code, pulses, None)
    assert info == (ERROR_INFO[sources[0]] if sources else 0)
