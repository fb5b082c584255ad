"""What all figures of the studies share: panels side by side, and files that do not change by
themselves: no display, no date, so the same data give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")
COLOURS = ("#1f5fa8", "#d1622b", "#3a8a4d", "#8f4fa8", "#7a7a7a")  # told apart in grey too


def panels(count: int, width: float = 5.4, height: float = 4.0) -> tuple[Figure, Sequence[Axes]]:
    """A figure with ``count`` panels in a row, each ``width`` x ``height`` inches."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, count, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="0.9", zorder=0)
        axis.set_axisbelow(True)
    return figure, axes


def write_figure(figure: Figure, path: Path) -> None:
    """PNG for pages, SVG for print; written aside and renamed, so no half file is left."""
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
        target = path.with_suffix(suffix)
        aside = target.with_name(f".{target.name}")
        with mpl.rc_context({"svg.hashsalt": "tandem"}):
            figure.savefig(aside, format=suffix[1:], dpi=110, metadata=metadata)
        aside.replace(target)
