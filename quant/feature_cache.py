"""Views of the training images as the first trainable layer sees them, computed once, kept on disk.

An epoch uses one view of each image: one file of equal records, one record an image, mapped into
memory. What decides the contents has a digest; files of another digest are removed. A file appears
whole or not at all and carries a checksum, so a damaged one is found and made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import TandemError

_MAGIC = b"TANDEMFC"
_HEADER = struct.Struct("<8s16sQQI20x")  # magic, digest, records, bytes a record, checksum
_DIGEST = re.compile(r"[0-9a-f]{32}")
_CHECK_BYTES = 1 << 24

Records = NDArray[Any]  # structured: the record's parts by name


@dataclass(frozen=True)
class FeatureCache:
    """The cache of one stage in a folder of its own."""

    folder: Path
    record: np.dtype[Any]  # structured
    count: int  # records a view
    views: int
    digest: str

    @property
    def view_bytes(self) -> int:
        """Bytes of the file of one view."""
        return _HEADER.size + self.count * self.record.itemsize

    @property
    def total_bytes(self) -> int:
        """Bytes of all views."""
        return self.views * self.view_bytes

    def path(self, view: int) -> Path:
        """The file of a view."""
        return self.folder / f"view_{view:03}.bin"

    def open(self, view: int) -> Records | None:
        """The records of a view, mapped read-only; None where it must be made (again)."""
        path = self.path(view)
        try:
            if path.stat().st_size != self.view_bytes or not self._sound(path):
                return None
            return np.memmap(path, self.record, "r", _HEADER.size, (self.count,))
        except OSError:
            return None

    @contextlib.contextmanager
    def making(self, view: int) -> Iterator[None]:
        """While a view is made: other processes wait here, so that it is made once."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / f".view_{view:03}.lock").open("w")
        except OSError as error:
            raise TandemError(
                f"{self.folder}: the cache cannot be written: {error.strerror or error}"
            ) from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def write(self, view: int, parts: Iterable[Mapping[str, NDArray[Any]]]) -> Records:
        """Store a view from consecutive groups of records, each the record's parts by name.

        TandemError where it does not fit on the disk; ValueError for a wrong number of records.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(view, parts)
        except OSError as error:
            raise TandemError(
                f"{self.path(view)}: the cache cannot be written: {error.strerror or error}: make "
                "room, lower data.views or set data.cache = false"
            ) from error
        found = self.open(view)
        if found is None:
            raise TandemError(f"{self.path(view)}: the cache reads back differently: a bad disk?")
        return found

    def remove_others(self) -> int:
        """Delete the caches beside this one, made with other settings; how many there were."""
        others = [
            other
            for other in sorted(self.folder.parent.glob("*"))
            if _DIGEST.fullmatch(other.name) and other != self.folder and other.is_dir()
        ]
        for other in others:
            shutil.rmtree(other, ignore_errors=True)
        return len(others)

    def _write(self, view: int, parts: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        checksum, written = 0, 0
        handle, name = tempfile.mkstemp(prefix=".view.", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(bytes(_HEADER.size))
                for part in parts:
                    data = self._pack(part)
                    checksum = zlib.crc32(data, checksum)
                    written += len(data) // self.record.itemsize
                    stream.write(data)
                if written != self.count:
                    raise ValueError(f"{written} records, the cache holds {self.count}")
                stream.seek(0)
                stream.write(self._header(checksum))
            Path(name).replace(self.path(view))
        finally:
            Path(name).unlink(missing_ok=True)

    def _pack(self, part: Mapping[str, NDArray[Any]]) -> bytes:
        names = self.record.names or ()
        records = np.empty(len(part[names[0]]), self.record)
        for name in names:
            records[name] = part[name]
        return records.tobytes()

    def _header(self, checksum: int) -> bytes:
        return _HEADER.pack(
            _MAGIC, bytes.fromhex(self.digest), self.count, self.record.itemsize, checksum
        )

    def _sound(self, path: Path) -> bool:
        checksum = 0
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
            while block := stream.read(_CHECK_BYTES):
                checksum = zlib.crc32(block, checksum)
        return header == self._header(checksum)


def plan_cache(
    root: Path,
    record: np.dtype[Any],
    count: int,
    views: int,
    decides: Mapping[str, Any],
    limit_bytes: float,
) -> FeatureCache:
    """The cache for what ``decides`` (JSON values) determines. TandemError above the limit."""
    text = json.dumps([decides, str(record), count], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    cache = FeatureCache(root / digest, record, count, views, digest)
    if cache.total_bytes > limit_bytes:
        fit = int(limit_bytes // cache.view_bytes)
        advice = f"lower data.views to {fit}" if fit else "set data.cache = false"
        raise TandemError(
            f"settings: the cache takes {cache.total_bytes / 1e9:.2f} GB ({views} views of {count} "
            f"images), data.cache_limit_gb allows {limit_bytes / 1e9:.2f}: raise it or {advice}"
        )
    return cache
