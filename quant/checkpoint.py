"""Checkpoints of a training run: arrays and a JSON manifest in one ``.npz``, nothing ever executed.

A checkpoint appears whole or not at all: it is written under another name and renamed, and the one
before it stays beside it as ``NAME.previous.npz``. Reading checks every header before any value.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.errors import TandemError
from model.network_file import ARRAY_ERRORS, write_atomically

FORMAT = "tandem-checkpoint"
VERSION = 1
FILE_BYTES_MAX = 1 << 32
MEMBERS_MAX = 1 << 14
MANIFEST_CHARS_MAX = 1 << 22
_KINDS = "biufU"
_HEADER_BYTES_MAX = 4096


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on: numbers by name, and facts that fit JSON."""

    design: Mapping[str, Any]  # of design_facts()
    facts: Mapping[str, Any]  # stage, epoch, best metric, settings, ... as JSON holds them
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays whose names begin with ``prefix/``, without it."""
        start = f"{prefix}/"
        return {n[len(start) :]: v for n, v in self.arrays.items() if n.startswith(start)}


def design_facts(design: Design) -> dict[str, Any]:
    """What of a design matters to its training: the network and the precision."""
    net = design.network
    return {
        "name": design.name,
        "input": [net.channels, net.height, net.width],
        "bundles": [[layer.token for layer in chain] for chain in net.bundles],
        "head": [layer.token for layer in net.head],
        "weight_bits": design.weight_bits,
        "feature_bits": design.feature_bits,
    }


def design_differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], precision: bool = True
) -> list[str]:
    """In words, what a checkpoint's design has that this one has not; names may differ."""
    lines = []
    if found.get("input") != wanted["input"]:
        lines.append(f"input {_sides(found.get('input'))}, not {_sides(wanted['input'])}")
    have, want = found.get("bundles"), wanted["bundles"]
    have = have if isinstance(have, list) else []
    if len(have) != len(want):
        lines.append(f"{len(have)} bundles, not {len(want)}")
    for index, (ours, theirs) in enumerate(zip(have, want, strict=False)):
        if ours != theirs:
            lines.append(f"bundle {index} is {_chain(ours)}, not {_chain(theirs)}")
    if found.get("head") != wanted["head"]:
        lines.append(f"the head is {_chain(found.get('head', []))}, not {_chain(wanted['head'])}")
    keys = ("weight_bits", "feature_bits") if precision else ()
    lines += [f"{k} {found.get(k)}, not {wanted[k]}" for k in keys if found.get(k) != wanted[k]]
    return lines


def check_design(checkpoint: Checkpoint, design: Design, path: Path, precision: bool) -> None:
    """Refuse a checkpoint of another design with one sentence that names the difference."""
    lines = design_differences(checkpoint.design, design_facts(design), precision)
    if lines:
        shown = "; ".join(lines[:3]) + ("; ..." if len(lines) > 3 else "")
        raise TandemError(
            f"{path}: a checkpoint of another design ({checkpoint.design.get('name')}): {shown}"
        )


