"""Validated reading of TOML: every mistake is told with its file, key, value and rule."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from model.errors import TandemError


class Table:
    """One TOML table being read; keys that nobody asked for are refused by :meth:`finish`."""

    def __init__(self, data: Mapping[str, Any], source: str, prefix: str = "") -> None:
        self.source = source
        self._data = data
        self._prefix = prefix
        self._seen: set[str] = set()

    def __contains__(self, key: str) -> bool:
        self._seen.add(key)
        return key in self._data

    def key_name(self, key: str) -> str:
        """The full dotted name of a key of this table."""
        return f"{self._prefix}.{key}" if self._prefix else key

    def refuse(self, key: str, value: object, rule: str) -> TandemError:
        """The error to raise for a value that breaks a rule."""
        return TandemError(f"{self.source}: {self.key_name(key)} = {_shown(value)}: {rule}")

    def value(self, key: str) -> Any:
        """The raw value; TandemError where it is missing."""
        self._seen.add(key)
        if key not in self._data:
            raise TandemError(f"{self.source}: the key {self.key_name(key)} is missing: add it")
        return self._data[key]

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number in [low, high]."""
        if default is not None and key not in self._data:
            self._seen.add(key)
            return default
        found = self.value(key)
        rule = f"must be a whole number from {low} to {high}"
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise self.refuse(key, found, rule)
        return found

    def number(self, key: str, low: float, high: float) -> float:
        """A number in [low, high], whole or not."""
        found = self.value(key)
        rule = f"must be a number from {low:g} to {high:g}"
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.refuse(key, found, rule)
        if not low <= found <= high:
            raise self.refuse(key, found, rule)
        return found

    def text(
        self, key: str, choices: Collection[str] | None = None, default: str | None = None
    ) -> str:
        """A string that is not empty, one of ``choices`` where given."""
        if default is not None and key not in self._data:
            self._seen.add(key)
            return default
        found = self.value(key)
        if not isinstance(found, str) or not found:
            raise self.refuse(key, found, "must be a string that is not empty")
        if choices is not None and found not in choices:
            raise self.refuse(key, found, f"must be one of {', '.join(sorted(choices))}")
        return found

    def one_of(self, key: str, choices: tuple[int, ...]) -> int:
        """One of a few whole numbers."""
        found = self.value(key)
        if isinstance(found, bool) or not isinstance(found, int) or found not in choices:
            raise self.refuse(key, found, f"must be one of {', '.join(map(str, choices))}")
        return found

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        found = self.value(key)
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self.refuse(key, found, "must be a list of strings")
        return tuple(found)

    def string_lists(self, key: str) -> tuple[tuple[str, ...], ...]:
        """A list of lists of strings."""
        found = self.value(key)
        good = isinstance(found, list) and all(
            isinstance(item, list) and all(isinstance(text, str) for text in item) for item in found
        )
        if not good:
            raise self.refuse(key, found, "must be a list of lists of strings")
        return tuple(tuple(item) for item in found)

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """A list of whole numbers in [low, high], one at the least."""
        found = self.value(key)
        good = isinstance(found, list) and all(
            isinstance(item, int) and not isinstance(item, bool) and low <= item <= high
            for item in found
        )
        if not good or not found:
            raise self.refuse(key, found, f"must be a list of whole numbers from {low} to {high}")
        return tuple(found)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        if default is not None and key not in self._data:
            self._seen.add(key)
            return default
        found = self.value(key)
        if not isinstance(found, bool):
            raise self.refuse(key, found, "must be true or false")
        return found

    def names(self) -> tuple[str, ...]:
        """The keys of a table whose keys are names of its user."""
        return tuple(self._data)

    def tables(self, key: str) -> tuple[Table, ...]:
        """A list of tables, one at the least, written as [[key]]."""
        found = self.value(key)
        if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
            raise self.refuse(key, found, f"must be tables: write each as [[{self.key_name(key)}]]")
        if not found:
            raise self.refuse(key, found, "must have one table at the least")
        return tuple(
            Table(item, self.source, f"{self.key_name(key)}[{index}]")
            for index, item in enumerate(found)
        )

    def table(self, key: str, optional: bool = False) -> Table:
        """A table inside this one; where optional and missing, an empty one."""
        self._seen.add(key)
        if optional and key not in self._data:
            return Table({}, self.source, self.key_name(key))
        return Table(self.mapping(key), self.source, self.key_name(key))

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A table inside this one as it stands, for a reader of its own."""
        found = self.value(key)
        if not isinstance(found, Mapping):
            raise self.refuse(key, found, f"must be a table: write it as [{self.key_name(key)}]")
        return found

    def whole(self) -> dict[str, Any]:
        """Everything in it as it stands, for a reader of its own."""
        self._seen.update(self._data)
        return dict(self._data)

    def finish(self) -> None:
        """Refuse keys that were never asked for, with the nearest known key."""
        for key, found in self._data.items():
            if key not in self._seen:
                near = difflib.get_close_matches(key, self._seen, n=1)
                known = ", ".join(sorted(self._seen))
                hint = f"did you mean {near[0]}" if near else f"known: {known}"
                raise self.refuse(key, found, f"unknown key, {hint}")


def read_toml(path: Path, what: str) -> Table:
    """Read a TOML file into a :class:`Table`. TandemError where it cannot be read or parsed."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise TandemError(f"{path}: the {what} cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise TandemError(f"{path}: the {what} is not a text file in UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TandemError(f"{path}: the {what} is not valid TOML: {error}") from error
    return Table(data, str(path))


def _shown(value: object) -> str:
    text = " ".join((f'"{value}"' if isinstance(value, str) else str(value)).split())
    return text if len(text) <= 60 else text[:57] + "..."
