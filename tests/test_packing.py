"""DSP packing: when it is exact, that it is refused elsewhere, and the netlist against products."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.functional import run_functional
from model.image import random_image
from model.integer_network import IntegerLayer, IntegerNetwork, check_accumulators
from model.packing import (
    needs_narrow_weights,
    packed_products,
    refusal,
    spacing,
    sum_is_exact,
    weight_range,
)
from model.random_network import random_network
from model.resources import estimate_resources
from rtl_sim.build import build, run
from rtl_sim.generate import HDL, core_parameters, library_sources
from rtl_sim.lint import is_hardware
from rtl_sim.netlist import cell_models, make_netlist
from testbench.campaign_cases import SMALL_BUILDS
from testbench.campaign_hardware import draw_hardware

BENCH_HDL = HDL.parent.parent / "testbench" / "hdl"
BITS = range(4, 17)


def all_weights(low: int, high: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(low, high + 1, dtype=np.int64)


def features(bits: int, most: int = 1 << 9) -> np.ndarray[Any, np.dtype[np.int64]]:
    """All of them up to 9 bits; else the ends and some between."""
    if 1 << bits <= most:
        return np.arange(1 << bits, dtype=np.int64)
    return np.unique(np.linspace(0, (1 << bits) - 1, 97).round().astype(np.int64))


def mismatches(weight_bits: int, feature_bits: int, low: int, high: int) -> int:
    """Over all pairs of weights from low to high."""
    weights, wrong = all_weights(low, high), 0
    lows, highs = weights[:, None], weights[None, :]
    for feature in features(feature_bits):
        found = packed_products(lows, highs, feature, weight_bits, feature_bits)
        wrong += int((found[0] != lows * feature).sum() + (found[1] != highs * feature).sum())
    return wrong


LEGAL = [(w, f) for w, f in product(BITS, BITS) if refusal(w, f) is None]


@pytest.mark.parametrize(("weight_bits", "feature_bits"), LEGAL)
def test_every_pair_of_legal_weights_and_features_is_exact(
    weight_bits: int, feature_bits: int
) -> None:
    low, high = weight_range("pair", weight_bits, feature_bits)
    assert mismatches(weight_bits, feature_bits, low, high) == 0


@pytest.mark.parametrize(
    ("weight_bits", "feature_bits"), [wf for wf in LEGAL if needs_narrow_weights(*wf)]
)
def test_the_weight_that_is_refused_is_wrong(weight_bits: int, feature_bits: int) -> None:
    low, high = weight_range("pair", weight_bits, feature_bits)
    assert low == -high
    assert mismatches(weight_bits, feature_bits, low - 1, high) > 0


@pytest.mark.parametrize("feature_bits", [4, 8, 12, 16])
def test_widths_beyond_the_port_are_wrong(feature_bits: int) -> None:
    weight_bits = next(w for w in BITS if refusal(w, feature_bits) is not None)
    _, high = weight_range("none", weight_bits, feature_bits)
    assert mismatches(weight_bits, feature_bits, -high, high) > 0


def sums_split_exactly(bits: int, weights: tuple[int, int], largest: int, terms: int) -> bool:
    """By enumeration: the extremes of both sums of products, for all that weights can be."""
    low, high = weights
    for a, b in product((low, -1, 0, 1, high), repeat=2):
        pair = (b << bits) + a
        if not -(1 << 24) <= pair < 1 << 24:
            return False
        for x in (0, 1, largest):
            total = terms * pair * x
            split = ((total + (1 << bits - 1)) & ((1 << bits) - 1)) - (1 << bits - 1)
            if split != terms * a * x:
                return False
    return True


@pytest.mark.parametrize(("weight_bits", "feature_bits"), [(8, 8), (8, 7), (7, 8), (4, 4), (6, 8)])
def test_the_condition_for_sums_is_that_of_enumeration(weight_bits: int, feature_bits: int) -> None:
    for bits, terms, narrow in product(range(8, 22), range(1, 6), (False, True)):
        high = (1 << (weight_bits - 1)) - 1
        weights = (-high if narrow else -high - 1, high)
        wanted = sums_split_exactly(bits, weights, (1 << feature_bits) - 1, terms)
        assert sum_is_exact(bits, weight_bits, feature_bits, terms, narrow) == wanted


def test_known_spacings_of_eight_bits() -> None:
    assert spacing(8, 8) == 16
    assert sum_is_exact(16, 8, 8, terms=1, narrow=False)
    assert sum_is_exact(17, 8, 8, terms=2, narrow=True)
    assert not sum_is_exact(17, 8, 8, terms=2, narrow=False)
    assert not sum_is_exact(17, 8, 8, terms=3, narrow=True)
    assert not sum_is_exact(18, 8, 8, terms=1, narrow=True)


def packed(root: Path, weight_bits: int = 8, feature_bits: int = 8, mode: str = "pair") -> Design:
    tables = design_to_dict(load_design(root / "designs" / "tiny.toml"))
    tables["precision"] = {"weight_bits": weight_bits, "feature_bits": feature_bits}
    tables["accelerator"]["mac_packing"] = mode
    tables["accelerator"]["accumulator_bits"] = 40
    return design_from_dict(tables)


def test_the_key_is_written_read_and_built(root: Path) -> None:
    design = packed(root)
    assert design.accelerator.mac_packing == "pair"
    assert design_from_dict(design_to_dict(design)) == design
    assert core_parameters(design)["MacPacking"] == 1
    assert core_parameters(packed(root, mode="none"))["MacPacking"] == 0
    assert load_design(root / "designs" / "tiny.toml").accelerator.mac_packing == "none"


def test_a_packed_array_takes_half_the_blocks(root: Path) -> None:
    def blocks(mode: str) -> int:
        parts = estimate_resources(packed(root, mode=mode)).parts
        return next(part.dsp for part in parts if part.name == "MAC array")

    assert blocks("none") == 16
    assert blocks("pair") == 8


def test_too_many_blocks_where_pairs_fit_say_so(root: Path) -> None:
    advice = [
        estimate_resources(design).advice["dsp"]
        for design in (packed(root, mode="none"), packed(root), packed(root, 12, 8, "none"))
    ]
    assert ['mac_packing = "pair"' in text for text in advice] == [True, False, False]


def test_widths_that_do_not_fit_are_refused_with_the_bits(root: Path) -> None:
    with pytest.raises(TandemError, match=r"mac_packing = \"pair\".*= 32 bits.*has 25: lower"):
        packed(root, 12, 8)


def with_weight(network: IntegerNetwork, name: str, value: int) -> IntegerNetwork:
    layers = []
    for layer in network.layers:
        weight = layer.weight.copy()
        if layer.name == name:
            weight[3].flat[0] = value
        fields = {key: getattr(layer, key) for key in ("bias", "mult", "shift", "round")}
        layers.append(IntegerLayer(layer.name, weight, **fields, pad_value=layer.pad_value))
    bits = (network.weight_bits, network.feature_bits)
    return IntegerNetwork(network.design_name, *bits, tuple(layers))


def test_a_weight_that_is_not_exact_is_refused_by_layer(
    root: Path, rng: np.random.Generator
) -> None:
    design = packed(root, 8, 9)
    network = random_network(design, rng)
    check_accumulators(network, design)
    wrong = with_weight(network, "bundle1.conv1", -128)
    with pytest.raises(TandemError, match=r"layer bundle1\.conv1: channel 3 .*weight -128.*-127"):
        run_functional(design, wrong, random_image(design, rng))
    check_accumulators(wrong, packed(root, 8, 9, "none"))
    check_accumulators(with_weight(network, "bundle1.dw3", -128), design)  # not packed


def test_random_networks_meet_the_extremes(root: Path, rng: np.random.Generator) -> None:
    for feature_bits in (8, 9):
        design = packed(root, 8, feature_bits)
        low, high = weight_range("pair", 8, feature_bits)
        weight = random_network(design, rng)["bundle1.conv1"].weight
        assert (weight.min(), weight.max()) == (low, high)


def test_the_short_campaign_meets_packed_arrays() -> None:
    builds = [draw_hardware(1, build, small=True) for build in range(SMALL_BUILDS)]
    packings = {build["accelerator"]["mac_packing"] for build in builds}
    assert packings == {"none", "pair"}


ARRAY = ("adder_tree", "carry_adder_tree", "mac_packed_product", "mac_array")


class Bench:
    """Runs a cocotb bench on a module of the library, or on its netlist."""

    def __init__(self, seed: int, build_root: Path, work_dir: Path) -> None:
        self.env = {"TANDEM_SEED": str(seed), "TANDEM_STALL": "random"}
        self.build_root, self.work_dir = build_root, work_dir

    def netlist(
        self, bench: str, sources: list[Path], sizes: dict[str, int], parameters: dict[str, int]
    ) -> dict[str, int]:
        """The same sizes for both: arguments of the bench, parameters of the last source."""
        root = self.build_root.parent / "yosys"
        made = make_netlist(sources, sources[-1].stem, parameters, root)
        self._run(bench, sources[-1].stem, [made.path, cell_models()], {}, sizes)
        return dict(made.cells)

    def rtl(
        self, bench: str, sources: list[Path], sizes: dict[str, int], parameters: dict[str, int]
    ) -> None:
        """As ``netlist``, on the sources themselves."""
        self._run(bench, sources[-1].stem, sources, parameters, sizes)

    def _run(
        self,
        bench: str,
        top: str,
        sources: list[Path],
        parameters: dict[str, int],
        sizes: dict[str, int],
    ) -> None:
        made = build(
            sources, top, parameters=parameters, build_root=self.build_root, optimise=False
        )
        plusargs = [f"+{name}={size}" for name, size in sizes.items()]
        run(made, f"testbench.{bench}", plusargs=plusargs, env=self.env, work_dir=self.work_dir)


@pytest.fixture
def bench(seed: int, build_root: Path, tmp_path: Path) -> Bench:
    return Bench(seed, build_root, tmp_path)


def as_parameters(sizes: dict[str, int]) -> dict[str, int]:
    """``in_lanes`` is ``InLanes`` in SystemVerilog."""
    return {name.title().replace("_", ""): size for name, size in sizes.items()}


@pytest.mark.parametrize(
    ("weight_bits", "feature_bits"),
    [
        (8, 8),
        pytest.param(8, 9, marks=pytest.mark.full),
        pytest.param(4, 16, marks=pytest.mark.full),
    ],
)
def test_the_netlist_of_a_packed_product_is_one_block_and_exact(
    weight_bits: int, feature_bits: int, bench: Bench
) -> None:
    sizes = {"weight_bits": weight_bits, "feature_bits": feature_bits}
    sources = [HDL / "mac_packed_product.sv"]
    cells = bench.netlist("bench_packed_product", sources, sizes, as_parameters(sizes))
    assert cells == {"DSP48E1": 1, "FDRE": weight_bits}


def test_a_packed_product_is_exact(bench: Bench) -> None:
    sizes = {"weight_bits": 8, "feature_bits": 8}
    sources = [HDL / "mac_packed_product.sv"]
    bench.rtl("bench_packed_product", sources, sizes, as_parameters(sizes))


def test_the_netlist_of_the_packed_array_is_exact(bench: Bench) -> None:
    sizes = {"in_lanes": 2, "out_lanes": 4, "weight_bits": 8, "feature_bits": 8}
    sizes |= {"acc_bits": 24, "packing": 1}
    sources = [HDL / f"{name}.sv" for name in ARRAY]
    cells = bench.netlist("bench_mac_array", sources, sizes, as_parameters(sizes))
    assert cells["DSP48E1"] == 4  # 2 x 4 products a cycle


@pytest.mark.full
def test_the_netlist_of_control_array_and_post_process_matches_in_every_cycle(
    bench: Bench,
) -> None:
    sizes = {"in_lanes": 2, "out_lanes": 8, "requant_lanes": 2, "weight_bits": 8}
    sizes |= {"feature_bits": 8, "acc_bits": 26, "packing": 1}
    parameters = as_parameters(sizes) | {"ConvKernelMax": 3}
    sources = [path for path in library_sources() if is_hardware(path)]
    sources.append(BENCH_HDL / "mac_bench.sv")
    cells = bench.netlist("bench_mac", sources, sizes | {"kernel_max": 3}, parameters)
    assert cells["DSP48E1"] == 8 + 4  # pairs, and two blocks a requantising lane
