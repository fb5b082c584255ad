"""Registered hand-over between units of the simulator.

In the RTL whatever a unit posts at cycle c is seen by the others at c + 1. Here every post carries
the cycle from which it is visible, so a producer that knows its future may post ahead, and the
order in which SimPy runs processes inside a cycle never matters.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

Wait = Generator[simpy.Event, Any, None]


class Tokens:
    """A counter that only grows: token i is visible from cycle ``times[i]`` on, in order."""

    def __init__(self, env: simpy.Environment, ready: int = 0) -> None:
        """``ready`` tokens are there from the beginning."""
        self.env = env
        self.times: list[int] = [0] * ready
        self._waiter: simpy.Event | None = None

    def post(self, visible_cycle: int) -> None:
        """One more token, seen by others from ``visible_cycle`` on."""
        self.times.append(visible_cycle)
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.succeed()

    def known(self, index: int) -> Wait:
        """Wait until it is known when token ``index`` becomes visible (perhaps before it is)."""
        while len(self.times) <= index:
            if self._waiter is None:  # several units may wait for the same post
                self._waiter = self.env.event()
            yield self._waiter


class Bank:
    """Ping-pong buffer: its banks are filled in turn by one unit and emptied in turn by another."""

    def __init__(self, env: simpy.Environment, banks: int = 2) -> None:
        self.full = Tokens(env)
        self.free = Tokens(env, ready=banks)


class _Room:
    """Free places of one ring memory, given back in portions."""

    def __init__(self, env: simpy.Environment, size: int) -> None:
        self._releases = Tokens(env)
        self._sizes: list[int] = []
        self._free = size

    def release(self, visible_cycle: int, size: int) -> None:
        self._sizes.append(size)
        self._releases.post(visible_cycle)

    def take(self, size: int) -> Generator[simpy.Event, Any, int]:
        """Take ``size`` places; returns the cycle from which on there are that many."""
        cycle = 0
        while self._free < size:
            index = len(self._releases.times) - len(self._sizes)
            yield from self._releases.known(index)
            self._free += self._sizes.pop(0)
            cycle = self._releases.times[index]
        self._free -= size
        return cycle


class WeightRing:
    """A weight store: groups posted by the weight loader, room given back by the unit that reads.

    Weight words and parameter words run out separately.
    """

    def __init__(self, env: simpy.Environment, words: int, params: int) -> None:
        self.groups = Tokens(env)
        self.words = _Room(env, words)
        self.params = _Room(env, params)

    def reserve(self, words: int, params: int) -> Generator[simpy.Event, Any, int]:
        """Take room for one group; returns the first cycle at which there is enough of both."""
        words_there = yield from self.words.take(words)
        params_there = yield from self.params.take(params)
        return max(words_there, params_there)
