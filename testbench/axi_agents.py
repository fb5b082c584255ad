"""AXI slaves and a segment source for unit benches: agents of `testbench.clocked`.

They keep the contract of the memory the masters are made for: one ID, responses in order, data of
a read burst and the response of a write burst come some cycles after the request. What happened
when is in public lists, cycles as counted by `simulate`.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testbench.clocked import Stall, value

PAGE_BYTES = 4096
BEAT_BYTES = 8
MAX_BURST = 16
_MASK64 = (1 << 64) - 1

# Port names: the request side of a unit, and of a port of the accelerator.
UNIT_READ = {
    "arvalid": "ar_valid_o",
    "arready": "ar_ready_i",
    "araddr": "ar_address_o",
    "arlen": "ar_len_o",
    "rvalid": "r_valid_i",
    "rdata": "r_data_i",
    "rresp": "r_resp_i",
    "rlast": "r_last_i",
}
AXI_READ = {
    "arvalid": "axi_arvalid_o",
    "arready": "axi_arready_i",
    "araddr": "axi_araddr_o",
    "arlen": "axi_arlen_o",
    "rvalid": "axi_rvalid_i",
    "rdata": "axi_rdata_i",
    "rresp": "axi_rresp_i",
    "rlast": "axi_rlast_i",
}


def default_word(address: int) -> int:
    """What an unwritten memory holds at a byte address."""
    return (address // BEAT_BYTES + 1) * 0x9E37_79B9_7F4A_7C15 & _MASK64


@dataclass
class Burst:
    """One request: where, how long, and when it was accepted."""

    address: int
    beats: int
    accepted: int


def check_burst(burst: Burst) -> None:
    """INCR, at most 16 beats, inside one 4 KB page, aligned."""
    assert 1 <= burst.beats <= MAX_BURST, burst
    assert burst.address % BEAT_BYTES == 0, burst
    end = burst.address + burst.beats * BEAT_BYTES - 1
    assert burst.address // PAGE_BYTES == end // PAGE_BYTES, burst


class _Request:
    """VALID may not fall, and nothing may change, before READY."""

    def __init__(self) -> None:
        self.waiting: tuple[int, ...] | None = None

    def check(self, valid: int, ready: bool, payload: tuple[int, ...]) -> bool:
        """True if accepted in this cycle."""
        if self.waiting is not None:
            assert valid, "valid fell before ready"
            assert payload == self.waiting, "a request changed before it was accepted"
        self.waiting = payload if valid and not ready else None
        return bool(valid and ready)


class ReadSlave:
    """Answers reads from a memory of 64-bit words; `fault` is (number of the burst, response)."""

    def __init__(
        self,
        dut: Any,
        rng: random.Random,
        names: Mapping[str, str],
        memory: Mapping[int, int] | None = None,
        latency: int = 6,
        fault: tuple[int, int] | None = None,
    ) -> None:
        self.port = {key: getattr(dut, name) for key, name in names.items()}
        self.memory, self.latency, self.fault = memory or {}, latency, fault
        self.ar_stall, self.r_stall = Stall(rng), Stall(rng)
        self.bursts: list[Burst] = []
        self.beats: list[tuple[int, int]] = []  # cycle, data
        self._queue: deque[tuple[int, int, int, bool]] = deque()  # from cycle, data, resp, last
        self._request = _Request()
        self._ready = self._sending = False

    @property
    def busy(self) -> bool:
        """Beats are still to come."""
        return bool(self._queue)

    def word(self, address: int) -> int:
        """The 64 bits at a byte address."""
        return self.memory.get(address, default_word(address))

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self._ready = not self.ar_stall(cycle)
        self.port["arready"].value = self._ready
        stalled = self.r_stall(cycle)
        self._sending = bool(self._queue) and self._queue[0][0] <= cycle and not stalled
        self.port["rvalid"].value = self._sending
        if self._sending:
            _, data, response, last = self._queue[0]
            self.port["rdata"].value = data
            self.port["rresp"].value = response
            self.port["rlast"].value = last

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        if self._sending:
            self.beats.append((cycle, self._queue.popleft()[1]))
        valid = value(self.port["arvalid"])
        payload = (value(self.port["araddr"]), value(self.port["arlen"])) if valid else (0, 0)
        if self._request.check(valid, self._ready, payload):
            self._accept(Burst(payload[0], payload[1] + 1, cycle))

    def _accept(self, burst: Burst) -> None:
        check_burst(burst)
        faulty = self.fault is not None and self.fault[0] == len(self.bursts)
        response = self.fault[1] if faulty and self.fault is not None else 0
        self.bursts.append(burst)
        for i in range(burst.beats):
            data = self.word(burst.address + BEAT_BYTES * i)
            first = burst.accepted + self.latency
            self._queue.append((first, data, response, i == burst.beats - 1))


class WriteSlave:
    """Takes writes into `memory` (byte address -> 64 bits); B is `latency` cycles after WLAST."""

    def __init__(
        self,
        dut: Any,
        rng: random.Random,
        latency: int = 6,
        fault: tuple[int, int] | None = None,
    ) -> None:
        self.dut, self.latency, self.fault = dut, latency, fault
        self.memory: dict[int, int] = {}
        self.aw_stall, self.w_stall, self.b_stall = Stall(rng), Stall(rng), Stall(rng)
        self.bursts: list[Burst] = []
        self.beats: list[int] = []  # cycles
        self.responses: list[int] = []  # cycles
        self.w_open: list[int] = []  # cycles with WREADY
        self._open: deque[Burst] = deque()
        self._beat = 0
        self._answers: deque[int] = deque()  # B from this cycle on
        self._request = _Request()
        self._ready = self._w_ready = self._answering = False

    @property
    def busy(self) -> bool:
        """A burst has no B yet."""
        return len(self.responses) < len(self.bursts)

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        self._ready, self._w_ready = not self.aw_stall(cycle), not self.w_stall(cycle)
        self.dut.axi_awready_i.value = self._ready
        self.dut.axi_wready_i.value = self._w_ready
        stalled = self.b_stall(cycle)
        self._answering = bool(self._answers) and self._answers[0] <= cycle and not stalled
        self.dut.axi_bvalid_i.value = self._answering
        faulty = self.fault is not None and self.fault[0] == len(self.responses)
        self.dut.axi_bresp_i.value = self.fault[1] if faulty and self.fault else 0

    def sample(self, cycle: int) -> None:
        """Look at the settled cycle."""
        if self._answering:
            self._answers.popleft()
            self.responses.append(cycle)
        if self._w_ready:
            self.w_open.append(cycle)
        if value(self.dut.axi_wvalid_o) and self._w_ready:
            self._write(cycle)
        valid = value(self.dut.axi_awvalid_o)
        payload = (value(self.dut.axi_awaddr_o), value(self.dut.axi_awlen_o))
        if self._request.check(valid, self._ready, payload):
            burst = Burst(payload[0], payload[1] + 1, cycle)
            check_burst(burst)
            self.bursts.append(burst)
            self._open.append(burst)

    def _write(self, cycle: int) -> None:
        assert self._open, f"W beat at {cycle} before its address"
        assert value(self.dut.axi_wstrb_o) == 0xFF
        burst = self._open[0]
        address = burst.address + BEAT_BYTES * self._beat
        assert address not in self.memory, f"{address:#x} written twice"
        self.memory[address] = value(self.dut.axi_wdata_o)
        self.beats.append(cycle)
        self._beat += 1
        last = self._beat == burst.beats
        assert value(self.dut.axi_wlast_o) == last, f"wlast at {cycle}"
        if last:
            self._open.popleft()
            self._beat = 0
            self._answers.append(cycle + self.latency)

    def check_gapless(self) -> None:
        """First beat at max(accept + 2, last of the burst before + 1), then every open cycle."""
        position, last, start = 0, -1, 0
        for burst in self.bursts:
            first = max(burst.accepted + 2, last + 1)
            start = bisect_left(self.w_open, first, start)
            cycles = self.w_open[start : start + burst.beats]
            assert self.beats[position : position + burst.beats] == cycles, burst
            position += burst.beats
            last = cycles[-1]


class RequestModel:
    """IDLE / CALC / REQ of a master, as docs/microarchitecture.md has it, one step a cycle."""

    def __init__(self, outstanding: int) -> None:
        self.limit = outstanding
        self.state = "idle"
        self.address = self.left = self.beats = 0
        self.outstanding = 0

    def step(self, segment: tuple[int, int] | None, ready: bool, halt: bool, done: bool) -> bool:
        """One cycle with the inputs given; True if a burst is accepted in it."""
        accepted = self.state == "req" and ready
        if self.state == "idle":
            if segment is not None:
                (self.address, self.left), self.state = segment, "calc"
        elif self.state == "calc":
            if not halt and self.outstanding < self.limit:
                page = (PAGE_BYTES - self.address % PAGE_BYTES) // BEAT_BYTES
                self.beats = min(MAX_BURST, self.left, page)
                self.state = "req"
        elif accepted:
            self.address += self.beats * BEAT_BYTES
            self.left -= self.beats
            self.state = "calc" if self.left else "idle"
        self.outstanding += accepted - done
        return accepted


def random_segments(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """(address, beats): disjoint, some short, some over several pages' boundaries."""
    segments = []
    address = 0x1000_0000
    for _ in range(count):
        address += BEAT_BYTES * rng.choice((0, 1, 3, rng.randrange(600)))
        beats = rng.choice((1, 2, rng.randrange(1, 17), 16, rng.randrange(1, 80)))
        segments.append((address, beats))
        address += BEAT_BYTES * beats
    return segments
