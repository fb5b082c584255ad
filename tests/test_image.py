"""Images: what is read from a file, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.image import load_image, random_image, resize_nearest

DESIGNS = Path(__file__).parent.parent / "designs"
SHAPE = (3, 16, 24)


@pytest.fixture(scope="module")
def design() -> Design:
    return load_design(DESIGNS / "tiny.toml")


@pytest.fixture
def picture() -> Any:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def test_arrays_are_read_as_they_are(design: Design, picture: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", picture)
    np.savez(tmp_path / "b.npz", picture)
    np.savez(tmp_path / "c.npz", image=picture, other=picture + 1)
    for name in ("a.npy", "b.npz", "c.npz"):
        found = load_image(tmp_path / name, design)
        assert found.dtype == np.int64
        assert np.array_equal(found, picture)


def test_ppm_is_read(design: Design, picture: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n# a comment\n24 16\n255\n" + picture.transpose(1, 2, 0).tobytes())
    assert np.array_equal(load_image(path, design), picture)


def test_samples_are_shifted_to_the_feature_bits(
    design: Design, picture: Any, tmp_path: Path
) -> None:
    tables = design_to_dict(design)
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 24 16 255\n" + picture.transpose(1, 2, 0).tobytes())
    tables["precision"]["feature_bits"] = 5
    assert np.array_equal(load_image(path, design_from_dict(tables)), picture >> 3)
    wide = picture.astype(">u2") * 257
    path.write_bytes(b"P6 24 16 65535\n" + wide.transpose(1, 2, 0).tobytes())
    assert np.array_equal(load_image(path, design), picture)


def test_pgm_has_one_channel(design: Design, picture: Any, tmp_path: Path) -> None:
    tables = design_to_dict(design)
    tables["network"]["channels"] = 1
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 24 16 255\n" + picture[0].tobytes())
    assert np.array_equal(load_image(path, design_from_dict(tables)), picture[:1])
    with pytest.raises(TandemError, match=r"shape \(1, 16, 24\)"):
        load_image(path, design)


def test_png_is_read_where_pillow_is(design: Design, picture: Any, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.png"
    pillow.fromarray(picture.transpose(1, 2, 0)).save(path)
    assert np.array_equal(load_image(path, design), picture)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TandemError, match="truncated"):
        load_image(path, design)


def test_resizing_only_when_asked(design: Design, picture: Any, tmp_path: Path) -> None:
    large = picture.repeat(2, axis=1).repeat(3, axis=2)
    np.save(tmp_path / "a.npy", large)
    with pytest.raises(TandemError, match=r"shape \(3, 32, 72\)"):
        load_image(tmp_path / "a.npy", design)
    assert np.array_equal(load_image(tmp_path / "a.npy", design, resize=True), picture)
    assert np.array_equal(resize_nearest(picture, 32, 72), large)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.ppm", b"P6 24 16 255\n" + bytes(100), "truncated"),
        ("a.ppm", b"P6 24 16", "header"),
        ("a.ppm", b"P6 0 16 255\n", "header"),
        ("a.ppm", b"P6 24 x 255\n", "header"),
        ("a.ppm", b"P6 999999999999 16 255\n", "header"),
        ("a.ppm", b"P3 24 16 255\n", "P5 or P6"),
        ("a.ppm", b"", "P5 or P6"),
        ("a.npy", b"\x93NUMPY", "truncated"),
        ("a.npy", b"", "truncated"),
        ("a.npz", b"PK\x03\x04", "truncated"),
        ("a.bmp", b"BM", "are read from"),
    ],
)
def test_damaged_files_are_refused(
    design: Design, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(TandemError) as refusal:
        load_image(path, design)
    assert str(path) in str(refusal.value)
    assert words in str(refusal.value)


def test_missing_and_ambiguous_files_are_refused(
    design: Design, picture: Any, tmp_path: Path
) -> None:
    with pytest.raises(TandemError, match="there is no such image"):
        load_image(tmp_path / "none.npy", design)
    np.savez(tmp_path / "two.npz", a=picture, b=picture)
    with pytest.raises(TandemError, match="holds 2 arrays"):
        load_image(tmp_path / "two.npz", design)
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(TandemError, match="not a readable NumPy file"):
        load_image(tmp_path / "pickle.npy", design)
    np.save(tmp_path / "bright.npy", np.full(SHAPE, 256))
    with pytest.raises(TandemError, match="holds 256"):
        load_image(tmp_path / "bright.npy", design)


def test_a_random_image_fills_the_range_and_repeats(design: Design) -> None:
    first, second = (random_image(design, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == SHAPE
    assert 0 <= first.min() < 40
    assert 215 < first.max() <= 255