def previous_path(path: Path) -> Path:
    """Where the checkpoint before the last one stands."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_checkpoint(checkpoint: Checkpoint, path: Path, keep_previous: bool = False) -> None:
    """Write a checkpoint. TandemError where that fails; the one of that name is then untouched."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "design": dict(checkpoint.design),
        "facts": dict(checkpoint.facts),
    }
    buffer = io.BytesIO()
    text = np.array(json.dumps(manifest, sort_keys=True))
    # Members keep their order and carry no time, so that equal runs write equal bytes.
    np.savez(buffer, allow_pickle=False, manifest=text, **dict(checkpoint.arrays))
    try:
        if keep_previous and path.exists():
            _link(path, previous_path(path))
        write_atomically(path, buffer.getvalue())
    except TandemError as error:
        kept = "the checkpoint before it is whole" if path.exists() else "there is none before it"
        reason = str(error).rpartition(": ")[2]
        raise TandemError(
            f"{path}: the checkpoint cannot be saved: {reason}; {kept}: make room and go on with "
            "--resume"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. TandemError names the file and what is wrong; nothing is unpickled."""
    if not path.is_file():
        raise TandemError(f"{path}: there is no such checkpoint")
    try:
        arrays = dict(_members(path))
    except ARRAY_ERRORS as error:
        raise TandemError(
            f"{path}: not a readable checkpoint, it may be truncated: {error}"
        ) from error
    manifest = _manifest(arrays.pop("manifest", None), path)
    return Checkpoint(manifest["design"], manifest["facts"], arrays)


def load_last(path: Path) -> tuple[Checkpoint, Path, str]:
    """The checkpoint at ``path`` or, where it is damaged, the one before it; path; a note."""
    try:
        return load_checkpoint(path), path, ""
    except TandemError as error:
        before = previous_path(path)
        if not before.is_file():
            raise
        return load_checkpoint(before), before, f"{error}; going on from {before.name}"


def take(
    arrays: Mapping[str, NDArray[Any]], name: str, like: NDArray[Any], where: str
) -> NDArray[Any]:
    """One array of the wanted shape and kind. TandemError names what differs."""
    if name not in arrays:
        raise TandemError(f"{where}: the array {name} is missing")
    found = arrays[name]
    if found.shape != like.shape or found.dtype != like.dtype:
        raise TandemError(
            f"{where}: the array {name} holds {found.dtype} {found.shape}, "
            f"this run needs {like.dtype} {like.shape}"
        )
    return found


def _members(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Name and array of each member; ValueError before memory is taken for one that lies."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ValueError(f"larger than {FILE_BYTES_MAX:,} bytes")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS_MAX:
            raise ValueError(f"{len(members)} members")
        for member in members:
            # Stored, never deflated: what a member takes in memory it also takes in the file.
            if member.compress_type != zipfile.ZIP_STORED or not member.filename.endswith(".npy"):
                raise ValueError(f"the member {member.filename[:60]} is not a stored array")
            if member.file_size != member.compress_size:
                raise ValueError(f"the member {member.filename[:60]} has two sizes")
            yield member.filename.removesuffix(".npy"), _array(archive.read(member))


def _array(data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"array format {version}")
    shape, fortran, dtype = readers[version](stream, max_header_size=_HEADER_BYTES_MAX)
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise ValueError(f"an array of {dtype} values")
    count = 1
    for side in shape:
        count *= side
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"an array of shape {shape} in {len(data)} bytes")
    if count == 0:
        return np.zeros(shape, dtype)
    values = np.frombuffer(data, dtype, count, stream.tell())
    # A copy: arrays over bytes cannot be written to, and torch wants to.
    return values.reshape(shape, order="F" if fortran else "C").copy()


def _manifest(found: NDArray[Any] | None, path: Path) -> dict[str, Any]:
    if found is None or found.dtype.kind != "U" or found.shape:
        raise TandemError(f"{path}: has no manifest, it is not a checkpoint")
    text = str(found)
    try:
        manifest = json.loads(text) if len(text) <= MANIFEST_CHARS_MAX else None
    except (ValueError, RecursionError) as error:
        raise TandemError(f"{path}: the manifest is not valid JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise TandemError(f'{path}: the manifest does not say format "{FORMAT}"')
    if manifest.get("version") != VERSION:
        raise TandemError(
            f"{path}: format version {manifest.get('version')}, this program reads {VERSION}"
        )
    design, facts = manifest.get("design"), manifest.get("facts")
    if not isinstance(design, dict) or not isinstance(facts, dict):
        raise TandemError(f"{path}: the manifest is damaged: design or facts are missing")
    return manifest


def _link(path: Path, before: Path) -> None:
    """Give the last checkpoint a second name without copying it; ``path`` never disappears."""
    temporary = before.with_name(f".{before.name}.new")
    with contextlib.suppress(OSError):  # a file system without hard links keeps one checkpoint
        temporary.unlink(missing_ok=True)
        temporary.hardlink_to(path)
        temporary.replace(before)


def _sides(found: Any) -> str:
    return " x ".join(map(str, found)) if isinstance(found, list) else str(found)


def _chain(tokens: Any) -> str:
    return " ".join(map(str, tokens)) if isinstance(tokens, list) and tokens else "nothing"
