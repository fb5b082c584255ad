"""Published networks: read as they must be, quantised closely, run on the RTL bit for bit."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from typer.testing import CliRunner

from model.design import Design, load_design
from model.detection import SKYNET_ANCHORS, PixelBox, mean_iou, to_pixels
from model.errors import TandemError
from model.functional import run_head
from model.image import random_image
from model.integer_network import IntegerNetwork, Integers
from model.network_file import load_network
from quant.dataset import Dataset, load_dataset
from quant.evaluate_command import input_image
from quant.float_level import float_detections
from quant.import_command import calibration_images
from quant.import_skrskr import import_skrskr
from quant.import_skynet import for_our_input, import_skynet
from tandem import app
from testbench.verify import verify

Arrays = dict[str, NDArray[Any]]

ROOT = Path(__file__).resolve().parent.parent
DESIGNS = ROOT / "designs"
DATA = ROOT.parent / "shared" / "data"
SKRSKR = DATA / "skrskr" / "skrskr_w6a8.npz"
SKYNET = DATA / "skynet" / "skynet_float.h5"
VAL = DATA / "dac_sdc" / "val.csv"
PHOTO = "images/992.jpg"
PHOTO_BOX = (298, 152, 335, 205)  # xmin, ymin, xmax, ymax, as SkrSkr's authors publish it

published = pytest.mark.skipif(not SKRSKR.exists(), reason="needs the published files")


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def skrskr_arrays() -> Arrays:
    """Random values in the published layout; some multipliers are negative."""
    rng = np.random.default_rng(5)
    arrays: Arrays = {}
    channels = 3
    for number, outputs in enumerate((48, 96, 192, 384, 512, 96), 1):
        channels = 1280 if number == 6 else channels
        for name, shape in (
            (f"dw{number}", (channels, 3, 3)),
            (f"pw{number}", (outputs, channels)),
        ):
            terms = int(np.prod(shape[1:]))
            arrays[f"{name}.weight"] = rng.integers(-32, 32, shape).astype(np.int8)
            arrays[f"{name}.bias"] = rng.integers(-9000, 9000, shape[0]).astype(np.int32)
            mult = rng.integers(9000, 13000, shape[0]) // max(1, int(terms**0.5) // 3)
            arrays[f"{name}.mult"] = np.where(rng.random(shape[0]) < 0.05, -mult, mult)
        channels = outputs
    arrays["head.weight"] = rng.integers(-32, 32, (10, 96)).astype(np.int8)
    arrays["head.bias"] = np.zeros(10, np.int32)
    arrays["head.mult"] = rng.integers(20, 130, 10).astype(np.int32)
    return arrays


def as_published(arrays: Arrays, image: Integers) -> NDArray[np.float64]:
    """The published arithmetic, written from its description: the head's real values."""

    def requantise(sums: Integers, name: str) -> Integers:
        clipped = np.maximum(sums + arrays[f"{name}.bias"][:, None, None], 0)
        return np.clip(clipped * arrays[f"{name}.mult"][:, None, None] >> 17, 0, 255)

    def block(x: Integers, number: int) -> Integers:
        channels, height, width = x.shape
        edge = 128 if number == 1 else 0
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=edge)
        weight = arrays[f"dw{number}.weight"].astype(np.int64)
        sums = np.zeros((channels, height, width), np.int64)
        for i in range(3):
            for j in range(3):
                sums += weight[:, i, j, None, None] * padded[:, i : i + height, j : j + width]
        middle = requantise(sums, f"dw{number}").astype(np.float64)  # sums below 2^53
        factors = arrays[f"pw{number}.weight"].astype(np.float64)
        sums = np.tensordot(factors, middle, 1).astype(np.int64)
        return requantise(sums, f"pw{number}")

    def halve(x: Integers) -> Integers:
        return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))

    x = halve(block(image, 1))
    bypass = block(halve(block(x, 2)), 3)
    x = block(block(halve(bypass), 4), 5)
    phases = [bypass[:, row::2, col::2] for row in (0, 1) for col in (0, 1)]
    x = block(np.concatenate([*phases, x]), 6)
    sums = np.tensordot(arrays["head.weight"].astype(np.float64), x.astype(np.float64), 1)
    return sums * arrays["head.mult"][:, None, None] / 2**17


@pytest.fixture(scope="module")
def skrskr() -> Design:
    return load_design(DESIGNS / "skrskr.toml")


def test_skrskr_computes_what_was_published(tmp_path: Path, skrskr: Design) -> None:
    arrays = skrskr_arrays()
    np.savez_compressed(tmp_path / "weights.npz", **arrays)
    network = import_skrskr(tmp_path / "weights.npz", skrskr)
    assert {layer.shift for layer in network.layers[:-1]} == {17}
    assert [layer.pad_value for layer in network.layers] == [128] + [0] * 12
    image = random_image(skrskr, np.random.default_rng(2))
    assert network.head is not None
    assert network.head.anchors == SKYNET_ANCHORS
    found = network.head.values(run_head(skrskr, network, image))
    wanted = as_published(arrays, image)
    assert wanted.std() > 0.1  # a network that is dark would agree with anything
    assert np.array_equal(found, wanted)


