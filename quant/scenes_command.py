"""``tandem scenes``: synthetic aerial scenes as image files with their boxes in a CSV file."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model import console
from model.errors import TandemError
from model.network_file import write_atomically
from model.scene import draw_scene
from model.tables import facts, headline
from quant.annotations import COLUMNS
from quant.train_log import bar

COUNT_MAX = 100_000
SIDES = (16, 4096)  # pixels
WORKERS = 2


@dataclass(frozen=True)
class Scenes:
    """Which scenes to write."""

    out: Path
    count: int
    seed: int = 1
    height: int = 360
    width: int = 640


def scenes_command(asked: Scenes, as_json: bool) -> int:
    """Write, print, return the exit status."""
    record = write_scenes(asked)
    if as_json:
        console.put_json(record)
    else:
        pairs = [("pictures", record["images"]), ("boxes", record["csv"])]
        console.put(headline(f"{asked.count} scenes of seed {asked.seed}"), facts(pairs))
    return console.HELD


def write_scenes(asked: Scenes) -> dict[str, Any]:
    """Write ``images/*.png`` and ``scenes.csv``, the CSV last. TandemError: wrong numbers, no room.

    Each scene is one of its own, so the column ``scene`` is its number.
    """
    _check(asked)
    images = asked.out / "images"
    try:
        images.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(f"{images}: cannot be made: {error.strerror or error}") from error
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow((*COLUMNS, "class", "scene"))
    with ThreadPoolExecutor(WORKERS) as pool:
        made = pool.map(lambda index: _write(asked, index), range(asked.count))
        rows.writerows(bar(made, asked.count, "scenes"))
    path = asked.out / "scenes.csv"
    write_atomically(path, text.getvalue().encode())
    return {"count": asked.count, "seed": asked.seed, "images": str(images), "csv": str(path)}


def _write(asked: Scenes, index: int) -> tuple[object, ...]:
    scene = draw_scene(asked.seed, index, asked.height, asked.width)
    name = f"images/scene{index:05}.png"
    data = io.BytesIO()
    Image.fromarray(scene.image).save(data, "PNG")
    write_atomically(asked.out / name, data.getvalue())
    return (name, *scene.box, scene.kind, index)


def _check(asked: Scenes) -> None:
    if not 1 <= asked.count <= COUNT_MAX:
        raise TandemError(f"--count {asked.count}: must lie from 1 to {COUNT_MAX}")
    for name, value in (("height", asked.height), ("width", asked.width)):
        if not SIDES[0] <= value <= SIDES[1]:
            raise TandemError(f"--{name} {value}: must lie from {SIDES[0]} to {SIDES[1]} pixels")
