"""What an architect may change in a design, one thing at a time.

A change makes one or more designs out of a design; where it makes several they are ways to do the
same thing and the fastest counts. Where a change alters what a tile or a weight group takes, the
memories follow it (:func:`follow`), so that it holds the same tiles and as many weight groups as
before. What a change alters of the board is in ``search/board_changes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from model.accelerator import Accelerator, Buffers, PortMap, channel_align, read_accelerator
from model.design import Design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.packing import refusal
from model.plan import PassPlan
from model.schedule import plan_design
from model.tiling import TileShape
from model.toml_reader import Table
from search.fit import LEAST_DEPTH, TILE_BUFFERS, tile_needs, unbounded_plans, weight_needs
from search.space import LANES, dw_multipliers

NOTHING, RETRAINING, BOARD = "nothing", "retraining", "another board"
CLOCK_STEP_KHZ = 50_000
CLOCK_RANGE_KHZ = (1_000, 1_000_000)
BITS = (4, 16)
OUTSTANDING_MAX = COMMAND_DEPTH_MAX = 64
STORES = ("weight_words", "param_words", "dw_weight_words", "dw_param_words")
TILE_KEYS = ("input_lines", "mid_words", "output_lines")
UNITS = ("program", "weight", "load", "store")


@dataclass(frozen=True)
class Change:
    """One change. ``make`` raises TandemError where the design leaves no room for it."""

    name: str  # of files and of JSON
    title: str
    make: Callable[[Design], Iterator[Design]]
    needs: str = NOTHING  # besides the chip: retraining, or another board
    caveat: str = ""  # what a simulation cannot say


def checked(design: Design) -> Design:
    """The design, if a file that says the same would be taken. TandemError says what is wrong."""
    low, high = CLOCK_RANGE_KHZ
    if not low <= design.clock_khz <= high:
        raise TandemError(
            f"clock_mhz = {design.clock_mhz:g}: must be from {low // 1000} to {high // 1000}"
        )
    table = Table(design_to_dict(design)["accelerator"], "accelerator")
    read_accelerator(table, design.device.axi_ports, design.weight_bits, design.feature_bits)
    return design


def follow(before: Design, after: Design) -> Design:
    """``after`` with memories that hold the tiles and as many weight groups as ``before``'s do.

    Each depth changes in the ratio of what a tile, or the largest weight group, takes of it,
    rounded up. TandemError where ``after`` cannot be planned.
    """
    plans = plan_design(before)
    shapes = [TileShape(plan.tiles[0].rows, plan.tiles[0].cols) for plan in plans]
    old = _demand(before.accelerator, plans, shapes)
    whole = unbounded_plans(after)
    new = _demand(after.accelerator, whole, _shapes(plans, whole))
    depths = vars(before.accelerator.buffers)
    return with_depths(
        after,
        {key: -(-depths[key] * new[key] // old[key]) for key in depths if old[key]},
    )


def _shapes(plans: Sequence[PassPlan], others: Sequence[PassPlan]) -> list[TileShape]:
    """The tiles of ``plans`` for the passes of ``others``, of the same bundles.

    Other lanes can join or split passes. Then a pass takes the tile of that pass of its bundle with
    which it shares most layers, in whole steps of its own pooling.
    """
    if [plan.item.layers for plan in plans] == [plan.item.layers for plan in others]:
        return [TileShape(plan.tiles[0].rows, plan.tiles[0].cols) for plan in plans]

    def alike(plan: PassPlan, other: PassPlan) -> tuple[bool, int]:
        mine = {layer.token for layer in plan.item.layers}
        shared = len(mine & {layer.token for layer in other.item.layers})
        return plan.item.bundle == other.item.bundle, shared

    found = []
    for other in others:
        like = max(plans, key=lambda plan: alike(plan, other))
        first, step = like.tiles[0], other.item.scale
        found.append(TileShape(-(-first.rows // step) * step, -(-first.cols // step) * step))
    return found


def _demand(
    acc: Accelerator, plans: Sequence[PassPlan], shapes: Sequence[TileShape]
) -> dict[str, int]:
    return tile_needs(acc, plans, shapes) | weight_needs(acc.buffers, plans, "one")


def with_depths(design: Design, depths: dict[str, int]) -> Design:
    """The design with these depths; those that are not named stay."""
    least = {key: max(LEAST_DEPTH, depth) for key, depth in depths.items()}
    return altered(design, buffers=replace(design.accelerator.buffers, **least))


def altered(design: Design, **values: int | str | Buffers | PortMap) -> Design:
    """The design with these values of its accelerator."""
    return replace(design, accelerator=replace(design.accelerator, **values))  # type: ignore[arg-type]


def one_more_port(design: Design) -> Iterator[Design]:
    """Each way to give a part of the units that share a port a port of its own."""
    ports = design.accelerator.ports
    sharing: dict[int, list[str]] = {}
    for unit in UNITS:
        sharing.setdefault(getattr(ports, unit), []).append(unit)
    if len(sharing) == len(UNITS):
        raise TandemError("every DMA unit has a port of its own already")
    free = next((n for n in range(design.device.axi_ports) if n not in sharing), None)
    if free is None:
        raise TandemError(f"all {design.device.axi_ports} AXI ports of the device are in use")
    for units in sharing.values():
        _, *rest = units  # the first stays, so that no split comes twice
        for mask in range(1, 1 << len(rest)):
            moved = [unit for bit, unit in enumerate(rest) if mask >> bit & 1]
            yield altered(design, ports=replace(ports, **dict.fromkeys(moved, free)))


def own_ports(design: Design) -> Iterator[Design]:
    """A port for each of the four DMA units."""
    used = len({getattr(design.accelerator.ports, unit) for unit in UNITS})
    if used == len(UNITS):
        raise TandemError("every DMA unit has a port of its own already")
    if used == len(UNITS) - 1:
        raise TandemError("one more port is as much, see there")
    if design.device.axi_ports < len(UNITS):
        raise TandemError(f"the device has {design.device.axi_ports} AXI ports, this takes 4")
    yield altered(design, ports=PortMap(program=2, weight=3, load=0, store=1))


def twice_the_tile(design: Design) -> Iterator[Design]:
    """Tile buffers up to twice as deep, cut to what the larger tiles use of them."""
    acc = design.accelerator
    old = {key: getattr(acc.buffers, key) for key in TILE_BUFFERS}
    wide = with_depths(design, {key: 2 * depth for key, depth in old.items()})
    wide = altered(wide, tile_height=2 * acc.tile_height)
    plans = plan_design(wide)
    shapes = [TileShape(plan.tiles[0].rows, plan.tiles[0].cols) for plan in plans]
    found = tile_needs(acc, plans, shapes)
    grown = with_depths(wide, {key: max(old[key], found[key]) for key in old})
    before = [plan.tiles for plan in plan_design(design)]
    if [plan.tiles for plan in plan_design(grown)] == before:
        raise TandemError("no tile would grow: they are as large as the compiler makes them")
    yield grown


def half_the_tile(design: Design) -> Iterator[Design]:
    """Input, mid and output buffer half as deep, and half the tile limit if there is one."""
    acc = design.accelerator
    small = with_depths(design, {key: -(-getattr(acc.buffers, key) // 2) for key in TILE_KEYS})
    yield altered(small, tile_height=-(-acc.tile_height // 2))


def deeper_stores(design: Design) -> Iterator[Design]:
    """Weight and parameter stores twice as deep, as far as a pass has that many weights."""
    present = vars(design.accelerator.buffers)
    whole = weight_needs(design.accelerator.buffers, plan_design(design), "all")
    depths = {key: max(present[key], min(2 * present[key], whole[key])) for key in STORES}
    if all(depths[key] == present[key] for key in STORES):
        raise TandemError("the stores hold all weights of every pass already")
    yield with_depths(design, depths)


def whole_stores(design: Design) -> Iterator[Design]:
    """Stores that hold all weights of a pass, so that each is fetched once a frame."""
    present = vars(design.accelerator.buffers)
    whole = weight_needs(design.accelerator.buffers, plan_design(design), "all")
    depths = {key: max(present[key], whole[key]) for key in STORES}
    if all(depths[key] == present[key] for key in STORES):
        raise TandemError("the stores hold all weights of every pass already")
    if all(depths[key] <= 2 * present[key] for key in STORES):
        raise TandemError("twice the stores is as much, see there")
    yield with_depths(design, depths)


def more_out_lanes(design: Design) -> Iterator[Design]:
    """The next multiple that the memory layout allows."""
    lanes = design.accelerator.out_lanes + design.channel_align
    yield follow(design, altered(design, out_lanes=lanes))


def more_in_lanes(design: Design) -> Iterator[Design]:
    """The next power of two; output lanes are rounded up to what that asks for."""
    lanes = _next_lanes(design.accelerator.in_lanes)
    yield follow(design, _aligned(design, in_lanes=lanes))


def more_requant_lanes(design: Design) -> Iterator[Design]:
    """The next power of two, likewise."""
    lanes = _next_lanes(design.accelerator.requant_lanes)
    yield follow(design, _aligned(design, requant_lanes=lanes))


def _next_lanes(present: int) -> int:
    found = next((lanes for lanes in LANES if lanes > present), None)
    if found is None:
        raise TandemError(f"there are {present} lanes already, the most that can be built")
    return found


def _aligned(design: Design, **lanes: int) -> Design:
    found = altered(design, **lanes)
    acc = found.accelerator
    align = channel_align(acc.in_lanes, acc.requant_lanes, design.feature_bits)
    return altered(found, out_lanes=-(-acc.out_lanes // align) * align)


def other_packing(design: Design) -> Iterator[Design]:
    """Two products out of a multiplier, or one again."""
    if design.accelerator.mac_packing == "none":
        reason = refusal(design.weight_bits, design.feature_bits)
        if reason is not None:
            raise TandemError(reason)
    packing = "pair" if design.accelerator.mac_packing == "none" else "none"
    yield altered(design, mac_packing=packing)


def packed_lanes(design: Design) -> Iterator[Design]:
    """Packing, and the multipliers that it frees as output lanes."""
    if design.accelerator.mac_packing == "pair":
        raise TandemError("multipliers are packed already")
    for packed in other_packing(design):
        yield follow(design, altered(packed, out_lanes=2 * design.accelerator.out_lanes))


def more_bursts(design: Design) -> Iterator[Design]:
    """Twice as many bursts under way."""
    present = design.accelerator.outstanding_bursts
    if present == OUTSTANDING_MAX:
        raise TandemError(f"{present} bursts are under way already, the most that can be built")
    yield altered(design, outstanding_bursts=min(OUTSTANDING_MAX, 2 * present))


def deeper_queues(design: Design) -> Iterator[Design]:
    """Twice as many commands waiting at each unit."""
    present = design.accelerator.command_depth
    if present == COMMAND_DEPTH_MAX:
        raise TandemError(f"queues hold {present} commands already, the most that can be built")
    yield altered(design, command_depth=min(COMMAND_DEPTH_MAX, 2 * present))


def more_multipliers(design: Design) -> Iterator[Design]:
    """The fewest multipliers a lane with which a window takes fewer cycles."""
    kernels = {layer.kernel for layer in design.network.compute_layers if layer.kind == "dw"}
    if not kernels:
        raise TandemError("the network has no depth-wise layer")
    present = design.accelerator.dw_multipliers
    found = [count for count in dw_multipliers(kernels) if count > present]
    if not found:
        raise TandemError(f"each of a window's taps has its multiplier already ({present} a lane)")
    yield altered(design, dw_multipliers=min(found))


def other_style(design: Design) -> Iterator[Design]:
    """Depth-wise multipliers out of DSP48E1 instead of LUTs, or the other way round."""
    style = "dsp" if design.accelerator.dw_multiplier_style == "lut" else "lut"
    yield altered(design, dw_multiplier_style=style)


def faster_clock(design: Design) -> Iterator[Design]:
    """50 MHz more; whether the chip keeps up is for its vendor's tools to say."""
    yield replace(design, clock_khz=design.clock_khz + CLOCK_STEP_KHZ)


