"""The SystemVerilog DDR model against its SimPy twin: every handshake at the same cycle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from model.ddr_timing import BEAT_BYTES, DdrTiming
from rtl_sim.build import Build, SimulationFailed, build, run
from testbench.ddr_replay import (
    MEMORY_BASE,
    MEMORY_WORDS,
    READ_ADDRESS,
    READ_DATA,
    READ_ERROR,
    RESPONSE,
    STATISTIC,
    WRITE_ADDRESS,
    Burst,
    Event,
    memory_after,
    random_bursts,
    read_log,
    replay,
    write_memory,
    write_table,
)

ROOT = Path(__file__).parent.parent
SOURCES = [ROOT / "testbench" / "hdl" / f"{name}.sv" for name in ("ddr_model", "ddr_traffic")]
FABRICS_KHZ = (50_000, 100_000, 150_000, 214_286, 333_333)
SEEDS = range(16)

# A build takes ten seconds: all cases stay in one process.
pytestmark = pytest.mark.xdist_group("ddr_rtl")


@cache
def traffic(ports: int) -> Build:
    """Two builds serve every number of ports: idle ports never take part in the arbitration."""
    built = {"Ports": 1 if ports == 1 else 4}
    root = ROOT / "build"
    return build(SOURCES, "ddr_traffic", parameters=built, build_root=root, optimise=False)


def random_timing(rng: random.Random) -> DdrTiming:
    """Far wider than any real memory, so that every rule decides something."""
    return DdrTiming(
        ddr_khz=rng.choice((66_667, 100_000, 333_333, 525_000, 1_066_000)),
        bytes_per_ck=rng.choice((2, 4, 8)),
        burst_bytes=rng.choice((8, 16, 32, 64)),
        banks=rng.choice((1, 2, 4, 8)),
        page_bytes=rng.choice((256, 1024, 2048)),
        t_rcd=rng.randint(1, 20),
        t_rp=rng.randint(1, 20),
        t_ras=rng.randint(1, 50),
        t_wr=rng.randint(0, 20),
        t_refi=rng.randint(200, 5000),
        t_rfc=rng.randint(1, 150),
        write_gap=rng.randint(0, 5),
        turn_read_write=rng.randint(0, 10),
        turn_write_read=rng.randint(0, 20),
        lookahead=rng.randint(0, 80),
        read_delay=rng.randint(0, 80),
        write_delay=rng.randint(0, 80),
        command_latency=rng.randint(1, 6),
        read_latency=rng.randint(0, 6),
        write_latency=rng.randint(0, 6),
        read_acceptance=rng.choice((1, 2, 3, 8, 16, 64)),
        write_acceptance=rng.choice((1, 2, 3, 8, 16, 64)),
        direction_limit=rng.randint(1, 9),
    )


class Case:
    """A table, a timing and a clock, drawn from a seed; run at both levels."""

    def __init__(self, seed: int, work_dir: Path) -> None:
        rng = random.Random(seed)
        self.ports = seed % 4 + 1
        self.timing = random_timing(rng)
        self.fabric_khz = rng.choice(FABRICS_KHZ)
        self.limits = (rng.choice((1, 2, 4, 64)), rng.choice((1, 2, 4, 64)))
        self.bursts = random_bursts(
            rng,
            self.ports,
            rng.choice((20, 100, 400)),
            gap=rng.choice((0, 3, 30, 300)),
            sequential=rng.random(),
        )
        self._work_dir = work_dir

    def simulated(self) -> list[Event]:
        return replay(
            self.bursts,
            self.timing,
            self.fabric_khz,
            self.ports,
            read_limit=self.limits[0],
            write_limit=self.limits[1],
        ).events

    def rtl(self, *plusargs: str) -> list[Event]:
        out = self._work_dir
        write_table(self.bursts, out / "table")
        write_memory(out / "memory")
        files = [f"+{name}={out / name}" for name in ("table", "memory", "memory_out", "log")]
        limits = [f"+read_limit={self.limits[0]}", f"+write_limit={self.limits[1]}"]
        arguments = [*files, *limits, *self.timing.plusargs(self.fabric_khz), *plusargs]
        run(traffic(self.ports), "testbench.ddr_bench", plusargs=arguments, work_dir=out)
        return read_log(out / "log")

    def memory(self) -> list[int]:
        """The words of the dump after `rtl`."""
        lines = (self._work_dir / "memory_out").read_text().split()
        return [int(line, 16) for line in lines if not line.startswith(("/", "@"))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_handshake_is_at_the_same_cycle(seed: int, tmp_path: Path) -> None:
    case = Case(seed, tmp_path)
    assert case.rtl() == case.simulated()
    assert case.memory() == memory_after(case.bursts)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1000, 1300))
def test_every_handshake_is_at_the_same_cycle_at_length(seed: int, tmp_path: Path) -> None:
    case = Case(seed, tmp_path)
    assert case.rtl() == case.simulated()


@pytest.mark.parametrize("idle_cycles", [1, 777, 12_345])
def test_time_zero_starts_time_anew(idle_cycles: int, tmp_path: Path) -> None:
    case = Case(21, tmp_path)
    assert case.rtl(f"+idle_cycles={idle_cycles}") == case.simulated()


@pytest.mark.parametrize("reset_at", [20, 333])
def test_a_reset_in_flight_starts_anew(reset_at: int, tmp_path: Path) -> None:
    case = Case(22, tmp_path)
    assert case.rtl(f"+reset_at={reset_at}") == case.simulated()


def transfers(events: Sequence[Event]) -> dict[tuple[int, int], list[int]]:
    """What each channel of each port carried, in order, without the cycles."""
    carried: dict[tuple[int, int], list[int]] = {}
    for kind, port, _, value in events:
        if kind != STATISTIC:
            carried.setdefault((kind, port), []).append(value)
    return carried


STALLS = [
    ["+stall_ar=100", "+stall_r=30"],
    ["+stall_aw=200", "+stall_w=100", "+stall_b=200"],
    ["+master_stall=128"],
    [f"+stall_{channel}=80" for channel in ("ar", "r", "aw", "w", "b")] + ["+master_stall=80"],
]


@pytest.mark.parametrize("stalls", STALLS)
def test_random_stalls_change_no_data(stalls: list[str], tmp_path: Path) -> None:
    case = Case(3, tmp_path)
    stalled = case.rtl(*stalls, "+stall_seed=5")
    free = case.simulated()
    assert transfers(stalled) == transfers(free)
    assert stalled != free
    assert case.memory() == memory_after(case.bursts)


def test_a_full_stall_stops_every_channel(tmp_path: Path) -> None:
    case = Case(3, tmp_path)
    events = case.rtl("+stall_all_at=100", "+stall_all_cycles=200")
    cycles = {cycle for kind, _, cycle, _ in events if kind != STATISTIC}
    assert cycles.isdisjoint(range(100, 300))
    assert min(cycles) < 100
    assert transfers(events) == transfers(case.simulated())


@pytest.mark.parametrize("response", [2, 3])
def test_a_fault_answers_one_burst(response: int, tmp_path: Path) -> None:
    case = Case(7, tmp_path)
    reads = [b for b in case.bursts if b.port == 2 and not b.is_write]
    fault = ["+fault_port=2", "+fault_read=5", "+fault_write=9", f"+fault_response={response}"]
    events = case.rtl(*fault)
    errors = [event for event in events if event[0] == READ_ERROR]
    first = sum(burst.beats for burst in reads[:4])
    beats = [event for event in events if event[:2] == (READ_DATA, 2)]
    faulty = beats[first : first + reads[4].beats]
    assert [(event[1], event[2], event[3]) for event in errors] == [
        (2, beat[2], response) for beat in faulty
    ]
    answers = [event[3] for event in events if event[:2] == (RESPONSE, 2)]
    assert answers == [response if i == 8 else 0 for i in range(len(answers))]


@pytest.mark.parametrize("word", [-1, MEMORY_WORDS - 3, MEMORY_WORDS])
def test_outside_the_memory_is_a_decode_error(word: int, tmp_path: Path) -> None:
    case = Case(0, tmp_path)
    address = MEMORY_BASE + word * BEAT_BYTES
    case.bursts = [Burst(False, 0, 0, address, 4), Burst(True, 0, 0, address, 4)]
    events = case.rtl()
    assert [value for kind, _, _, value in events if kind == READ_ERROR] == [3] * 4
    assert [value for kind, _, _, value in events if kind == RESPONSE] == [3]
    assert case.memory() == memory_after([])


def test_a_burst_too_long_stops_the_simulation(tmp_path: Path) -> None:
    case = Case(0, tmp_path)
    case.bursts = [Burst(False, 0, 0, MEMORY_BASE, 17)]
    with pytest.raises(SimulationFailed, match=r"port 0 reads +17 beats"):
        case.rtl()


def test_addresses_are_accepted_in_order(tmp_path: Path) -> None:
    case = Case(1, tmp_path)
    carried = transfers(case.rtl())
    for kind, is_write in ((READ_ADDRESS, False), (WRITE_ADDRESS, True)):
        expected = [b.address for b in case.bursts if b.port == 0 and b.is_write == is_write]
        assert carried[kind, 0] == expected
