"""The units with an AXI master: feature load, weight load, feature store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import simpy

from model.events import Event
from model.program import Command
from model.segments import Segments
from model.sim_ports import Master
from model.sim_tokens import Bank, Tokens, WeightRing
from model.sim_units import Process, Unit


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

        def done(first: int, last: int) -> None:
            event.succeed((first, last))

        self.master.transfer(segments, accept_cycle, done, responded)
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
        """The state machine, for ever."""
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
            segments = Segments.of_load(command, frame * self.image_stride)
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
        """The state machine, for ever."""
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
        """The state machine, for ever."""
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
                segments = Segments.of_store(command, group, frame * self.output_stride)
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

    def _tile_done(self, command: Command, cycle: int) -> None:
        self.event(cycle, "tile_end", command)
        self.stores_done.post(cycle + 1)
        if command.bundle_last:
            self.event(cycle, "bundle_done", command)
        if command.frame_last:
            self.event(cycle, "frame_done", command)
            self.frames.append(cycle)

