"""Plan of a pass: its maps, tiles, weight groups and the numbers its commands carry."""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.copies import with_values
from model.design import Design
from model.errors import TandemError
from model.feature_map import FeatureMap
from model.network import CHANNELS_MAX, Layer
from model.passes import Pass
from model.tiling import Tile, choose, cut

BLOCKS_MAX = 255  # of a map that is read: 8 bits in the record


@dataclass(frozen=True)
class WeightRun:
    """Groups of one weight target of one pass, contiguous in memory."""

    target: int  # 0: MAC array, 1: depth-wise unit
    groups: int
    words: int  # per group
    param_words: int  # per group
    param_beats: int
    group_beats: int
    resident: bool  # all groups fit the store at once: fetched once a frame, else once a tile
    address: int = 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all groups."""
        return self.groups * self.group_beats * 8


@dataclass(frozen=True)
class PassPlan:
    """A pass with everything the program needs of it."""

    item: Pass
    source: FeatureMap
    target: FeatureMap
    tiles: tuple[Tile, ...]
    dw_weights: WeightRun | None
    mac_weights: WeightRun
    in_groups: int  # input channel groups accumulated per output
    group_step: int
    steps: int
    last_steps: int
    pad_cycles: int
    in_lanes: int

    @property
    def in_line(self) -> int:
        """Features per line of the input buffer."""
        return max(self.in_lanes, 8 // self.source.feature_bytes)

    @property
    def source_words(self) -> int:
        """Input-buffer words (of in_lanes features) per pixel."""
        return self.source.padded_channels // self.in_lanes


def feature_map(
    design: Design,
    name: str,
    channels: int,
    height: int,
    width: int,
    raw: bool,
    lanes: tuple[int, ...] | None = None,
) -> FeatureMap:
    """A map as this design lays it out in memory; a raw one holds accumulators."""
    acc = design.accelerator
    accumulator_bytes = 4 if acc.accumulator_bits <= 32 else 8
    return FeatureMap(
        name=name,
        channels=channels,
        height=height,
        width=width,
        block_channels=acc.out_lanes,
        align=design.channel_align,
        feature_bytes=design.feature_bytes,
        step_channels=acc.requant_lanes,
        slices=accumulator_bytes // design.feature_bytes if raw else 1,
        lanes=lanes,
    )


def plan_pass(design: Design, item: Pass, source: FeatureMap) -> PassPlan:
    """Plan one pass. TandemError names the layer and the buffer that is too small."""
    acc = design.accelerator
    target = _target(design, item, source)
    if source.blocks > BLOCKS_MAX:
        raise TandemError(
            f"layer {item.first.name}: reads a map of {source.blocks} blocks of "
            f"{source.block_channels} channels, at most {BLOCKS_MAX} allowed: "
            "raise accelerator.out_lanes"
        )
    _check_kernels(item, acc.dw_kernel_max, acc.conv_kernel_max)
    tiles = cut(item, source, choose(item, source, target, acc))
    if item.conv is not None:
        in_groups, step = -(-source.channels // acc.in_lanes), 0
    else:  # block-diagonal copy: each output group reads its own input groups
        in_groups = target.block_size(0) // acc.in_lanes
        step = acc.out_lanes // acc.in_lanes
    steps = target.block_size(0) // acc.requant_lanes
    last_steps = target.last_block_channels // acc.requant_lanes
    issues = in_groups * item.kernel**2 * (4 if item.pool_kind == "maxpool" else 1)
    return PassPlan(
        item=item,
        source=source,
        target=target,
        tiles=tiles,
        dw_weights=_dw_weights(design, item, source),
        mac_weights=_mac_weights(design, item, target, in_groups),
        in_groups=in_groups,
        group_step=step,
        steps=steps,
        last_steps=last_steps,
        pad_cycles=max(0, steps * target.slices - issues),
        in_lanes=acc.in_lanes,
    )


def retile(design: Design, plan: PassPlan) -> PassPlan:
    """The plan that :func:`plan_pass` makes of the same pass where only buffers and tiles differ.

    TandemError likewise.
    """
    item, source, acc = plan.item, plan.source, design.accelerator
    dw = plan.dw_weights
    if item.depthwise is not None and dw is not None:
        dw = _kept(design, item.depthwise.name, dw)
    return with_values(
        plan,
        tiles=cut(item, source, choose(item, source, plan.target, acc)),
        dw_weights=dw,
        mac_weights=_kept(design, item.name, plan.mac_weights),
    )


def _kept(design: Design, layer: str, run: WeightRun) -> WeightRun:
    """The run for the design's stores."""
    sizes = (run.target, run.groups, run.words, run.param_words)
    resident = _resident(design, layer, sizes)
    return run if resident == run.resident else with_values(run, resident=resident)


