"""The sequencer of the simulator: program fetch, record assembly, in-order dispatch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import simpy

from model.ddr_timing import BEAT_BYTES, BURST_BEATS
from model.events import Event
from model.program import RECORD_BYTES, Command
from model.segments import Segments
from model.sim_ports import Master
from model.sim_tokens import Tokens
from model.sim_units import Account, CommandQueue

FIFO_BEATS = 32
RECORD_BEATS = RECORD_BYTES // BEAT_BYTES
RECORDS_PER_BURST = BURST_BEATS // RECORD_BEATS


class Sequencer:
    """rtl_sim/hdl/sequencer.sv"""

    def __init__(
        self,
        env: simpy.Environment,
        master: Master,
        queues: Mapping[str, CommandQueue],
        commands: Sequence[Command],
        program_address: int,
        frames: int,
        events: list[Event],
    ) -> None:
        self.env = env
        self.events = events
        self.master = master
        self.queues = queues
        self.commands = commands
        self.program_address = program_address
        self.frames = frames
        self.account = Account()
        self._pushed = dict.fromkeys(queues, 0)
        self._arrivals: list[int] = []  # first beat of each burst of this frame
        self._arrived: simpy.Event | None = None
        self._popped = Tokens(env)  # bursts taken out of the FIFO
        self._ended: int | None = None  # cycle of CHECK of this frame's `end`
        self._issued = 0  # bursts of this frame handed to the read master
        self._landed = 0  # last beat of the last burst that was granted

    def run(self) -> Generator[simpy.Event, Any, None]:
        """All frames, up to the last ``end``."""
        cycle = 1
        for frame in range(self.frames):
            self._arrivals, self._popped, self._ended = [], Tokens(self.env), None
            self._issued = 0
            self.env.process(self._fetch(cycle))
            for index, command in enumerate(self.commands):
                check = yield from self._assemble(index, cycle)
                self.account.busy += RECORD_BEATS + 1
                self.account.wait_ddr += check - cycle - RECORD_BEATS
                if command.unit == "end":
                    self._ended = check
                    yield from self._until(check)
                    break
                cycle = yield from self._dispatch(command, frame, check + 1)
            if frame + 1 < self.frames:
                yield from self._until(check + 1)
                while len(self._arrivals) < self._issued:
                    self._arrived = self.env.event()
                    yield self._arrived
                restart = max(check + 1, self._landed + 1)
                self.account.wait_ddr += restart - check
                cycle = restart + 1

    def _fetch(self, cycle: int) -> Generator[simpy.Event, Any, None]:
        """Offer bursts of 16 beats while the FIFO has room for them."""
        burst = 0
        while True:
            if burst >= FIFO_BEATS // BURST_BEATS:
                yield from self._popped.known(burst - FIFO_BEATS // BURST_BEATS)
                cycle = max(cycle, self._popped.times[burst - FIFO_BEATS // BURST_BEATS])
            accept = max(cycle, self.master.idle_cycle)
            yield from self._until(accept)
            if self._ended is not None and self._ended < accept:
                return
            self._issued += 1
            issued = self.env.event()
            address = self.program_address + burst * BURST_BEATS * BEAT_BYTES
            segment = Segments.one(address, BURST_BEATS)
            self.master.transfer(segment, accept, self._served, _succeed(issued))
            cycle = yield issued
            burst += 1

    def _served(self, first: int, last: int) -> None:
        self._arrivals.append(first)
        self._landed = last
        if self._arrived is not None:
            arrived, self._arrived = self._arrived, None
            arrived.succeed()

    def _assemble(self, index: int, cycle: int) -> Generator[simpy.Event, Any, int]:
        """Pop the beats of record ``index`` from ``cycle`` on; returns the CHECK cycle."""
        burst, offset = divmod(index, RECORDS_PER_BURST)
        while len(self._arrivals) <= burst:
            self._arrived = self.env.event()
            yield self._arrived
        first = self._arrivals[burst] + offset * RECORD_BEATS
        check = max(cycle, first + 1) + RECORD_BEATS
        if offset == RECORDS_PER_BURST - 1:
            self._popped.post(check)  # the last beat is popped at check - 1
        return check

    def _dispatch(
        self, command: Command, frame: int, cycle: int
    ) -> Generator[simpy.Event, Any, int]:
        """Push into the unit's FIFO as soon as it has room; returns the cycle of the next POP."""
        queue = self.queues[command.unit]
        index = self._pushed[command.unit]
        self._pushed[command.unit] += 1
        yield from queue.popped.known(index)
        pushed = max(cycle, queue.popped.times[index])
        self.account.busy += 1
        self.account.wait_output += pushed - cycle
        queue.push(command, frame, pushed)
        self.events.append(
            Event(pushed, "sequencer", "dispatch", command.bundle, command.tile)
        )
        yield from self._until(pushed)
        return pushed + 1

    def _until(self, cycle: int) -> Generator[simpy.Event, Any, None]:
        if cycle > self.env.now:
            yield self.env.timeout(cycle - self.env.now)


def _succeed(event: simpy.Event) -> Callable[[int], None]:
    def notify(cycle: int) -> None:
        event.succeed(cycle)

    return notify
