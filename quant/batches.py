"""Batches of a training stage: what the first trainable layer sees, the boxes, the teacher's head.

Views of an image are made from (seed, image, view) alone and the order of an epoch from (seed,
epoch), so any epoch can be begun anywhere with equal bits. Behind the frozen layers a view is kept
in a cache where one is used; else it is made anew, in threads, while the network computes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quant.feature_cache import FeatureCache, Records
from quant.train_log import bar

Item = TypeVar("Item")
Image = NDArray[np.uint8]
BoxShare = NDArray[np.float32]  # xmin, ymin, xmax, ymax as shares of the sides

PLAIN = -1  # the view without augmentation
_AHEAD = 2  # batches prepared before they are asked for


class Pictures(Protocol):
    """Labelled images at the network's input size."""

    def __len__(self) -> int:
        """How many images."""

    def view(self, index: int, view: int) -> tuple[Image, BoxShare]:
        """(3, H, W) uint8 and the box, always the same for (index, view); ``PLAIN`` as it is."""


class Front(Protocol):
    """What runs before the trainable layers, without gradients."""

    def stem(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, H, W) -> what the first trainable layer sees, as it is stored."""

    def teach(self, images: Tensor) -> Tensor | None:
        """uint8 images -> the teacher's head (B, channels, h, w) float16, None without teacher."""


@dataclass(frozen=True)
class Batch:
    """A batch on its way to the trainable layers."""

    stem: Tensor
    boxes: Tensor  # (B, 4) float32, shares of the sides
    teacher: Tensor | None


class Waited:
    """Counts the seconds that its reader spends waiting for the next item."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items."""
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - start
            yield item


@dataclass(frozen=True)
class BatchSource:
    """The training batches of a stage."""

    pictures: Pictures
    front: Front
    batch_size: int
    seed: int
    views: int  # 0: a new view every epoch
    workers: int
    cache: FeatureCache | None

    @property
    def batches(self) -> int:
        """Batches an epoch; the last one may be smaller."""
        return -(-len(self.pictures) // self.batch_size)

    def view_of(self, epoch: int) -> int:
        """The view that an epoch uses."""
        return epoch % self.views if self.views else epoch

    def epoch(self, epoch: int, first: int, waited: Waited) -> Iterator[Batch]:
        """The batches of an epoch from ``first`` on; ``waited`` counts waiting for data."""
        order = np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.pictures))
        view = self.view_of(epoch)
        groups = split(order, self.batch_size)[first:]
        if self.cache is not None:
            return waited.over(cached_batches(self.records(view), groups))
        return self._made(groups, view, waited)

    def prepare(self, epoch: int) -> None:
        """Make what the epoch needs where the cache has not got it yet."""
        if self.cache is not None:
            self.records(self.view_of(epoch))

    def records(self, view: int) -> Records:
        """The cached records of a view, made now where they are missing or damaged."""
        assert self.cache is not None
        found = self.cache.open(view)
        if found is not None:
            return found
        with self.cache.making(view):
            found = self.cache.open(view)  # another process may have made it meanwhile
            return found if found is not None else self._make_view(view)

    def _make_view(self, view: int) -> Records:
        assert self.cache is not None
        groups = split(np.arange(len(self.pictures)), self.batch_size)
        made = bar(self._made(groups, view, Waited()), len(groups), f"view {view} to the cache")
        return self.cache.write(view, (to_record(batch) for batch in made))

    def _made(self, groups: Sequence[NDArray[Any]], view: int, waited: Waited) -> Iterator[Batch]:
        pictures = picture_batches(self.pictures, groups, view, self.workers)
        for images, boxes in waited.over(pictures):
            yield Batch(self.front.stem(images), boxes, self.front.teach(images))


def picture_batches(
    pictures: Pictures, groups: Sequence[NDArray[Any]], view: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """(B, 3, H, W) uint8 and (B, 4) boxes of groups of images, prepared by threads, in order."""
    load = pictures.view
    if workers == 0:
        for group in groups:
            yield stack([load(int(index), view) for index in group])
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[list[Future[tuple[Image, BoxShare]]]] = []
        rest = iter(groups)

        def send() -> None:
            group = next(rest, None)
            if group is not None:
                waiting.append([pool.submit(load, int(index), view) for index in group])

        try:
            for _ in range(_AHEAD + 1):
                send()
            while waiting:
                ready = [future.result() for future in waiting.pop(0)]
                send()
                yield stack(ready)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def cached_batches(records: Records, groups: Sequence[NDArray[Any]]) -> Iterator[Batch]:
    """Batches read from mapped records, one thread ahead of their use."""

    def read(group: NDArray[Any]) -> Batch:
        found = records[group]  # a copy in memory
        return from_record(found)

    return ahead(read, groups)


def ahead(make: Callable[[Any], Item], keys: Sequence[Any]) -> Iterator[Item]:
    """``make`` of every key in order, made by one thread that is a few items ahead."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: tuple[Item | None, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for key in keys:
                if not put((make(key), None)):
                    return
        except BaseException as error:  # noqa: BLE001  (raised again where it is awaited)
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in keys:
            item, error = ready.get()
            if error is not None:
                raise error
            assert item is not None
            yield item
    finally:
        stop.set()
        thread.join()


def stack(views: Sequence[tuple[Image, BoxShare]]) -> tuple[Tensor, Tensor]:
    """Images and boxes of a batch."""
    images = torch.from_numpy(np.stack([image for image, _ in views]))
    return images, torch.from_numpy(np.stack([box for _, box in views]))


def split(order: NDArray[Any], size: int) -> list[NDArray[Any]]:
    """An order in batches."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def record_type(front: Front, image: Image, taught: bool) -> np.dtype[Any]:
    """The record of one view, found by running one image; ``taught`` with the teacher's head."""
    images = torch.from_numpy(image[None])
    stem, teacher = front.stem(images), front.teach(images) if taught else None
    parts = [("stem", _kind(stem), tuple(stem.shape[1:])), ("boxes", np.float32, (4,))]
    if teacher is not None:
        parts.append(("teacher", _kind(teacher), tuple(teacher.shape[1:])))
    return np.dtype(parts)


def to_record(batch: Batch) -> dict[str, NDArray[Any]]:
    """A batch as the cache stores it."""
    found = {"stem": batch.stem.cpu().numpy(), "boxes": batch.boxes.numpy()}
    if batch.teacher is not None:
        found["teacher"] = batch.teacher.cpu().numpy()
    return found


def from_record(records: Records) -> Batch:
    """The inverse."""
    names = records.dtype.names or ()
    parts = {name: torch.from_numpy(np.ascontiguousarray(records[name])) for name in names}
    return Batch(parts["stem"], parts["boxes"], parts.get("teacher"))


def _kind(tensor: Tensor) -> np.dtype[Any]:
    return tensor.cpu().numpy().dtype
