"""Pieces of the report's page: tables, bars, legends. Every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Account = Mapping[str, int]


def legend(causes: Sequence[str], words: Mapping[str, str]) -> str:
    """The colours of these causes."""
    items = "".join(
        f'<li><i style="background:var(--{escape(cause)})"></i>{escape(words[cause])}</li>'
        for cause in causes
    )
    return f'<ul class="legend">{items}</ul>'


def stack(name: str, account: Account, words: Mapping[str, str]) -> str:
    """A bar of a unit's or bundle's cycles by cause, and the busy share in figures."""
    total = sum(account.values()) or 1
    bars = "".join(
        f'<i style="width:{100 * cycles / total:.3f}%;background:var(--{escape(cause)})" '
        f'title="{escape(words[cause])}: {cycles:,} cycles, {cycles / total:.1%}"></i>'
        for cause, cycles in account.items()
        if cycles
    )
    said = ", ".join(
        f"{words[cause]} {cycles / total:.1%}"
        for cause, cycles in sorted(account.items(), key=lambda item: -item[1])
        if cycles >= total / 1000  # what can be seen
    )
    return _line(name, bars, said, f"{account['busy'] / total:.1%} busy")


def share(name: str, part: float, text: str) -> str:
    """A bar of a part of a whole; above the whole it is full, and of another colour."""
    colour = "busy" if part <= 1 else "bad"
    bar = (
        f'<i style="width:{min(100.0, 100 * part):.2f}%;background:var(--{colour})" '
        f'title="{escape(text)}"></i>'
    )
    return _line(name, bar, text, text)


def _line(name: str, bars: str, spoken: str, text: str) -> str:
    return (
        f'<span>{escape(name)}</span><div class="bar" role="img" '
        f'aria-label="{escape(name)}: {escape(spoken)}">{bars}</div>'
        f'<span class="number" aria-hidden="true">{escape(text)}</span>\n'
    )


def lines(bars: str) -> str:
    """Bars below each other, their names and figures aligned."""
    return f'<div class="stack">\n{bars}</div>'


def table(
    name: str, heads: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()
) -> str:
    """A table that scrolls by itself where the screen is narrow; ``text``: columns of prose."""
    kind = [' class="text"' if index in text else "" for index in range(len(heads))]
    head = "".join(
        f'<th scope="col"{k}>{escape(item)}</th>' for k, item in zip(kind, heads, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{k}>{escape(item)}</td>" for k, item in zip(kind, row, strict=True))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{escape(name)}, table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )
