"""The picture of ``tandem bundles``: estimated against simulated cycles, the bundles by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.bundle_report import Measured

APART = 1.35  # cycles of a named bundle over those of the one before


def draw_bundles(found: Sequence[Measured], path: Path) -> bool:
    """Write the picture; False where matplotlib is not installed."""
    try:
        from quant.figures import COLOURS, panels, write_figure  # noqa: PLC0415
    except ImportError:
        return False
    figure, (scatter, errors) = panels(2)
    sizes = sorted({item.in_lanes * item.out_lanes for item in found})
    for colour, size in zip(COLOURS, sizes, strict=False):
        points = [item for item in found if item.in_lanes * item.out_lanes == size]
        truth = [item.truth.cycles_per_frame for item in points]
        label = f"{size} products a cycle"
        scatter.plot(
            truth, [item.estimate.cycles for item in points], ".", color=colour, label=label
        )
        errors.plot(truth, [100 * item.error for item in points], ".", color=colour, label=label)
    for item in _spread(found, sizes[-1]):
        scatter.annotate(
            item.bundle, (item.truth.cycles_per_frame, item.estimate.cycles), fontsize=6,
            xytext=(8, -6), textcoords="offset points",
        )  # fmt: skip
    for item in sorted(found, key=lambda item: -abs(item.error))[:1]:
        errors.annotate(
            item.bundle, (item.truth.cycles_per_frame, 100 * item.error), fontsize=7,
            xytext=(4, 4), textcoords="offset points",
        )  # fmt: skip
    ends = [
        min(item.truth.cycles_per_frame for item in found),
        max(item.truth.cycles_per_frame for item in found),
    ]
    scatter.plot(ends, ends, color="0.5", linewidth=0.8)
    scatter.set(xscale="log", yscale="log", xlabel="simulated cycles", ylabel="estimated cycles")
    scatter.legend(frameon=False, fontsize=8)
    errors.axhline(0, color="0.5", linewidth=0.8)
    errors.set(xscale="log", xlabel="simulated cycles", ylabel="estimate off by, %")
    write_figure(figure, path)
    return True


def _spread(found: Sequence[Measured], size: int) -> list[Measured]:
    """Bundles to be named: on one accelerator, from the fastest to the slowest, far apart."""
    first = next(item for item in found if item.in_lanes * item.out_lanes == size)
    alike = [
        item for item in found
        if (item.in_lanes * item.out_lanes, item.weight_bits) == (size, first.weight_bits)
    ]  # fmt: skip
    alike.sort(key=lambda item: item.truth.cycles_per_frame)
    named: list[Measured] = []
    for item in alike:
        cycles = item.truth.cycles_per_frame
        if not named or cycles > APART * named[-1].truth.cycles_per_frame:
            named.append(item)
    return named
