"""Figures of the hardware studies: the resource model as lines, Yosys as circles on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.resources import multiplier_dsps
from quant.figures import COLOURS, panels, write_figure
from search.study_bram import BANKS, BUFFERS, STORES, BankPoint, BramPoint
from search.study_dsp import (
    PAPER_WEIGHT_BITS,
    PRODUCT_FEATURE_BITS,
    PRODUCT_WEIGHT_BITS,
    DspPoint,
)

SHADES = (
    "#08306b", "#1f5fa8", "#3a8fc4", "#3a8a4d", "#86b049", "#d9a514", "#d1622b", "#a63450",
    "#6b2d73",
)  # fmt: skip
DODGE = 0.07  # bits that a curve is moved to the side, so that equal ones can be told apart
Product = tuple[int, int, int, int | None]  # W, F, model, Yosys


def dsp_figure(path: Path, found: Sequence[DspPoint], products: Sequence[Product]) -> None:
    """A panel an accelerator, and one for a single product."""
    figure, axes = panels(3, 5.0, 4.2)
    names = list(dict.fromkeys(point.accelerator for point in found))
    for axis, name in zip(axes, names, strict=False):
        bits = sorted({point.feature_bits for point in found})
        for number, feature_bits in enumerate(bits):
            curve = [p for p in found if (p.accelerator, p.feature_bits) == (name, feature_bits)]
            aside = DODGE * (number - len(bits) // 2)
            _curve(
                axis, [p.weight_bits + aside for p in curve], [p.model_dsp for p in curve],
                [p.yosys_dsp for p in curve], SHADES[number % len(SHADES)], f"F {feature_bits}",
            )  # fmt: skip
        axis.axvspan(
            PAPER_WEIGHT_BITS[0] - 0.5, PAPER_WEIGHT_BITS[-1] + 0.5, color="0.93", zorder=0
        )
        axis.set_ylim(bottom=0)
        _label(axis, "weight bits W (shaded: 10 to 18)", "DSP48E1", name, "lower right")
        _explain_dsp(axis)
    _products(axes[-1], products)
    write_figure(figure, path)


def _explain_dsp(axis: Any) -> None:
    """Words at the jumps, at heights that are shares of the panel."""
    top = axis.get_ylim()[1]
    for x, share, text in (
        (3.8, 0.06, "2W + F <= 25:\ntwo products\na block"),
        (13.3, 0.66, "accumulator + bias\npass 25 + 17 bits:\nrequantising takes\nthree blocks"),
        (17.0, 0.93, "W passes 25:\ntwo blocks a product"),
    ):
        axis.text(x, share * top, text, fontsize=8, va="bottom" if share < 0.9 else "center")


def _products(axis: Any, products: Sequence[Product]) -> None:
    for number, feature_bits in enumerate(PRODUCT_FEATURE_BITS):
        colour = COLOURS[number % len(COLOURS)]
        aside = DODGE * (number - 2)
        rise = 0.04 * (number - 2)  # whole numbers: curves would lie on each other
        model = [multiplier_dsps(w, feature_bits + 1) + rise for w in PRODUCT_WEIGHT_BITS]
        label = f"F {feature_bits}, {feature_bits + 1} bits signed"
        x = [w + aside for w in PRODUCT_WEIGHT_BITS]
        axis.step(x, model, where="mid", color=colour, linewidth=1.3, label=label)
        mapped = [(w + aside, y + rise) for w, f, _, y in products if f == feature_bits and y]
        axis.scatter(*zip(*mapped, strict=True), s=18, facecolor="none", edgecolor=colour)
    axis.set_ylim(0, 5.6)
    for port in (18.5, 25.5):
        axis.axvline(port, color="0.6", linewidth=0.8, linestyle=":")
    title = "one product W x (F + 1), not packed"
    _label(axis, "weight bits W (dotted: ports of 18 and 25)", "DSP48E1", title, "upper left")


def bram_figure(path: Path, found: Sequence[BramPoint], banks: Sequence[BankPoint]) -> None:
    """All memories by feature width; the memories at F16; the input buffer divided into banks."""
    figure, axes = panels(3, 5.0, 4.2)
    bits = sorted({point.feature_bits for point in found})
    for feature_bits, colour in zip(bits, COLOURS, strict=False):
        curve = [point for point in found if point.feature_bits == feature_bits]
        _factors(axes[0], curve, lambda p: p.model_bram18, lambda p: p.yosys_bram18, colour,
                 f"F {feature_bits}", "--" if feature_bits % 2 else "-")  # fmt: skip
    widest = [point for point in found if point.feature_bits == bits[-1]]
    for name, colour in zip((*BUFFERS, STORES), COLOURS, strict=False):
        _factors(axes[1], widest, _of(name, "model"), _of(name, "yosys"), colour, name)
    for count, colour in zip(BANKS, COLOURS, strict=False):
        curve_of = [point for point in banks if point.banks == count]
        words = curve_of[0].words
        label = f"{count} bank{'s' * (count > 1)} of {words:,} words at 1.00"
        _factors(axes[2], curve_of, lambda p: p.model, lambda p: p.yosys, colour, label)
    titles = ("all memories", f"by memory, F {bits[-1]}", "input buffer, F 16, in banks")
    places = ("upper right", (0.42, 0.66), "upper right")
    for axis, title, place in zip(axes, titles, places, strict=True):
        axis.set_xlim(1.01, 0.59)
        _label(axis, "resize factor of 160 x 360", "RAMB18", title, place)
    for axis in axes[1:]:
        axis.set_ylim(bottom=0)
    axes[2].text(0.94, 100, " 516 to 504 words a bank:\n one row of blocks, not two", fontsize=8,
                 va="top")  # fmt: skip
    write_figure(figure, path)


def _of(name: str, source: str) -> Callable[[BramPoint], int | None]:
    def value(point: BramPoint) -> int | None:
        values: Mapping[str, int] | None = getattr(point, source)
        return None if values is None else values[name]

    return value


def _factors(
    axis: Any,
    curve: Sequence[Any],
    model: Callable[[Any], int | None],
    yosys: Callable[[Any], int | None],
    colour: str,
    label: str,
    dashes: str = "-",
) -> None:
    _curve(
        axis, [point.factor for point in curve], [model(point) for point in curve],
        [yosys(point) for point in curve], colour, label, dashes,
    )  # fmt: skip


def _curve(
    axis: Any,
    x: Sequence[float],
    model: Sequence[int | None],
    yosys: Sequence[int | None],
    colour: str,
    label: str,
    dashes: str = "-",
) -> None:
    axis.step(x, model, dashes, where="mid", color=colour, linewidth=1.2, label=label)
    mapped = [(at, value) for at, value in zip(x, yosys, strict=True) if value is not None]
    if mapped:
        axis.scatter(*zip(*mapped, strict=True), s=14, facecolor="none", edgecolor=colour)


def _label(axis: Any, across: str, up: str, title: str, place: Any) -> None:
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.set_title(f"{title}\nline: model, circles: Yosys", fontsize=10)
    axis.legend(loc=place, frameon=False, fontsize=8, ncols=2 if len(axis.lines) > 8 else 1)
