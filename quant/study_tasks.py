"""Data sets and networks of the studies: small enough to train many times on a CPU.

``digits`` comes with scikit-learn: 1797 handwritten digits of 8 x 8 pixels. ``scenes`` are
synthetic aerial scenes with one object; a user's labelled images take their place as ``photos``.
Of a scene or photo the studies see cut-outs around the object, which lies anywhere in them. Both
networks are built from the layer pool of the accelerator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.detection import BOX_CHANNELS
from model.errors import TandemError
from model.image import resize_nearest
from model.network import Network, parse_network
from model.scene import draw_scene
from quant.dataset import Dataset, load_dataset
from quant.split import split_by_scene

Kind = Literal["classify", "detect"]
Images = NDArray[np.uint8]  # (N, C, H, W)
Cut = tuple[Images, NDArray[np.float32]]  # image (C, H, W) and its box
METRICS = {"digits": "accuracy", "scenes": "mean IoU", "photos": "mean IoU"}
SPLIT_SEED = 7  # the split never depends on the seed of a training
HELD_OUT = 0.25  # of the digits, and of the scenes of a user's images
DIGIT_MAX = 16  # largest value of a pixel as scikit-learn ships it
CLASSES = 10
PICTURE = (128, 224)  # height, width of a whole scene or photo, pixels
CUT = (48, 80)  # of the network's input
CUTS = 3  # of a training picture, each with the object elsewhere
ANCHORS = 2

DIGIT_BUNDLES = (("conv3:16",), ("conv3:32", "maxpool"), ("conv3:32", "maxpool"))
SCENE_BUNDLES = (
    ("conv3:16", "maxpool"),
    ("dw3", "conv1:32", "maxpool"),
    ("dw3", "conv1:64", "maxpool"),
    ("dw3", "conv1:96"),
)


@dataclass(frozen=True)
class TaskSettings:
    """How much of a data set is used and for how long a network is trained on it."""

    name: str  # a key of METRICS
    train: int  # images, or pictures of CUTS images; at most
    test: int  # at most
    epochs: int
    batch: int
    learning_rate: float
    data: str | None = None  # labelled images of the user
    val: str | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """Images (N, C, H, W) and what is to be found in them.

    Targets are class numbers (N,) int64, or boxes (N, 4) float32 xmin, ymin, xmax, ymax as shares
    of the image. Anchors are widths and heights in cells of the head's map.
    """

    kind: Kind
    network: Network
    train_images: Images
    train_targets: NDArray[np.int64] | NDArray[np.float32]
    test_images: Images
    test_targets: NDArray[np.int64] | NDArray[np.float32]
    anchors: tuple[tuple[float, float], ...] = ()


def build_task(settings: TaskSettings) -> Task:
    """Read or draw a data set. TandemError for a user's data that cannot be used."""
    if settings.name == "digits":
        return _digits(settings)
    pictures = _photos if settings.name == "photos" else _scenes
    return _detection(*pictures(settings))


def _digits(settings: TaskSettings) -> Task:
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow, and only needed here)

    shipped = load_digits()
    images = np.rint(shipped.images * (255 / DIGIT_MAX)).astype(np.uint8)[:, None]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    held = round(HELD_OUT * len(order))
    test, train = order[:held][: settings.test], order[held:][: settings.train]
    targets = shipped.target.astype(np.int64)
    network = parse_network(1, 8, 8, DIGIT_BUNDLES, (f"conv1:{CLASSES}",))
    return Task("classify", network, images[train], targets[train], images[test], targets[test])


def _scenes(settings: TaskSettings) -> tuple[list[Cut], list[Cut]]:
    def cuts(first: int, count: int, each: int) -> list[Cut]:
        found = []
        for index in range(first, first + count):
            scene = draw_scene(SPLIT_SEED, index, *PICTURE)
            found += _cuts(scene.image.transpose(2, 0, 1), scene.box, index, each)
        return found

    return cuts(0, settings.train, CUTS), cuts(settings.train, settings.test, 1)


def _photos(settings: TaskSettings) -> tuple[list[Cut], list[Cut]]:
    if settings.data is None:
        raise TandemError("photos: no labelled images were given, name them with --data")
    train = load_dataset(settings.data)
    if settings.val is None:
        train, test = split_by_scene(train, HELD_OUT, SPLIT_SEED)
    else:
        test = load_dataset(settings.val)
    return _read(train, settings.train, CUTS), _read(test, settings.test, 1)


def _read(dataset: Dataset, count: int, each: int) -> list[Cut]:
    """Cut-outs of at most ``count`` images, evenly taken from the data set."""
    height, width = PICTURE
    chosen = np.unique(np.linspace(0, len(dataset.samples) - 1, count).astype(int))
    found = []
    for index in chosen.tolist():
        sample = dataset.samples[index]
        image = resize_nearest(dataset.image(index).transpose(2, 0, 1), height, width)
        scale = (width / sample.width, height / sample.height) * 2
        box = [side * factor for side, factor in zip(sample.box, scale, strict=True)]
        found += _cuts(image, box, index, each)
    return found


def _cuts(image: Images, box: Sequence[float], index: int, count: int) -> list[Cut]:
    """Cut-outs that hold the box as far as it fits, at places drawn from the image's number."""
    rng = np.random.default_rng([SPLIT_SEED, index])
    height, width = CUT
    found = []
    for _ in range(count):
        left = _start(rng, box[0], box[2], width, image.shape[2])
        top = _start(rng, box[1], box[3], height, image.shape[1])
        inside = np.array(box, np.float32) - np.array([left, top] * 2, np.float32)
        inside /= np.array([width, height] * 2, np.float32)
        found.append((image[:, top : top + height, left : left + width], inside.clip(0, 1)))
    return found


def _start(rng: np.random.Generator, low: float, high: float, size: int, whole: int) -> int:
    """First pixel of a cut of ``size`` that holds low ... high, centred where they do not fit."""
    first, last = max(0, int(np.ceil(high)) - size), min(int(low), whole - size)
    if first > last:
        return int(np.clip((low + high - size) / 2, 0, whole - size))
    return int(rng.integers(first, last + 1))


def _detection(train: list[Cut], test: list[Cut]) -> Task:
    network = parse_network(3, *CUT, SCENE_BUNDLES, (f"conv1:{ANCHORS * BOX_CHANNELS}",))
    images, boxes = zip(*train, strict=True)
    test_images, test_boxes = zip(*test, strict=True)
    return Task(
        kind="detect",
        network=network,
        train_images=np.stack(images),
        train_targets=np.stack(boxes),
        test_images=np.stack(test_images),
        test_targets=np.stack(test_boxes),
        anchors=_anchors(np.stack(boxes), network),
    )


def _anchors(boxes: NDArray[np.float32], network: Network) -> tuple[tuple[float, float], ...]:
    """The median width and height, in cells, of the smaller and of the larger half of the boxes."""
    cells = np.array([network.output.out_width, network.output.out_height])
    sizes = (boxes[:, 2:] - boxes[:, :2]) * cells
    by_area = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
    halves = np.array_split(by_area, ANCHORS)
    return tuple((float(w), float(h)) for w, h in (np.median(half, axis=0) for half in halves))
