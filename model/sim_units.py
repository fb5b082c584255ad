"""What all units of the simulator share: command queue, counters, waiting with a reason.

Every process follows its state machine in ``docs/microarchitecture.md``. ``env.now`` is the cycle
of the state a process is in. A unit that knows its future (its tokens carry the cycle from which
they are visible) computes ahead and sleeps once a tile.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from model.events import Event
from model.program import Command
from model.sim_tokens import Tokens, Wait

Process = Generator[simpy.Event, Any, None]


@dataclass
class Account:
    """Cycles of one unit by class; they sum to the total."""

    busy: int = 0
    wait_input: int = 0
    wait_output: int = 0
    wait_ddr: int = 0

    def close(self, total: int) -> None:
        """The rest of the run the unit had nothing to do."""
        self.wait_input = total - self.busy - self.wait_output - self.wait_ddr


@dataclass
class CommandQueue:
    """A unit's command FIFO: pushes become visible one cycle later, and so do freed places."""

    env: simpy.Environment
    depth: int
    commands: list[tuple[Command, int]] = field(default_factory=list)
    pushed: Tokens = field(init=False)
    popped: Tokens = field(init=False)

    def __post_init__(self) -> None:
        self.pushed = Tokens(self.env)
        self.popped = Tokens(self.env, ready=self.depth)

    def push(self, command: Command, frame: int, cycle: int) -> None:
        """The sequencer pushes at ``cycle``."""
        self.commands.append((command, frame))
        self.pushed.post(cycle + 1)


class Unit:
    """What all units share: a command queue, counters, and waiting with a reason."""

    name = ""

    def __init__(self, env: simpy.Environment, depth: int, events: list[Event]) -> None:
        self.env = env
        self.queue = CommandQueue(env, depth)
        self.account = Account()
        self.events = events
        self._taken = 0

    def event(self, cycle: int, kind: str, command: Command) -> None:
        """Record what happens at ``cycle``."""
        self.events.append(Event(cycle, self.name, kind, command.bundle, command.tile))

    def until(self, cycle: int) -> Wait:
        """Sleep until ``cycle``; nothing if it is now or past."""
        if cycle > self.env.now:
            yield self.env.timeout(cycle - self.env.now)

    def seen(self, tokens: Tokens, index: int, cycle: int) -> Generator[simpy.Event, Any, int]:
        """First cycle, not before ``cycle``, at which token ``index`` is visible."""
        if len(tokens.times) <= index:
            yield from tokens.known(index)
        return max(cycle, tokens.times[index])

    def command(self) -> Generator[simpy.Event, Any, tuple[Command, int, int]]:
        """Next command, its frame, and the first cycle at which it is there."""
        index = self._taken
        self._taken += 1
        cycle = yield from self.seen(self.queue.pushed, index, int(self.env.now))
        command, frame = self.queue.commands[index]
        return command, frame, cycle

    def pop(self, cycle: int) -> None:
        """The command leaves the queue at ``cycle``."""
        self.queue.popped.post(cycle + 1)
