"""The campaign: random cases through all levels, and every difference between them.

    python -m testbench.campaign --cases 200 --seed 1 --jobs 2

Results go to a journal of JSON lines in the output folder; a campaign that was stopped goes on
from there (lines of other sources or seeds are passed over). A failing case is shrunk to a small
design file beside the journal. Exit status: 0 no difference, 1 differences, 2 wrong input.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from model.ddr_timing import DdrTiming
from model.design import load_design
from model.design_writer import write_design
from model.device import load_device
from model.errors import TandemError
from model.image import random_image
from model.random_network import random_network
from model.toml_reader import read_toml
from testbench.campaign_cases import CASES_PER_BUILD, Case, draw_case
from testbench.campaign_report import Outcome, distribution, print_report
from testbench.shrink import shrink
from testbench.verify import verify

ROOT = Path(__file__).resolve().parent.parent
SHRINK_RUNS = 80
SOURCES = ("model/**/*.py", "model/**/*.toml", "rtl_sim/**/*.py", "rtl_sim/**/*.sv",
           "testbench/**/*.py", "testbench/**/*.sv")  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where compiled simulations are, and where a campaign writes."""

    build_root: Path
    out: Path


def run_case(case: Case, places: Places) -> Outcome:
    """One case through all levels. What goes wrong is part of the outcome, not an exception."""
    work = places.out / "run" / f"{case.number}-{multiprocessing.current_process().pid}"
    rng = np.random.default_rng(case.data_seed)
    try:
        network = random_network(case.design, rng)
        images = [random_image(case.design, rng) for _ in range(case.frames)]
        found = verify(case.design, network, images, places.build_root, work, optimise=False)
    except Exception as error:  # noqa: BLE001  whatever a level dies of is what is looked for
        return Outcome(case.number, error=f"{type(error).__name__}: {error}")
    if found.exact:
        shutil.rmtree(work, ignore_errors=True)
    return Outcome(
        number=case.number,
        cycles=found.rtl.total_cycles,
        cycle_difference=found.simulation.total_cycles - found.rtl.total_cycles,
        values=found.values,
        value_differences=found.value_mismatches,
        events=found.events,
        event_differences=len(found.event_differences),
        counters=found.counters,
        counter_differences=len(found.counter_differences),
        simulator_seconds=found.simulation.seconds,
        rtl_seconds=found.rtl.seconds,
    )


def run_build(seed: int, numbers: Sequence[int], places: Places) -> list[Outcome]:
    """Cases of one build; the first that fails is shrunk."""
    outcomes: list[Outcome] = []
    for number in numbers:
        case = draw_case(seed, number)
        outcome = run_case(case, places)
        if not outcome.exact and all(other.exact for other in outcomes):
            outcome = replace(outcome, shrunk=shrink_case(case, places))
        outcomes.append(outcome)
    return outcomes


def shrink_case(case: Case, places: Places) -> str:
    """Shrink a failing case, write it, and return the command that runs what is left."""
    scratch = replace(places, out=places.out / "shrinking")
    small = shrink(case, lambda other: not run_case(other, scratch).exact, SHRINK_RUNS)
    return write_case(small, places.out / f"case{case.number}")


