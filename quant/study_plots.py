"""Figures of the training studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from quant.figures import COLOURS, panels, write_figure
from quant.study_journal import Outcome, bits_name
from quant.study_precision import SIDES, Answer, Point

BUBBLE = 900.0  # points^2 of the largest data of a panel
SMALLEST = 12.0
KILO = 1000


def precision_figure(
    path: Path,
    sweeps: Mapping[str, tuple[Sequence[Point], Answer]],
    metrics: Mapping[str, str],
) -> None:
    """One panel a data set: metric against compression, a bubble's area is the side's data size."""
    figure, axes = panels(len(sweeps))
    for axis, (task, (points, found)) in zip(axes, sweeps.items(), strict=True):
        largest = max(point.data_bytes for point in points)
        for side, colour, up in zip(SIDES, COLOURS, (1, -1), strict=False):
            _sweep(axis, [point for point in points if point.side == side], largest, colour, up)
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 4, 8, 16, 32], ["1x", "4x", "8x", "16x", "32x"])
        axis.set_xlim(0.75, 44)
        axis.margins(y=0.16)
        axis.set_xlabel("compression of the side against float32")
        axis.set_ylabel(f"{metrics[task]}, %")
        axis.set_title(f"{task}: mean gap {found.gap.text()} points", fontsize=10)
        axis.legend(loc="lower left", frameon=False, markerscale=0.7, fontsize=9)
    write_figure(figure, path)


def _sweep(axis: Axes, points: Sequence[Point], largest: float, colour: str, up: int) -> None:
    """A side's curve, the standard deviation between seeds, its bubbles with bits and size."""
    x = [point.compression for point in points]
    y = [100 * point.metric.mean for point in points]
    error = [100 * point.metric.deviation for point in points]
    area = [max(SMALLEST, BUBBLE * point.data_bytes / largest) for point in points]
    axis.errorbar(x, y, yerr=error, color=colour, linewidth=1.2, capsize=2.5, zorder=2)
    size = f"{points[0].data_bytes / KILO:.0f} kB in float32"
    axis.scatter(x, y, s=area, color=colour, alpha=0.45, linewidth=0, zorder=3)
    axis.scatter([], [], s=60, color=colour, alpha=0.6, label=f"{points[0].side}, {size}")
    for point, height in zip(points[1:], y[1:], strict=True):
        axis.annotate(
            f"{bits_name(point.bits)} bit",
            (point.compression, height),
            xytext=(0, 15 * up - 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )


def stability_figure(
    path: Path, curves: Mapping[str, Mapping[str, Sequence[Outcome]]], metrics: Mapping[str, str]
) -> None:
    """One panel a data set: the mean over seeds after every epoch, one deviation around it."""
    figure, axes = panels(len(curves))
    for axis, (task, settings) in zip(axes, curves.items(), strict=True):
        for (setting, runs), colour in zip(settings.items(), COLOURS, strict=False):
            values = 100 * np.array([one.metric for one in runs])  # (seeds, epochs)
            epochs = np.arange(1, values.shape[1] + 1)
            mean = values.mean(axis=0)
            deviation = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros_like(mean)
            axis.fill_between(
                epochs, mean - deviation, mean + deviation, color=colour, alpha=0.18, linewidth=0
            )
            axis.plot(epochs, mean, color=colour, linewidth=1.5, label=setting)
        axis.set_xlabel("epoch")
        axis.set_ylabel(f"{metrics[task]}, %")
        axis.set_title(f"{task}, {len(runs)} seeds, mean +- standard deviation", fontsize=10)
        axis.legend(loc="lower right", frameon=False, fontsize=9)
    write_figure(figure, path)
