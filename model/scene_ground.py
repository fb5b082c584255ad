"""The ground of a synthetic aerial scene: land or water, roads, buildings, trees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.scene_canvas import (
    Canvas,
    Colour,
    Plane,
    box_distance,
    inside,
    oval_distance,
    rough_noise,
    smooth_noise,
)

GROUNDS = ("grass", "fields", "dirt", "paving", "water", "snow")
COLOURS: dict[str, Colour] = {
    "grass": (98, 122, 66),
    "fields": (128, 128, 78),
    "dirt": (150, 128, 98),
    "paving": (148, 146, 142),
    "water": (46, 92, 100),
    "snow": (202, 208, 212),
}
_CROPS: tuple[Colour, ...] = (
    (116, 134, 70), (150, 146, 84), (88, 110, 58), (166, 144, 100), (134, 118, 84), (102, 128, 88),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = (
    (150, 84, 66), (120, 118, 120), (176, 170, 158), (96, 98, 106), (172, 120, 88), (210, 206, 198),
)  # fmt: skip


def paint_ground(
    canvas: Canvas, rng: np.random.Generator, sun: tuple[float, float]
) -> NDArray[np.bool_]:
    """Paint everything but the object; where the water is, (height, width).

    ``sun`` is the shift (x, y) of the shadow of a thing one unit high, in units.
    """
    kind = GROUNDS[int(rng.choice(len(GROUNDS), p=(0.26, 0.16, 0.14, 0.18, 0.18, 0.08)))]
    _lay(canvas, rng, kind, None)
    water = np.full((canvas.height, canvas.width), kind == "water")
    if kind != "paving" and rng.random() < 0.45:
        second, cover = _second_ground(canvas, rng, kind)
        water = np.where(cover > 0.5, second == "water", water)
    if not water.all():
        for _ in range(int(rng.choice(3, p=(0.35, 0.45, 0.2)))):
            water &= _road(canvas, rng) < 0.5  # a bridge
        for _ in range(int(rng.choice(5, p=(0.45, 0.2, 0.15, 0.1, 0.1)))):
            _building(canvas, rng, sun, water)
        for _ in range(int(rng.integers(0, 4))):
            _grove(canvas, rng, sun, water)
    return water


def is_wet(water: NDArray[np.bool_], x: float, y: float) -> bool:
    """Is there water at a point? Beyond the edge what stands at the edge goes on."""
    row = min(max(int(y), 0), water.shape[0] - 1)
    return bool(water[row, min(max(int(x), 0), water.shape[1] - 1)])


def _lay(canvas: Canvas, rng: np.random.Generator, kind: str, cover: Plane | None) -> None:
    """Texture of one kind over the picture, or where ``cover`` says so."""
    height, width, unit = canvas.height, canvas.width, canvas.unit
    tint = rng.normal(0, 3 if kind in ("paving", "snow") else 6, 3) + rng.normal(0, 9)
    base = (np.array(COLOURS[kind]) + tint).astype(np.float32)
    layer = np.broadcast_to(base, (height, width, 3)).copy()
    if kind == "fields":
        layer = _patches(canvas, rng)
    sizes = tuple(unit * size for size in (70, 30, 12, 5, 2))
    depth = {"water": 12, "snow": 8, "paving": 10}.get(kind, 22)
    layer += (rough_noise(rng, height, width, sizes, 0.75) * np.float32(depth))[..., None]
    colours = rough_noise(rng, height, width, (unit * 50, unit * 18))
    layer += colours[..., None] * rng.normal(0, 6, 3).astype(np.float32)
    if kind == "water":
        layer += _waves(canvas, rng)[..., None]
    if kind == "paving":
        layer += _joints(canvas, rng)[..., None]
    if kind in ("grass", "dirt") and rng.random() < 0.5:
        layer += _stripes(canvas, rng, rng.uniform(10, 26), rng.uniform(2, 7))[..., None]
    if cover is None:
        canvas.pixels[:] = layer
    else:
        canvas.paint((slice(0, height), slice(0, width)), cover, layer)


def _second_ground(canvas: Canvas, rng: np.random.Generator, first: str) -> tuple[str, Plane]:
    """Another kind on one side of a winding border: which, and where it lies."""
    others = [kind for kind in GROUNDS if kind not in (first, "snow")]
    second = others[int(rng.integers(len(others)))]
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    x, y = rng.uniform(0.2, 0.8) * canvas.width, rng.uniform(0.2, 0.8) * canvas.height
    _, across = canvas.turned(everywhere, x, y, rng.uniform(0, 2 * np.pi))
    unit = canvas.unit
    winding = rough_noise(rng, canvas.height, canvas.width, (unit * 60, unit * 15, unit * 4))
    edge = across + winding * np.float32(unit * rng.uniform(0, 30))
    cover = inside(edge, 1.5 * unit + 0.5)
    _lay(canvas, rng, second, cover)
    canvas.shade(everywhere, inside(np.abs(edge) - np.float32(1.2 * unit), 2 * unit + 0.5), 0.2)
    return second, cover


def _patches(canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Fields: oblong patches of crops with furrows, (height, width, 3)."""
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    along, across = canvas.turned(everywhere, 0, 0, rng.uniform(0, np.pi))
    unit = canvas.unit
    wobble = smooth_noise(rng, canvas.height, canvas.width, unit * 60) * np.float32(unit * 3)
    length, breadth = unit * rng.uniform(60, 140), unit * rng.uniform(30, 70)
    column = np.floor((across + wobble) / np.float32(breadth)).astype(np.int64)
    row = np.floor((along + wobble) / np.float32(length) + column * 0.37).astype(np.int64)
    number = (row * 73 + column * 151 + int(rng.integers(1000))) % 97
    crops = np.array([_CROPS[int(rng.integers(len(_CROPS)))] for _ in range(97)], np.float32)
    crops += rng.normal(0, 8, crops.shape).astype(np.float32)
    layer: Plane = crops[number]
    pitch = np.float32(2 * np.pi / (unit * rng.uniform(3, 6) + 1))
    layer += (np.sin(across * pitch) * rng.uniform(1, 5, 97).astype(np.float32)[number])[..., None]
    return layer


