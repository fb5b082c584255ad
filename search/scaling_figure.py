"""The figure of ``tandem study scaling``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quant.figures import COLOURS, panels, write_figure
from search.executor_load import RAY, Outcome

PARTS = {
    "useful": "trials", "starting": "starting", "data": "data set", "handing": "claim, result",
    "lost": "failures", "idle": "no trial left",
}  # fmt: skip
SHADES = ("#1f5fa8", "#d9a514", "#3a8a4d", "#d1622b", "#8f4fa8", "#cccccc")


def scaling_figure(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Useful share, the writer's load, and where the time of the most workers goes; on Ray."""
    figure, axes = panels(3, 4.6, 3.6)
    loads = list(dict.fromkeys(one.load for one in outcomes))
    curves = {
        load: [one for one in outcomes if (one.load, one.executor) == (load, RAY)] for load in loads
    }
    for colour, (load, curve) in zip(COLOURS, curves.items(), strict=False):
        workers = [one.workers for one in curve]
        for axis, values in (
            (axes[0], [100 * one.share("useful") for one in curve]),
            (axes[1], [100 * one.writer_share for one in curve]),
        ):
            axis.plot(workers, values, "o-", color=colour, markersize=3.5, label=load)
    for axis, title in ((axes[0], "workers' time in trials"), (axes[1], "journal's writer busy")):
        axis.set(xscale="log", xlabel="workers", ylabel="%", title=title, ylim=(0, 105))
        axis.legend(frameon=False, fontsize=8)
    _parts(axes[2], [curve[-1] for curve in curves.values()])
    write_figure(figure, path)


def _parts(axis: Any, last: Sequence[Outcome]) -> None:
    bottoms = [0.0] * len(last)
    for shade, (name, label) in zip(SHADES, PARTS.items(), strict=True):
        heights = [100 * one.share(name) for one in last]
        axis.bar([one.load for one in last], heights, 0.6, bottoms, color=shade, label=label)
        bottoms = [low + high for low, high in zip(bottoms, heights, strict=True)]
    axis.set(ylabel="%", title=f"{last[0].workers} workers' time", ylim=(0, 105))
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
