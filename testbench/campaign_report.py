"""Outcomes of campaign cases, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

COMPARED = ("value", "event", "counter")


@dataclass(frozen=True)
class Outcome:
    """What was compared in one case and what differed; ``error`` where it did not come to that."""

    number: int
    cycles: int = 0  # of the RTL, all frames
    cycle_difference: int = 0  # simulator minus RTL
    values: int = 0
    value_differences: int = 0
    events: int = 0
    event_differences: int = 0
    counters: int = 0
    counter_differences: int = 0
    simulator_seconds: float = 0.0
    rtl_seconds: float = 0.0
    error: str | None = None
    shrunk: str | None = None  # the command that runs the shrunk case

    @property
    def exact(self) -> bool:
        """Everything was compared and nothing differs."""
        return self.error is None and not (
            self.cycle_difference
            or self.value_differences
            or self.event_differences
            or self.counter_differences
        )


def distribution(outcomes: Sequence[Outcome]) -> dict[str, float | int]:
    """Totals over the cases, and how many cases have how many differences."""
    compared = [outcome for outcome in outcomes if outcome.error is None]
    found: dict[str, float | int] = {
        "cases_total": len(outcomes),
        "cases_exact": sum(outcome.exact for outcome in outcomes),
        "cases_with_error": len(outcomes) - len(compared),
        "cycles": sum(outcome.cycles for outcome in compared),
        "cases_cycles_equal": sum(outcome.cycle_difference == 0 for outcome in compared),
        "simulator_seconds": sum(outcome.simulator_seconds for outcome in compared),
        "rtl_seconds": sum(outcome.rtl_seconds for outcome in compared),
    }
    for name in COMPARED:
        differing = [getattr(outcome, f"{name}_differences") for outcome in compared]
        found[f"{name}s"] = sum(getattr(outcome, f"{name}s") for outcome in compared)
        found[f"{name}_differences"] = sum(differing)
        found[f"cases_without_{name}_difference"] = differing.count(0)
        found[f"{name}_differences_worst"] = max(differing, default=0)
    return found


def print_report(outcomes: Sequence[Outcome], seed: int, console: Console) -> None:
    """The distribution of the differences as a table, then each failing case with its commands."""
    total = distribution(outcomes)
    table = Table(title=f"campaign, seed {seed}: {len(outcomes)} cases")
    columns = ("compared", "number", "differing", "worst case", "cases without", "cases with")
    for name in columns:
        table.add_column(name, justify="left" if name == "compared" else "right")
    cases = len(outcomes) - int(total["cases_with_error"])
    for name in COMPARED:
        without = int(total[f"cases_without_{name}_difference"])
        row = [total[f"{name}s"], total[f"{name}_differences"], total[f"{name}_differences_worst"]]
        table.add_row(f"{name}s", *(f"{n:,}" for n in (*row, without, cases - without)))
    equal = int(total["cases_cycles_equal"])
    offsets = [abs(outcome.cycle_difference) for outcome in outcomes]
    row = [total["cycles"], sum(offsets), max(offsets, default=0), equal, cases - equal]
    table.add_row("cycles", *(f"{n:,}" for n in row))
    console.print(table)
    ratio = total["rtl_seconds"] / max(total["simulator_seconds"], 1e-9)
    console.print(
        f"{total['cases_exact']} of {len(outcomes)} cases exact; RTL {total['rtl_seconds']:.1f} s, "
        f"simulator {total['simulator_seconds']:.1f} s ({ratio:.0f} x faster)",
        highlight=False,
    )
    for outcome in outcomes:
        if not outcome.exact:
            for line in describe(outcome, seed):
                console.print(line, markup=False, highlight=False, soft_wrap=True)


def describe(outcome: Outcome, seed: int) -> list[str]:
    """What failed and how to run it again."""
    differences = (
        f"{outcome.value_differences} values, {outcome.event_differences} events, "
        f"{outcome.counter_differences} counters, {outcome.cycle_difference:+d} cycles differ"
    )
    lines = [
        f"case {outcome.number}: {outcome.error or differences}",
        f"  again:  python -m testbench.campaign --seed {seed} --case {outcome.number}",
    ]
    if outcome.shrunk is not None:
        lines.append(f"  shrunk: {outcome.shrunk}")
    return lines
