"""Layer strings become layers with shapes, or one sentence that says why not."""

from __future__ import annotations

import pytest

from model.errors import TandemError
from model.network import parse_network


def test_shapes_follow_the_chain() -> None:
    net = parse_network(3, 13, 9, [["dw3", "conv1:8", "maxpool"], ["conv3:5"]], ["conv1:2"])
    assert [
        (layer.name, layer.out_channels, layer.out_height, layer.out_width) for layer in net.layers
    ] == [
        ("bundle0.dw3", 3, 13, 9),
        ("bundle0.conv1", 8, 13, 9),
        ("bundle0.maxpool", 8, 6, 4),
        ("bundle1.conv3", 5, 6, 4),
        ("head.conv1", 2, 6, 4),
    ]
    assert [layer.bundle for layer in net.layers] == [0, 0, 0, 1, 2]


def test_macs_are_those_of_the_published_network() -> None:
    bundles = [["dw3", f"conv1:{n}", "maxpool"] for n in (48, 96, 192)] + [["dw3", "conv1:384"]]
    net = parse_network(3, 160, 360, bundles, ["conv1:10"])
    by_hand = 57600 * (27 + 144) + 14400 * (432 + 4608) + 3600 * (864 + 18432)
    by_hand += 900 * (1728 + 73728 + 3840)
    assert net.macs == by_hand == 223_257_600


def test_relu_is_folded() -> None:
    plain = parse_network(3, 4, 4, [["dw3", "conv1:8"]], ["conv1:2"])
    written = parse_network(3, 4, 4, [["dw3", "relu", "conv1:8", "relu"]], ["conv1:2"])
    assert plain == written


def test_names_are_unique() -> None:
    net = parse_network(3, 8, 8, [["conv3:4", "conv3:4", "maxpool", "maxpool"]], ["conv1:2"])
    assert [layer.name for layer in net.layers] == [
        "bundle0.conv3",
        "bundle0.conv3_2",
        "bundle0.maxpool",
        "bundle0.maxpool_2",
        "head.conv1",
    ]


def test_a_bypass_puts_four_phases_before_the_channels() -> None:
    bundles = [["conv1:6"], ["maxpool"], ["bypass:0", "dw3"]]
    net = parse_network(3, 8, 12, bundles, ["conv1:1"])
    layer = net.bundles[2][0]
    assert (layer.name, layer.kind, layer.source) == ("bundle2.bypass", "bypass", 0)
    assert (layer.in_channels, layer.out_channels) == (6, 4 * 6 + 6)
    assert (layer.out_height, layer.out_width) == (4, 6)
    assert not layer.computes and layer.macs == 0 and layer.weight_shape == ()
    assert net.bundles[2][1].in_channels == 30


def test_tokens_parse_back() -> None:
    bundles = [["dw3", "conv1:8"], ["avgpool", "dw5"], ["bypass:0", "conv5:6", "maxpool"]]
    net = parse_network(3, 8, 8, bundles, ["conv3:2"])
    assert [[layer.token for layer in chain] for chain in net.bundles] == bundles


@pytest.mark.parametrize(
    ("bundles", "head", "words"),
    [
        ([["conv7:8"]], ["conv1:1"], ["bundles[0]", "conv7:8", "layer pool"]),
        ([["conv1:0"]], ["conv1:1"], ["conv1:0", "from 1 to 4095"]),
        ([["conv1"]], ["conv1:1"], ['"conv1" is not a layer']),
        ([["dw4"]], ["conv1:1"], ["dw4"]),
        ([["dw3:8"]], ["conv1:1"], ["dw3:8"]),
        ([["conv1:\u0663"]], ["conv1:1"], ["is not a layer"]),
        ([["maxpool"] * 4], ["conv1:1"], ["bundle0.maxpool_3", "1 x 2", "two rows"]),
        ([["avgpool", "avgpool", "avgpool"]], ["conv1:1"], ["bundle0.avgpool_3"]),
        ([[]], ["conv1:1"], ["bundles[0]", "no layer"]),
        ([["relu"]], ["conv1:1"], ["relu", "must follow"]),
        ([["maxpool", "relu"]], ["conv1:1"], ["relu", "must follow"]),
        ([], [], ["head", "no layer"]),
        ([], ["conv1:1", "maxpool"], ["head", "must be a convolution"]),
        ([], ["conv1:1", "relu"], ["head", "must be a convolution"]),
        ([], ["dw3"], ["head", "must be a convolution"]),
        ([["dw3", "bypass:0"]], ["conv1:1"], ["bypass:0", "first layer"]),
        ([["bypass"]], ["conv1:1"], ['"bypass"', "bypass:K"]),
        ([["bypass:-1"]], ["conv1:1"], ["bypass:-1", "bypass:K"]),
        ([["bypass:0", "dw3"]], ["conv1:1"], ["bypass:0", "no bundle"]),
        ([["dw3"], ["bypass:0", "dw3"]], ["conv1:1"], ["bypass:0", "no bundle"]),
        ([["dw3"]] * 2 + [["bypass:1", "dw3"]], ["conv1:1"], ["bypass:1", "bundles 0 to 0"]),
        ([["dw3"]] * 2 + [["bypass:0", "dw3"]], ["conv1:1"], ["4 x 8", "that is 8 x 16"]),
        ([["dw3"], ["maxpool"], ["bypass:0"]], ["conv1:1"], ["bypass:0", "followed by a layer"]),
        ([["conv1:1024"], ["maxpool"], ["bypass:0", "dw3"]], ["conv1:1"], ["5120 channels"]),
        ([["dw3"]] * 255, ["conv1:1"], ["255 bundles"]),
    ],
)
def test_bad_chains_are_refused(
    bundles: list[list[str]], head: list[str], words: list[str]
) -> None:
    with pytest.raises(TandemError) as refusal:
        parse_network(3, 4, 8, bundles, head)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4), (3, 4, 4096)])
def test_bad_input_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(TandemError, match="must be a whole number from 1"):
        parse_network(*shape, [], ["conv1:1"])
