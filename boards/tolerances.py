"""How far a board's counters may be from the simulator's, in shares of the run's cycles.

Busy cycles are the work itself: the program decides them, however slow the memory is, so none may
differ. Waits depend on the memory, whose controller is modelled and not measured on this board. A
simulated run has nothing that could differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from boards.run_log import COUNTER_NAMES
from model.errors import TandemError
from model.toml_reader import read_toml
from testbench.registers import CLASSES

TOTAL = "total_cycles"
DEFAULTS: Mapping[str, float] = {
    TOTAL: 0.05,
    "busy": 0.0,
    "wait_input": 0.05,
    "wait_output": 0.05,
    "wait_ddr": 0.05,
}
EXACT: Mapping[str, float] = dict.fromkeys(DEFAULTS, 0.0)
NAMES = (TOTAL, *CLASSES, *COUNTER_NAMES)


def read_tolerances(
    target: str, file: Path | None, options: Sequence[str] = ()
) -> Mapping[str, float]:
    """Shares by counter or class: defaults of the target, then a file's, then ``NAME=SHARE``.

    TandemError names what is unknown or no share from 0 to 1.
    """
    found = dict(DEFAULTS if target == "board" else EXACT)
    if file is not None:
        table = read_toml(file, "tolerance file")
        shares = table.table("tolerance")
        for name in shares.whole():
            _check_name(name, f"{file}: tolerance.{name}")
            found[name] = shares.number(name, 0, 1)
        table.finish()
    for option in options:
        name, _, text = option.partition("=")
        _check_name(name, f"--tolerance {option}")
        try:
            share = float(text)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise TandemError(f"--tolerance {option}: give NAME=SHARE with a share from 0 to 1")
        found[name] = share
    return found


def tolerance_cycles(tolerances: Mapping[str, float], counter: str, total: int) -> int:
    """Cycles by which a counter of a run of ``total`` simulated cycles may differ."""
    kind = counter.partition(".")[2]
    share = tolerances[counter] if counter in tolerances else tolerances[kind]
    return int(share * total)


def _check_name(name: str, where: str) -> None:
    if name not in NAMES:
        raise TandemError(
            f"{where}: there is no counter of that name: {TOTAL}, a class ({', '.join(CLASSES)}) "
            "or unit.class, such as load.wait_ddr"
        )