def slower_clock(design: Design) -> Iterator[Design]:
    """50 MHz less."""
    yield replace(design, clock_khz=design.clock_khz - CLOCK_STEP_KHZ)


def narrower_weights(design: Design) -> Iterator[Design]:
    """A bit less a weight."""
    if design.weight_bits == BITS[0]:
        raise TandemError(f"weights have {BITS[0]} bits already, the fewest that can be built")
    yield follow(design, replace(design, weight_bits=design.weight_bits - 1))


def narrower_features(design: Design) -> Iterator[Design]:
    """A bit less a feature."""
    if design.feature_bits == BITS[0]:
        raise TandemError(f"features have {BITS[0]} bits already, the fewest that can be built")
    yield follow(design, replace(design, feature_bits=design.feature_bits - 1))


CHANGES = (
    Change("port", "one more AXI port", one_more_port),
    Change("ports", "a port for every DMA unit", own_ports),
    Change("tile_double", "twice the tile", twice_the_tile),
    Change("tile_half", "half the tile", half_the_tile),
    Change("weights_double", "weight stores twice as deep", deeper_stores),
    Change("weights_whole", "weight stores for whole passes", whole_stores),
    Change("out_lanes", "more output lanes", more_out_lanes),
    Change("in_lanes", "more input lanes", more_in_lanes),
    Change("requant_lanes", "more requantising lanes", more_requant_lanes),
    Change("packing", "DSP packing on, or off", other_packing),
    Change("packed_lanes", "packing, twice the output lanes", packed_lanes),
    Change("bursts", "twice the outstanding bursts", more_bursts),
    Change("queues", "command queues twice as deep", deeper_queues),
    Change("dw_multipliers", "more depth-wise multipliers", more_multipliers),
    Change("dw_style", "depth-wise in DSP48E1, or in LUT", other_style),
    Change("clock_plus", "50 MHz more", faster_clock, NOTHING, "timing closure is not checked"),
    Change("clock_minus", "50 MHz less", slower_clock),
    Change("weight_bit", "a bit less a weight", narrower_weights, RETRAINING),
    Change("feature_bit", "a bit less a feature", narrower_features, RETRAINING),
)