def _target(design: Design, item: Pass, source: FeatureMap) -> FeatureMap:
    """The map that a pass leaves. Space to depth: one phase of it, in whole blocks."""
    output = item.output
    channels, lanes = output.out_channels, None
    if item.conv is None:  # a copy leaves every channel in its place
        channels, lanes = source.channels, source.lanes
    height, width = output.out_height, output.out_width
    if not item.to_depth:
        return feature_map(design, item.name, channels, height, width, item.raw, lanes)
    whole = -(-channels // design.accelerator.out_lanes) * design.accelerator.out_lanes
    if lanes is None and whole != channels:
        lanes = tuple(range(channels))
    return feature_map(design, item.name, whole, height // 2, width // 2, False, lanes)


def join_maps(design: Design, bypass: Layer, phase: FeatureMap, rest: FeatureMap) -> FeatureMap:
    """A bypass' output: four phases of the earlier map, then the rest of the channels."""
    start = 4 * phase.channels
    channels = start + rest.channels
    if channels > CHANNELS_MAX:
        raise TandemError(
            f"layer {bypass.name}: {channels} channels in whole blocks of accelerator.out_lanes = "
            f"{phase.block_channels}, at most {CHANNELS_MAX} allowed: lower out_lanes"
        )
    joined = feature_map(design, bypass.name, channels, rest.height, rest.width, False)
    if phase.lanes is None and rest.lanes is None:
        return joined
    lanes = [part * phase.channels + phase.positions for part in range(4)]
    lanes.append(start + rest.positions)
    return replace(joined, lanes=tuple(int(lane) for part in lanes for lane in part))


def _check_kernels(item: Pass, dw_max: int, conv_max: int) -> None:
    for layer, limit, key in (
        (item.depthwise, dw_max, "dw_kernel_max"),
        (item.conv, conv_max, "conv_kernel_max"),
    ):
        if layer is not None and layer.kernel > limit:
            raise TandemError(
                f"layer {layer.name}: kernel {layer.kernel} is larger than accelerator.{key} = "
                f"{limit}: raise it or choose another layer"
            )


def _dw_weights(design: Design, item: Pass, source: FeatureMap) -> WeightRun | None:
    if item.depthwise is None:
        return None
    acc = design.accelerator
    words = item.depthwise.kernel**2
    beats = -(-acc.in_lanes * design.weight_bits // 64)
    groups = -(-source.channels // acc.in_lanes)
    return WeightRun(
        target=1,
        groups=groups,
        words=words,
        param_words=1,
        param_beats=acc.in_lanes,
        group_beats=acc.in_lanes + words * beats,
        resident=_resident(design, item.depthwise.name, (1, groups, words, 1)),
    )


def _mac_weights(design: Design, item: Pass, target: FeatureMap, in_groups: int) -> WeightRun:
    acc = design.accelerator
    words = in_groups * item.kernel**2
    param_words = target.block_size(0) // acc.requant_lanes
    beats = -(-acc.in_lanes * acc.out_lanes * design.weight_bits // 64)
    param_beats = param_words * acc.requant_lanes
    return WeightRun(
        target=0,
        groups=target.blocks,
        words=words,
        param_words=param_words,
        param_beats=param_beats,
        group_beats=param_beats + words * beats,
        resident=_resident(design, item.name, (0, target.blocks, words, param_words)),
    )


def _resident(design: Design, layer: str, run: tuple[int, int, int, int]) -> bool:
    """Do all groups fit the stores at once? TandemError where not even one does.

    ``run``: its target, groups, and words and parameter words of each.
    """
    buffers = design.accelerator.buffers
    target, groups, words, param_words = run
    if target == 1:
        keys = ("dw_weight_words", "dw_param_words")
        room = (buffers.dw_weight_words, buffers.dw_param_words)
    else:
        keys, room = ("weight_words", "param_words"), (buffers.weight_words, buffers.param_words)
    for need, limit, key in zip((words, param_words), room, keys, strict=True):
        if need > limit:
            raise TandemError(
                f"layer {layer}: one weight group needs {need} {key}, the design has {limit}: "
                f"raise accelerator.buffers.{key}"
            )
    return groups * words <= room[0] and groups * param_words <= room[1]
