"""What surrounds a compute unit: memories of latency 2, ping-pong banks, a ring of weight groups.

All state changes at the end of `sample`, so what `drive` reads is what a register would hold.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbench.clocked import Agent, value

BANKS = 2


class ReadPort:
    """Read side of a memory: address with enable at c, data at c + 2, noise when not enabled."""

    def __init__(self, rng: random.Random, data: Any) -> None:
        self._rng, self._data = rng, data
        self._pipe: deque[int | None] = deque([None, None])

    def drive(self) -> None:
        """Set the data of this cycle."""
        word = self._pipe.popleft()
        self._data.value = self._rng.getrandbits(len(self._data)) if word is None else word

    def sample(self, enable: Any, read: Any) -> None:
        """Note what this cycle's address reads: `read` gives the word."""
        self._pipe.append(read() if value(enable) else None)


class PingPong:
    """Two banks that one side fills in turn and the other empties; as bank_token.sv."""

    def __init__(self) -> None:
        self.reserved = 0
        self.posted = 0
        self.released = 0

    @property
    def free(self) -> bool:
        """A bank may be reserved."""
        return self.reserved - self.released < BANKS

    @property
    def full(self) -> bool:
        """A bank is full."""
        return self.posted > self.released

    @property
    def write_bank(self) -> int:
        """Bank that is filled next."""
        return self.posted % BANKS

    @property
    def read_bank(self) -> int:
        """Bank that is emptied next."""
        return self.released % BANKS


@dataclass(frozen=True)
class Group:
    """One weight group: words and parameter words, packed."""

    words: Sequence[int]
    params: Sequence[int]


@dataclass
class WeightRing:
    """Groups in order; reads count from the oldest group that is not released."""

    groups: list[Group] = field(default_factory=list)
    posted: int = 0
    released: int = 0

    @property
    def ready(self) -> int:
        """Groups posted and not released."""
        return self.posted - self.released

    def word(self, offset: int) -> int:
        """Weight word at an offset; the group must have been posted."""
        return self._entry([g.words for g in self.groups[self.released : self.posted]], offset)

    def param(self, offset: int) -> int:
        """Parameter word at an offset."""
        return self._entry([g.params for g in self.groups[self.released : self.posted]], offset)

    @staticmethod
    def _entry(parts: Sequence[Sequence[int]], offset: int) -> int:
        for part in parts:
            if offset < len(part):
                return part[offset]
            offset -= len(part)
        raise AssertionError("read beyond the groups that are there")


def lockstep(dut: Any, cycle: int, expected: dict[str, int]) -> None:
    """Compare named outputs of the design with what is expected at this cycle."""
    for name, wanted in expected.items():
        found = value(getattr(dut, name))
        assert found == wanted, f"cycle {cycle}: {name} is {found:#x}, expected {wanted:#x}"


class Restart:
    """Runs agents up to a cycle, flushes the unit in the middle of its work, starts afresh."""

    def __init__(self, dut: Any, agents: Callable[[], Sequence[Agent]], flush_cycle: int) -> None:
        self.dut, self._make, self.flush_cycle = dut, agents, flush_cycle
        self._agents = agents()

    def drive(self, cycle: int) -> None:
        """Drive the agents' inputs, or the flush."""
        flush = cycle == self.flush_cycle
        self.dut.flush_i.value = flush
        if flush:
            self.dut.cmd_push_i.value = 0
            return
        for agent in self._agents:
            agent.drive(cycle)

    def sample(self, cycle: int) -> None:
        """Let the agents look; after the flush there are new ones."""
        if cycle == self.flush_cycle:
            self._agents = self._make()
            return
        for agent in self._agents:
            agent.sample(cycle)
