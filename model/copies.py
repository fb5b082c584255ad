"""Copies of frozen records with a few values changed, for what a search does thousands of times."""

from __future__ import annotations

from typing import Any, TypeVar

Record = TypeVar("Record")


def with_values(record: Record, **values: Any) -> Record:
    """A copy of a frozen dataclass in which these fields are others.

    ``dataclasses.replace`` at a fifth of its time. Cached properties are taken over, so only for
    fields of which none that may be cached is made.
    """
    found = object.__new__(type(record))
    found.__dict__.update(record.__dict__)
    found.__dict__.update(values)
    return found
