"""Cycle-level simulation of an accelerator running a schedule, in SimPy.

Exact: every event of every tile happens at the cycle at which it happens in the generated RTL. The
contract is ``docs/microarchitecture.md``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from model.ddr import DdrStatistics
from model.design import Design
from model.events import Event
from model.schedule import Schedule
from model.sim_compute import Depthwise, InputOrder, Mac
from model.sim_dma import FeatureLoad, FeatureStore, WeightLoad
from model.sim_memory import CompiledMemory
from model.sim_ports import Memory
from model.sim_sequencer import Sequencer
from model.sim_timing import UnitTiming
from model.sim_tokens import Bank, Tokens, WeightRing
from model.sim_units import Account


@dataclass(frozen=True)
class Simulation:
    """Result of a run. Cycles count from the accepted start."""

    total_cycles: int
    frame_done_cycles: tuple[int, ...]
    events: Sequence[Event]  # sorted
    units: dict[str, Account]
    ddr: DdrStatistics
    array_macs: int  # useful work of the MAC array in all frames
    seconds: float  # wall time of the evaluation alone

    @property
    def latency_cycles(self) -> int:
        """Start to the end of the first frame."""
        return self.frame_done_cycles[0]

    @property
    def cycles_per_frame(self) -> float:
        """Steady state: (t_N - t_1) / (N - 1); the latency where there is one frame only."""
        done = self.frame_done_cycles
        if len(done) == 1:
            return float(done[0])
        return (done[-1] - done[0]) / (len(done) - 1)

    def same(self, other: Simulation) -> bool:
        """Does another run say the same in every event, counter, frame and memory total?"""
        return (
            self.frame_done_cycles == other.frame_done_cycles
            and self.units == other.units
            and self.ddr == other.ddr
            and tuple(self.events) == tuple(other.events)
        )

    def mac_utilisation(self, design: Design) -> float:
        """Useful multiply-accumulates over array multipliers x cycles, steady state."""
        lanes = design.accelerator.in_lanes * design.accelerator.out_lanes
        per_frame = self.array_macs / len(self.frame_done_cycles)
        return per_frame / (lanes * self.cycles_per_frame)


def simulate(schedule: Schedule, memory: type[Memory] = CompiledMemory) -> Simulation:
    """Run the schedule's program for its frames. Deterministic.

    ``memory``: the memory system; ``CompiledMemory`` and ``BurstMemory`` give the same cycles.
    """
    design = schedule.design
    memory.prepare(design.device.ddr, design.clock_khz, design.accelerator)
    started = time.perf_counter()
    env = simpy.Environment()
    machine = _Machine(env, schedule, memory)
    env.run()
    frames = machine.frame_done
    if len(frames) != schedule.frames:
        raise RuntimeError(f"simulation stopped after {len(frames)} of {schedule.frames} frames")
    total = frames[-1]
    accounts = machine.accounts()
    for account in accounts.values():
        account.close(total)
    return Simulation(
        total_cycles=total,
        frame_done_cycles=tuple(frames),
        events=tuple(sorted(machine.events)),
        units=accounts,
        ddr=machine.memory.statistics(),
        array_macs=schedule.array_macs * schedule.frames,
        seconds=time.perf_counter() - started,
    )


class _Machine:
    """All units, buffers and ports of one accelerator, wired as in rtl_sim/hdl/tandem_core.sv."""

    def __init__(self, env: simpy.Environment, schedule: Schedule, memory: type[Memory]) -> None:
        design = schedule.design
        acc = design.accelerator
        self.env = env
        self.events: list[Event] = []
        self.frame_done: list[int] = []
        self.memory: Memory = memory(env, design.device.ddr, design.clock_khz, acc)
        program, weight, load, store = (self.memory.master(index) for index in range(4))
        timing = UnitTiming.of(acc)
        source, mid, output = Bank(env), Bank(env), Bank(env)
        mac_ring = WeightRing(env, acc.buffers.weight_words, acc.buffers.param_words)
        dw_ring = WeightRing(env, acc.buffers.dw_weight_words, acc.buffers.dw_param_words)
        stores_done = Tokens(env)
        order = [p.item.depthwise is not None for p in schedule.plans for _ in p.tiles]
        depth, events = acc.command_depth, self.events
        self.load = FeatureLoad(
            env,
            depth,
            events,
            load,
            source,
            stores_done,
            schedule.stores_per_frame,
            schedule.image_stride,
        )
        self.weight = WeightLoad(env, depth, events, weight, (mac_ring, dw_ring))
        self.depthwise = Depthwise(
            env,
            depth,
            events,
            timing,
            acc.dw_multipliers,
            source,
            mid,
            dw_ring,
            InputOrder(order, True),
        )
        self.mac = Mac(
            env,
            depth,
            events,
            timing,
            (source, mid),
            output,
            mac_ring,
            schedule.output.slices,
            InputOrder(order, False),
        )
        self.store = FeatureStore(
            env, depth, events, store, output, stores_done, self.frame_done, schedule.output_stride
        )
        units = (self.load, self.weight, self.depthwise, self.mac, self.store)
        self.sequencer = Sequencer(
            env,
            program,
            {unit.name: unit.queue for unit in units},
            schedule.commands,
            schedule.program_address,
            schedule.frames,
            self.events,
        )
        for process in (*units, self.sequencer):
            env.process(process.run())

    def accounts(self) -> dict[str, Account]:
        return {
            "sequencer": self.sequencer.account,
            "load": self.load.account,
            "weight": self.weight.account,
            "depthwise": self.depthwise.account,
            "mac": self.mac.account,
            "post": self.mac.post,
            "store": self.store.account,
        }
