"""The units that compute: depth-wise convolution, MAC array with post-process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from model.events import Event
from model.program import Command
from model.sim_timing import UnitTiming
from model.sim_tokens import Bank, WeightRing
from model.sim_units import Account, Process, Unit


class InputOrder:
    """The input buffer's banks go, in tile order, to the depth-wise unit or to the MAC array.

    Each consumer asks for its next tile; the other's tiles in between are skipped by the program.
    """

    def __init__(self, to_depthwise: Sequence[bool], depthwise: bool) -> None:
        self._tiles = [i for i, flag in enumerate(to_depthwise) if flag == depthwise]
        self._period = len(to_depthwise)
        self._position = 0

    def next(self) -> int:
        """Index of the next input tile of this consumer, over all frames."""
        frame, index = divmod(self._position, len(self._tiles))
        self._position += 1
        return frame * self._period + self._tiles[index]


class Depthwise(Unit):
    """rtl_sim/hdl/depthwise.sv"""

    name = "depthwise"

    def __init__(  # noqa: PLR0913  one argument per connection
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
        """The state machine, for ever."""
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


@dataclass(frozen=True, slots=True)
class MacShape:
    """Cycles of one output group, counted from its WAIT that passes (RUN starts one later)."""

    cycles: int  # RUN cycles, padding included
    issues: int
    vectors: int  # vectors that are requantised
    first_vector: int  # issue of the last term of the first accumulator vector
    first_emit: int  # the same of the first vector that is requantised
    last_issue: int
    slices: int

    @staticmethod
    def of(command: Command, slices: int) -> MacShape:
        """Of a MAC command whose values are written in ``slices`` parts."""
        get = command.fields
        pixels = get["rows"] * get["cols"]
        terms = get["kernel"] ** 2 * get["groups"]
        pooled = get["pool"] == 1
        vectors = pixels // 4 if pooled else pixels
        issues = pixels * terms
        cycles = issues + vectors * get["pad_cycles"]
        first_emit = 4 * terms if pooled else terms
        last_issue = cycles - get["pad_cycles"]
        return MacShape(cycles, issues, vectors, terms, first_emit, last_issue, slices)


class Mac(Unit):
    """rtl_sim/hdl/mac_control.sv, mac_array.sv and post_process.sv"""

    name = "mac"

    def __init__(  # noqa: PLR0913  one argument per connection
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
        # No issue before this one may complete a vector: the post-process is busy with the last.
        # Inside a layer pad_cycles see to that, so it matters for a layer's first vector only.
        self._requantised = 0

    def run(self) -> Process:
        """The state machine, for ever."""
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
            shape = MacShape.of(command, self.slices if command.raw else 1)
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
                held = max(0, self._requantised - passed - shape.first_emit)
                if first_vector is None:
                    pooled = shape.first_emit > shape.first_vector  # only the window's last is held
                    first_vector = passed + shape.first_vector + (0 if pooled else held)
                passed += held
                self.account.wait_output += held
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
                Event(
                    first_vector + self.timing.vector,
                    "post",
                    "tile_start",
                    command.bundle,
                    command.tile,
                )
            )
            self.events.append(
                Event(self._written, "post", "tile_end", command.bundle, command.tile)
            )
            yield from self.until(cycle + 1)

    def _finish_group(
        self, command: Command, shape: MacShape, passed: int, cycle: int, steps: int
    ) -> None:
        """Post what follows from the last RUN cycle of a group."""
        last_vector = passed + shape.last_issue + self.timing.vector
        count = steps * shape.slices
        self._requantised = passed + shape.last_issue + count
        self._written = last_vector + self.timing.write + count - 1
        self.output.full.post(self._written + 1)
        self.post.busy += shape.vectors * count
        if command.release_weights:
            self.ring.words.release(cycle + 1, command.group_words)
            last_step = last_vector + count  # its parameters are read, the room is free after it
            self.ring.params.release(last_step + 1, command.param_words)
