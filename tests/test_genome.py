"""Genomes: channels, unit steps that can be undone, designs that compile."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import TandemError
from model.schedule import plan_design
from search.bundle import Bundle
from search.coordinates import Coordinate, coordinates, pool_places
from search.genome import Genome
from search.genome_space import GenomeSpace
from tests.search_spaces import small_spec

BUNDLE = Bundle(("dw3", "conv1"))


def space(**changes: object) -> GenomeSpace:
    return GenomeSpace.of(small_spec(**changes), BUNDLE)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 20))
def test_random_genomes_are_designs(seed: int) -> None:
    found = space()
    genome = found.random(random.Random(seed))
    design = found.build(genome)
    assert plan_design(design)
    assert design.network.output.out_height == 4  # eight times smaller, wherever the pools are
    assert sum(genome.pools) == 2
    assert Genome.of_record(genome.record()) == genome
    channels = genome.channels(8, 32)
    assert all(count % 8 == 0 and 8 <= count <= 32 for count in channels)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 20), units=st.sampled_from((1, -1)))
def test_a_step_and_back_is_where_it_was(seed: int, units: int) -> None:
    found = space()
    genome = found.random(random.Random(seed))
    for coordinate in coordinates(genome, found):
        there = coordinate.step(genome, found, units)
        if there is None:
            continue
        assert there != genome
        assert sum(there.pools) == 2
        if coordinate.kind != "repetitions" or units > 0:
            assert coordinate.step(there, found, -units) == genome


def test_a_repetition_that_goes_takes_no_pool_along() -> None:
    found = space(network={"repetitions": [2, 4]})
    genome = Genome(BUNDLE, (1.0, 1.0, 1.0), (False, True, True), 8, 8, 0, 0)
    fewer = Coordinate("repetitions").step(genome, found, -1)
    assert fewer is not None
    assert pool_places(fewer) == [0, 1]
    assert Coordinate("repetitions").step(fewer, found, -1) is None


def test_packing_follows_the_bits() -> None:
    found = space(precision={"weight_bits": [8, 11], "feature_bits": [8]})
    genome = Genome(BUNDLE, (1.0, 1.0), (True, True), 8, 8, 0, 0)
    assert found.build(genome).accelerator.mac_packing == "pair"
    wide = Genome(BUNDLE, (1.0, 1.0), (True, True), 11, 8, 0, 0)
    assert found.build(wide).accelerator.mac_packing == "none"


def test_a_record_gives_the_space_back() -> None:
    found = space()
    assert GenomeSpace.of_record(found.record()) == found


def test_no_array_fits_a_chip_without_multipliers() -> None:
    with pytest.raises(TandemError, match="not even the smallest MAC array fits"):
        space(limits={"dsp": 1})


def test_bundles_keep_their_names() -> None:
    bundle = Bundle(("dw5", "conv1", "conv3"), "avgpool", "relu")
    assert Bundle.named(bundle.name) == bundle
    assert bundle.tokens(24, True) == ["dw5", "conv1:24", "conv3:24", "avgpool"]
    with pytest.raises(TandemError, match="conv9"):
        Bundle(("conv9",))
