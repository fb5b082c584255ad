"""SkyNet's published float weights: an HDF5 file of PyTorch arrays, read under our layer names.

The file comes from elsewhere, so nothing in it is trusted: only the arrays that SkyNet has are
opened, each must be a plain data set of floats stored in the file itself, of exactly SkyNet's shape
and finite. Links to other files, virtual data sets and foreign filters are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import TandemError
from model.network import Layer, Network, parse_network

Arrays = dict[str, NDArray[np.float32]]

SKYNET_BUNDLES = (
    ("dw3", "conv1:48", "maxpool"),
    ("dw3", "conv1:96", "maxpool"),
    ("dw3", "conv1:192"),
    ("maxpool", "dw3", "conv1:384"),
    ("dw3", "conv1:512"),
    ("bypass:2", "dw3", "conv1:96"),
)
SKYNET_HEAD = ("conv1:10",)
SKYNET_HEIGHT, SKYNET_WIDTH = 160, 320
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
FILE_BYTES_MAX = 1 << 26  # the published file has 1.8 MB
_CHUNK_VALUES_MAX = 1 << 20
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, Fletcher-32, LZF: all inside h5py
# The block of each of our bundles in SkyNet's three sequences; depth-wise at .0, point-wise at .3.
_BLOCKS = ("model_p1.0", "model_p1.2", "model_p1.4", "model_p2.1", "model_p2.2", "model_p3.0")
_HEAD_KEY = "model_p3.1.weight"


def skynet_network(height: int = SKYNET_HEIGHT, width: int = SKYNET_WIDTH) -> Network:
    """SkyNet for an RGB input of that size; its convolutions run on any whose sides suit them."""
    return parse_network(3, height, width, SKYNET_BUNDLES, SKYNET_HEAD, "SkyNet")


def read_skynet(path: str | Path) -> Arrays:
    """SkyNet's arrays, float32, as a float checkpoint names them.

    ``bundle0.dw3.weight`` (C, 3, 3), ``bundle0.conv1.weight`` (O, I, 1, 1), ``LAYER.bn.weight``,
    ``.bias``, ``.running_mean``, ``.running_var`` (C,), ``head.conv1.weight`` (10, 96, 1, 1).
    TandemError names the file and what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        raise TandemError(f"{path}: there is no such file of SkyNet weights")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise TandemError(
            f"{path}: {path.stat().st_size:,} bytes, SkyNet's weights take at most "
            f"{FILE_BYTES_MAX:,}"
        )
    h5py = _h5py(path)
    try:
        with h5py.File(path, "r") as file:
            return {name: _read(h5py, file, key, shape, path) for name, key, shape in _entries()}
    except TandemError:
        raise
    # A damaged file makes h5py raise nearly anything; what matters is that it cannot be read.
    except Exception as error:
        raise TandemError(
            f"{path}: not a readable HDF5 file, it may be truncated: {_brief(error)}"
        ) from error


def matching_bundles(network: Network, weights: Mapping[str, NDArray[Any]]) -> int:
    """How many bundles, from the front, have the layers and shapes of those in ``weights``.

    Pooling has no weights, so a bundle matches wherever its pooling stands.
    """
    for index, chain in enumerate(network.bundles):
        wanted = {name: shape for layer in chain for name, shape in array_shapes(layer).items()}
        found = {name for name in weights if name.startswith(f"bundle{index}.")}
        if set(wanted) != found or any(weights[n].shape != s for n, s in wanted.items()):
            return index
    return len(network.bundles)


def warm_start(network: Network, weights: Mapping[str, NDArray[Any]]) -> tuple[Arrays, int]:
    """The arrays of every bundle that matches from the front, and how many bundles those are.

    The head comes along where all bundles match and its own shapes do.
    """
    bundles = matching_bundles(network, weights)
    chains = list(network.bundles[:bundles])
    if bundles == len(network.bundles):
        shapes = {name: shape for layer in network.head for name, shape in _head(network, layer)}
        if all(name in weights and weights[name].shape == s for name, s in shapes.items()):
            chains.append(network.head)
    prefixes = tuple(f"{layer.name}." for chain in chains for layer in chain)
    arrays = {name: value for name, value in weights.items() if name.startswith(prefixes)}
    return arrays, bundles


