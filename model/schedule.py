"""Schedule: network x accelerator -> the tile program and where everything lies in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from model.copies import with_values
from model.design import Design
from model.errors import TandemError
from model.feature_map import FeatureMap
from model.passes import build_passes
from model.plan import PassPlan, feature_map, join_maps, plan_pass, retile
from model.program import RECORD_BYTES, Command
from model.program_writer import count_commands, write_commands

ALIGNMENT = 128  # bytes: one full burst


@dataclass(frozen=True)
class Schedule:
    """The compiled shape of a design: independent of weight values and images."""

    design: Design
    plans: tuple[PassPlan, ...]
    frames: int
    program_address: int
    image: FeatureMap
    image_stride: int
    output_stride: int
    memory_bytes: int

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """The tile program of a frame; written when it is asked for, the fast engine does not."""
        return (*write_commands(self.plans), Command("end", 0, 0))

    @property
    def output(self) -> FeatureMap:
        """The head's accumulators."""
        return self.plans[-1].target

    @property
    def stores_per_frame(self) -> int:
        """Store commands of one frame: one per tile."""
        return sum(len(plan.tiles) for plan in self.plans)

    @cached_property
    def array_macs(self) -> int:
        """Multiply-accumulates of the convolutions that the MAC array does, a frame."""
        return sum(plan.item.array_macs for plan in self.plans)


@dataclass(frozen=True)
class Planned:
    """What is known of a design's work before anything has an address."""

    image: FeatureMap
    plans: list[PassPlan]
    maps: dict[str, FeatureMap]  # by the layer whose output they hold


def compile_schedule(design: Design, frames: int = 1, planned: Planned | None = None) -> Schedule:
    """Compile a design. TandemError says which layer needs more of which buffer, or of memory.

    ``planned``: of this design, where it is there already.
    """
    planned = planned or plan_work(design)
    records = count_commands(planned.plans) + 1
    layers = design.network.layers
    joined = {layer.name: planned.maps[layer.name] for layer in layers if layer.kind == "bypass"}
    return _place(design, planned.plans, joined, planned.image, frames, records)


def plan_design(design: Design) -> list[PassPlan]:
    """Plans of all passes, without addresses: all that the shape of the work depends on.

    TandemError as for :func:`compile_schedule`, of which it is the first part.
    """
    return plan_work(design).plans


def retiled(design: Design, planned: Planned) -> Planned:
    """What :func:`plan_work` makes of a design, from a plan with other buffers and tile limits.

    TandemError likewise.
    """
    plans = [retile(design, plan) for plan in planned.plans]
    return Planned(planned.image, plans, planned.maps)


def plan_work(design: Design) -> Planned:
    """The image's map, the passes, and the maps. TandemError as :func:`plan_design`."""
    net = design.network
    image = feature_map(design, "image", net.channels, net.height, net.width, False)
    plans: list[PassPlan] = []
    maps: dict[str, FeatureMap] = {}
    phases: dict[str, FeatureMap] = {}  # by bypass
    for item in build_passes(net, design.accelerator):
        plan = plan_pass(design, item, maps[item.source.name] if item.source else image)
        plans.append(plan)
        if item.joins is not None and item.to_depth:
            phases[item.joins.name] = plan.target
            continue
        maps[item.name] = plan.target
        if item.joins is not None:  # bundles are in order, so its other part is planned
            bypass = item.joins
            maps[bypass.name] = join_maps(design, bypass, phases[bypass.name], plan.target)
    return Planned(image, plans, maps)


def _place(
    design: Design,
    plans: list[PassPlan],
    joined: Mapping[str, FeatureMap],
    image: FeatureMap,
    frames: int,
    records: int,
) -> Schedule:
    """Give every region of memory its address and write the program."""
    device = design.device
    cursor = device.memory_base

    def take(size: int) -> int:
        nonlocal cursor
        start = cursor
        cursor += -(-size // ALIGNMENT) * ALIGNMENT
        return start

    program_address = take(records * RECORD_BYTES)
    weights = [
        tuple(
            with_values(run, address=take(run.total_bytes)) if run is not None else None
            for run in (plan.dw_weights, plan.mac_weights)
        )
        for plan in plans
    ]
    image_stride = -(-image.total_bytes // ALIGNMENT) * ALIGNMENT
    image = with_values(image, address=take(image_stride * frames))
    placed: list[PassPlan] = []
    maps: dict[str, FeatureMap] = {}
    output_stride = 0
    for plan, (dw_run, mac_run) in zip(plans, weights, strict=True):
        item = plan.item
        if item.joins is not None:
            bypass = item.joins.name
            if bypass not in maps:
                maps[bypass] = with_values(
                    joined[bypass], address=take(joined[bypass].total_bytes)
                )
            target = _part(plan, maps[bypass])
        else:
            size = -(-plan.target.total_bytes // ALIGNMENT) * ALIGNMENT
            output_stride = size
            final = plan is plans[-1]
            address = take(size * frames if final else size)
            target = with_values(plan.target, address=address)
        if not item.to_depth:
            maps[item.name] = target
        source = maps[item.source.name] if item.source is not None else image
        assert mac_run is not None
        placed.append(
            with_values(
                plan, source=source, target=target, dw_weights=dw_run, mac_weights=mac_run
            )
        )
    used = cursor - device.memory_base
    if used > device.memory_bytes:
        raise TandemError(
            f"design {design.name}: the memory image needs {used} bytes, device {device.name} "
            f"gives {device.memory_bytes}: fewer frames or smaller feature maps"
        )
    return Schedule(
        design=design,
        plans=tuple(placed),
        frames=frames,
        program_address=program_address,
        image=image,
        image_stride=image_stride,
        output_stride=output_stride,
        memory_bytes=used,
    )


def _part(plan: PassPlan, whole: FeatureMap) -> FeatureMap:
    """Where in a bypass' output the result of a pass goes: to its front or to its end."""
    target = plan.target
    block = 0 if plan.item.to_depth else whole.blocks - target.blocks
    address = whole.address + block * whole.block_pitch
    return replace(target, address=address, wider_pitch=whole.row_pitch)  # its pitch is another
