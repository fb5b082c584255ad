"""Under a fault, a run ends with an error code or the right result, and the next start is right.

Every start runs under the bench's watchdog: `hung` is False everywhere but in the one test that
shows that the watchdog works.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.program import OPCODES, RECORD_BYTES
from testbench.accelerator_run import HostRun, RtlRun
from testbench.faults import (
    Rig,
    Start,
    build_rig,
    bursts,
    fields,
    flip,
    flip_field,
    records,
    with_opcode,
)
from testbench.registers import STATUS_BUSY, STATUS_DONE, STATUS_ERROR, STATUS_START_IGNORED

CHECKSUM, OPCODE, ABORTED = 1, 2, 7
RESPONSE_CODES = {"program": 3, "weight": 4, "load": 5, "store": 6}
SLVERR, DECERR = 2, 3
COPIES = 9  # a start that is disturbed, then one that is not, up to eight times
CHANNELS = ("ar", "aw", "w", "r", "b")
SPARE_BYTES = 64 * 1024  # for damaged programs


def small_design(root: Path, ports: dict[str, int]) -> Design:
    """All layers of the pool in two frames of some thousand cycles."""
    tables = design_to_dict(load_design(root / "designs" / "tiny_conv.toml"))
    tables["network"] = {
        "channels": 3,
        "height": 9,
        "width": 8,
        "bundles": [["conv3:10", "maxpool"], ["dw5", "conv1:8"], ["dw3", "avgpool"]],
        "head": ["conv1:5"],
    }
    tables["accelerator"]["ports"] = ports
    return design_from_dict(tables)


@pytest.fixture(scope="module")
def rig(root: Path, build_root: Path) -> Rig:
    """Each unit that reads or writes memory has a port of its own."""
    design = small_design(root, {"program": 0, "weight": 1, "load": 2, "store": 3})
    return build_rig(design, build_root, COPIES, spare_bytes=SPARE_BYTES)


@pytest.fixture(scope="module")
def shared_rig(root: Path, build_root: Path) -> Rig:
    """All of them share port 0."""
    design = small_design(root, {"program": 0, "weight": 0, "load": 0, "store": 0})
    return build_rig(design, build_root, COPIES, spare_bytes=SPARE_BYTES)


def assert_right(rig: Rig, result: RtlRun, start: int, copy: int) -> None:
    host = result.runs[start]
    assert not host.hung
    assert host.status & ~STATUS_START_IGNORED == STATUS_DONE
    assert host.frames_done == len(rig.images)
    assert rig.wrong_values(result, copy) == 0


def assert_error(host: HostRun, code: int) -> None:
    assert not host.hung
    assert host.status & (STATUS_BUSY | STATUS_DONE | STATUS_ERROR) == STATUS_ERROR
    assert host.error_code == code


def port_faults(port: int, response: int, **counts: int) -> list[str]:
    found = [f"+fault_port={port}", f"+fault_response={response}"]
    return found + [f"+fault_{direction}={count}" for direction, count in counts.items()]


def stalls(rng: np.random.Generator, most: int = 160) -> list[str]:
    found = [f"+stall_{name}={int(rng.integers(most))}" for name in CHANNELS]
    return [*found, f"+stall_seed={int(rng.integers(1, 1 << 30))}"]


def in_pairs(disturbed: list[Start]) -> list[Start]:
    """After each start on copy 0 an undisturbed one on a copy of its own."""
    return [start for i, bad in enumerate(disturbed) for start in (bad, Start(i + 1))]


def pairs(result: RtlRun) -> Iterator[tuple[int, HostRun]]:
    """(copy of the undisturbed start, the disturbed start before it)."""
    yield from enumerate(result.runs[::2], 1)


# ---- error responses


@pytest.mark.parametrize("where", ["first", "last", "random", "stalled"])
@pytest.mark.parametrize("response", [SLVERR, DECERR])
@pytest.mark.parametrize("unit", RESPONSE_CODES)
def test_an_error_response_is_reported_and_the_next_start_is_right(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, unit: str, response: int, where: str
) -> None:
    count = bursts(rig.schedules[0])[unit]
    number = {"first": 1, "last": count}.get(where, int(rng.integers(1, count + 1)))
    direction = "write" if unit == "store" else "read"
    port = list(RESPONSE_CODES).index(unit)
    plusargs = port_faults(port, response, **{direction: number})
    if where == "stalled":
        plusargs += stalls(rng)
    result = rig.run([Start(0), Start(1)], tmp_path, plusargs=plusargs)
    assert_error(result.runs[0], RESPONSE_CODES[unit])
    assert result.runs[0].error_info >> 24 & 3 == response
    assert_right(rig, result, 1, 1)


@pytest.mark.parametrize("case", range(6))
def test_error_responses_on_a_shared_port(
    shared_rig: Rig, rng: np.random.Generator, tmp_path: Path, case: int
) -> None:
    rig = shared_rig
    count = bursts(rig.schedules[0])
    reads = count["program"] + count["weight"] + count["load"]
    counts = {"read": int(rng.integers(1, reads + 1))}
    if case % 2:  # both directions: the first one to come is reported
        counts["write"] = int(rng.integers(1, count["store"] + 1))
    plusargs = port_faults(0, (SLVERR, DECERR)[case // 2 % 2], **counts) + stalls(rng)
    # Both faults may strike, one a start; the third start has none left.
    result = rig.run([Start(0), Start(0), Start(1)], tmp_path, plusargs=plusargs)
    for host in result.runs[:2]:
        assert not host.hung
        # A beat that the program fetch drops may have been hit: then the run is right.
        assert host.done or host.error_code in RESPONSE_CODES.values()
    assert_right(rig, result, 2, 1)


def test_a_program_outside_the_memory_is_a_read_error(rig: Rig, tmp_path: Path) -> None:
    disturbed = [Start(0, program_address=address) for address in (0, 0xFFFF_FF80)]
    result = rig.run(in_pairs(disturbed), tmp_path)
    for copy, host in pairs(result):
        assert_error(host, RESPONSE_CODES["program"])
        assert host.error_info >> 24 & 3 == DECERR
        assert_right(rig, result, 2 * copy - 1, copy)


# ---- back-pressure


@pytest.mark.parametrize("channel", [*CHANNELS, "all"])
def test_back_pressure_changes_no_value(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, channel: str
) -> None:
    names = CHANNELS if channel == "all" else (channel,)
    chance = 128 if channel == "all" else int(rng.integers(150, 250))
    plusargs = [f"+stall_{name}={chance}" for name in names]
    plusargs.append(f"+stall_seed={int(rng.integers(1, 1 << 30))}")
    result = rig.run([Start(0), Start(1)], tmp_path, plusargs=plusargs)
    assert result.runs[0].total_cycles != rig.cycles, "nothing was stalled"
    for index in range(2):
        assert_right(rig, result, index, index)


@pytest.mark.parametrize("case", range(4))
def test_back_pressure_on_a_shared_port_changes_no_value(
    shared_rig: Rig, rng: np.random.Generator, tmp_path: Path, case: int
) -> None:
    plusargs = stalls(rng, most=(100, 150, 200, 250)[case])
    result = shared_rig.run([Start(0), Start(1)], tmp_path, plusargs=plusargs)
    for index in range(2):
        assert_right(shared_rig, result, index, index)


@pytest.mark.parametrize("cycles", [1, 17, 300, 4000])
def test_a_memory_that_stands_still_for_a_while_changes_no_value(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, cycles: int
) -> None:
    at = int(rng.integers(10, rig.cycles * 3 // 4))
    plusargs = [f"+stall_all_at={at}", f"+stall_all_cycles={cycles}"]
    result = rig.run([Start(0), Start(1)], tmp_path, plusargs=plusargs)
    for index in range(2):
        assert_right(rig, result, index, index)


def test_maps_are_wrong_until_their_copy_was_started(rig: Rig, tmp_path: Path) -> None:
    result = rig.run([Start(1)], tmp_path)
    assert_right(rig, result, 0, 1)
    assert rig.wrong_values(result, 0) > 0


def test_the_watchdog_sees_a_hang(rig: Rig, tmp_path: Path) -> None:
    plusargs = [f"+stall_all_at={rig.cycles // 2}", "+stall_all_cycles=1000000000"]
    host = rig.run([Start(0)], tmp_path, plusargs=plusargs).runs[0]
    assert host.hung
    assert host.status == STATUS_BUSY


# ---- the host


def test_a_start_while_busy_is_ignored(rig: Rig, rng: np.random.Generator, tmp_path: Path) -> None:
    moments = sorted(int(c) for c in rng.integers(10, rig.cycles - 200, 5))
    starts = [Start(0, [(cycle, "start") for cycle in moments]), Start(1)]
    result = rig.run(starts, tmp_path)
    assert_right(rig, result, 0, 0)
    assert result.runs[0].status & STATUS_START_IGNORED
    assert result.runs[0].total_cycles == rig.cycles
    assert_right(rig, result, 1, 1)
    assert not result.runs[1].status & STATUS_START_IGNORED


@pytest.mark.parametrize("stalled", [False, True])
@pytest.mark.parametrize("when", ["early", "anywhere"])
def test_an_abort_is_reported_and_the_next_start_is_right(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, when: str, stalled: bool
) -> None:
    latest = 300 if when == "early" else rig.cycles - 200
    moments = rng.integers(1, latest, COPIES - 1)
    disturbed = [Start(0, [(int(cycle), "abort")]) for cycle in moments]
    result = rig.run(in_pairs(disturbed), tmp_path, plusargs=stalls(rng) if stalled else [])
    for copy, host in pairs(result):
        assert_error(host, ABORTED)
        assert_right(rig, result, 2 * copy - 1, copy)


def test_an_abort_of_nothing_is_harmless(rig: Rig, tmp_path: Path) -> None:
    result = rig.run([Start(0, [(10 * rig.cycles, "abort")]), Start(1)], tmp_path)
    for index in range(2):
        assert_right(rig, result, index, index)


@pytest.mark.parametrize("stalled", [False, True])
@pytest.mark.parametrize("when", ["early", "anywhere"])
def test_after_a_reset_in_mid_frame_the_next_start_is_right(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, when: str, stalled: bool
) -> None:
    latest = 300 if when == "early" else rig.cycles - 200
    moments = rng.integers(1, latest, COPIES - 1)
    disturbed = [Start(0, [(int(cycle), "reset")]) for cycle in moments]
    result = rig.run(in_pairs(disturbed), tmp_path, plusargs=stalls(rng) if stalled else [])
    for copy, host in pairs(result):
        assert host.reset
        assert host.status == 0
        assert host.total_cycles == 0
        assert_right(rig, result, 2 * copy - 1, copy)


@pytest.mark.parametrize("case", range(4))
def test_disturbances_in_a_row_on_a_shared_port(
    shared_rig: Rig, rng: np.random.Generator, tmp_path: Path, case: int
) -> None:
    rig = shared_rig
    disturbed = [
        Start(0, [(int(rng.integers(1, rig.cycles - 200)), str(rng.choice(["abort", "reset"])))])
        for _ in range(4)
    ]
    plusargs = port_faults(0, SLVERR, read=int(rng.integers(1, 100)))
    result = rig.run([*disturbed, Start(0), Start(1)], tmp_path, plusargs=plusargs + stalls(rng))
    assert not any(host.hung for host in result.runs), case
    assert_right(rig, result, 5, 1)


# ---- damaged programs


def run_damaged(rig: Rig, programs: list[bytes], work_dir: Path) -> RtlRun:
    """Each program on copy 0, then the undamaged one on a copy of its own."""
    memory = rig.memory()
    starts = []
    offset = len(memory) - rig.spare_bytes
    size = -(-len(programs[0]) // 128) * 128
    assert len(programs) * size <= rig.spare_bytes
    for index, program in enumerate(programs):
        place = offset + index * size
        memory[place : place + len(program)] = program
        starts.append(Start(0, program_address=rig.spare_address + index * size))
    return rig.run(in_pairs(starts), work_dir, bytes(memory))


def assert_refused(rig: Rig, result: RtlRun, hit: list[tuple[bytes, int]], code: int) -> None:
    """Each start with a damaged record ended with the code and the record's own tags."""
    for (copy, host), (program, record) in zip(pairs(result), hit, strict=True):
        assert_error(host, code)
        head = int.from_bytes(program[record * RECORD_BYTES :][:4], "little")
        assert host.error_info == (head >> 12 & 0xFFFF) << 8 | head >> 4 & 0xFF
        assert_right(rig, result, 2 * copy - 1, copy)


