"""The DDR model by itself: its rules by hand, and the public measurements it must reproduce."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from model.ddr import DdrController
from model.ddr_service import DdrService
from model.ddr_timing import DdrTiming
from model.device import load_device
from model.errors import TandemError
from testbench.ddr_replay import (
    READ_ADDRESS,
    READ_DATA,
    RESPONSE,
    STATISTIC,
    Burst,
    random_bursts,
    replay,
)

BURST_BYTES = 128  # 16 beats of 8 bytes
PYNQ_Z1 = load_device("pynq_z1").ddr
# One tick a cycle, no refresh in sight: cycles can be counted by hand.
SIMPLE = DdrTiming(
    ddr_khz=100_000,
    bytes_per_ck=8,
    burst_bytes=8,
    banks=2,
    page_bytes=256,
    t_rcd=3,
    t_rp=4,
    t_ras=9,
    t_wr=5,
    t_refi=100_000,
    t_rfc=50,
    write_gap=1,
    turn_read_write=2,
    turn_write_read=6,
    lookahead=0,
    read_delay=0,
    write_delay=0,
    command_latency=1,
    read_latency=2,
    write_latency=2,
    read_acceptance=2,
    write_acceptance=2,
    direction_limit=2,
)
FABRIC_KHZ = 100_000


class TestTiming:
    def test_a_table_and_its_record_hold_the_same(self) -> None:
        assert asdict(DdrTiming.from_table(asdict(SIMPLE))) == asdict(SIMPLE)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("t_rcd", 0, "ddr.t_rcd is 0: give at least 1"),
            ("t_rcd", 7.0, "ddr.t_rcd is 7.0: give an integer"),
            ("banks", 6, "ddr.banks is 6: give a power of two"),
            ("burst_bytes", 4, "at least bytes_per_ck"),
            ("t_rfc", 100_000, "more than t_rfc"),
            ("read_acceptance", 65, "at most 64"),
            ("t_rc", 1, "ddr.t_rc is unknown"),
        ],
    )
    def test_a_wrong_value_is_named(self, key: str, value: object, message: str) -> None:
        with pytest.raises(TandemError, match=message):
            DdrTiming.from_table({**asdict(SIMPLE), key: value})

    def test_a_missing_key_is_named(self) -> None:
        table = asdict(SIMPLE)
        del table["t_ras"]
        with pytest.raises(TandemError, match=r"ddr\.t_ras is missing"):
            DdrTiming.from_table(table)


class TestService:
    """Ticks on the data bus, by hand. Pages are 256 bytes, two banks: a row spans 512 bytes."""

    def test_a_closed_bank_activates(self) -> None:
        assert DdrService(SIMPLE).serve(10, False, 0, 16) == (13, 29)

    def test_an_open_row_follows_without_a_gap(self) -> None:
        service = DdrService(SIMPLE)
        service.serve(10, False, 0, 16)
        assert service.serve(20, False, 128, 4) == (29, 33)

    def test_another_bank_activates_behind_the_data(self) -> None:
        service = DdrService(SIMPLE)
        service.serve(10, False, 0, 16)
        assert service.serve(20, False, 256, 4) == (29, 33)

    def test_another_row_waits_for_data_precharge_and_activate(self) -> None:
        service = DdrService(SIMPLE)
        service.serve(10, False, 0, 16)
        assert service.serve(20, False, 512, 4) == (29 + 4 + 3, 40)

    def test_a_row_stays_open_for_t_ras(self) -> None:
        service = DdrService(SIMPLE)
        service.serve(10, False, 0, 1)  # activate 10, data 13
        assert service.serve(11, False, 512, 1)[0] == 10 + 9 + 4 + 3

    def test_a_row_stays_open_for_t_wr(self) -> None:
        service = DdrService(SIMPLE)
        service.serve(10, True, 0, 16)  # turnaround is hidden, data 13 to 29
        assert service.serve(20, True, 512, 1)[0] == 29 + 5 + 4 + 3

    def test_writes_keep_a_gap_and_directions_turn(self) -> None:
        service = DdrService(SIMPLE)
        assert service.serve(10, False, 0, 2) == (13, 15)
        assert service.serve(11, True, 0, 2) == (15 + 2, 19)
        assert service.serve(12, True, 0, 2) == (19 + 1, 22)
        assert service.serve(13, False, 0, 2) == (22 + 1 + 6, 31)

    def test_a_refresh_closes_rows_and_delays(self) -> None:
        service = DdrService(replace(SIMPLE, t_refi=100))
        service.serve(10, False, 0, 1)
        assert service.serve(120, False, 0, 1)[0] == 100 + 4 + 50 + 3
        assert (service.refreshes, service.row_misses) == (1, 2)

    def test_refreshes_of_an_idle_time_are_counted_once_each(self) -> None:
        service = DdrService(replace(SIMPLE, t_refi=100))
        assert service.serve(1090, False, 0, 1)[0] == 1090 + 3
        assert (service.refreshes, service.next_refresh_ck) == (10, 1100)

    @pytest.mark.parametrize(("address", "ticks"), [(0, 4), (8, 6), (24, 6)])
    def test_a_burst_moves_whole_ddr_bursts(self, address: int, ticks: int) -> None:
        service = DdrService(replace(SIMPLE, burst_bytes=16))
        start, end = service.serve(0, False, address, 4)
        assert end - start == ticks


class _Recorder:
    """Callbacks of one burst."""

    def __init__(self) -> None:
        self.accepted = -1
        self.first = -1
        self.last = -1

    def on_accept(self, cycle: int) -> None:
        self.accepted = cycle

    def on_served(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def on_response(self, cycle: int) -> None:
        self.last = cycle


class TestController:
    def test_a_read_by_hand(self) -> None:
        env = simpy.Environment()
        burst = _Recorder()
        DdrController(env, SIMPLE, FABRIC_KHZ, 1).offer_read(
            0, 0, 16, 5, burst.on_accept, burst.on_served
        )
        assert burst.accepted == 5, "known at once"
        env.run()
        # visible and granted 6, activate 7, data 10 to 26: the last beat is complete at 26, two
        # cycles of return, and sixteen beats follow each other without a gap
        assert (burst.first, burst.last) == (13, 28)

    def test_a_write_by_hand(self) -> None:
        env = simpy.Environment()
        controller = DdrController(env, SIMPLE, FABRIC_KHZ, 1)
        burst = _Recorder()
        controller.offer_write(0, 0, 4, 5, burst.on_accept, burst.on_response)
        controller.write_data(0, 9)
        env.run()
        # visible and granted 10, activate 11, data 14 to 18, two cycles of return
        assert (burst.accepted, burst.last) == (5, 20)

    def test_a_full_port_accepts_after_the_last_beat(self) -> None:
        env = simpy.Environment()
        controller = DdrController(env, SIMPLE, FABRIC_KHZ, 1)
        bursts = [_Recorder() for _ in range(3)]
        for cycle, burst in enumerate(bursts):
            controller.offer_read(0, 0, 16, cycle, burst.on_accept, burst.on_served)
        assert bursts[2].accepted == -1
        env.run()
        assert bursts[2].accepted == bursts[0].last + 1

    def test_misuse_is_refused(self) -> None:
        env = simpy.Environment()
        controller = DdrController(env, SIMPLE, FABRIC_KHZ, 1)
        with pytest.raises(RuntimeError, match="without an accepted address"):
            controller.write_data(0, 10)
        for cycle in range(3):
            controller.offer_read(0, 0, 1, cycle, _ignore, _ignore2)
        with pytest.raises(RuntimeError, match="before the last one was accepted"):
            controller.offer_read(0, 0, 1, 9, _ignore, _ignore2)
        env.run(until=50)
        with pytest.raises(RuntimeError, match="in the past, at cycle 49"):
            controller.offer_read(0, 0, 1, 49, _ignore, _ignore2)

    def test_directions_share_in_runs_of_the_limit(self) -> None:
        bursts = [
            Burst(is_write, 0, 0, BURST_BYTES * i, 16)
            for is_write in (False, True)
            for i in range(60)
        ]
        timing = replace(
            SIMPLE, page_bytes=8192, lookahead=4, read_acceptance=16, write_acceptance=16
        )
        log = replay(bursts, timing, FABRIC_KHZ, 1)
        writes = [cycle for kind, _, cycle, _ in log.events if kind == RESPONSE]
        # Two reads and two writes with both turnarounds: 64 ticks, 8 to turn, 2 gaps.
        assert writes[40] - writes[20] == 10 * (64 + 8 + 2)


def _ignore(_cycle: int) -> None:
    pass


def _ignore2(_first: int, _last: int) -> None:
    pass


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 4), st.sampled_from([66_667, 100_000, 333_333]))
def test_beats_never_share_a_cycle_and_none_is_lost(seed: int, ports: int, fabric_khz: int) -> None:
    bursts = random_bursts(random.Random(seed), ports, 30, gap=20, sequential=0.5)
    log = replay(bursts, PYNQ_Z1, fabric_khz, ports)
    beats = [event for event in log.events if event[0] == READ_DATA]
    assert len({event[:3] for event in log.events if event[0] != STATISTIC}) == len(log.events) - 4
    assert len(beats) == sum(b.beats for b in bursts if not b.is_write)
    assert log.statistics.bytes_read == 8 * len(beats)
    assert log.statistics.row_hits + log.statistics.row_misses == len(bursts)
    assert replay(bursts, PYNQ_Z1, fabric_khz, ports) == log


# ---------------------------------------------------------------- public measurements


def sequential(port: int, is_write: bool) -> Callable[[int], int]:
    """Streams of different ports and directions work on different banks, as separate buffers do."""
    stream = 2 * port + is_write
    base = stream * ((1 << 24) + PYNQ_Z1.page_bytes)
    return lambda index: base + index * BURST_BYTES


def scattered(port: int, is_write: bool) -> Callable[[int], int]:
    rng = random.Random(2 * port + is_write)
    return lambda _index: rng.randrange(1 << 22) * BURST_BYTES


def efficiency(
    pattern: Callable[[int, bool], Callable[[int], int]], directions: tuple[bool, ...], khz: int
) -> float:
    """Share of the DDR peak that four saturating HP masters get."""
    bursts = []
    for port in range(4):
        for is_write in directions:
            address = pattern(port, is_write)
            bursts += [Burst(is_write, port, 0, address(i), 16) for i in range(500)]
    log = replay(bursts, PYNQ_Z1, khz, 4, read_limit=8, write_limit=8)
    seconds = max(cycle for kind, _, cycle, _ in log.events if kind != STATISTIC) / (khz * 1000)
    return len(bursts) * BURST_BYTES / seconds / PYNQ_Z1.peak_bytes_per_second


@pytest.mark.parametrize(
    ("pattern", "directions", "measured"),
    [
        (sequential, (False,), 0.97),
        (scattered, (False,), 0.92),
        (sequential, (True,), 0.90),
        (scattered, (True,), 0.87),
        (sequential, (False, True), 0.87),
        (scattered, (False, True), 0.79),
    ],
)
def test_four_hp_masters_reach_the_measured_efficiency(
    pattern: Callable[[int, bool], Callable[[int], int]],
    directions: tuple[bool, ...],
    measured: float,
) -> None:
    """UG585, 16-beat bursts at 150 MHz."""
    assert efficiency(pattern, directions, 150_000) == pytest.approx(measured, abs=0.03)


def test_full_duplex_at_125_mhz_exceeds_1600_mb_per_second() -> None:
    share = efficiency(sequential, (False, True), 125_000)
    assert share * PYNQ_Z1.peak_bytes_per_second > 1.6e9


def single_port(bursts: int, *, cpu: bool, limit: int = 1) -> tuple[list[int], list[int]]:
    """Accept cycles and first-beat cycles of 16-beat reads on one port at 100 MHz.

    The CPU copies memory on another port: lines of 32 bytes, one read and one write at a time.
    """
    table = [Burst(False, 0, 0, BURST_BYTES * i, 16) for i in range(bursts)]
    rng = random.Random(7)
    if cpu:
        table += [
            Burst(bool(i % 2), 1, 0, rng.randrange(1 << 24) * 32, 4) for i in range(4 * bursts)
        ]
    log = replay(table, PYNQ_Z1, 100_000, 2, read_limit=limit, write_limit=limit)
    accepts = [cycle for kind, port, cycle, _ in log.events if (kind, port) == (READ_ADDRESS, 0)]
    beats = [cycle for kind, port, cycle, _ in log.events if (kind, port) == (READ_DATA, 0)]
    return accepts, beats[::16]


def test_one_port_beside_a_cpu_takes_the_measured_time() -> None:
    accepts, _ = single_port(2000, cpu=True)
    times = [after - before for before, after in pairwise(accepts)]
    assert sum(times) / len(times) == pytest.approx(37.4, rel=0.05)
    assert max(times) <= 85


def test_first_data_comes_after_about_20_cycles() -> None:
    accepts, firsts = single_port(500, cpu=False)
    waits = [first - accept for accept, first in zip(accepts, firsts, strict=True)]
    assert sum(waits) / len(waits) == pytest.approx(20, abs=1)


def test_three_outstanding_bursts_fill_a_port() -> None:
    accepts, firsts = single_port(500, cpu=False, limit=3)
    assert len(accepts) * 16 / (firsts[-1] + 16) > 0.95


def test_the_ultra96_moves_8_5_gb_per_second_at_most() -> None:
    assert load_device("ultra96").ddr.peak_bytes_per_second == 8_528_000_000