def write_case(case: Case, folder: Path) -> str:
    """Write a case as a design file (and its memory timing); returns the command that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    design, ddr = folder / "design.toml", folder / "ddr.toml"
    command = ["python", "-m", "testbench.campaign", "--design", str(design)]
    command += ["--frames", str(case.frames), "--data-seed", str(case.data_seed)]
    if case.design.device != load_device(case.design.device.name):
        lines = [f"{name} = {value}" for name, value in asdict(case.design.device.ddr).items()]
        ddr.write_text("\n".join(["[ddr]", *lines, ""]))
        command += ["--ddr", str(ddr)]
    text = shlex.join(command)
    comment = f"Shrunk from campaign case {case.number}. To run it:\n{text}"
    write_design(case.design, design, comment)
    return text


def read_case(design: Path, ddr: Path | None, frames: int, data_seed: int) -> Case:
    """The case that `write_case` wrote."""
    found = load_design(design)
    if ddr is not None:
        timing = DdrTiming.from_table(read_toml(ddr, "memory file").mapping("ddr"))
        found = replace(found, device=replace(found.device, ddr=timing))
    return Case(0, found, frames, data_seed)


def fingerprint() -> str:
    """Of all sources that decide an outcome."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Journal:
    """Outcomes of a campaign on disk, one JSON object a line."""

    def __init__(self, path: Path, seed: int, sources: str) -> None:
        self._path, self._key = path, {"seed": seed, "sources": sources}

    def read(self) -> dict[int, Outcome]:
        """Outcomes of the same seed and sources; a line cut off by a kill is passed over."""
        found: dict[int, Outcome] = {}
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for line in lines:
            try:
                item = json.loads(line)
            except json.JSONDecodeError:
                continue
            if {key: item.pop(key, None) for key in self._key} == self._key:
                found[item["number"]] = Outcome(**item)
        return found

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Add lines, in one go; a line before them that was cut off is ended first."""
        text = "".join(json.dumps({**self._key, **asdict(outcome)}) + "\n" for outcome in outcomes)
        with self._path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                text = text if file.read() == b"\n" else "\n" + text
            file.write(text.encode())


def campaign(
    seed: int, numbers: Sequence[int], jobs: int, places: Places, console: Console
) -> list[Outcome]:
    """Run the cases that the journal does not have, ``jobs`` builds at a time."""
    try:
        places.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{places.out}: cannot be written ({error.strerror}): choose another --out"
        ) from None
    journal = Journal(places.out / "journal.jsonl", seed, fingerprint())
    known = journal.read()
    done = {number: known[number] for number in numbers if number in known and known[number].exact}
    builds: dict[int, list[int]] = {}
    for number in numbers:
        if number not in done:
            builds.setdefault(number // CASES_PER_BUILD, []).append(number)
    tasks = [(seed, group, places) for group in builds.values()]
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[failed]} failed"), console=console) as bar:
        task = bar.add_task("cases", total=len(numbers), completed=len(done), failed=0)
        for outcomes in _in_parallel(tasks, jobs):
            journal.append(outcomes)
            done |= {outcome.number: outcome for outcome in outcomes}
            bad = [outcome for outcome in done.values() if not outcome.exact]
            bar.update(task, advance=len(outcomes), failed=len(bad))
    return [done[number] for number in numbers]


def _in_parallel(
    tasks: Sequence[tuple[int, list[int], Places]], jobs: int
) -> Iterator[list[Outcome]]:
    if jobs == 1:
        for task in tasks:
            yield run_build(*task)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=_ignore_interrupt) as pool:
        yield from pool.imap_unordered(_run_task, tasks)


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's to handle: it ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_task(task: tuple[int, list[int], Places]) -> list[Outcome]:
    return run_build(*task)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m testbench.campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="builds at a time")
    parser.add_argument("--design", type=Path, help="run this design file instead of random cases")
    parser.add_argument("--ddr", type=Path, help="file with a [ddr] table, for --design")
    parser.add_argument("--frames", type=int, default=1, help="for --design")
    parser.add_argument("--data-seed", type=int, default=1, help="for --design")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "campaign")
    parser.add_argument("--build-root", type=Path, default=ROOT / "build" / "verilator")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args(argv)
    for name, least in (("cases", 1), ("first", 0), ("case", 0), ("seed", 0), ("jobs", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f"--{name} {value}: must be at least {least}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _arguments(argv)
    places = Places(args.build_root.resolve(), args.out.resolve())
    console = Console(stderr=True)
    try:
        if args.design is not None:
            case = read_case(args.design, args.ddr, args.frames, args.data_seed)
            outcomes = [run_case(case, places)]
        elif args.case is not None:
            outcomes = run_build(args.seed, [args.case], places)
        else:
            numbers = range(args.first, args.first + args.cases)
            outcomes = campaign(args.seed, numbers, args.jobs, places, console)
    except TandemError as error:
        console.print(f"[red]error[/]: {error}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the journal")
        return 130
    if args.json:
        print(json.dumps(distribution(outcomes) | {"cases": [asdict(o) for o in outcomes]}))
    else:
        print_report(outcomes, args.seed, Console())
    return 0 if all(outcome.exact for outcome in outcomes) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: ends the workers too
    sys.exit(main())
