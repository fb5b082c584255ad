"""The documentation: its commands exist and run, its links lead somewhere, its site builds.

Commands of a block below ``<!-- run -->`` are run here, those below ``<!-- full -->`` in ``make
full``; all others, which need data that is not in the repository, are parsed by the program's own
command line, so that no option is made up. Those of a page run in order and in one folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import typer

from tandem import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md")
MARK = re.compile(r"^\s*<!-- (run|full) -->\s*$")


@dataclass(frozen=True)
class Command:
    """A command of a page; ``how`` is "run", "full" or "parse"."""

    page: str
    line: int
    text: str
    how: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def commands() -> Iterator[Command]:
    """Lines of code blocks that begin with ``tandem``; a backslash at the end goes on."""
    for page in PAGES:
        how, fenced, open_line = "parse", False, ""
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip().startswith("```"):
                fenced = not fenced
            if mark := MARK.match(line):
                how = mark.group(1)
                continue
            text = open_line + line.strip().removeprefix("$ ")
            if text.endswith("\\"):
                open_line = text[:-1]
                continue
            open_line = ""
            if (fenced or line.startswith("    ")) and text.startswith("tandem "):
                name = page.relative_to(ROOT).as_posix()
                yield Command(name, number, text.split("  #")[0].split(" | ")[0], how)
            elif line.strip() and not fenced:
                how = "parse"  # a mark holds for the block below it


ALL = tuple(commands())


def of(how: str) -> list[Command]:
    return [command for command in ALL if command.how == how]


def test_there_are_commands_of_each_kind() -> None:
    assert len(of("run")) >= 16
    assert len(of("full")) >= 10
    assert len(of("parse")) >= 8


@pytest.mark.parametrize("command", of("parse") + of("full"), ids=str)
def test_the_command_line_knows_it(command: Command) -> None:
    words = shlex.split(command.text)[1:]
    group: click.Command = typer.main.get_command(app)
    context = click.Context(group, info_name="tandem")
    while isinstance(group, click.Group):
        assert words and words[0] in group.commands, f"there is no tandem {' '.join(words)}"
        group = group.commands[words.pop(0)]
    if words == ["--help"]:
        return
    with group.make_context(group.name, words, parent=context):
        pass


def execute(command: Command, folder: Path) -> None:
    if not (folder / "designs").exists():
        (folder / "designs").symlink_to(ROOT / "designs", target_is_directory=True)
        (folder / "runs").mkdir()  # an earlier command of the page writes there
    words = [sys.executable, "-m", "tandem", *shlex.split(command.text)[1:]]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, f"{command.text}\n{done.stdout}{done.stderr}"


def pages(how: str) -> list[str]:
    return list(dict.fromkeys(command.page for command in of(how)))


@pytest.mark.parametrize("page", pages("run"))
def test_what_a_page_tells_to_do_can_be_done(page: str, tmp_path: Path) -> None:
    for command in of("run"):
        if command.page == page:
            execute(command, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("page", pages("full"))
def test_also_what_takes_minutes(page: str, tmp_path: Path) -> None:
    for command in ALL:
        if command.page == page and command.how != "parse":
            execute(command, tmp_path)


def anchors(page: Path) -> set[str]:
    """Names of the headings as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{target}: no such heading"


@pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="MkDocs and its theme are not installed"
)
def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 35
    for page in pages:
        loaded = re.findall(r'(?:src|<link [^>]*href)="(https?:[^"]+)"', page.read_text("utf-8"))
        assert not loaded, f"{page.name} fetches {loaded}"
    reference = (tmp_path / "site" / "reference" / "options.html").read_text("utf-8")
    assert "tandem board regress" in reference
    assert "--frames" in reference
