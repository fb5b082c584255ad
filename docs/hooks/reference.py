"""Pages that MkDocs gets from the code: every option of every command, every key of a file."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

OPTIONS, KEYS = "reference/options.md", "reference/files.md"


def on_files(files: Any, config: Any) -> Any:
    """MkDocs calls this with the pages it found."""
    from mkdocs.structure.files import File  # noqa: PLC0415  (of the [docs] extra)

    files.append(File.generated(config, OPTIONS, content=options_page()))
    files.append(File.generated(config, KEYS, content=keys_page()))
    return files


def options_page() -> str:
    """Every command with its options, from the Typer application."""
    import typer  # noqa: PLC0415

    from tandem import app  # noqa: PLC0415

    lines = [
        "# Every option",
        "",
        "From the program itself, by `docs/hooks/reference.py`.",
        "",
    ]
    for name, command in commands(typer.main.get_command(app), "tandem"):
        lines += [f"## `{name}`", "", _plain(command.help), "", *_options(command), ""]
    return "\n".join(lines)


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(full name, command) of a group and of the groups in it, in the order of the help."""
    for own, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {own}")
        else:
            yield f"{name} {own}", command


def _options(command: Any) -> Iterator[str]:
    yield "| option | default | |"
    yield "|---|---|---|"
    for parameter in command.params:
        flag = parameter.param_type_name == "option"
        names = ", ".join(parameter.opts) if flag else (parameter.metavar or parameter.name.upper())
        default = parameter.default
        shown = "" if default in (None, False) or callable(default) else f"`{default}`"
        yield f"| `{names}` | {shown} | {_plain(getattr(parameter, 'help', ''))} |"


def _plain(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").replace("\b", "").split())


def keys_page() -> str:
    """The keys of the files that people write, from the records that hold them."""
    from model.accelerator import Accelerator, Buffers, PortMap  # noqa: PLC0415
    from model.ddr_timing import DdrTiming  # noqa: PLC0415
    from model.device import Device  # noqa: PLC0415
    from model.loop_nest import LoopNest, Point, PowerPoint, Unit  # noqa: PLC0415
    from model.power_coefficients import PowerCoefficients  # noqa: PLC0415
    from search.spec import NetworkSpace, SearchSpec, Target  # noqa: PLC0415

    groups = {
        "Design file": (Accelerator, Buffers, PortMap),
        "Device file": (Device, DdrTiming, PowerCoefficients),
        "Search specification": (SearchSpec, NetworkSpace, Target),
        "Published accelerator": (LoopNest, Unit, Point, PowerPoint),
    }
    lines = [
        "# Keys of the files",
        "",
        "The records that the readers make of them; names are",
    ]
    lines += [
        "those of the keys, or close to them. The pages of each file say how they are written.",
        "",
    ]
    for title, records in groups.items():
        lines += [f"## {title}", ""]
        for record in records:
            lines += [f"### `{record.__name__}`", "", *_record(record), ""]
    return "\n".join(lines)


def _record(record: type) -> Iterator[str]:
    yield _plain(inspect.getdoc(record))
    yield ""
    yield "| key | type | |"
    yield "|---|---|---|"
    source = inspect.getsource(record)
    for field in dataclasses.fields(record):
        comment = re.search(rf"^\s+{field.name}:[^#\n]*#\s*(.+)$", source, re.MULTILINE)
        said = _plain(comment.group(1)) if comment else ""
        yield f"| `{field.name}` | `{_plain(str(field.type))}` | {said} |"
