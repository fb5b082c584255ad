"""What annotation files say: images, boxes, classes and scenes, from CSV, Pascal VOC and COCO.

Nothing is looked up in the images here. Boxes become (xmin, ymin, xmax, ymax) in pixels, counted
from 0, max exclusive, whatever the format counts in.
"""

from __future__ import annotations

import csv
import difflib
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.detection import Box
from model.errors import TandemError

COLUMNS = ("image", "xmin", "ymin", "xmax", "ymax")
CLASS_COLUMNS = ("class", "label")
SCENE_COLUMNS = ("scene", "video")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".tif", ".tiff")
XML_BYTES_MAX = 1 << 22


@dataclass(frozen=True)
class Problem:
    """Something that cannot be used, by the file it concerns."""

    name: str
    kind: str  # "row", "annotation", "missing", "unreadable", "box", "no box"
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass
class Entry:
    """An image as the annotations list it."""

    name: str  # as written there
    path: Path
    scene: str | None = None
    boxes: list[tuple[str, Box]] = field(default_factory=list)  # class ("" without), pixels


@dataclass
class Listing:
    """All that an annotation file or folder says."""

    source: Path
    entries: dict[str, Entry] = field(default_factory=dict)  # by name, in the file's order
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)  # declared, with or without boxes

    def entry(self, name: str, path: Path, scene: str | None = None) -> Entry:
        """The entry of that name, made where there is none."""
        return self.entries.setdefault(name, Entry(name, path, scene))


