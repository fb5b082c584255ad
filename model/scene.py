"""Synthetic aerial scenes: textured ground, one small object with its shadow, its box.

A scene is a function of (seed, index, height, width) alone. Objects are as small as those of drone
videos: the box of half of them covers less than 0.7 % of the picture. Everything runs offline with
them, and they are no stand-in for real images when a network's accuracy is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.detection import PixelBox
from model.scene_canvas import Canvas, Colour, Plane, Window, box_distance, inside, oval_distance
from model.scene_ground import is_wet, paint_ground

LAND_KINDS = ("car", "lorry", "person")  # boats on water
MEDIAN_AREA = 0.0065  # of the object's box, share of the picture
SPREAD = 0.8  # standard deviation of that area's logarithm
AREA_RANGE = (0.0012, 0.06)
SIDE_MIN = 4.0  # pixels of the shorter side of the box, where the picture is large enough
_PAINTS: tuple[Colour, ...] = (
    (196, 38, 40), (232, 232, 230), (30, 32, 36), (38, 72, 150), (226, 186, 40), (222, 120, 34),
    (140, 146, 152), (30, 130, 120),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and the one object in it."""

    image: NDArray[np.uint8]  # (height, width, 3), RGB
    box: PixelBox  # max exclusive, without the shadow
    kind: str


@dataclass(frozen=True)
class _Pose:
    """Where an object stands: centre, direction, half length and half breadth in pixels."""

    x: float
    y: float
    angle: float
    half: tuple[float, float]


def draw_scene(seed: int, index: int, height: int, width: int) -> Scene:
    """Scene ``index`` of a seed, at any size; larger sizes show other scenes, not more detail."""
    rng = np.random.default_rng([seed, index, height, width])
    canvas = Canvas(np.zeros((height, width, 3), np.float32))
    toward = rng.uniform(0, 2 * np.pi)
    length = rng.uniform(0.3, 0.9)
    sun = (float(np.cos(toward) * length), float(np.sin(toward) * length))
    water = paint_ground(canvas, rng, sun)
    x, y = rng.uniform(0.03, 0.97) * width, rng.uniform(0.03, 0.97) * height
    kind = "boat" if is_wet(water, x, y) else LAND_KINDS[int(rng.integers(len(LAND_KINDS)))]
    pose = _pose(canvas, rng, kind, (x, y))
    window = canvas.window(pose.x, pose.y, 1.5 * (pose.half[0] + pose.half[1]))
    mask = _PAINTERS[kind](canvas, rng, pose, sun)
    box = _box(mask, window)
    return Scene(_develop(canvas, rng), box, kind)


def _pose(canvas: Canvas, rng: np.random.Generator, kind: str, place: tuple[float, float]) -> _Pose:
    """An object near a place, its box inside the picture and of an area as intended."""
    ratio = {"car": 0.45, "lorry": 0.34, "boat": 0.36, "person": 0.36}[kind]
    angle = -np.pi / 2 if kind == "person" else rng.uniform(0, 2 * np.pi)
    area = float(np.clip(np.exp(rng.normal(np.log(MEDIAN_AREA), SPREAD)), *AREA_RANGE))
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    wide, high = cos + ratio * sin, sin + ratio * cos  # of the box, for length 1
    length = float(np.sqrt(area * canvas.height * canvas.width / (wide * high)))
    length = max(length, SIDE_MIN / min(wide, high))
    length = min(length, 0.5 * canvas.width / wide, 0.5 * canvas.height / high)
    margin_x, margin_y = length * wide / 2 + 1, length * high / 2 + 1
    x = max(min(place[0], canvas.width - margin_x), margin_x)
    y = max(min(place[1], canvas.height - margin_y), margin_y)
    return _Pose(x, y, float(angle), (length / 2, length * ratio / 2))


def _paint_car(
    canvas: Canvas, rng: np.random.Generator, pose: _Pose, sun: tuple[float, float]
) -> Plane:
    window, along, across = _place(canvas, pose)
    length, breadth = pose.half
    _cast(canvas, window, pose, sun, 0.9)
    colour = _colour(canvas, rng, window)
    body = inside(box_distance(along, across, pose.half, breadth * 0.45))
    canvas.paint(window, body, colour)
    glass = inside(
        box_distance(along + np.float32(length * 0.1), across, (length * 0.58, breadth * 0.82), 1)
    )
    canvas.paint(window, glass * np.float32(0.85), (38.0, 44.0, 52.0))
    roof = inside(
        box_distance(along + np.float32(length * 0.16), across, (length * 0.34, breadth * 0.7), 1)
    )
    canvas.paint(window, roof, tuple(0.94 * value + 12 for value in colour))  # type: ignore[arg-type]
    lights = inside(np.float32(length * 0.88) - along) * (np.abs(across) > breadth * 0.45) * body
    canvas.paint(window, lights * np.float32(0.7), (240.0, 236.0, 214.0))
    return body


