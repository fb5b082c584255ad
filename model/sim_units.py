"""The accelerator's units as SimPy processes.

Every process follows its state machine in ``docs/microarchitecture.md``. ``env.now`` is the cycle of
the state a process is in. A unit that knows its future (its tokens carry the cycle at which they
become visible) computes ahead and sleeps once a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import simpy

from model.events import Event
from model.program import Command
from model.segments import Segments
from model.sim_ports import Master
from model.sim_timing import UnitTiming
from model.sim_tokens import Bank, Tokens, Wait, WeightRing

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


class DmaUnit(Unit):
    """A unit with an AXI master."""

    master: Master

    def moved(
        self,
        segments: Segments,
        accept_cycle: int,
        responded: Callable[[int], None] | None = None,
    ) -> simpy.Event:
        """Start a transfer; the event's value is (first beat, last beat), known ahead of time."""
        event = self.env.event()
        self.master.transfer(segments, accept_cycle, lambda *t: event.succeed(t), responded)
        return event


class FeatureLoad(DmaUnit):
    """rtl_sim/hdl/feature_load.sv"""

    name = "load"

    def __init__(
        self,
        env: simpy.Environment,
        depth: int,
        events: list[Event],
        master: Master,
        bank: Bank,
        stores_done: Tokens,
        stores_per_frame: int,
        image_stride: int,
    ) -> None:
        super().__init__(env, depth, events)
        self.master, self.bank, self.stores_done = master, bank, stores_done
        self.stores_per_frame, self.image_stride = stores_per_frame, image_stride

    def run(self) -> Process:
        tile = 0
        while True:
            command, frame, ready = yield from self.command()
            if command.sync_enable:
                needed = frame * self.stores_per_frame + command.sync
                if needed > 0:
                    ready = yield from self.seen(self.stores_done, needed - 1, ready)
            start = yield from self.seen(self.bank.free, tile, ready)
            self.account.wait_output += start - ready
            yield from self.until(start)
            self.pop(start)
            self.event(start, "tile_start", command)
            segments = self._segments(command, frame)
            first, last = yield self.moved(segments, start + 1)
            self.event(first, "first_beat", command)
            self.event(last, "last_beat", command)
            self.event(last, "tile_end", command)
            self.bank.full.post(last + 1)
            beats = segments.total_beats
            self.account.busy += 1 + beats
            self.account.wait_ddr += last - start - beats
            tile += 1
            yield from self.until(last + 1)

    def _segments(self, command: Command, frame: int) -> Segments:
        return Segments(
            base=command.address + (frame * self.image_stride if command.frame_offset else 0),
            row_pitch=command.row_pitch,
            rows=command.rows,
            block_pitch=command.block_pitch,
            blocks=command.blocks,
            beats=command.cols * command.pixel_beats,
            last_beats=command.cols * command.last_pixel_beats,
            last_skew=command.last_skew,
        )


class WeightLoad(DmaUnit):
    """rtl_sim/hdl/weight_load.sv"""

    name = "weight"

    def __init__(
        self,
        env: simpy.Environment,
        depth: int,
        events: list[Event],
        master: Master,
        rings: tuple[WeightRing, WeightRing],
    ) -> None:
        super().__init__(env, depth, events)
        self.master, self.rings = master, rings

    def run(self) -> Process:
        while True:
            command, _, start = yield from self.command()
            yield from self.until(start)
            self.pop(start)
            self.event(start, "tile_start", command)
            self.account.busy += 1
            ring = self.rings[command.target]
            address = command.address
            cycle = start + 1
            for group in range(command.groups):
                room = yield from ring.reserve(command.group_words, command.param_words)
                passed = max(cycle, room)
                self.account.wait_output += passed - cycle
                yield from self.until(passed)
                segment = Segments.one(address, command.group_beats)
                first, last = yield self.moved(segment, passed + 1)
                self.event(first, "first_beat", command)
                self.event(last, "last_beat", command)
                self.event(last, "weight_ready", command)
                ring.groups.post(last + 1)
                self.account.busy += 1 + command.group_beats
                self.account.wait_ddr += last - passed - command.group_beats
                if group == command.groups - 1:
                    self.event(last, "tile_end", command)
                address += 8 * command.group_beats
                cycle = last + 1
            yield from self.until(cycle)


