"""Errors that a user can mend."""

from __future__ import annotations


class TandemError(Exception):
    """A user's mistake or a missing tool, told in one sentence: what, where, what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class RunFailed(Exception):  # noqa: N818  a verdict, not a mistake
    """Something that was to hold did not, told in one line: exit status 1."""