@pytest.mark.parametrize("group", range(-(-len(fields()) // (COPIES - 1))))
def test_a_damaged_field_is_an_error(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, group: int
) -> None:
    chosen = fields()[group * (COPIES - 1) : (group + 1) * (COPIES - 1)]
    hit = [flip_field(rig.program(), unit, name, rng) for unit, name in chosen]
    result = run_damaged(rig, [program for program, _ in hit], tmp_path)
    assert_refused(rig, result, hit, CHECKSUM)


@pytest.mark.parametrize("case", range(3))
def test_damage_at_random_words_is_an_error(
    shared_rig: Rig, rng: np.random.Generator, tmp_path: Path, case: int
) -> None:
    program = shared_rig.program()
    hit = []
    for _ in range(COPIES - 1):
        record = int(rng.integers(len(program) // RECORD_BYTES))
        changed = program
        for bit in rng.choice(8 * RECORD_BYTES, int(rng.integers(1, 6)), replace=False):
            changed = flip(changed, record, int(bit))
        hit.append((changed, record))
    result = run_damaged(shared_rig, [changed for changed, _ in hit], tmp_path)
    assert_refused(shared_rig, result, hit, CHECKSUM)
    assert case >= 0


@pytest.mark.parametrize("half", [0, 1])
def test_an_unknown_opcode_with_a_right_checksum_is_an_error(
    rig: Rig, rng: np.random.Generator, tmp_path: Path, half: int
) -> None:
    unknown = [code for code in range(16) if code not in OPCODES.values()]
    program = rig.program()
    hit = []
    for code in unknown[half::2]:
        record = int(rng.integers(len(program) // RECORD_BYTES))
        hit.append((with_opcode(program, record, code), record))
    result = run_damaged(rig, [changed for changed, _ in hit], tmp_path)
    assert_refused(rig, result, hit, OPCODE)


def test_a_program_without_an_end_is_an_error(rig: Rig, tmp_path: Path) -> None:
    program = rig.program()
    cut = program[: records(program, "end")[0] * RECORD_BYTES] + bytes(RECORD_BYTES)
    result = run_damaged(rig, [cut], tmp_path)
    assert_error(result.runs[0], CHECKSUM)
    assert_right(rig, result, 1, 1)


def test_damage_behind_the_end_is_never_seen(
    rig: Rig, rng: np.random.Generator, tmp_path: Path
) -> None:
    program = rig.program() + rng.bytes(5 * RECORD_BYTES)
    result = run_damaged(rig, [program], tmp_path)
    assert_right(rig, result, 0, 0)
    assert_right(rig, result, 1, 1)