class Depthwise(Unit):
    """rtl_sim/hdl/depthwise.sv"""

    name = "depthwise"

    def __init__(
        self,
        env: simpy.Environment,
        depth: int,
        events: list[Event],
        timing: UnitTiming,
        multipliers: int,
        source: Bank,
        mid: Bank,
        ring: WeightRing,
        input_order: InputOrder,
    ) -> None:
        super().__init__(env, depth, events)
        self.timing, self.multipliers = timing, multipliers
        self.source, self.mid, self.ring = source, mid, ring
        self.input_order = input_order

    def run(self) -> Process:
        tile = 0
        released = 0
        while True:
            command, _, ready = yield from self.command()
            index = self.input_order.next()
            ready = yield from self.seen(self.source.full, index, ready)
            ready = yield from self.seen(self.source.free, index + 1, ready)  # the tile before
            start = yield from self.seen(self.mid.free, tile, ready)
            self.account.wait_output += start - ready
            yield from self.until(start)
            self.pop(start)
            self.event(start, "tile_start", command)
            kernel = 5 if command.kernel5 else 3
            phases = -(-kernel * kernel // self.multipliers)
            stream = (command.rows + kernel - 1) * (command.cols + kernel - 1) * phases
            cycle = start
            for group in range(command.groups):
                offset = 0 if command.release_weights else group
                passed = yield from self.seen(self.ring.groups, released + offset, cycle + 1)
                self.account.wait_ddr += passed - cycle - 1
                cycle = passed + kernel * kernel + 1 + stream
                if command.release_weights:
                    released += 1
                    self.ring.words.release(cycle + 1, kernel * kernel)
                    self.ring.params.release(cycle + 1, 1)
            self.source.free.post(cycle + 1)
            end = cycle + self.timing.dw_drain
            work = kernel * kernel + 2 + stream
            self.account.busy += 1 + command.groups * work + self.timing.dw_drain
            self.mid.full.post(end + 1)
            self.event(end, "tile_end", command)
            tile += 1
            yield from self.until(end + 1)


class InputOrder:
    """The input buffer's banks go, in tile order, to the depth-wise unit or to the MAC array.

    Each consumer asks for its next tile; the other's tiles in between are skipped by the program.
    """

    def __init__(self, to_depthwise: list[bool], depthwise: bool) -> None:
        self._tiles = [i for i, flag in enumerate(to_depthwise) if flag == depthwise]
        self._period = len(to_depthwise)
        self._position = 0

    def next(self) -> int:
        """Index of the next input tile of this consumer, over all frames."""
        frame, index = divmod(self._position, len(self._tiles))
        self._position += 1
        return frame * self._period + self._tiles[index]


class Mac(Unit):
    """rtl_sim/hdl/mac_control.sv, mac_array.sv and post_process.sv"""

    name = "mac"

    def __init__(
        self,
        env: simpy.Environment,
        depth: int,
        events: list[Event],
        timing: UnitTiming,
        sources: tuple[Bank, Bank],
        output: Bank,
        ring: WeightRing,
        slices: int,
        input_order: InputOrder,
    ) -> None:
        super().__init__(env, depth, events)
        self.timing = timing
        self.sources, self.output, self.ring = sources, output, ring
        self.slices = slices
        self.input_order = input_order
        self.post = Account()

    def run(self) -> Process:
        released = outputs = mid_tile = 0
        while True:
            command, _, ready = yield from self.command()
            if command.source_mid:
                index, mid_tile = mid_tile, mid_tile + 1
            else:
                index = self.input_order.next()
            source = self.sources[command.source_mid]
            start = yield from self.seen(source.full, index, ready)
            if not command.source_mid:
                start = yield from self.seen(source.free, index + 1, start)  # the tile before
            yield from self.until(start)
            self.pop(start)
            self.event(start, "tile_start", command)
            shape = _MacShape.of(command, self.slices if command.raw else 1)
            first_vector = None
            cycle = start
            for group in range(command.out_groups):
                offset = 0 if command.release_weights else group
                waited = cycle + 1
                weights = yield from self.seen(self.ring.groups, released + offset, waited)
                passed = yield from self.seen(self.output.free, outputs, weights)
                self.account.wait_ddr += weights - waited
                self.account.wait_output += passed - weights
                last_group = group == command.out_groups - 1
                first_vector = first_vector or passed + shape.first_vector + self.timing.vector
                cycle = passed + shape.cycles
                steps = command.last_steps if last_group else command.steps
                self._finish_group(command, shape, passed, cycle, steps)
                released += command.release_weights
                outputs += 1
            self.account.busy += 1 + command.out_groups * (1 + shape.issues)
            self.account.wait_output += command.out_groups * (shape.cycles - shape.issues)
            source.free.post(cycle + 1)
            self.event(cycle, "tile_end", command)
            assert first_vector is not None
            self.events.append(
                Event(first_vector, "post", "tile_start", command.bundle, command.tile)
            )
            self.events.append(
                Event(self._written, "post", "tile_end", command.bundle, command.tile)
            )
            yield from self.until(cycle + 1)

    def _finish_group(
        self, command: Command, shape: _MacShape, passed: int, cycle: int, steps: int
    ) -> None:
        """Post what follows from the last RUN cycle of a group."""
        last_vector = passed + shape.last_issue + self.timing.vector
        count = steps * shape.slices
        self._written = last_vector + self.timing.write + count - 1
        self.output.full.post(self._written + 1)
        self.post.busy += shape.vectors * count
        if command.release_weights:
            self.ring.words.release(cycle + 1, command.group_words)
            last_step = last_vector + count  # its parameters are read, the room is free after it
            self.ring.params.release(last_step + 1, command.param_words)


@dataclass(frozen=True)
class _MacShape:
    """Cycles of one output group, counted from its WAIT that passes (RUN starts one later)."""

    cycles: int  # RUN cycles, padding included
    issues: int
    vectors: int  # vectors that are requantised
    first_vector: int  # issue of the last term of the first accumulator vector
    last_issue: int
    slices: int

    @staticmethod
    def of(command: Command, slices: int) -> _MacShape:
        pixels = command.rows * command.cols
        terms = command.kernel**2 * command.groups
        vectors = pixels // 4 if command.pool == 1 else pixels
        issues = pixels * terms
        cycles = issues + vectors * command.pad_cycles
        return _MacShape(cycles, issues, vectors, terms, cycles - command.pad_cycles, slices)


class FeatureStore(DmaUnit):
    """rtl_sim/hdl/feature_store.sv"""

    name = "store"

    def __init__(
        self,
        env: simpy.Environment,
        depth: int,
        events: list[Event],
        master: Master,
        output: Bank,
        stores_done: Tokens,
        frames: list[int],
        output_stride: int,
    ) -> None:
        super().__init__(env, depth, events)
        self.master, self.output, self.stores_done = master, output, stores_done
        self.frames, self.output_stride = frames, output_stride

    def run(self) -> Process:
        banks = 0
        while True:
            command, frame, ready = yield from self.command()
            start = yield from self.seen(self.output.full, banks, ready)
            yield from self.until(start)
            self.pop(start)
            self.event(start, "tile_start", command)
            self.account.busy += 1
            cycle = start
            for group in range(command.out_groups):
                passed = yield from self.seen(self.output.full, banks, cycle + 1)
                yield from self.until(passed)
                last_group = group == command.out_groups - 1
                segments = self._segments(command, frame, group)
                done = partial(self._tile_done, command) if last_group else None
                first, cycle = yield self.moved(segments, passed + 1, done)
                if group == 0:
                    self.event(first, "first_beat", command)
                if last_group:
                    self.event(cycle, "last_beat", command)
                beats = segments.total_beats
                self.account.busy += 1 + beats
                self.account.wait_ddr += cycle - passed - beats
                self.output.free.post(cycle + 1)
                banks += 1
            yield from self.until(cycle + 1)

    def _segments(self, command: Command, frame: int, group: int) -> Segments:
        last = group == command.out_groups - 1
        base = command.address + group * command.block_pitch
        base += frame * self.output_stride if command.frame_offset else 0
        beats = command.last_segment_beats if last else command.segment_beats
        skew = command.last_skew if last else 0
        return Segments(base, command.row_pitch, command.rows, 0, 1, beats, beats, skew)

    def _tile_done(self, command: Command, cycle: int) -> None:
        self.event(cycle, "tile_end", command)
        self.stores_done.post(cycle + 1)
        if command.bundle_last:
            self.event(cycle, "bundle_done", command)
        if command.frame_last:
            self.event(cycle, "frame_done", command)
            self.frames.append(cycle)
