"""``tandem search``: the co-design search from a specification, in a folder, resumable."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.errors import TandemError
from model.network_file import write_atomically
from model.tables import facts, headline, table
from search.codesign import STAGES, CoDesign
from search.executor import make_executor
from search.search_report import draw_report, report_of, write_report
from search.search_view import SearchView, status_of
from search.spec import SearchSpec, load_spec
from search.trials import Journal

SPEC_FILE = "spec.toml"
IMAGES_LEAST = 2


@dataclass(frozen=True)
class SearchArguments:
    """What the command line says."""

    spec: Path | None
    out: Path
    data: str | None = None
    val: str | None = None
    start: Path | None = None
    teacher: Path | None = None
    jobs: int = 2
    executor: str = "local"
    status: bool = False
    until: str = STAGES[-1]


def search_command(arguments: SearchArguments, as_json: bool) -> int:
    """Search, write, print, return the exit status."""
    if arguments.status:
        return status_command(arguments.out, as_json)
    if arguments.spec is None:
        raise TandemError("tandem search: name a specification, such as designs/search_small.toml")
    if not 1 <= arguments.jobs <= 4096:
        raise TandemError(f"--jobs {arguments.jobs}: must be from 1 to 4096")
    if arguments.until not in STAGES:
        raise TandemError(f"--until {arguments.until}: must be one of {', '.join(STAGES)}")
    spec = chosen_spec(arguments)
    digest = check_data(spec)
    out = arguments.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{out}: cannot be written ({error.strerror}): choose another --out"
        ) from None
    with Journal.open(out, {"specification": spec.digest, "data": digest}) as journal:
        if journal.damage is not None:
            raise TandemError(journal.damage.sentence)
        record = run_search(spec, out, journal, digest, arguments)
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(record))
    early = arguments.until != STAGES[-1]
    return console.HELD if early or complete(record, spec) else console.FAILED


def run_search(
    spec: SearchSpec, out: Path, journal: Journal, digest: str, arguments: SearchArguments
) -> dict[str, Any]:
    """Run all stages under the live view; the report, as it is written."""
    if spec.path is not None:
        write_atomically(out / SPEC_FILE, spec.path.read_bytes())
    executor = make_executor(arguments.executor, arguments.jobs, journal)
    with SearchView(spec, journal) as view:
        run = CoDesign(spec, out, journal, executor, digest, view.say, view.watch)
        found = run.run(arguments.until)
    executor.close()
    record = report_of(found, journal, command_line(arguments))
    write_report(record, out)
    draw_report(record, journal, out)
    return record


def chosen_spec(arguments: SearchArguments) -> SearchSpec:
    """The specification with what the command line changes; data sets relative to where it runs."""
    assert arguments.spec is not None
    spec = load_spec(arguments.spec)
    data = spec.data
    for key in ("train", "val", "start", "teacher"):
        value = getattr(arguments, {"train": "data"}.get(key, key))
        if value is not None:
            data = replace(data, **{key: str(value)})
    return replace(spec, data=replace(data, **{key: _absolute(data, key) for key in vars(data)}))


def _absolute(data: Any, key: str) -> str:
    """Worker processes run elsewhere; generated scenes and no file at all stay as they are."""
    found = str(getattr(data, key))
    if not found or found.startswith("synthetic:"):
        return found
    path = Path(found).absolute()
    if not path.exists():
        option = {"train": "--data"}.get(key, f"--{key}")
        raise TandemError(f"{found}: there is no such file: name it with {option}")
    return str(path)


def check_data(spec: SearchSpec) -> str:
    """A digest of the images. TandemError for data that nothing can be learned from."""
    try:
        from quant.dataset import load_dataset  # noqa: PLC0415
        from quant.pictures import data_digest  # noqa: PLC0415  (loads torch)
    except ImportError as error:
        raise TandemError(
            f"a search trains networks, which needs the [quant] extra ({error}): "
            "pip install 'tandem-codesign[quant]'"
        ) from error
    digests = []
    for name, seed in ((spec.data.train, 1), (spec.data.val, 2)):
        found = load_dataset(name, seed=seed)
        if len(found) < IMAGES_LEAST:
            raise TandemError(
                f"{name}: {len(found)} image, a search needs {IMAGES_LEAST} at least to train and "
                "to score: give it more"
            )
        digests.append(data_digest(found))
    return "; ".join(digests)


def status_command(out: Path, as_json: bool) -> int:
    """How a search stands, from its journal; it may run in another terminal."""
    with Journal.open(out, {}, read_only=True) as journal:
        record = status_of(journal)
        if journal.damage is not None:
            record["damage"] = journal.damage.sentence
    if as_json:
        console.put_json(record)
    else:
        from search.search_view import describe_status  # noqa: PLC0415

        console.put(*describe_status(record))
    return console.HELD


def complete(record: Mapping[str, Any], spec: SearchSpec) -> bool:
    """Has every target a design, and did every comparison hold?"""
    found = {design["target_fps"] for design in record["designs"]}
    verified = all(design["verified"] is not False for design in record["designs"])
    return verified and found == {target.fps for target in spec.targets}


def command_line(arguments: SearchArguments) -> str:
    """The command that gives the same answer."""
    words = ["tandem", "search", str(arguments.spec), "--out", str(arguments.out)]
    for option, value in (
        ("--data", arguments.data),
        ("--val", arguments.val),
        ("--start", arguments.start),
        ("--teacher", arguments.teacher),
    ):
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)


def describe(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The result for people."""
    designs = record["designs"]
    yield headline(f"{record['name']}: {len(designs)} designs")
    rows = [
        [
            f"{item['target_fps']:g}",
            f"{item['fps']:.1f}",
            f"{item['mean_iou']:.4f}",
            f"{item['dsp']:.0f}",
            f"{item['bram18']:.0f}",
            {True: "0 differ", False: "differs", None: "not run"}[item["verified"]],
            item["path"],
        ]
        for item in designs
    ]
    columns = ["target", "FPS", "IoU", "DSP", "RAMB18", "RTL", "design"]
    yield table(None, columns, rows)
    yield facts(
        [
            ("bundles tried", str(record["bundles_tried"])),
            ("selected", ", ".join(record["selected"])),
            ("evaluations", f"{record['evaluations']:,}"),
            ("trained networks", str(record["trained"])),
            ("report", record["report"]),
            ("again with", record["command"]),
        ]
    )


def saved(record: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON."""
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