def _paint_lorry(
    canvas: Canvas, rng: np.random.Generator, pose: _Pose, sun: tuple[float, float]
) -> Plane:
    window, along, across = _place(canvas, pose)
    length, breadth = pose.half
    _cast(canvas, window, pose, sun, 1.6)
    box, cab = _colour(canvas, rng, window), _colour(canvas, rng, window)
    rear = box_distance(along + np.float32(length * 0.24), across, (length * 0.76, breadth), 0.5)
    front = box_distance(
        along - np.float32(length * 0.79), across, (length * 0.21, breadth * 0.92), breadth * 0.2
    )
    canvas.paint(window, inside(front), cab)
    glass = inside(np.abs(along - np.float32(length * 0.9)) - np.float32(length * 0.05))
    canvas.paint(window, glass * inside(front) * np.float32(0.8), (40.0, 46.0, 54.0))
    ribs = 1 + np.float32(0.05) * np.sign(np.sin(along * np.float32(9 / length)))
    canvas.paint(window, inside(rear), ribs[..., None] * np.asarray(box, np.float32))
    return np.maximum(inside(rear), inside(front))


def _paint_boat(
    canvas: Canvas, rng: np.random.Generator, pose: _Pose, sun: tuple[float, float]
) -> Plane:
    window, along, across = _place(canvas, pose)
    length, breadth = pose.half
    if rng.random() < 0.7:
        _wake(canvas, rng, pose)
    _cast(canvas, window, pose, sun, 0.5)
    taper = np.clip((along / np.float32(length) + 0.15) / np.float32(1.15), 0, 1)
    beam = np.float32(breadth) * (1 - taper * taper)
    hull = np.maximum(np.abs(across) - beam, np.abs(along) - np.float32(length))
    colour = _colour(canvas, rng, window)
    canvas.paint(window, inside(hull), colour)
    deck = inside(hull + np.float32(max(breadth * 0.22, 0.7)))
    canvas.paint(window, deck, tuple(0.5 * value + 100 for value in colour))  # type: ignore[arg-type]
    cabin = box_distance(
        along + np.float32(length * 0.15), across, (length * 0.26, breadth * 0.5), breadth * 0.2
    )
    canvas.shade(window, inside(cabin - np.float32(0.6)), 0.3)
    canvas.paint(window, inside(cabin), (228.0, 230.0, 232.0))
    return inside(hull)


def _paint_person(
    canvas: Canvas, rng: np.random.Generator, pose: _Pose, sun: tuple[float, float]
) -> Plane:
    """Seen from the side, feet below; ``along`` points up."""
    window, along, across = _place(canvas, pose)
    tall, half = pose.half
    foot = _Pose(pose.x, pose.y + tall, 0.0, (half, half))
    _cast_person(canvas, foot, sun, tall)
    top, trousers = _colour(canvas, rng, window), _colour(canvas, rng, window)
    stride = rng.uniform(0.2, 0.5) * half
    mask = np.zeros(along.shape, np.float32)
    for side in (-1, 1):
        lean = across - np.float32(side * stride) * (np.float32(tall * 0.1) - along) / tall
        leg = box_distance(along + np.float32(tall * 0.55), lean, (tall * 0.45, half * 0.28), 0.3)
        canvas.paint(window, inside(leg), trousers)
        swing = across - np.float32(side * half * 0.72)
        arm = box_distance(along - np.float32(tall * 0.2), swing, (tall * 0.33, half * 0.2), 0.3)
        canvas.paint(window, inside(arm), tuple(0.85 * value for value in top))  # type: ignore[arg-type]
        mask = np.maximum(mask, np.maximum(inside(leg), inside(arm)))
    trunk = box_distance(
        along - np.float32(tall * 0.25), across, (tall * 0.38, half * 0.68), half * 0.3
    )
    canvas.paint(window, inside(trunk), top)
    head = oval_distance(along - np.float32(tall * 0.8), across, (tall * 0.2, half * 0.42))
    skin, hair = (198.0, 152.0, 124.0), (52.0, 40.0, 34.0)
    canvas.paint(window, inside(head), skin)
    canvas.paint(window, inside(head) * inside(np.float32(tall * 0.84) - along), hair)
    return np.maximum(mask, np.maximum(inside(trunk), inside(head)))


