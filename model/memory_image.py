"""Memory image: the bytes an accelerator finds in DDR before it starts.

Program, weights and parameters of an integer network, and the images of all frames, at the
addresses of the schedule. Formats: ``docs/microarchitecture.md``, words and lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.integer_network import IntegerLayer, IntegerNetwork
from model.plan import PassPlan, WeightRun
from model.program import Command, encode
from model.schedule import Schedule

Ints = NDArray[np.int64]


def build_memory(schedule: Schedule, network: IntegerNetwork, images: Sequence[Ints]) -> bytearray:
    """The whole memory, ``schedule.memory_bytes`` long; ``images`` are (C, H, W), one per frame."""
    if len(images) != schedule.frames:
        raise ValueError(f"{len(images)} images for {schedule.frames} frames")
    base = schedule.design.device.memory_base
    memory = bytearray(schedule.memory_bytes)

    def put(address: int, data: bytes) -> None:
        memory[address - base : address - base + len(data)] = data

    put(schedule.program_address, encode(bind(schedule, network)))
    for plan in schedule.plans:
        if plan.dw_weights is not None:
            put(plan.dw_weights.address, _depthwise_run(schedule, plan, network))
        put(plan.mac_weights.address, _mac_run(schedule, plan, network))
    for frame, image in enumerate(images):
        put(schedule.image.address + frame * schedule.image_stride, schedule.image.pack(image))
    return memory


def bind(schedule: Schedule, network: IntegerNetwork) -> list[Command]:
    """The program with the network's padding, shift and rounding filled in."""
    bound = []
    for command in schedule.commands:
        if command.layer is not None:
            layer = network[command.layer]
            settings = {
                "pad_value": layer.pad_value,
                "shift": layer.shift,
                "round": int(layer.round),
            }
            bound.append(replace(command, fields={**command.fields, **settings}))
        else:
            bound.append(command)
    return bound


def read_map(schedule: Schedule, memory: bytes, plan: PassPlan, frame: int = 0) -> Ints:
    """(C, H, W) values that a pass left in memory; ``frame`` counts for the last pass only."""
    target = plan.target
    start = target.address - schedule.design.device.memory_base
    if plan is schedule.plans[-1]:
        start += frame * schedule.output_stride
    if not plan.item.to_depth:
        return target.unpack(bytes(memory[start : start + target.total_bytes]))
    output = plan.item.output
    values = np.empty((output.out_channels, output.out_height, output.out_width), dtype=np.int64)
    for phase in range(4):
        found = target.unpack(bytes(memory[start : start + target.total_bytes]))
        values[:, phase // 2 :: 2, phase % 2 :: 2] = found
        start += target.blocks * target.block_pitch
    return values


def _pack_words(weights: Ints, bits: int) -> NDArray[np.uint8]:
    """(words, lanes) signed weights -> (words, bytes), lane 0 lowest, padded to whole beats."""
    words, lanes = weights.shape
    beats = -(-lanes * bits // 64)
    planes = (weights[:, :, None] >> np.arange(bits)) & 1
    flat = np.zeros((words, beats * 64), dtype=np.uint8)
    flat[:, : lanes * bits] = planes.reshape(words, lanes * bits)
    return np.packbits(flat, axis=1, bitorder="little")


def _pack_params(bias: Ints, mult: Ints) -> NDArray[np.uint8]:
    """One beat per channel: bias in bits 31:0, multiplier in 47:32."""
    beats = (bias & 0xFFFF_FFFF) | ((mult & 0xFFFF) << 32)
    return beats.astype("<u8").view(np.uint8)


def _join(run: WeightRun, params: NDArray[np.uint8], words: NDArray[np.uint8]) -> bytes:
    """Groups one after the other: parameter beats, then weight words."""
    groups = [
        params.reshape(run.groups, -1),
        words.reshape(run.groups, -1),
    ]
    data = np.concatenate(groups, axis=1)
    assert data.shape[1] == run.group_beats * 8
    return data.tobytes()


def _placed(values: Ints, positions: Ints, length: int) -> Ints:
    """Values of a layer's channels at their positions, zeros elsewhere."""
    result = np.zeros((length, *values.shape[1:]), dtype=np.int64)
    result[positions] = values
    return result


def _depthwise_run(schedule: Schedule, plan: PassPlan, network: IntegerNetwork) -> bytes:
    design = schedule.design
    run, layer = plan.dw_weights, plan.item.depthwise
    assert run is not None
    assert layer is not None
    found = network[layer.name]
    lanes = design.accelerator.in_lanes
    channels = run.groups * lanes
    at = plan.source.positions
    weights = _placed(found.weight.reshape(layer.out_channels, -1), at, channels)
    words = weights.reshape(run.groups, lanes, run.words).transpose(0, 2, 1).reshape(-1, lanes)
    params = _pack_params(_placed(found.bias, at, channels), _placed(found.mult, at, channels))
    return _join(run, params, _pack_words(words, design.weight_bits))


def _mac_run(schedule: Schedule, plan: PassPlan, network: IntegerNetwork) -> bytes:
    design = schedule.design
    acc = design.accelerator
    run = plan.mac_weights
    found = network[plan.item.conv.name] if plan.item.conv is not None else None
    if found is None:
        words = _copy_words(plan, acc.out_lanes)
    else:
        words = _conv_words(plan, found, acc.out_lanes)
    packed = _pack_words(words.reshape(-1, acc.out_lanes * acc.in_lanes), design.weight_bits)
    channels = run.groups * acc.out_lanes
    bias = np.zeros(channels, dtype=np.int64)
    mult = np.zeros(channels, dtype=np.int64)
    if found is None:
        mult[: plan.source.channels] = 1
    elif not plan.item.raw:
        outputs = len(found.bias)
        bias[:outputs], mult[:outputs] = found.bias, found.mult
    per_group = run.param_beats
    bias = bias.reshape(run.groups, -1)[:, :per_group].reshape(-1)
    mult = mult.reshape(run.groups, -1)[:, :per_group].reshape(-1)
    return _join(run, _pack_params(bias, mult), packed)


def _conv_words(plan: PassPlan, found: IntegerLayer, out_lanes: int) -> Ints:
    """(groups, taps * input groups, out lanes, in lanes) of a convolution."""
    outputs, inputs = found.weight.shape[:2]
    lanes, taps = plan.in_lanes, plan.item.kernel**2
    groups = plan.mac_weights.groups
    padded = np.zeros((groups * out_lanes, plan.in_groups * lanes, taps), dtype=np.int64)
    padded[:outputs, plan.source.positions] = found.weight.reshape(outputs, inputs, taps)
    split = padded.reshape(groups, out_lanes, plan.in_groups, lanes, taps)
    return split.transpose(0, 4, 2, 1, 3)


def _copy_words(plan: PassPlan, out_lanes: int) -> Ints:
    """Weights 1 on the diagonal: output lane o takes input channel o of its block."""
    lanes = plan.in_lanes
    block = np.zeros((plan.in_groups, out_lanes, lanes), dtype=np.int64)
    for group in range(plan.in_groups):
        for lane in range(lanes):
            if group * lanes + lane < out_lanes:
                block[group, group * lanes + lane, lane] = 1
    return np.broadcast_to(block, (plan.mac_weights.groups, *block.shape)).copy()
