"""The file of an integer network: arrays and a JSON manifest in one ``.npz``."""

from __future__ import annotations

import io
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.detection import BoxHead
from model.errors import TandemError
from model.integer_network import IntegerLayer, IntegerNetwork, check_network

FORMAT = "tandem-integer-network"
VERSION = 1
ARRAY_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def save_network(network: IntegerNetwork, design: Design, path: str | Path) -> None:
    """Check a network and write it; the file appears whole or not at all, the same bytes each time.

    TandemError for a network that does not belong to the design or a path that cannot be written.
    """
    path = Path(path)
    check_network(network, design)
    arrays: dict[str, NDArray[Any]] = {"manifest": np.array(json.dumps(_manifest(network)))}
    weight_type = np.int8 if network.weight_bits <= 8 else np.int16
    for layer in network.layers:
        arrays[f"{layer.name}.weight"] = layer.weight.astype(weight_type)
        arrays[f"{layer.name}.bias"] = layer.bias.astype(np.int32)
        arrays[f"{layer.name}.mult"] = layer.mult.astype(np.int16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def load_network(path: str | Path, design: Design) -> IntegerNetwork:
    """Read a network for a design. TandemError names the file and what is wrong with it."""
    path = Path(path)
    if not path.exists():
        raise TandemError(f"{path}: there is no such integer network")
    try:
        arrays = read_arrays(path)
    except ARRAY_ERRORS as error:
        raise TandemError(
            f"{path}: not a readable integer network (.npz), it may be truncated: {error}"
        ) from error
    manifest = _read_manifest(arrays, path)
    try:
        layers = tuple(_read_layer(entry, arrays, path) for entry in manifest["layers"])
        network = IntegerNetwork(
            design_name=str(manifest["design"]),
            weight_bits=int(manifest["weight_bits"]),
            feature_bits=int(manifest["feature_bits"]),
            layers=layers,
            head=_read_head(manifest["head"]) if manifest.get("head") else None,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TandemError(f"{path}: the manifest is damaged: {error}") from error
    check_network(network, design, str(path))
    return network


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a ``.npz`` file by name, a ``.npy`` file's under "". Never unpickles.

    Raises one of ``ARRAY_ERRORS`` for a file that is neither or is damaged.
    """
    with path.open("rb") as stream:  # np.load leaks the file it opens itself when it fails
        found = np.load(stream, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"": found}
        arrays = {name: found[name] for name in found.files}
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray):  # NumPy hands out other members as bytes
            raise ValueError(f"{name} is not an array")  # noqa: TRY004  (as NumPy does)
    return arrays


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that nobody ever reads half of it."""
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(0o644)  # mkstemp gives the owner alone access
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise TandemError(f"{path}: cannot be written: {error.strerror or error}") from error


def _manifest(network: IntegerNetwork) -> dict[str, Any]:
    head = {"head": asdict(network.head)} if network.head is not None else {}
    return {
        **head,
        "format": FORMAT,
        "version": VERSION,
        "design": network.design_name,
        "weight_bits": network.weight_bits,
        "feature_bits": network.feature_bits,
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.weight.shape),
                "shift": layer.shift,
                "round": layer.round,
                "pad_value": layer.pad_value,
            }
            for layer in network.layers
        ],
    }


def _read_manifest(arrays: Mapping[str, NDArray[Any]], path: Path) -> dict[str, Any]:
    if "manifest" not in arrays or arrays["manifest"].dtype.kind != "U":
        raise TandemError(f"{path}: has no manifest, it is not an integer network")
    try:
        manifest = json.loads(str(arrays["manifest"]))
    except ValueError as error:
        raise TandemError(f"{path}: the manifest is not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise TandemError(f'{path}: the manifest does not say format "{FORMAT}"')
    if manifest.get("version") != VERSION:
        raise TandemError(
            f"{path}: format version {manifest.get('version')}, this program reads {VERSION}"
        )
    return manifest


def _read_head(entry: Mapping[str, Any]) -> BoxHead:
    """TypeError, ValueError or KeyError for a damaged entry."""
    return BoxHead(
        scale=tuple(float(value) for value in entry["scale"]),
        offset=tuple(float(value) for value in entry["offset"]),
        anchors=tuple((float(width), float(height)) for width, height in entry["anchors"]),
    )


def _read_layer(
    entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: Path
) -> IntegerLayer:
    name = entry["name"]

    def take(part: str) -> NDArray[np.int64]:
        key = f"{name}.{part}"
        if key not in arrays:
            raise TandemError(f"{path}: layer {name}: the array {key} is missing")
        if not np.issubdtype(arrays[key].dtype, np.signedinteger):
            raise TandemError(
                f"{path}: layer {name}: {part} holds {arrays[key].dtype} values, "
                "it must hold signed integers"
            )
        return arrays[key].astype(np.int64)

    layer = IntegerLayer(
        name, take("weight"), take("bias"), take("mult"),
        entry["shift"], entry["round"], entry["pad_value"],
    )  # fmt: skip
    if list(layer.weight.shape) != entry["shape"]:
        raise TandemError(
            f"{path}: layer {name}: weight has shape {layer.weight.shape}, "
            f"the manifest says {tuple(entry['shape'])}"
        )
    return layer