def change(name: str, value: object) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[name] = arrays[name].astype(np.int64)
        arrays[name].flat[0] = value

    return apply


def put(name: str, value: Any) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: value})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda arrays: arrays.pop("pw4.bias"), "pw4.bias is missing"),
        (put("dw1.weight", np.zeros((3, 5, 5), np.int8)), "shape (3, 5, 5)"),
        (put("dw2.bias", np.zeros(48)), "holds float64 values"),
        (put("dw2.mult", np.zeros(1 << 20, np.int64)), "can have at most"),
        (put("dw2.bias", np.array([None] * 48)), "Object arrays cannot be loaded"),
        (change("pw3.weight", 32), "pw3.weight holds 32, it must lie from -32 to 31"),
        (change("pw3.mult", 1 << 15), "from -32768 to 32767"),
        (change("pw3.bias", 1 << 31), "from -2147483648 to 2147483647"),
        (change("head.bias", 1), "head.bias holds 1, it must lie from 0 to 0"),
    ],
)
def test_damaged_skrskr_files_are_refused_in_one_sentence(
    tmp_path: Path, skrskr: Design, damage: Callable[[Arrays], None], words: str
) -> None:
    arrays = skrskr_arrays()
    damage(arrays)
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, **arrays)
    with pytest.raises(TandemError) as refusal:
        import_skrskr(path, skrskr)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_truncated_and_foreign_files_are_refused_and_write_nothing(tmp_path: Path) -> None:
    path, out = tmp_path / "weights.npz", tmp_path / "out"
    np.savez_compressed(path, **skrskr_arrays())
    whole = path.read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 0xFF
    for content in (b"", whole[:1000], whole[:-10], bytes(middle), b"\x93NUMPY" + whole[6:90]):
        path.write_bytes(content)
        for name in ("skrskr", *(["skynet"] if importlib.util.find_spec("h5py") else [])):
            data = ["--data", "synthetic:1"] if name == "skynet" else []
            found = run("import", name, path, "--out", out, *data)
            assert found.exit_code == 2, found.output
            assert str(path) in found.stderr.splitlines()[-1]
            assert not out.exists()
    missing = run("import", "skrskr", tmp_path / "none.npz", "--out", out)
    assert missing.exit_code == 2
    assert "there is no such file" in missing.stderr


def test_importing_twice_writes_the_same_bytes_that_load_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, **skrskr_arrays())
    written = []
    for out in (tmp_path / "a", tmp_path / "b"):
        found = run("import", "skrskr", path, "--out", out, "--json")
        assert found.exit_code == 0, found.output
        record = json.loads(found.stdout)
        assert record["weights"] == sum(a.size for n, a in skrskr_arrays().items() if "weight" in n)
        design = load_design(record["design"])
        network = load_network(record["network"], design)
        assert network.head is not None
        written.append([Path(record[key]).read_bytes() for key in ("design", "network")])
    assert written[0] == written[1]
    published_by_us = load_design(DESIGNS / "skrskr.toml")
    assert design.network == published_by_us.network
    assert design.accelerator == published_by_us.accelerator


@pytest.mark.parametrize("feature_bits", [9, 8, 6, 4])
def test_skynet_s_first_layer_sees_what_it_was_trained_on(feature_bits: int) -> None:
    """Its sums less batch norm's mean, of the published input and of ours."""
    rng = np.random.default_rng(3)
    first = "bundle0.dw3"
    weight, mean = rng.normal(size=(3, 3, 3)), rng.normal(size=3)
    arrays = {f"{first}.weight": weight, f"{first}.bn.running_mean": mean}
    ours = for_our_input({n: v.astype(np.float32) for n, v in arrays.items()}, feature_bits)
    dropped = max(0, 8 - feature_bits)
    pixels = rng.integers(0, 256, (3, 3, 3)) >> dropped
    middles = (pixels << dropped) + ((1 << dropped) - 1) / 2
    published = (middles / 255 - 0.5) / 0.25
    zero, step = 1 << (min(feature_bits, 8) - 1), 2.0 ** -(min(feature_bits, 8) - 2)
    wanted = (published * weight).sum((1, 2)) - mean
    found = ((pixels - zero) * step * ours[f"{first}.weight"]).sum((1, 2))
    assert np.allclose(found - ours[f"{first}.bn.running_mean"], wanted, atol=1e-5)


