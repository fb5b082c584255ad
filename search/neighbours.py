"""Designs one step away from a design: one parameter changed, the buffers trimmed to the tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from model.accelerator import Buffers
from model.design import Design
from model.errors import TandemError
from search.buffers import STORE_KEYS, TILE_KEYS, BufferSpace, Candidate, trimmed
from search.space import (
    COMMAND_DEPTHS,
    OUTSTANDING,
    STYLES,
    Structure,
    port_maps,
    structures,
    tile_limits,
    with_buffers,
)

SCALES = (0.5, 0.7, 0.85, 1.2, 1.5)  # of a tile buffer; what tiles do not use is cut off again


def neighbours(design: Design, dsp_limit: int) -> Iterator[Candidate]:
    """Every one that the compiler takes, without the design itself."""
    seen = {design.accelerator}
    for other in _raw(design, dsp_limit):
        candidate = trimmed(other)
        if candidate is not None and candidate.design.accelerator not in seen:
            seen.add(candidate.design.accelerator)
            yield candidate


def _raw(design: Design, dsp_limit: int) -> Iterator[Design]:
    try:
        space = BufferSpace(design, ratio=1.0)
    except TandemError:
        return
    yield from _buffers(design, space)
    acc = design.accelerator
    for ports in port_maps(design.device.axi_ports):
        yield replace(design, accelerator=replace(acc, ports=ports))
    for bursts in OUTSTANDING:
        yield replace(design, accelerator=replace(acc, outstanding_bursts=bursts))
    for depth in COMMAND_DEPTHS:
        yield replace(design, accelerator=replace(acc, command_depth=depth))
    for height, width in tile_limits(design):
        limited = replace(acc, tile_height=height, tile_width=width)
        yield replace(design, accelerator=limited)
    yield from _structures(design, dsp_limit)


def _buffers(design: Design, space: BufferSpace) -> Iterator[Design]:
    present = design.accelerator.buffers
    wide = replace(present, dw_line_words=space.line_words)
    for keys in (*((key,) for key in TILE_KEYS), TILE_KEYS[:2], TILE_KEYS):
        for depths in _steps(wide, keys, space):
            yield with_buffers(design, replace(wide, **depths))
    for stores in space.stores:
        if any(getattr(present, key) != stores[key] for key in STORE_KEYS):
            yield with_buffers(design, replace(present, **stores))


def _steps(present: Buffers, keys: tuple[str, ...], space: BufferSpace) -> Iterator[dict[str, int]]:
    """The next depths on either side, then depths farther away."""
    ups = {}
    downs = {}
    for key in keys:
        now = getattr(present, key)
        ups[key] = next((d for d in space.tile[key] if d > now), now)
        downs[key] = max((d for d in space.tile[key] if d < now), default=now)
    yield ups
    yield downs
    for scale in SCALES:
        yield {key: max(2, int(getattr(present, key) * scale)) for key in keys}


def _structures(design: Design, dsp_limit: int) -> Iterator[Design]:
    """Other depth-wise multipliers, the other style, and the next numbers of requantising lanes."""
    here = Structure.of(design.accelerator)
    for other in structures(design, dsp_limit):
        lanes = (other.in_lanes, other.out_lanes) == (here.in_lanes, here.out_lanes)
        if not lanes or other == here or other.mac_packing != here.mac_packing:
            continue
        same = replace(other, requant_lanes=here.requant_lanes) == other
        ratio = other.requant_lanes / here.requant_lanes
        near = ratio in (0.5, 2.0) and other.dw_multipliers == here.dw_multipliers
        styles = STYLES.index(other.dw_multiplier_style) == STYLES.index(here.dw_multiplier_style)
        if same or (near and styles):
            yield other.apply(design)