def read_csv(path: Path) -> Listing:
    """Columns image, xmin, ymin, xmax, ymax; optional class or label, and scene or video.

    Image names are relative to the file's folder. A row with empty box fields lists an image
    without a box. TandemError for missing columns or a file that is not text.
    """
    listing = Listing(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip() for name in rows.fieldnames or []]
            rows.fieldnames = columns
            _check_columns(path, columns, listing)
            for row in rows:
                _take_row(listing, row, rows.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TandemError(f"{path}: cannot be read as CSV: {error}") from error
    return listing


def read_voc(folder: Path) -> Listing:
    """Pascal VOC: every ``.xml`` file below a folder, one an image.

    VOC counts pixels from 1, max inclusive. Where any box of the folder begins at 0 its writer
    counted from 0, max exclusive; the report says so.
    """
    listing = Listing(folder)
    trees: list[tuple[Path, ET.Element]] = []
    for path in sorted(folder.rglob("*.xml")):
        try:
            trees.append((path, _parse_xml(path)))
        except (OSError, ValueError, ET.ParseError) as error:
            name = str(path.relative_to(folder))
            listing.problems.append(Problem(name, "annotation", f"not a VOC annotation: {error}"))
    for path, tree in trees:
        _take_voc(listing, path, tree)
    boxes = [box for entry in listing.entries.values() for _, box in entry.boxes]
    if any(min(box[:2]) == 0 for box in boxes):
        listing.notes.append("a box begins at 0: read as counted from 0, max exclusive, not as VOC")
    else:
        for entry in listing.entries.values():
            entry.boxes = [(n, (b[0] - 1, b[1] - 1, b[2], b[3])) for n, b in entry.boxes]
    return listing


def read_coco(path: Path) -> Listing:
    """COCO JSON: images, annotations (bbox = [x, y, width, height]), categories; crowds left out.

    TandemError where the file has not that shape.
    """
    listing = Listing(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TandemError(f"{path}: cannot be read as JSON: {error}") from error
    for key in ("images", "annotations"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise TandemError(f'{path}: not a COCO file: it has no list "{key}"')
    try:
        names = {item["id"]: str(item["name"]) for item in data.get("categories", [])}
        listing.classes = list(names.values())
        by_id = {item["id"]: _coco_entry(listing, item) for item in data["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise TandemError(
            f"{path}: not a COCO file: an image or category lacks or misspells {error}"
        ) from error
    for number, item in enumerate(data["annotations"]):
        _take_coco(listing, item, number, by_id, names)
    return listing


def is_file(path: Path) -> bool:
    """Is there a file? A name that the system cannot take has none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _check_columns(path: Path, columns: Sequence[str], listing: Listing) -> None:
    known = (*COLUMNS, *CLASS_COLUMNS, *SCENE_COLUMNS)
    missing = [name for name in COLUMNS if name not in columns]
    others = [name for name in columns if name not in known]
    if missing:
        near = [hint for name in missing for hint in difflib.get_close_matches(name, others, 1)]
        found = f"its first line has {', '.join(columns)}" if columns else "it is empty"
        hint = f" (perhaps {', '.join(near)})" if near else ""
        raise TandemError(
            f"{path}: column {', '.join(missing)} is missing{hint}, {found}: "
            f"the columns are {', '.join(COLUMNS)}"
        )
    if len(set(columns)) < len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise TandemError(f"{path}: column {', '.join(twice)} stands twice in the first line")
    if others:
        listing.notes.append(f"columns not used: {', '.join(others)}")


def _take_row(listing: Listing, row: Mapping[str | None, Any], line: int) -> None:
    name = (row["image"] or "").strip()
    if not name:
        problem = Problem(f"{listing.source.name}, line {line}", "row", "no image is named")
        listing.problems.append(problem)
        return
    label = next((row[key] or "" for key in CLASS_COLUMNS if key in row), "").strip()
    scene = next((row[key] or "" for key in SCENE_COLUMNS if key in row), "").strip()
    entry = listing.entry(name, listing.source.parent / name, scene or None)
    texts = [(row[key] or "").strip() for key in COLUMNS[1:]]
    if not any(texts):
        return
    try:
        entry.boxes.append((label, _numbers(texts)))
    except ValueError:
        reason = f"line {line}: the box {', '.join(texts)} is not four numbers"
        listing.problems.append(Problem(name, "row", reason))


def _parse_xml(path: Path) -> ET.Element:
    """The root element. A document type is refused, so no entity is ever expanded."""
    if path.stat().st_size > XML_BYTES_MAX:
        raise ValueError(f"larger than {XML_BYTES_MAX} bytes")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise ValueError("not UTF-8 text")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type, which is not read")
    root = ET.fromstring(text)  # noqa: S314  no declarations are left in it
    if root.tag != "annotation":
        raise ValueError(f"its root is <{root.tag}>, not <annotation>")
    return root


def _take_voc(listing: Listing, path: Path, tree: ET.Element) -> None:
    name = str(path.relative_to(listing.source))
    written = (tree.findtext("filename") or path.stem).strip()
    image = _find_image(written, path.stem, (path.parent, *_image_folders(path.parent)))
    shown = written if path.parent == listing.source else f"{path.parent.name}/{written}"
    while shown in listing.entries:
        shown = f"{shown} ({name})"
    entry = listing.entry(shown, image)
    for item in tree.iterfind("object"):
        label = (item.findtext("name") or "").strip()
        texts = [(item.findtext(f"bndbox/{key}") or "").strip() for key in COLUMNS[1:]]
        try:
            entry.boxes.append((label, _numbers(texts)))
        except ValueError:
            reason = f"{name}: the bndbox of an object is not four numbers"
            listing.problems.append(Problem(entry.name, "row", reason))


def _coco_entry(listing: Listing, item: Mapping[str, Any]) -> Entry:
    name = str(item["file_name"])
    folder = listing.source.parent
    path = _find_image(name, Path(name).stem, (folder, *_image_folders(folder)))
    scene = item.get("scene", item.get("video"))
    return listing.entry(name, path, None if scene is None else str(scene))


def _take_coco(
    listing: Listing,
    item: Any,
    number: int,
    by_id: Mapping[Any, Entry],
    names: Mapping[Any, str],
) -> None:
    where = f"{listing.source.name}, annotation {number}"
    try:
        if item.get("iscrowd"):
            return
        entry = by_id.get(item["image_id"])
        label = names.get(item.get("category_id"), "")
        bbox = item["bbox"]
        x, y, width, height = _numbers(bbox if isinstance(bbox, list) else [])
    except (KeyError, TypeError, ValueError, AttributeError):
        reason = "needs image_id and bbox = [x, y, width, height]"
        listing.problems.append(Problem(where, "row", reason))
        return
    if entry is None:
        reason = f"image_id {item['image_id']} is no image of the file"
        listing.problems.append(Problem(where, "row", reason))
        return
    entry.boxes.append((label, (x, y, x + width, y + height)))


def _image_folders(folder: Path) -> Iterator[Path]:
    for parent in (folder, folder.parent):
        for name in ("images", "JPEGImages"):
            yield parent / name


def _find_image(name: str, stem: str, folders: Iterable[Path]) -> Path:
    """The first that exists of the usual places; where none does, the likeliest, to be named."""
    folders = list(folders)
    given = Path(name)
    names = [given] if given.suffix.lower() in IMAGE_SUFFIXES else []
    names += [Path(base + suffix) for base in (name, stem) for suffix in IMAGE_SUFFIXES]
    for folder in folders:
        for candidate in names:
            if is_file(folder / candidate):
                return folder / candidate
    return folders[0] / given


def _numbers(values: Sequence[Any]) -> Box:
    """Four finite numbers. ValueError or TypeError for anything else."""
    try:
        xmin, ymin, xmax, ymax = (float(value) for value in values)
    except OverflowError as error:
        raise ValueError("too large") from error
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
        raise ValueError("not finite")
    return xmin, ymin, xmax, ymax