def array_shapes(layer: Layer) -> dict[str, tuple[int, ...]]:
    """The arrays of a layer with batch norm in a float checkpoint; none for pooling and bypass."""
    if not layer.computes:
        return {}
    shapes = {f"{layer.name}.weight": layer.weight_shape}
    return shapes | {f"{layer.name}.bn.{part}": (layer.out_channels,) for part in BATCH_NORM}


def _head(network: Network, layer: Layer) -> Iterator[tuple[str, tuple[int, ...]]]:
    if layer is network.output:  # no batch norm behind it
        yield f"{layer.name}.weight", layer.weight_shape
    else:
        yield from array_shapes(layer).items()


def _entries() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(our name, key in the file, our shape) of every array."""
    network = skynet_network()
    for block, chain in zip(_BLOCKS, network.bundles, strict=True):
        for layer in chain:
            place = {"dw": 0, "conv": 3}.get(layer.kind)
            if place is None:
                continue
            yield f"{layer.name}.weight", f"{block}.{place}.weight", layer.weight_shape
            for part in BATCH_NORM:
                name, key = f"{layer.name}.bn.{part}", f"{block}.{place + 1}.{part}"
                yield name, key, (layer.out_channels,)
    yield f"{network.output.name}.weight", _HEAD_KEY, network.output.weight_shape


def _read(
    h5py: Any, file: Any, key: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float32]:
    """One array, checked; depth-wise weights lose PyTorch's second dimension of 1."""
    link = file.get(key, getlink=True)
    if link is None:
        raise TandemError(f"{path}: the array {key} is missing, these are not SkyNet's weights")
    if not isinstance(link, h5py.HardLink):
        raise TandemError(f"{path}: {key} is a link, arrays must stand in the file itself")
    found = file[key]
    if not isinstance(found, h5py.Dataset):
        raise TandemError(f"{path}: {key} is not an array")
    stored = shape if len(shape) != 3 else (shape[0], 1, *shape[1:])
    if found.shape != stored:
        raise TandemError(f"{path}: {key} has shape {found.shape}, SkyNet's has {stored}")
    if found.dtype.kind != "f" or found.dtype.itemsize > 8:
        raise TandemError(f"{path}: {key} holds {found.dtype} values, it must hold floats")
    _check_storage(found, key, path)
    values: NDArray[np.float32] = np.asarray(found[()], dtype=np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise TandemError(f"{path}: {key} holds a value that is not a finite number")
    if key.endswith("running_var") and values.min() < 0:
        raise TandemError(f"{path}: {key} holds a negative variance")
    return values


def _check_storage(found: Any, key: str, path: Path) -> None:
    """Refuse arrays whose values stand elsewhere or need code that is not h5py's own."""
    if found.is_virtual or found.external:
        raise TandemError(f"{path}: {key} keeps its values in another file")
    if found.chunks is not None and np.prod(found.chunks) > max(_CHUNK_VALUES_MAX, found.size):
        raise TandemError(f"{path}: {key} is stored in chunks of {found.chunks}, far too large")
    creation = found.id.get_create_plist()
    for index in range(creation.get_nfilters()):
        number = creation.get_filter(index)[0]
        if number not in _FILTERS:
            raise TandemError(f"{path}: {key} is packed with filter {number}, which is not known")


def _h5py(path: Path) -> Any:
    try:
        import h5py  # noqa: PLC0415  (only with the [quant] extra)
    except ImportError as error:
        raise TandemError(
            f"{path}: reading HDF5 needs h5py: pip install 'tandem-codesign[quant]'"
        ) from error
    return h5py


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."
