"""The compute units of the RTL against plain Python, bit for bit and cycle for cycle."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_sim.build import Build, build, run

ROOT = Path(__file__).resolve().parent.parent
HDL = ROOT / "rtl_sim" / "hdl"
BENCH_HDL = ROOT / "testbench" / "hdl"
MODULES = (
    "adder_tree",
    "average_pool",
    "carry_adder_tree",
    "depthwise",
    "dw_lanes",
    "dw_window",
    "lut_multiplier",
    "mac_array",
    "mac_control",
    "mac_packed_product",
    "post_process",
    "ram_sdp",
    "requantise",
    "sync_fifo",
)
SOURCES = (HDL / "program_pkg.sv", *(HDL / f"{name}.sv" for name in MODULES))
STALLS = ("none", "random", "full")


def simulate(
    made: Build, bench: str, arguments: dict[str, int], stall: str, seed: int, work_dir: Path
) -> None:
    plusargs = [f"+{name}={value}" for name, value in arguments.items()]
    env = {"TANDEM_STALL": stall, "TANDEM_SEED": str(seed)}
    run(made, bench, plusargs=plusargs, env=env, work_dir=work_dir)


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize(("acc_bits", "feature_bits"), [(24, 4), (32, 8), (40, 11), (48, 16)])
def test_requantise_is_exact(
    acc_bits: int, feature_bits: int, stall: str, seed: int, build_root: Path, tmp_path: Path
) -> None:
    parameters = {"AccBits": acc_bits, "FeatureBits": feature_bits}
    made = build(
        SOURCES, "requantise", parameters=parameters, build_root=build_root, optimise=False
    )
    arguments = {"acc_bits": acc_bits, "feature_bits": feature_bits}
    simulate(made, "testbench.bench_requantise", arguments, stall, seed, tmp_path)


# lanes, taps, kernel_max, weight_bits, feature_bits, LUT multipliers
DEPTHWISE = [
    (4, 9, 3, 16, 8, 0),
    (2, 4, 3, 11, 8, 1),
    (1, 3, 3, 16, 16, 0),
    (4, 8, 5, 8, 8, 1),
    (2, 32, 5, 4, 4, 0),
    (2, 1, 5, 5, 12, 1),
]


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize(
    ("lanes", "taps", "kernel_max", "weight_bits", "feature_bits", "lut"), DEPTHWISE
)
def test_depthwise_matches_in_every_cycle(
    lanes: int,
    taps: int,
    kernel_max: int,
    weight_bits: int,
    feature_bits: int,
    lut: int,
    stall: str,
    seed: int,
    build_root: Path,
    tmp_path: Path,
) -> None:
    bank_words = 512
    parameters = {
        "InLanes": lanes,
        "DwTaps": taps,
        "KernelMax": kernel_max,
        "WeightBits": weight_bits,
        "FeatureBits": feature_bits,
        "LutMultipliers": lut,
        "LineWords": 16,
        "InBankWords": bank_words,
        "MidBankWords": bank_words,
    }
    made = build(SOURCES, "depthwise", parameters=parameters, build_root=build_root, optimise=False)
    arguments = {
        "lanes": lanes,
        "taps": taps,
        "kernel_max": kernel_max,
        "weight_bits": weight_bits,
        "feature_bits": feature_bits,
        "bank_words": bank_words,
    }
    simulate(made, "testbench.bench_depthwise", arguments, stall, seed, tmp_path)


# in_lanes, out_lanes, requant_lanes, kernel_max, weight_bits, feature_bits, accumulator_bits,
# packing
MAC = [
    (4, 16, 4, 1, 16, 8, 32, 0),
    (1, 8, 8, 3, 8, 8, 24, 0),
    (2, 8, 2, 5, 11, 8, 28, 0),
    (4, 16, 16, 3, 16, 16, 48, 0),
    (8, 8, 1, 1, 4, 4, 16, 0),
    (2, 12, 4, 3, 6, 12, 34, 0),
    (4, 16, 4, 3, 8, 8, 32, 1),
    (1, 8, 8, 3, 8, 9, 28, 1),
    (8, 8, 2, 1, 4, 16, 30, 1),
]


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize(
    (
        "in_lanes",
        "out_lanes",
        "requant_lanes",
        "kernel_max",
        "weight_bits",
        "feature_bits",
        "acc_bits",
        "packing",
    ),
    MAC,
)
def test_mac_and_post_process_match_in_every_cycle(
    in_lanes: int,
    out_lanes: int,
    requant_lanes: int,
    kernel_max: int,
    weight_bits: int,
    feature_bits: int,
    acc_bits: int,
    packing: int,
    stall: str,
    seed: int,
    build_root: Path,
    tmp_path: Path,
) -> None:
    parameters = {
        "InLanes": in_lanes,
        "OutLanes": out_lanes,
        "RequantLanes": requant_lanes,
        "ConvKernelMax": kernel_max,
        "WeightBits": weight_bits,
        "FeatureBits": feature_bits,
        "AccBits": acc_bits,
        "Packing": packing,
    }
    made = build(
        (*SOURCES, BENCH_HDL / "mac_bench.sv"),
        "mac_bench",
        parameters=parameters,
        build_root=build_root,
        optimise=False,
    )
    arguments = {
        "in_lanes": in_lanes,
        "out_lanes": out_lanes,
        "requant_lanes": requant_lanes,
        "kernel_max": kernel_max,
        "weight_bits": weight_bits,
        "feature_bits": feature_bits,
        "acc_bits": acc_bits,
        "packing": packing,
    }
    simulate(made, "testbench.bench_mac", arguments, stall, seed, tmp_path)
