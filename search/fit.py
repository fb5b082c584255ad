"""Buffers from tiles: the smallest memories with which a network's tiles fit.

The other way round from ``model/tiling.py``, which finds tiles that fit given buffers. A tile is
rows x columns of convolution output, before pooling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from model.accelerator import DEPTH_MAX, Accelerator, Buffers
from model.design import Design
from model.errors import TandemError
from model.plan import PassPlan
from model.schedule import Planned, plan_design, plan_work
from model.tiling import TileShape, needs, region

LEAST_DEPTH = 2
TILE_MAX = 4094  # rows or columns: the largest limit, above every map
UNBOUNDED = 1 << 40  # deeper than any map: no tile is refused for want of room
TILE_BUFFERS = ("input_lines", "mid_words", "output_lines", "dw_line_words")
WEIGHT_POLICIES = ("keep", "one", "two", "stream", "all")


def fit_buffers(design: Design, tile: TileShape | None = None, weights: str = "keep") -> Design:
    """The design with the smallest buffers with which its network's tiles fit.

    ``tile`` None: the tiles that the design's present buffers give, which stay as they are. Else
    tiles of that shape in every pass, clipped to its map and rounded up to whole pooling windows (0
    rows or columns: all of them); the shape becomes the design's tile limits.
    ``TileShape(1, 1)`` therefore asks for the least that the network runs with.

    ``weights``: how many weight groups of a pass the stores hold. ``one`` the largest group;
    ``two`` so that one is fetched while another is used; ``all`` so that each weight is fetched
    once a frame; ``stream`` two of the MAC array's and all depth-wise ones, which are few and would
    queue behind the others (``search/bounds.py``); ``keep`` as many as the present stores hold, but
    no word more than is used.
    TandemError for a buffer beyond what the hardware addresses, or a policy that is none.
    """
    return fit_work(design, tile, weights)[0]


def fit_work(
    design: Design, tile: TileShape | None = None, weights: str = "keep"
) -> tuple[Design, Planned]:
    """The same with the plan the sizes were taken from, of other buffers than the design has."""
    if weights not in WEIGHT_POLICIES:
        raise TandemError(f"weights {weights!r}: must be one of {', '.join(WEIGHT_POLICIES)}")
    acc = design.accelerator
    planned = plan_work(design if tile is None else _unbounded(design))
    plans = planned.plans
    shapes = [_shape(plan, tile) for plan in plans]
    found = tile_needs(acc, plans, shapes) | weight_needs(acc.buffers, plans, weights)
    if tile is not None:
        acc = replace(acc, tile_height=tile.rows or TILE_MAX, tile_width=tile.cols or TILE_MAX)
    return replace(design, accelerator=replace(acc, buffers=sized(design, found))), planned


def sized(design: Design, depths: dict[str, int]) -> Buffers:
    """Buffers of these depths, the least there is where one is not used. TandemError: too deep."""
    for key, depth in depths.items():
        if depth > DEPTH_MAX:
            raise TandemError(
                f"design {design.name}: the tiles need {depth} {key}, at most {DEPTH_MAX} can be "
                "addressed: take smaller tiles"
            )
    return replace(
        design.accelerator.buffers,
        **{key: max(LEAST_DEPTH, depth) for key, depth in depths.items()},
    )


def unbounded_plans(design: Design) -> list[PassPlan]:
    """Plans with one tile a pass: the least work any buffers and tile limits can give."""
    return plan_design(_unbounded(design))


def _unbounded(design: Design) -> Design:
    """The design with room for a whole map in every buffer, and one tile a pass."""
    keys = Buffers.__dataclass_fields__
    buffers = Buffers(**dict.fromkeys(keys, UNBOUNDED))
    acc = replace(design.accelerator, buffers=buffers, tile_height=UNBOUNDED, tile_width=UNBOUNDED)
    return replace(design, accelerator=acc)


def _shape(plan: PassPlan, tile: TileShape | None) -> TileShape:
    if tile is None:
        first = plan.tiles[0]
        return TileShape(first.rows, first.cols)
    step = plan.item.scale
    height, width = region(plan.source, step)
    rows, cols = min(tile.rows or height, height), min(tile.cols or width, width)
    return TileShape(-(-rows // step) * step, -(-cols // step) * step)


def tile_needs(
    acc: Accelerator, plans: Sequence[PassPlan], shapes: Iterable[TileShape]
) -> dict[str, int]:
    """Depth of every tile buffer with which tiles of these shapes fit, one shape a pass."""
    found = dict.fromkeys(TILE_BUFFERS, 0)
    for plan, shape in zip(plans, shapes, strict=True):
        for need in needs(plan.item, plan.source, plan.target, acc, shape):
            found[need.buffer] = max(found[need.buffer], need.need)
    return found


def weight_needs(present: Buffers, plans: Sequence[PassPlan], policy: str) -> dict[str, int]:
    """Depths of the four weight and parameter stores under a policy of :func:`fit_buffers`."""
    found: dict[str, int] = {}
    for target, prefix in ((0, ""), (1, "dw_")):
        runs = [
            run
            for plan in plans
            for run in (plan.mac_weights, plan.dw_weights)
            if run is not None and run.target == target
        ]
        for key, sizes in (
            (f"{prefix}weight_words", [(run.words, run.groups) for run in runs]),
            (f"{prefix}param_words", [(run.param_words, run.groups) for run in runs]),
        ):
            whole = max((words * groups for words, groups in sizes), default=0)
            if policy == "all" or (policy == "stream" and prefix):
                found[key] = whole
            elif policy == "keep":
                found[key] = min(getattr(present, key), whole)
            else:
                most = 1 if policy == "one" else 2
                found[key] = max((words * min(most, n) for words, n in sizes), default=0)
    return found
