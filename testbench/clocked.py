"""Cycle-by-cycle test benches: agents that drive inputs and look at outputs in lockstep.

In every clock cycle each agent first drives (registers have their values of this cycle, nothing
else is settled), then all of them sample (everything is settled, the clock edge is about to come).
So an agent is a synchronous circuit: what it drives depends on what it sampled in earlier cycles.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

PERIOD_NS = 10
STALL_VARIABLE = "TANDEM_STALL"
SEED_VARIABLE = "TANDEM_SEED"
STALLS = ("none", "random", "full")
_FULL_STALL_CYCLES = 64


class Agent(Protocol):
    """One side of an interface."""

    def drive(self, cycle: int, /) -> None:
        """Set inputs of the design for this cycle."""

    def sample(self, cycle: int, /) -> None:
        """Look at the settled cycle."""


def bench_rng() -> random.Random:
    """The randomness of this run, from the seed its test chose."""
    return random.Random(int(os.environ.get(SEED_VARIABLE, "1")))


class Stall:
    """Whether a channel stalls: never, at random, or totally for stretches of 64 cycles."""

    def __init__(self, rng: random.Random, mode: str | None = None) -> None:
        self.mode = os.environ.get(STALL_VARIABLE, "none") if mode is None else mode
        if self.mode not in STALLS:
            raise ValueError(f"unknown stall mode {self.mode!r}: one of {STALLS}")
        self._rng = rng
        self._offset = rng.randrange(2 * _FULL_STALL_CYCLES)

    def __call__(self, cycle: int) -> bool:
        """True if the channel is closed in this cycle."""
        if self.mode == "random":
            return self._rng.random() < 0.5
        if self.mode == "full":
            return (cycle + self._offset) // _FULL_STALL_CYCLES % 2 == 1
        return False


class Probe:
    """Agent that only watches: calls a function with the cycle number."""

    def __init__(self, look: Callable[[int], None]) -> None:
        self._look = look

    def drive(self, _cycle: int) -> None:
        """Nothing to drive."""

    def sample(self, cycle: int) -> None:
        """Call the function."""
        self._look(cycle)


def value(handle: Any) -> int:
    """The settled value of a signal; an error if it is undefined."""
    return int(handle.value)


async def simulate(
    dut: Any, agents: Sequence[Agent], until: Callable[[], bool], limit: int = 20_000
) -> int:
    """Reset, then run the agents until the condition holds after a cycle; returns the cycles run.

    Every input but the clock is 0 during reset. AssertionError if the limit is reached.
    """
    for handle in dut:
        name = handle._name  # noqa: SLF001  cocotb's own way to a handle's name
        if name.endswith("_i") and name != "clk_i":
            handle.value = 0
    reset = getattr(dut, "rst_i", None)  # memories have none
    if reset is not None:
        reset.value = 1
    Clock(dut.clk_i, PERIOD_NS, unit="ns", impl="gpi").start()
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    for cycle in range(limit):
        await FallingEdge(dut.clk_i)
        if reset is not None:
            reset.value = 0
        for agent in agents:
            agent.drive(cycle)
        await Timer(1, "ns")
        for agent in agents:
            agent.sample(cycle)
        if until():
            return cycle + 1
    raise AssertionError(f"not finished after {limit} cycles")
