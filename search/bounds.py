"""How many cycles a frame takes at least, and about how many, from the plans of its passes alone.

The bound is a true one: N frames take at least N times as many cycles. Every unit works through
its tiles in order, and each takes it at least the cycles counted here (the formulas are those of
``docs/microarchitecture.md`` without any waiting), a port's data channel moves a beat a cycle, the
memory no more than its peak. And no unit runs ahead of the MAC array by more than the banks
between them: of a pass, all but a few tiles are loaded, filtered and stored between the array's
last cycle in the pass before and its last cycle in this one. The estimate adds what the bound
leaves out: the slowest unit of each tile, and the filling of the pipeline at a pass's start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from model.design import Design
from model.plan import PassPlan, WeightRun
from model.program import RECORD_BYTES
from model.sim_timing import UnitTiming

BEAT_BYTES = 8
RECORD_CYCLES = 10  # POP x 8, CHECK, DISPATCH
BURST_BEATS = 16
ROUND_TRIP = 60  # cycles from a burst's address to its last beat, without rivals: an estimate


@dataclass
class FrameWork:
    """Cycles a frame at the least, by unit, channel and memory; and the traffic behind them."""

    cycles: dict[str, int] = field(default_factory=dict)
    bytes_moved: int = 0
    array_macs: int = 0  # useful multiply-accumulates of the MAC array

    @property
    def bound(self) -> int:
        """No schedule of this work is done in fewer cycles a frame."""
        return max(self.cycles.values())

    @property
    def busiest(self) -> str:
        """What the bound is the bound of."""
        return max(self.cycles, key=lambda name: self.cycles[name])


@dataclass(frozen=True)
class TileWork:
    """Cycles of the units for one tile, none of them waiting, and what it moves, in beats."""

    load: int
    depthwise: int
    mac: int
    post: int
    store: int
    loaded: int
    stored: int
    count: int  # tiles of a pass that are alike


def frame_work(design: Design, plans: Sequence[PassPlan]) -> FrameWork:
    """The least cycles of every unit for one frame, over all tiles of all passes."""
    by_pass = [list(tile_works(design, plan)) for plan in plans]
    works = [work for items in by_pass for work in items]
    ports, acc = design.accelerator.ports, design.accelerator
    units = {
        name: sum(getattr(work, name) * work.count for work in works)
        for name in ("load", "depthwise", "mac", "post", "store")
    }
    records = 1 + sum(_records(plan) for plan in plans)
    units["sequencer"] = (records - 1) * RECORD_CYCLES  # without `end`
    beats = {
        "load": sum(work.loaded * work.count for work in works),
        "store": sum(work.stored * work.count for work in works),
        "weight": sum(map(_weight_beats, plans)),
        "program": records * RECORD_BYTES // BEAT_BYTES,
    }
    units["weight"] = beats["weight"]
    units["passes"] = sum(map(pass_cycles, by_pass))
    for port in {ports.load, ports.weight, ports.program}:
        owners = [n for n in ("load", "weight", "program") if getattr(acc.ports, n) == port]
        units[f"port {port} reads"] = sum(beats[name] for name in owners)
    moved = sum(beats.values()) * BEAT_BYTES
    ddr = design.device.ddr
    units["memory"] = moved * design.clock_khz // (ddr.ddr_khz * ddr.bytes_per_ck)
    return FrameWork(units, moved, sum(plan.item.array_macs for plan in plans))


def pass_cycles(works: Sequence[TileWork]) -> int:
    """From the MAC array's last cycle in the pass before to that in this pass, at the least.

    At the former one tile of this pass can lie in the free mid bank, two more in the input banks.
    At the latter the results of one tile may lie in the output banks.
    """

    def all_but(name: str, tiles: int) -> int:
        values: list[int] = [getattr(work, name) for work in works]
        whole = sum(value * work.count for value, work in zip(values, works, strict=True))
        return whole - tiles * max(values)

    mac = sum(work.mac * work.count for work in works)
    return max(mac, all_but("depthwise", 1), all_but("load", 3), all_but("store", 2))


def structure_cycles(design: Design, plans: Sequence[PassPlan]) -> int:
    """About the cycles of a structure whatever its buffers: each pass as its busiest unit goes."""
    found = 0
    for plan in plans:
        works = list(tile_works(design, plan))
        found += max(
            sum(getattr(work, name) * work.count for work in works)
            for name in ("load", "depthwise", "mac", "post", "store")
        )
    return found


def estimate_cycles(design: Design, plans: Sequence[PassPlan]) -> float:
    """About how many cycles a frame takes in the steady state. Ranks buffers; proves nothing."""
    total = 0.0
    before = 0.0  # cycles of the pass before this one
    slowdown = max(1.0, ROUND_TRIP / BURST_BEATS / design.accelerator.outstanding_bursts)
    for plan in plans:
        works = list(tile_works(design, plan))
        weights = slowdown * fetched(plan)[0]
        own = 0.0
        for work in works:
            moved = ROUND_TRIP + slowdown * max(work.load, work.store)
            blocked = blocked_cycles(design, plan, work)
            own += work.count * max(moved, work.depthwise, work.mac, work.post, weights, blocked)
        first = works[0]
        fill = 2 * ROUND_TRIP + slowdown * first.load + first.depthwise + works[-1].store
        exposed = 0.0  # the next frame's image is there: its first tiles come early
        if plan.item.source is not None:
            needed = plan.tiles[0].rows + plan.item.halo
            hidden = before * max(0.0, 1 - needed / plan.source.height)
            exposed = max(0.0, fill - hidden)
        total += own + exposed
        before = own
    return total


def blocked_cycles(design: Design, plan: PassPlan, work: TileWork) -> float:
    """Cycles from a tile to the next where depth-wise weights queue behind the MAC array's.

    One unit fetches both in the program's order. Where neither stays on chip, those of the next
    tile's depth-wise groups come after the last of this tile's MAC groups, for which there is room
    once the array has given back all but as many as its store holds. Then the depth-wise unit
    works, and only then the array goes on.
    """
    run, depthwise = plan.mac_weights, plan.dw_weights
    if depthwise is None or depthwise.resident or run.resident:
        return 0.0
    held = held_groups(design, run)
    return work.mac * max(0, run.groups - held) / run.groups + work.depthwise


def held_groups(design: Design, run: WeightRun) -> int:
    """Groups of a MAC array's run for which its stores have room."""
    buffers = design.accelerator.buffers
    return min(buffers.weight_words // run.words, buffers.param_words // run.param_words)


def tile_works(design: Design, plan: PassPlan) -> Iterator[TileWork]:
    """Least cycles of every unit for the tiles of a pass; tiles that are alike are one record."""
    timing = UnitTiming.of(design.accelerator)
    run, slices = plan.mac_weights, plan.target.slices
    terms = plan.item.kernel**2 * plan.in_groups
    steps = ((run.groups - 1) * plan.steps + plan.last_steps) * slices
    windows = 4 if plan.item.pool_kind == "maxpool" else 1
    source_beats = plan.source.padded_channels * plan.source.feature_bytes // BEAT_BYTES
    scale, target = plan.item.scale, plan.target
    copies = scale * scale if plan.item.to_depth else 1  # a phase for each pixel of a window
    target_bytes = copies * target.padded_channels * target.channel_bytes
    across = _extents(plan, columns=True)
    for (rows, in_rows), down in _extents(plan, columns=False).items():
        for (cols, in_cols), beside in across.items():
            pixels = rows * cols
            vectors = pixels // windows
            loaded = in_rows * in_cols * source_beats
            stored = rows // scale * (cols // scale) * target_bytes // BEAT_BYTES
            yield TileWork(
                load=1 + loaded,
                depthwise=_depthwise(design, plan, rows, cols, timing.dw_drain),
                mac=1 + run.groups * (1 + pixels * terms + vectors * plan.pad_cycles),
                post=vectors * steps,
                store=1 + stored + run.groups,
                loaded=loaded,
                stored=stored,
                count=down * beside,
            )


def _depthwise(design: Design, plan: PassPlan, rows: int, cols: int, drain: int) -> int:
    """Cycles of the depth-wise unit for a tile: start, groups, drain."""
    if plan.item.depthwise is None or plan.dw_weights is None:
        return 0
    kernel = plan.item.depthwise.kernel
    phases = -(-kernel * kernel // design.accelerator.dw_multipliers)
    stream = (rows + kernel - 1) * (cols + kernel - 1) * phases
    return 1 + plan.dw_weights.groups * (kernel * kernel + 2 + stream) + drain


def _extents(plan: PassPlan, columns: bool) -> dict[tuple[int, int], int]:
    """Rows or columns of tiles: (size, size with halo as far as the map reaches), how many."""
    first, last, halo = plan.tiles[0], plan.tiles[-1], plan.item.halo
    if columns:
        size, end, whole = first.cols, last.col + last.cols, plan.source.width
    else:
        size, end, whole = first.rows, last.row + last.rows, plan.source.height
    return _counted(size, end, whole, halo)


@lru_cache(maxsize=8192)
def _counted(size: int, end: int, whole: int, halo: int) -> dict[tuple[int, int], int]:
    found: Counter[tuple[int, int]] = Counter()
    for start in range(0, end, size):
        own = min(size, end - start)
        found[own, min(whole, start + own + halo) - max(0, start - halo)] += 1
    return found


def fetched(plan: PassPlan) -> tuple[int, int]:
    """Beats of weights: fetched for every tile, and once a frame."""
    runs: list[WeightRun] = [plan.mac_weights]
    if plan.dw_weights is not None:
        runs.append(plan.dw_weights)
    always = sum(run.groups * run.group_beats for run in runs if not run.resident)
    return always, sum(run.groups * run.group_beats for run in runs if run.resident)


def _weight_beats(plan: PassPlan) -> int:
    """Beats of weights that a pass fetches in a frame."""
    each, once = fetched(plan)
    return each * len(plan.tiles) + once


def _records(plan: PassPlan) -> int:
    """Records of the tile program that a pass takes."""
    tiles = len(plan.tiles)
    count = 3 * tiles  # load, mac, store
    count += 1 if plan.mac_weights.resident else tiles
    if plan.dw_weights is not None:
        count += tiles + (1 if plan.dw_weights.resident else tiles)
    return count