_PAINTERS = {
    "car": _paint_car,
    "lorry": _paint_lorry,
    "boat": _paint_boat,
    "person": _paint_person,
}


def _place(canvas: Canvas, pose: _Pose) -> tuple[Window, Plane, Plane]:
    window = canvas.window(pose.x, pose.y, 1.5 * (pose.half[0] + pose.half[1]))
    return window, *canvas.turned(window, pose.x, pose.y, pose.angle)


def _cast(
    canvas: Canvas, window: Window, pose: _Pose, sun: tuple[float, float], high: float
) -> None:
    """The shadow of a box-like thing, ``high`` half breadths tall."""
    shift = high * pose.half[1]
    at = (pose.x + sun[0] * shift, pose.y + sun[1] * shift, pose.angle)
    along, across = canvas.turned(window, *at)
    shape = box_distance(along, across, pose.half, pose.half[1] * 0.3)
    canvas.shade(window, inside(shape, 1.5), 0.5)


def _cast_person(canvas: Canvas, foot: _Pose, sun: tuple[float, float], tall: float) -> None:
    """A long soft shadow on the ground, from the feet away from the sun."""
    length = float(np.hypot(*sun)) * tall * 1.1
    angle = float(np.arctan2(sun[1] * 0.6, sun[0]))
    x, y = foot.x + np.cos(angle) * length, foot.y + np.sin(angle) * length
    window = canvas.window(x, y, length + foot.half[0])
    along, across = canvas.turned(window, float(x), float(y), angle)
    shape = oval_distance(along, across, (length, foot.half[0] * 0.6))
    canvas.shade(window, inside(shape, 1.5), 0.45)


def _wake(canvas: Canvas, rng: np.random.Generator, pose: _Pose) -> None:
    """White water behind a boat, wider and thinner with the distance."""
    length, breadth = pose.half
    tail = length * rng.uniform(2, 7)
    window = canvas.window(pose.x, pose.y, tail + length)
    along, across = canvas.turned(window, pose.x, pose.y, pose.angle)
    behind = np.clip(-along - np.float32(length * 0.7), 0, None)
    spread = np.float32(breadth * 0.5) + behind * np.float32(0.16)
    strength = np.clip(1 - behind / np.float32(tail), 0, 1) * (behind > 0)
    foam = rng.random(along.shape).astype(np.float32)
    rim = np.abs(np.abs(across) - spread) - spread * np.float32(0.35)
    cover = (0.7 * inside(rim, 2) + 0.3 * inside(np.abs(across) - spread, 2)) * strength
    canvas.paint(window, cover * (0.45 + 0.5 * foam), (222.0, 232.0, 234.0))


def _colour(canvas: Canvas, rng: np.random.Generator, window: Window) -> Colour:
    """A paint that stands out from the ground around."""
    ground = canvas.pixels[window].mean(axis=(0, 1))
    best, distance = _PAINTS[0], 0.0
    for _ in range(3):
        paint = _PAINTS[int(rng.integers(len(_PAINTS)))]
        found = float(np.abs(np.array(paint) - ground).sum())
        if found > distance:
            best, distance = paint, found
        if distance > 150:
            break
    red, green, blue = np.clip(np.array(best) + rng.normal(0, 10, 3), 8, 245)
    return float(red), float(green), float(blue)


def _box(mask: Plane, window: Window) -> PixelBox:
    """The pixels that the object covers by half, never none."""
    covered = mask >= min(0.5, float(mask.max()))
    rows, cols = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    top, left = int(window[0].start), int(window[1].start)
    right, bottom = left + int(cols[-1]) + 1, top + int(rows[-1]) + 1
    return left + int(cols[0]), top + int(rows[0]), right, bottom


def _develop(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, tint, fall-off of light, a camera's noise."""
    gain = rng.uniform(0.75, 1.12) * (1 + rng.normal(0, 0.03, 3))
    rows, cols = canvas.grid()
    fall = (rows / canvas.height - 0.5) * rng.normal(0, 0.15)
    fall = fall + (cols / canvas.width - 0.5) * rng.normal(0, 0.15)
    pixels = canvas.pixels * gain.astype(np.float32) * (1 + fall[..., None]).astype(np.float32)
    pixels += rng.normal(0, rng.uniform(1, 4), pixels.shape[:2])[..., None].astype(np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
