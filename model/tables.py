"""Tables for people: one look for all commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text


def headline(text: str, good: bool = True) -> Text:
    """The first line: what it is and how it went."""
    return Text(text, style="bold" if good else "bold red")


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and values without a frame."""
    found = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in pairs:
        found.add_row(escape(name), escape(value))
    return found


def table(
    title: str | None,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Sequence[int] = (0,),
    rules: Sequence[int] = (),
) -> Table:
    """A table of numbers; columns ``left`` hold words, a rule stands before the rows ``rules``."""
    found = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD)
    for index, name in enumerate(columns):
        found.add_column(name, justify="left" if index in left else "right")
    for index, row in enumerate(rows):
        found.add_row(*map(escape, row), end_section=index + 1 in rules)
    return found


def count(value: int) -> str:
    """A whole number with separators."""
    return f"{value:,}"


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"
