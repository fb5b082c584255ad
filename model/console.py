"""What a command says and how it ends.

Results go to standard output, as tables or as one JSON object; progress and errors go to standard
error. Exit status: 0 all held, 1 a comparison failed, 2 the input was wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec

from rich.console import Console, RenderableType

from model.errors import RunFailed, TandemError

HELD, FAILED, WRONG_INPUT, STOPPED = 0, 1, 2, 130
PIPED_WIDTH = 100  # columns where standard output is no terminal

Arguments = ParamSpec("Arguments")


def guarded(command: Callable[Arguments, int]) -> Callable[Arguments, None]:
    """A command whose mistakes are told in one line and become the exit status."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            status = command(*args, **kwargs)
            sys.stdout.flush()
        except TandemError as error:
            status = _complain(WRONG_INPUT, str(error))
        except RunFailed as error:
            status = _complain(FAILED, str(error))
        except KeyboardInterrupt:
            status = _complain(STOPPED, "stopped; nothing half-written is left")
        except BrokenPipeError:  # the reader of our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = HELD
        except OSError as error:
            status = _complain(WRONG_INPUT, _reason(error))
        sys.exit(status)

    return run


def progress(text: str) -> None:
    """One line about what goes on."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def said_after(seconds: float, text: str) -> Iterator[None]:
    """One line about what goes on, if it takes that long."""
    timer = threading.Timer(seconds, progress, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def put_json(record: Mapping[str, Any]) -> None:
    """The result as one JSON object."""
    print(json.dumps(record))


def put(*parts: RenderableType) -> None:
    """The result for people."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    for part in parts:
        console.print(part)


def _complain(status: int, text: str) -> int:
    print(f"tandem: {text}", file=sys.stderr, flush=True)
    return status


def _reason(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what
