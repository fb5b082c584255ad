"""Fixed splits by scene: frames of one video are neighbours, so a split at random would leak.

A scene is what the annotations say (column scene or video), else the folder and name before the
frame's number, else images linked by alike colours. Which side a scene takes follows from a hash of
its name and the seed, so it stays there when other scenes come or go.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.console import progress
from model.errors import TandemError
from quant.dataset import Dataset
from quant.sample import Sample

ALIKE = 0.3  # distance of colours under which two images count as one scene
LOOKED_AT_MAX = 30_000  # images whose colours are compared with each other
_LEVELS = 8  # of each colour
_GRID = (90, 160)  # pixels looked at
_BLOCK = 512
_FRAME = re.compile(r"[\W_]*\d*$")  # a frame's number and what sets it apart


def split_by_scene(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """(the rest, about ``share`` of the scenes held out), no scene in both.

    TandemError where only one scene is told apart, so that nothing can be held out.
    """
    scenes = scene_names(dataset)
    places = {scene: _place(scene, seed) for scene in set(scenes)}
    if len(places) < 2:
        raise TandemError(
            f"{dataset.report.source}: all {len(dataset)} images count as one scene, so none can "
            'be held out for validation: give --val, or a column "scene" in the data'
        )
    ranked = sorted(places, key=lambda scene: (places[scene], scene))
    held = {scene for scene in ranked[:-1] if places[scene] < share} or {ranked[0]}
    sides = [[i for i, s in enumerate(scenes) if (s in held) is side] for side in (False, True)]
    return dataset.subset(sides[0]), dataset.subset(sides[1])


def scene_names(dataset: Dataset) -> list[str]:
    """The scene of every sample, in their order."""
    told = [sample.scene for sample in dataset.samples]
    if all(told):
        return [scene or "" for scene in told]
    named = [_from_name(sample) for sample in dataset.samples]
    if _tells_scenes(named):
        return [scene or name for scene, name in zip(told, named, strict=True)]
    found = _from_look(dataset)
    return [scene or name for scene, name in zip(told, found, strict=True)]


def _place(scene: str, seed: int) -> float:
    """A number from 0 to 1 that the scene's name and the seed decide."""
    digest = hashlib.sha256(f"{seed}:{scene}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _from_name(sample: Sample) -> str:
    folder, _, file = sample.name.replace("\\", "/").rpartition("/")
    return f"{folder}/{_FRAME.sub('', file.rpartition('.')[0] or file)}"


def _tells_scenes(names: Sequence[str]) -> bool:
    """Several scenes, most images in company: else the names are numbers or codes."""
    counts = Counter(names)
    in_company = sum(count for count in counts.values() if count > 1)
    return len(counts) > 1 and 2 * in_company >= len(names)


def _from_look(dataset: Dataset) -> list[str]:
    """Images linked, directly or through others, by alike colours; named after the first."""
    count = len(dataset)
    if count > LOOKED_AT_MAX:
        raise TandemError(
            f"{dataset.report.source}: nothing tells the scenes of {count} images apart, too many "
            'to compare: give --val, or a column "scene" in the data'
        )
    colours = np.stack([_colours(dataset.image(index)) for index in range(count)])
    scene = np.arange(count)
    for start in range(0, count, _BLOCK):
        part = colours[start : start + _BLOCK]
        near = part @ colours[: start + _BLOCK].T > 1 - ALIKE**2 / 2
        for row, col in zip(*np.nonzero(near), strict=True):
            ours, theirs = _first(scene, start + int(row)), _first(scene, int(col))
            scene[max(ours, theirs)] = min(ours, theirs)
    first = [_first(scene, index) for index in range(count)]
    progress(
        f"{dataset.report.source}: neither a column nor the names tell scenes apart, "
        f"images of alike colours count as one: {len(set(first))} scenes"
    )
    return [dataset.samples[index].name for index in first]


def _first(scene: NDArray[np.int64], index: int) -> int:
    """The first image of an image's scene; shortens the way there."""
    while scene[index] != index:
        scene[index] = scene[scene[index]]
        index = int(scene[index])
    return index


def _colours(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square roots of the shares of 8 x 8 x 8 colours, a vector of length 1."""
    rows = np.arange(_GRID[0]) * picture.shape[0] // _GRID[0]
    cols = np.arange(_GRID[1]) * picture.shape[1] // _GRID[1]
    levels = picture[rows[:, None], cols[None, :]].astype(np.int64) * _LEVELS // 256
    number = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
    shares = np.bincount(number.ravel(), minlength=_LEVELS**3) / number.size
    found: NDArray[np.float32] = np.sqrt(shares).astype(np.float32)
    return found
