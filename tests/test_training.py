"""Training: resumed with equal bits, fed from a cache, refused in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.design import Design, load_design
from model.errors import TandemError
from model.network_file import load_network
from quant.checkpoint import load_checkpoint
from quant.settings import TrainSettings, settings_from_dict

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.quant

from quant.batches import ahead, split  # noqa: E402  (after the skip)
from quant.dataset import load_dataset  # noqa: E402
from quant.feature_cache import plan_cache  # noqa: E402
from quant.network import build_network  # noqa: E402
from quant.train_run import Request, Run  # noqa: E402
from quant.trainee import Trainee, pick_machine, split_point  # noqa: E402
from quant.training import Stage  # noqa: E402

EPOCHS = 4


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of small pictures, each with one bright rectangle."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(7)
    lines = ["image,xmin,ymin,xmax,ymax"]
    for index in range(20):
        picture = rng.integers(0, 80, (32, 48, 3)).astype(np.uint8)
        x, y = int(rng.integers(0, 30)), int(rng.integers(0, 18))
        w, h = int(rng.integers(8, 16)), int(rng.integers(8, 13))
        picture[y : y + h, x : x + w] = (220, 200, 90)
        Image.fromarray(picture).save(folder / f"s{index:02}.png")
        lines.append(f"s{index:02}.png,{x},{y},{x + w},{y + h}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder / "boxes.csv"


@pytest.fixture
def design(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


def settings(**changed: dict[str, Any]) -> TrainSettings:
    """Quick ones; changed by section."""
    basis: dict[str, dict[str, Any]] = {
        "run": {"threads": 1, "tensorboard": False},
        "data": {"views": 2, "workers": 1},
        "float": {"epochs": EPOCHS, "batch_size": 6, "ema": 0.9},
        "calibration": {"images": 6},
        "qat": {"epochs": 2, "batch_size": 6},
    }
    for name, part in changed.items():
        basis[name] = {**basis.get(name, {}), **part}
    return settings_from_dict(basis, "test")


def request(design: Design, data: Path, out: Path, chosen: TrainSettings, **more: Any) -> Request:
    found = load_dataset(data)
    train, val = found.subset(range(14)), found.subset(range(14, 20))
    more = {"stages": ("float",), **more}
    return Request(design, train, val, out, chosen, **more)


def same(a: Path, b: Path) -> None:
    left, right = load_checkpoint(a), load_checkpoint(b)
    assert left.facts["position"] == right.facts["position"]
    assert left.arrays.keys() == right.arrays.keys()
    for name, values in left.arrays.items():
        assert values.tobytes() == right.arrays[name].tobytes(), name


class Killed(Exception):  # noqa: N818  (what a signal would do)
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int, save: bool = False) -> None:
    """Die before the update of that number; ``save``: right after a mid-epoch checkpoint."""
    update = Stage.update

    def dying(self: Stage, batch: Any) -> float:
        if self.position.step == step:
            if save:
                self.save()
            raise Killed
        return update(self, batch)

    monkeypatch.setattr(Stage, "update", dying)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(("step", "save"), [(6, False), (7, True)])
def test_a_killed_run_goes_on_with_the_same_bits(
    design: Design,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    save: bool,
    cache: bool,
) -> None:
    chosen = settings(data={"cache": cache}, float={"frozen_bundles": int(cache)})
    straight = Run(request(design, data, tmp_path / "a", chosen)).run()
    with monkeypatch.context() as patch:
        kill_at(patch, step, save)
        with pytest.raises(Killed):
            Run(request(design, data, tmp_path / "b", chosen)).run()
    assert load_checkpoint(tmp_path / "b" / "float_last.npz").facts["position"]["epoch"] == 2
    resumed = Run(request(design, data, tmp_path / "b", chosen, resume=True)).run()
    for name in ("float_last.npz", "float_best.npz"):
        same(tmp_path / "a" / name, tmp_path / "b" / name)
    assert straight.float_iou == resumed.float_iou
    assert straight.boxes == resumed.boxes


def test_the_cache_changes_speed_and_no_bit(design: Design, data: Path, tmp_path: Path) -> None:
    for name, cache in (("a", True), ("b", False)):
        chosen = settings(data={"cache": cache}, float={"frozen_bundles": 1, "epochs": 2})
        Run(request(design, data, tmp_path / name, chosen)).run()
    a, b = (load_checkpoint(tmp_path / n / "float_last.npz").part("model") for n in "ab")
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_frozen_bundles_stay_and_the_others_move(
    design: Design, data: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    before = build_network(design).to_arrays()
    Run(request(design, data, tmp_path, settings(float={"frozen_bundles": 1}))).run()
    after = load_checkpoint(tmp_path / "float_last.npz").part("model")
    for name, values in before.items():
        assert (values.tobytes() == after[name].tobytes()) == name.startswith("bundle0."), name


def test_training_learns(design: Design, data: Path, tmp_path: Path) -> None:
    chosen = settings(float={"epochs": 30, "ema": 0.0, "learning_rate": 0.01})
    found = Run(request(design, data, tmp_path, chosen)).run()
    rows = (tmp_path / "history.csv").read_text().splitlines()
    losses = [float(row.split(",")[2]) for row in rows[1:]]
    assert len(losses) == 30
    assert losses[-1] < 0.7 * losses[0]
    assert found.float_iou is not None
    assert found.float_iou > 0.2
    assert len(found.boxes) == 6


def test_it_stops_on_a_plateau(design: Design, data: Path, tmp_path: Path) -> None:
    chosen = settings(float={"learning_rate": 0.0, "patience": 2, "epochs": 50, "ema": 0.0,
                             "frozen_batch_norm": True})  # fmt: skip
    found = Run(request(design, data, tmp_path, chosen)).run()
    assert found.stages["float"].epochs == 2
    assert found.stages["float"].best_epoch == 0


def test_a_damaged_cache_is_made_again(design: Design, data: Path, tmp_path: Path) -> None:
    chosen = settings(float={"frozen_bundles": 1, "epochs": 2})
    Run(request(design, data, tmp_path / "a", chosen)).run()
    (view,) = (tmp_path / "a" / "cache" / "float").glob("*/view_000.bin")
    whole = view.read_bytes()
    view.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for name in ("float_last.npz", "float_best.npz"):
        (tmp_path / "a" / name).unlink()
    Run(request(design, data, tmp_path / "a", chosen)).run()
    assert view.read_bytes() == whole


def test_other_settings_make_another_cache_and_remove_the_old(
    design: Design, data: Path, tmp_path: Path
) -> None:
    for shift in (0.0, 0.1):
        chosen = settings(data={"shift": shift}, float={"epochs": 1})
        Run(request(design, data, tmp_path, chosen)).run()
    assert len(list((tmp_path / "cache" / "float").iterdir())) == 1
    assert len(list((tmp_path / "cache" / "float_val").iterdir())) == 1


def test_a_cache_too_large_is_refused_with_what_fits(tmp_path: Path) -> None:
    record = np.dtype([("stem", np.uint8, (100,))])
    with pytest.raises(TandemError, match=r"lower data\.views to 3"):
        plan_cache(tmp_path, record, 10, 8, {}, 3500)
    with pytest.raises(TandemError, match=r"set data\.cache = false"):
        plan_cache(tmp_path, record, 10, 8, {}, 100)


def test_resuming_with_other_settings_or_data_names_the_difference(
    design: Design, data: Path, tmp_path: Path
) -> None:
    chosen = settings(float={"epochs": 1})
    Run(request(design, data, tmp_path, chosen)).run()
    other = settings(float={"epochs": 1, "learning_rate": 0.5})
    with pytest.raises(TandemError, match=r"float\.learning_rate was 0\.001, now 0\.5"):
        Run(request(design, data, tmp_path, other, resume=True)).run()
    again = request(design, data, tmp_path, chosen, resume=True)
    fewer = replace(again, train=again.train.subset(range(13)))
    with pytest.raises(TandemError, match="was trained on other images or boxes"):
        Run(fewer).run()
    wider = replace(again, design=replace(design, weight_bits=4))
    with pytest.raises(TandemError, match=r"another design.*weight_bits 8, not 4"):
        Run(wider).run()


def test_resuming_survives_a_damaged_last_checkpoint(
    design: Design, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = settings()
    Run(request(design, data, tmp_path, chosen)).run()
    last = tmp_path / "float_last.npz"
    whole = last.read_bytes()
    last.write_bytes(whole[:1000])
    Run(request(design, data, tmp_path, chosen, resume=True)).run()
    assert "going on from float_last.previous.npz" in capfd.readouterr().err
    assert last.read_bytes() == whole


def test_a_checkpoint_starts_another_run(design: Design, data: Path, tmp_path: Path) -> None:
    first = Run(request(design, data, tmp_path / "a", settings())).run()
    start = {"weights": str(tmp_path / "a" / "float_best.npz")}
    second = Run(
        request(design, data, tmp_path / "b", settings(start=start, float={"epochs": 0}))
    ).run()
    assert second.warm_bundles == 2
    assert second.float_iou == first.float_iou


@pytest.mark.parametrize("cut", ["truncated", "other"])
def test_a_bad_start_is_one_sentence(design: Design, data: Path, tmp_path: Path, cut: str) -> None:
    path = tmp_path / "start.npz"
    if cut == "truncated":
        path.write_bytes(b"PK\x03\x04 nothing")
    chosen = settings(start={"weights": str(path)})
    with pytest.raises(TandemError, match=r"truncated|there is no such checkpoint"):
        Run(request(design, data, tmp_path / "out", chosen)).run()


def test_what_cannot_be_trained_is_refused(
    root: Path, design: Design, data: Path, tmp_path: Path
) -> None:
    def refused(text: str, **changed: dict[str, Any]) -> None:
        with pytest.raises(TandemError, match=text):
            Run(request(design, data, tmp_path, settings(**changed))).run()

    refused("frozen_bundles = 3, the design has 2 bundles", float={"frozen_bundles": 3})
    refused("float.rates has 2 numbers", float={"rates": [1.0, 1.0]})
    refused("no.h5: cannot teach this design", start={"teacher": str(tmp_path / "no.h5")})
    refused("there is no such file of SkyNet", start={"weights": str(tmp_path / "no.h5")})
    headless = request(load_design(root / "designs" / "tiny_f16.toml"), data, tmp_path, settings())
    with pytest.raises(TandemError, match=r"head\.conv1 has 9 channels, .* needs 10"):
        Run(headless).run()
    if not torch.cuda.is_available():
        refused("there is no CUDA device", run={"device": "cuda"})


def test_a_loss_that_is_no_number_ends_in_advice(
    design: Design, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(values: torch.Tensor, *_: Any) -> dict[str, torch.Tensor]:
        return {"total": values.sum() * float("nan")}

    monkeypatch.setattr("quant.training.detection_loss", broken)
    advice = r"the loss is nan in epoch 1: lower float\.learning_rate"
    with pytest.raises(TandemError, match=advice):
        Run(request(design, data, tmp_path, settings())).run()


def test_half_precision_trains(design: Design, data: Path, tmp_path: Path) -> None:
    chosen = settings(run={"mixed_precision": "on", "device": "cpu"}, float={"epochs": 1})
    assert pick_machine("cpu", "on").half is torch.bfloat16
    assert Run(request(design, data, tmp_path, chosen)).run().float_iou is not None


def test_the_cut_lies_before_every_bypass_that_crosses_it(root: Path) -> None:
    network = load_design(root / "designs" / "skynet.toml").network
    assert [split_point(network, frozen) for frozen in range(7)] == [0, 1, 2, 2, 2, 2, 6]


def test_parts_of_a_network_are_the_whole(design: Design) -> None:
    torch.manual_seed(3)
    network = build_network(design).eval()
    machine = pick_machine("cpu", "off")
    images = torch.randint(0, 256, (2, 3, 16, 24), dtype=torch.uint8)
    whole = Trainee(network, 8, 0, machine)
    parts = Trainee(network, 8, 1, machine)
    with torch.no_grad():
        a, b = whole.head(whole.stem(images)), parts.head(parts.stem(images))
    assert parts.stem(images).dtype == torch.float16
    assert torch.allclose(a, b, atol=2e-3)


def test_ahead_keeps_order_and_raises_what_happens() -> None:
    assert list(ahead(lambda key: key * 2, range(7))) == [0, 2, 4, 6, 8, 10, 12]

    def fails(key: int) -> int:
        if key == 3:
            raise TandemError("no")
        return key

    reader = ahead(fails, range(7))
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TandemError, match="no"):
        next(reader)
    reader = ahead(lambda key: key, range(100))
    assert next(reader) == 0
    reader.close()  # must end its thread


def test_an_order_is_split_into_batches() -> None:
    assert [list(part) for part in split(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def test_the_command_writes_its_result(
    root: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from quant.train_command import TrainArguments, train_command  # noqa: PLC0415

    path = tmp_path / "settings.toml"
    path.write_text("[run]\nthreads = 1\ntensorboard = false\n[data]\nviews = 1\nval_share = 0.3\n")
    design = root / "designs" / "tiny.toml"
    arguments = TrainArguments(
        design, str(data), str(data), tmp_path / "out", path, False, 1, "float", None, None
    )
    assert train_command(arguments, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "out" / "result.json").read_text())
    assert found["mean_iou"] == found["float_iou"]
    assert len(found["boxes"]) == 20
    assert found["images_per_second"] > 0
    assert 0 <= found["wait_share"] <= 1


@pytest.mark.parametrize("frozen", [0, 1])
def test_the_quantised_stage_ends_in_an_integer_network(
    design: Design, data: Path, tmp_path: Path, frozen: int
) -> None:
    design = replace(design, feature_bits=12 if frozen else 8)
    chosen = settings(float={"epochs": 2}, qat={"frozen_bundles": frozen, "epochs": 1})
    found = Run(request(design, data, tmp_path, chosen, stages=("float", "qat"))).run()
    assert found.network == tmp_path / f"{design.name}.npz"
    network = load_network(found.network, design)
    assert network.head is not None
    assert found.integer_iou is not None and found.qat_iou is not None
    assert abs(found.integer_iou - found.qat_iou) < 0.02
    assert found.mean_iou == found.integer_iou


def test_the_quantised_stage_goes_on_with_the_same_bits(
    design: Design, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(float={"epochs": 1}, qat={"frozen_bundles": 1, "epochs": 3})
    both: dict[str, Any] = {"stages": ("float", "qat")}
    Run(request(design, data, tmp_path / "a", chosen, **both)).run()
    with monkeypatch.context() as patch:
        update = Stage.update

        def dying(self: Stage, batch: Any) -> float:
            if self.name == "qat" and self.position.epoch == 2:
                raise Killed
            return update(self, batch)

        patch.setattr(Stage, "update", dying)
        with pytest.raises(Killed):
            Run(request(design, data, tmp_path / "b", chosen, **both)).run()
    Run(request(design, data, tmp_path / "b", chosen, resume=True, **both)).run()
    for name in ("float_last.npz", "qat_last.npz", "qat_best.npz"):
        same(tmp_path / "a" / name, tmp_path / "b" / name)
    assert (tmp_path / "a" / "tiny.npz").read_bytes() == (tmp_path / "b" / "tiny.npz").read_bytes()


def test_the_quantised_stage_alone_needs_a_float_network(
    design: Design, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(TandemError, match="there is no float network to quantise"):
        Run(request(design, data, tmp_path / "a", settings(), stages=("qat",))).run()
    Run(request(design, data, tmp_path / "a", settings(float={"epochs": 1}))).run()
    start = {"weights": str(tmp_path / "a" / "float_best.npz")}
    chosen = settings(start=start, qat={"epochs": 0})
    other = replace(design, weight_bits=4)  # the precision of the float network is free
    found = Run(request(other, data, tmp_path / "b", chosen, stages=("qat",))).run()
    assert found.integer_iou is not None
    assert found.float_iou is None
