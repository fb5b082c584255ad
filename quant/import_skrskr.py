"""SkrSkr's published integer weights (W6 F8) as an integer network.

The published design computes y = clip((max(acc + bias, 0) * mult) >> 17, 0, 255) and, in the
head, acc * mult / 2^17: that is this project's arithmetic with a shift of 17 and no rounding. Its
input is the raw image; its first layer pads with 128, all others with 0.

The file comes from elsewhere, so nothing in it is trusted: only SkrSkr's own arrays are opened,
each must be no larger than it can be, of whole numbers, of SkrSkr's shape and range.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from model.design import Design
from model.detection import SKYNET_ANCHORS, BoxHead
from model.errors import TandemError
from model.integer_network import (
    BIAS_RANGE,
    MULT_RANGE,
    IntegerLayer,
    IntegerNetwork,
    Integers,
    check_accumulators,
    check_network,
    raw_layer,
)
from model.network import Layer
from model.network_file import ARRAY_ERRORS

SHIFT = 17
FIRST_PAD = 128  # SkrSkr's mid-grey
FILE_BYTES_MAX = 1 << 24  # the published file has 0.3 MB
_ITEM_BYTES_MAX = 8
_HEADER_BYTES_MAX = 1 << 10

Range = tuple[int, int]


def import_skrskr(path: str | Path, design: Design) -> IntegerNetwork:
    """Read the published ``.npz`` for a design with SkrSkr's network, W6 F8.

    TandemError names the file and what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        raise TandemError(f"{path}: there is no such file of SkrSkr weights")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise TandemError(
            f"{path}: {path.stat().st_size:,} bytes, SkrSkr's weights take at most "
            f"{FILE_BYTES_MAX:,}"
        )
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            network = _read_network(_File(archive, path), design)
    except ARRAY_ERRORS as error:
        raise TandemError(
            f"{path}: not a readable .npz file, it may be truncated: {error}"
        ) from error
    check_network(network, design, str(path))
    check_accumulators(network, design)
    return network


class _File:
    """The published file; arrays are checked as they are taken."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        self._names = set(archive.namelist())

    def take(self, name: str, shape: tuple[int, ...], limits: Range) -> Integers:
        """An array of whole numbers within ``limits``, as int64."""
        if f"{name}.npy" not in self._names:
            raise self.refuse(f"the array {name} is missing, these are not SkrSkr's weights")
        size = self._archive.getinfo(f"{name}.npy").file_size
        most = int(np.prod(shape)) * _ITEM_BYTES_MAX + _HEADER_BYTES_MAX
        if size > most:  # found before anything is unpacked
            raise self.refuse(f"{name} has {size:,} bytes, SkrSkr's can have at most {most:,}")
        with self._archive.open(f"{name}.npy") as member:
            values = np.lib.format.read_array(member, allow_pickle=False)
        if not np.issubdtype(values.dtype, np.integer):
            raise self.refuse(f"{name} holds {values.dtype} values, it must hold whole numbers")
        if values.shape != shape:
            raise self.refuse(f"{name} has shape {values.shape}, SkrSkr's has {shape}")
        for value in (int(values.min()), int(values.max())):
            if not limits[0] <= value <= limits[1]:
                raise self.refuse(
                    f"{name} holds {value}, it must lie from {limits[0]} to {limits[1]}"
                )
        return values.astype(np.int64)

    def refuse(self, what: str) -> TandemError:
        """The error to raise."""
        return TandemError(f"{self._path}: {what}")


def _read_network(file: _File, design: Design) -> IntegerNetwork:
    *chains, head = design.network.chains
    layers = [
        _read_layer(file, spec, f"{'dw' if spec.kind == 'dw' else 'pw'}{number}", design)
        for number, chain in enumerate(chains, 1)
        for spec in chain
        if spec.computes
    ]
    output = head[-1]
    layers.append(raw_layer(output.name, _read_weight(file, output, "head", design), 0))
    file.take("head.bias", (output.out_channels,), (0, 0))
    scale = file.take("head.mult", (output.out_channels,), MULT_RANGE) / 2**SHIFT
    return IntegerNetwork(
        design.name,
        design.weight_bits,
        design.feature_bits,
        tuple(layers),
        BoxHead(tuple(scale.tolist()), (0.0,) * output.out_channels, SKYNET_ANCHORS),
    )


def _read_layer(file: _File, spec: Layer, name: str, design: Design) -> IntegerLayer:
    first = spec is design.network.compute_layers[0]
    outputs = (spec.out_channels,)
    return IntegerLayer(
        name=spec.name,
        weight=_read_weight(file, spec, name, design),
        bias=file.take(f"{name}.bias", outputs, BIAS_RANGE),
        mult=file.take(f"{name}.mult", outputs, MULT_RANGE),
        shift=SHIFT,
        round=False,
        pad_value=FIRST_PAD if first else 0,
    )


def _read_weight(file: _File, spec: Layer, name: str, design: Design) -> Integers:
    """Depth-wise (C, 3, 3) as published; point-wise (O, I) becomes (O, I, 1, 1)."""
    published = spec.weight_shape if spec.kind == "dw" else spec.weight_shape[:2]
    weight = file.take(f"{name}.weight", published, design.weight_range)
    return weight.reshape(spec.weight_shape)
