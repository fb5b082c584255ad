"""The predicted IoU: a sane default, refined by what was trained, honest about its error."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from model.design import Design, load_design
from model.network import Network, parse_network
from search.quality import (
    FEATURES,
    KEPT_LEAST,
    PRIOR,
    QualityModel,
    bit_loss,
    features,
    fit_quality,
    kendall_tau,
)


def network(*channels: int, pools: int = 2) -> Network:
    bundles = [["dw3", "conv1:24", "maxpool"]]
    bundles += [
        ["dw3", f"conv1:{count}", *(["maxpool"] if at < pools else [])]
        for at, count in enumerate(channels)
    ]
    return parse_network(3, 64, 96, bundles, ["conv1:10"], "test")


def drawn(count: int, seed: int) -> list[Network]:
    rng = random.Random(seed)
    return [
        network(*sorted(rng.choice(range(24, 264, 8)) for _ in range(rng.randint(2, 5))))
        for _ in range(count)
    ]


@pytest.fixture
def design(root: Path) -> Design:
    return load_design(root / "designs" / "tiny.toml")


def test_without_samples_the_default_is_sane(design: Design) -> None:
    model = QualityModel()
    small, large = network(24, 48, 96), network(48, 96, 192)
    predicted = [model.predict(replace(design, network=net)) for net in (small, large)]
    assert 0.2 < predicted[0] < predicted[1] < 0.9
    assert model == fit_quality([])


def test_every_bit_less_costs_more(design: Design) -> None:
    model = QualityModel()
    by_bits = [
        model.predict(replace(design, weight_bits=bits, feature_bits=8)) for bits in (16, 8, 6, 4)
    ]
    assert by_bits == sorted(by_bits, reverse=True)
    assert by_bits[0] - by_bits[1] < 0.005 < by_bits[2] - by_bits[3]
    assert bit_loss(8, 4) > bit_loss(4, 8)


def test_one_sample_sets_the_level_and_keeps_the_slopes() -> None:
    model = fit_quality([(network(32, 64), 0.31)])
    assert model.coefficients == pytest.approx(PRIOR)
    assert model.of_features(features(network(32, 64))) == pytest.approx(0.31)
    assert model.error is None and model.tau is None and model.samples == 1


def test_what_follows_a_rule_is_learned() -> None:
    """Deeper is worse here, against the prior: forty samples turn it round."""
    depth = FEATURES.index("depth")

    def truth(net: Network) -> float:
        values = features(net)
        return 0.5 + 0.03 * (values[0] - 22) - 0.01 * values[depth]

    known, new = drawn(40, 1), drawn(20, 2)
    model = fit_quality([(net, truth(net)) for net in known])
    assert model.samples == 40
    assert model.error is not None and model.mean_error is not None
    assert model.error < 0.4 * model.mean_error
    assert model.tau is not None and model.tau > 0.7
    predicted = [model.of_features(features(net)) for net in new]
    assert kendall_tau(predicted, [truth(net) for net in new]) > 0.7


def test_noise_is_told_as_noise() -> None:
    """Nothing to be learned: the rank correlation of leave-one-out says so."""
    rng = random.Random(5)
    model = fit_quality([(net, rng.uniform(0.2, 0.6)) for net in drawn(30, 3)])
    assert model.error is not None and model.error > 0.05
    assert model.tau is not None and abs(model.tau) < 0.5


def test_few_samples_do_not_run_away() -> None:
    model = fit_quality([(network(24, 48), 0.30), (network(32, 48), 0.42)])
    far = model.of_features(features(network(256, 256, 256, 256, 256)))
    assert 0.3 < far < 0.9


def test_what_cannot_inherit_is_not_punished_twice() -> None:
    """Other layers keep nothing of the source; the least there is counts, whatever their number."""
    kept = FEATURES.index("kept_channels")
    source = (48, 96, 192, 384, 512)
    dense = parse_network(
        3, 64, 96, [["conv3:24", "maxpool"], *[["conv3:48"]] * 6], ["conv1:10"], "test"
    )
    assert features(dense, source)[kept] == KEPT_LEAST
    half, whole = network(64, 96, 192, 384, pools=2), network(96, 192, 384, 512, pools=2)
    assert KEPT_LEAST <= features(half, source)[kept] < features(whole, source)[kept] <= 0


def test_json_and_back() -> None:
    model = fit_quality([(net, 0.3 + 0.01 * at) for at, net in enumerate(drawn(5, 4))], (48, 96))
    assert QualityModel.of_record(json.loads(json.dumps(model.record()))) == model


def test_late_share_counts_the_last_resolution() -> None:
    late = FEATURES.index("late_share")
    assert features(network(48, 96, pools=0))[late] > features(network(48, 96, pools=2))[late]


@pytest.mark.parametrize(
    ("first", "second", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3], [1, 3, 2], 1 / 3),
        ([1, 1, 2], [1, 2, 3], 2 / 6**0.5),  # tau-b: a pair tied on one side
        ([1, 1], [1, 2], 0.0),
        ([], [], 0.0),
    ],
)
def test_kendalls_tau(first: list[float], second: list[float], tau: float) -> None:
    assert kendall_tau(first, second) == pytest.approx(tau)
