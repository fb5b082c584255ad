"""``tandem board compare``: the counters of a board's run log beside the simulator's."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape

from boards.comparison import HASH_SHOWN, BoardComparison, Comparing, compare_board
from model import console
from model.tables import count, facts, headline, table

__all__ = ["Comparing", "compare_board_command"]


def compare_board_command(asked: Comparing, as_json: bool) -> int:
    """Compare, print, return the exit status."""
    found = compare_board(asked)
    if as_json:
        console.put_json(found.record())
    else:
        console.put(*describe(found))
    return console.HELD if found.held else console.FAILED


def describe(found: BoardComparison) -> Iterator[RenderableType]:
    """The comparison for people."""
    log = found.log
    where = "the simulated board" if log.target == "simulation" else "the board"
    verdict = "every counter within tolerance" if found.held else "OUT OF TOLERANCE"
    if found.held and found.differing == 0:
        verdict = "0 differences"
    if found.wrong_values:
        verdict = "WRONG VALUES"
    yield headline(f"{found.design.name}, {where} against the simulator: {verdict}", found.held)
    yield facts(_facts(found))
    rows = [
        [
            row.name,
            count(row.board),
            count(row.simulated),
            f"{row.board - row.simulated:+,}" if row.board != row.simulated else "0",
            count(row.tolerance),
            "held" if row.held else "OUT",
        ]
        for row in found.rows
    ]
    yield table(None, ("counter", "board", "simulator", "difference", "tolerance", ""), rows)
    for line in found.said:
        yield f"[red]{escape(line)}[/]"
    if found.causes:
        yield "What would explain it, each simulated exactly:"
    for item in found.causes:
        yield f"  {100 * item.explained:.0f} % of the deviation: {escape(item.sentence)}"


def _facts(found: BoardComparison) -> Iterator[tuple[str, str]]:
    log = found.log
    frames = sum(run.frames for run in log.runs)
    yield "log", f"{log.path}: {count(len(log.runs))} runs, {count(frames)} frames"
    yield "fabric clock", f"{log.clock_mhz:g} MHz, the design's is {found.design.clock_mhz:g}"
    told = "as given" if found.bitstream_checked else "not checked, give it with --bitstream"
    yield "bitstream", f"{log.bitstream_sha256[:HASH_SHOWN]}, {told}"
    if log.self_test:
        yield "self-test", f"{count(log.self_test[1])} of {count(log.self_test[0])} values differ"
    for rail, watts in log.mean_watts.items():
        yield f"rail {rail}", f"{watts:.3f} W on average"