@pytest.mark.quant
@pytest.mark.parametrize(("bits", "times"), [((11, 9), 2), ((16, 16), 1)])
def test_skynet_is_written_with_a_design_that_takes_it_the_same_bytes_each_time(
    tmp_path: Path, bits: tuple[int, int], times: int
) -> None:
    path = tmp_path / "weights.h5"
    write_skynet(path)
    options = ("--data", "synthetic:1", "--weight-bits", bits[0], "--feature-bits", bits[1])
    written = set()
    for time in range(times):
        out = tmp_path / str(time)
        record = json.loads(run("import", "skynet", path, "--out", out, *options, "--json").stdout)
        files = [Path(record[key]) for key in ("design", "network")]
        written.add(tuple(file.read_bytes() for file in files))
    assert len(written) == 1
    design = load_design(files[0])
    assert (design.weight_bits, design.feature_bits) == bits
    network = load_network(files[1], design)
    image = random_image(design, np.random.default_rng(1))
    assert run_head(design, network, image).any()  # it also checks the accumulators


@pytest.mark.quant
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--weight-bits", 3), "weight_bits = 3"),
        (("--feature-bits", 17), "feature_bits = 17"),
        (("--data", "none.csv"), "there is no such file"),
        (("--data", "synthetic:0"), "synthetic:N"),
    ],
)
def test_bad_options_are_told(tmp_path: Path, options: tuple[object, ...], words: str) -> None:
    path = tmp_path / "weights.h5"
    write_skynet(path)
    found = run("import", "skynet", path, "--out", tmp_path / "out", *options)
    assert found.exit_code == 2
    assert words in found.stderr
    assert not (tmp_path / "out").exists()


def write_skynet(path: Path) -> None:
    """Random weights under the published keys, small enough that features stay within ReLU6."""
    import h5py  # noqa: PLC0415

    from quant.skynet_weights import _entries  # noqa: PLC0415

    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for name, key, shape in _entries():
            if name.endswith(("running_var", "bn.weight")):
                values = rng.uniform(0.3, 1.0, shape)
            else:
                values = rng.normal(0.05, 1, shape) / np.sqrt(np.prod(shape[1:]))
            values = values.astype(np.float32)
            file[key] = values if len(shape) != 3 else values[:, None]


def boxes(design: Design, network: IntegerNetwork, data: Dataset) -> list[PixelBox]:
    assert network.head is not None
    found = []
    for index, sample in enumerate(data.samples):
        sums = run_head(design, network, input_image(data, index, design))
        found.append(to_pixels(network.head.detect(sums).box, sample.width, sample.height))
    return found


def score(found: list[PixelBox], data: Dataset) -> float:
    return mean_iou(zip(found, (sample.box for sample in data.samples), strict=True))


@pytest.fixture(scope="module")
def val() -> Dataset:
    return load_dataset(VAL)


@published
@pytest.mark.full
def test_skrskr_reaches_its_figure_on_the_sample(skrskr: Design, val: Dataset) -> None:
    found = boxes(skrskr, import_skrskr(SKRSKR, skrskr), val)
    assert abs(score(found, val) - 0.79848) < 1e-4


@published
def test_skrskr_finds_the_published_box_of_one_photograph(skrskr: Design, tmp_path: Path) -> None:
    network = import_skrskr(SKRSKR, skrskr)
    assert boxes(skrskr, network, one_photograph(tmp_path)) == [PHOTO_BOX]


@published
@pytest.mark.full
@pytest.mark.quant
def test_quantised_skynet_is_as_good_as_its_float_network(val: Dataset) -> None:
    design = load_design(DESIGNS / "skynet.toml")
    detections = float_detections(SKYNET, design)(val)
    in_float = score(
        [
            to_pixels(found.box, sample.width, sample.height)
            for found, sample in zip(detections, val.samples, strict=True)
        ],
        val,
    )
    assert abs(in_float - 0.8188) < 1e-3
    images = calibration_images("synthetic:16", design)
    assert score(boxes(design, import_skynet(SKYNET, design, images), val), val) > in_float - 0.01


@published
@pytest.mark.full
@pytest.mark.quant
@pytest.mark.parametrize("name", ["skrskr", "skynet"])
def test_the_rtl_finds_the_functional_level_s_box(
    name: str, tmp_path: Path, build_root: Path
) -> None:
    design = load_design(DESIGNS / f"{name}.toml")
    if name == "skrskr":
        network = import_skrskr(SKRSKR, design)
    else:
        images = calibration_images("synthetic:16", design)
        network = import_skynet(SKYNET, design, images)
    data = one_photograph(tmp_path)
    image = input_image(data, 0, design)
    result = verify(design, network, [image], build_root, tmp_path)
    assert result.values > 3_000_000
    assert result.value_mismatches == 0
    assert result.event_differences == ()
    assert result.exact


def one_photograph(folder: Path) -> Dataset:
    listing = folder / "one.csv"
    row = ",".join(map(str, (VAL.parent / PHOTO, *PHOTO_BOX)))
    listing.write_text(f"image,xmin,ymin,xmax,ymax\n{row}\n")
    return load_dataset(listing)