def _waves(canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Ripples across the wind, stronger in patches."""
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    along, across = canvas.turned(everywhere, 0, 0, rng.uniform(0, np.pi))
    unit = canvas.unit
    bend = rough_noise(rng, canvas.height, canvas.width, (unit * 25, unit * 9)) * np.float32(9)
    ripples = np.sin(along * np.float32(2.2 / (unit * rng.uniform(2, 5) + 0.5)) + bend)
    ripples += np.sin(across * np.float32(0.5 / unit) + along * np.float32(0.9 / unit) + bend * 2)
    patches = 1 + smooth_noise(rng, canvas.height, canvas.width, unit * 45)
    found: Plane = ripples * patches * np.float32(rng.uniform(2, 5))
    return found


def _joints(canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Slabs: dark joints and a little difference between neighbours."""
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    along, across = canvas.turned(everywhere, 0, 0, rng.uniform(0, np.pi))
    pitch = np.float32(canvas.unit * rng.uniform(9, 30) + 2)
    place_x, place_y = along / pitch, across / (pitch * np.float32(rng.uniform(0.5, 1)))
    whole_x, whole_y = np.floor(place_x), np.floor(place_y)
    gap = np.minimum(np.abs(place_x - whole_x - 0.5), np.abs(place_y - whole_y - 0.5))
    tones = rng.normal(0, 4, 61).astype(np.float32)
    number = (whole_x.astype(np.int64) * 17 + whole_y.astype(np.int64) * 29) % 61
    found: Plane = tones[number] - inside(gap * pitch - np.float32(0.4), 1) * np.float32(14)
    return found


def _stripes(canvas: Canvas, rng: np.random.Generator, pitch: float, depth: float) -> Plane:
    """Mown or driven tracks."""
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    along, _ = canvas.turned(everywhere, 0, 0, rng.uniform(0, np.pi))
    found: Plane = np.sin(along * np.float32(2 * np.pi / (pitch * canvas.unit))) * np.float32(depth)
    return found


def _road(canvas: Canvas, rng: np.random.Generator) -> Plane:
    """A strip across the picture, a little bent, with markings; where it lies."""
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    x, y = rng.uniform(0.1, 0.9) * canvas.width, rng.uniform(0.1, 0.9) * canvas.height
    along, across = canvas.turned(everywhere, x, y, rng.uniform(0, np.pi))
    unit = canvas.unit
    bend = np.sin(along / np.float32(unit * rng.uniform(60, 160)) + np.float32(rng.uniform(0, 6)))
    across = across + bend * np.float32(unit * rng.uniform(0, 18))
    half = unit * rng.uniform(5, 15)
    paved = rng.random() < 0.75
    grey = rng.uniform(88, 140)
    tone = (grey, grey, grey + 3) if paved else (grey + 40, grey + 22, grey - 8)
    grain = rough_noise(rng, canvas.height, canvas.width, (unit * 20, unit * 3)) * np.float32(9)
    layer = np.asarray(tone, np.float32) + grain[..., None]
    edge = np.abs(across)
    cover = inside(edge - np.float32(half), 1.2)
    canvas.paint(everywhere, cover, layer)
    if not paved or half < 7 * unit:
        return cover
    line = 0.45 * unit + 0.15
    dashes = np.sin(along * np.float32(0.35 / unit)) > np.float32(-0.1)
    white = (226.0, 226.0, 220.0)
    canvas.paint(everywhere, inside(edge - np.float32(line)) * dashes * np.float32(0.75), white)
    kerb = np.abs(edge - np.float32(half * 0.9)) - np.float32(line * 0.8)
    canvas.paint(everywhere, inside(kerb) * np.float32(0.6), white)
    return cover


def _building(
    canvas: Canvas,
    rng: np.random.Generator,
    sun: tuple[float, float],
    water: NDArray[np.bool_],
) -> None:
    """A roof of two slopes with its shadow, where there is land."""
    unit = canvas.unit
    half = (unit * rng.uniform(14, 34), unit * rng.uniform(9, 20))
    x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
    angle, high = rng.uniform(0, np.pi), rng.uniform(5, 14)
    if any(
        is_wet(water, x + dx, y + dy) for dx in (-half[0], half[0]) for dy in (-half[0], half[0])
    ):
        return
    reach = half[0] + half[1] + high * unit
    window = canvas.window(x, y, reach)
    cast = canvas.turned(window, x + sun[0] * high * unit, y + sun[1] * high * unit, angle)
    canvas.shade(window, inside(box_distance(*cast, half, unit), 2 * unit + 0.5), 0.5)
    along, across = canvas.turned(window, x, y, angle)
    roof = np.array(_ROOFS[int(rng.integers(len(_ROOFS)))]) + rng.normal(0, 8, 3)
    cover = inside(box_distance(along, across, half, 0.5 * unit))
    slope = np.where(across > 0, 1.0, rng.uniform(0.72, 0.95)).astype(np.float32)
    tiles = 1 + np.sin(along * np.float32(2.5 / unit)) * np.float32(0.03)
    canvas.paint(window, cover, (slope * tiles)[..., None] * roof.astype(np.float32))
    canvas.shade(window, inside(np.abs(across) - np.float32(0.4 * unit)) * cover, 0.2)
    for _ in range(int(rng.integers(0, 4))):
        dx, dy = rng.uniform(-0.7, 0.7) * half[0], rng.uniform(-0.7, 0.7) * half[1]
        side = unit * rng.uniform(1, 2.5)
        vent = box_distance(along - np.float32(dx), across - np.float32(dy), (side, side), 0)
        canvas.paint(window, inside(vent) * cover, (190.0, 190.0, 186.0))


def _grove(
    canvas: Canvas,
    rng: np.random.Generator,
    sun: tuple[float, float],
    water: NDArray[np.bool_],
) -> None:
    """Trees or bushes around a point, the shadows of all below the crowns of all."""
    unit = canvas.unit
    x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
    spread, size = unit * rng.uniform(12, 60), rng.uniform(3, 9)
    trees = [
        (*rng.normal((x, y), spread), unit * size * rng.uniform(0.6, 1.3))
        for _ in range(int(rng.integers(3, 16)))
    ]
    trees = [tree for tree in trees if not is_wet(water, tree[0], tree[1])]
    for tree_x, tree_y, radius in trees:
        at = (tree_x + sun[0] * radius * 1.3, tree_y + sun[1] * radius * 1.3)
        window = canvas.window(*at, radius)
        cast = canvas.turned(window, *at, 0)
        canvas.shade(window, inside(oval_distance(*cast, (radius, radius)), unit + 0.5), 0.45)
    green = (np.array((62, 88, 44)) + rng.normal(0, 12, 3)).astype(np.float32)
    for tree_x, tree_y, radius in trees:
        _crown(canvas, rng, (tree_x, tree_y, radius), green, sun)


def _crown(
    canvas: Canvas,
    rng: np.random.Generator,
    tree: tuple[float, float, float],
    green: Plane,
    sun: tuple[float, float],
) -> None:
    x, y, radius = tree
    window = canvas.window(x, y, radius * 1.3)
    along, across = canvas.turned(window, x, y, 0)
    if not along.size or not across.size:
        return
    shape = (across.shape[0], along.shape[1])
    leaves = rough_noise(rng, *shape, (radius * 0.5, radius * 0.22))
    edge = oval_distance(along, across, (radius, radius)) + leaves * np.float32(radius * 0.5)
    bright = (along * np.float32(-sun[0]) + across * np.float32(-sun[1])) / np.float32(radius)
    tone = 1 + bright * np.float32(0.22) + leaves * np.float32(0.35)
    colour = (green + rng.normal(0, 6, 3)).astype(np.float32)
    canvas.paint(window, inside(edge, 1.3), tone[..., None] * colour)
