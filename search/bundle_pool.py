"""Bundles drawn from a pool of layers: no duplicates, impossible ones refused with a reason."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from model.errors import TandemError
from search.bundle import ACTIVATIONS, COMPUTE, POOLS, Bundle
from search.spec import ALL, BundleSpec

DRAWS_A_BUNDLE = 50  # draws in vain until a pool counts as exhausted


@dataclass(frozen=True)
class Refused:
    """A bundle that is not looked at, and why."""

    bundle: str
    reason: str


@dataclass(frozen=True)
class BundlePool:
    """What a pool gave."""

    bundles: tuple[Bundle, ...]
    refused: tuple[Refused, ...]
    duplicates: tuple[Refused, ...]  # structurally the same as one that is there
    possible: int  # bundles of the whole pool that are possible and distinct


def make_bundles(spec: BundleSpec) -> BundlePool:
    """The bundles of a specification, drawn from its seed or all of them.

    TandemError where the pool has no layer that computes, or no bundle of it is possible.
    """
    whole = enumerate_bundles(spec.pool, spec.layers)
    if not whole.bundles:
        reasons = "; ".join(f"{item.bundle}: {item.reason}" for item in whole.refused[:3])
        raise TandemError(f"bundles.pool gives no bundle that can be used ({reasons}): add layers")
    if spec.draw == ALL or spec.draw >= len(whole.bundles):
        return whole
    return draw_bundles(spec.pool, spec.layers, spec.draw, spec.seed)


def enumerate_bundles(pool: Sequence[str], layers: int) -> BundlePool:
    """Every bundle of up to so many compute layers."""
    found = _sift(_all(pool, layers), None)
    return replace(found, duplicates=(*_named_twice(pool), *found.duplicates))


def draw_bundles(pool: Sequence[str], layers: int, count: int, seed: int) -> BundlePool:
    """``count`` distinct possible bundles drawn at random; fewer where the pool has no more."""
    compute, pools, activations = _parts(pool)
    rng = random.Random(seed)

    def draws() -> Iterator[Bundle]:
        for _ in range(DRAWS_A_BUNDLE * count):
            length = rng.randint(1, layers)
            chosen = tuple(rng.choice(compute) for _ in range(length))
            yield Bundle(chosen, rng.choice(pools), rng.choice(activations))

    drawn = _sift(draws(), count)
    possible = enumerate_bundles(pool, layers).possible
    duplicates = (*_named_twice(pool), *drawn.duplicates)
    return BundlePool(drawn.bundles, drawn.refused, duplicates, possible)


def refusal(bundle: Bundle) -> str | None:
    """Why a bundle is impossible; None where it is not."""
    if not bundle.grows:
        return "has no convolution across channels, so channels can neither mix nor grow"
    return None


def canonical(bundle: Bundle) -> Bundle:
    """The bundle that is structurally the same and stands for it.

    Every layer rectifies what it leaves, so no two layers merge into one and none change places:
    only equal chains are the same. The pool counts, for any repetition may halve the map; the
    activation does too, for it decides what is trained (in hardware both are the same).
    """
    return bundle


def _sift(bundles: Iterator[Bundle], count: int | None) -> BundlePool:
    kept: dict[Bundle, None] = {}
    refused: dict[str, Refused] = {}
    duplicates: list[Refused] = []
    for bundle in bundles:
        if count is not None and len(kept) == count:
            break
        reason = refusal(bundle)
        if reason is not None:
            refused[bundle.name] = Refused(bundle.name, reason)
            continue
        same = canonical(bundle)
        if same in kept:
            duplicates.append(Refused(bundle.name, f"is the same as {same.name}"))
            continue
        kept[same] = None
    return BundlePool(tuple(kept), tuple(refused.values()), tuple(duplicates), len(kept))


def _all(pool: Sequence[str], layers: int) -> Iterator[Bundle]:
    compute, pools, activations = _parts(pool)
    for length in range(1, layers + 1):
        for chosen in product(compute, repeat=length):
            for kind, activation in product(pools, activations):
                yield Bundle(chosen, kind, activation)


def _named_twice(pool: Sequence[str]) -> Iterator[Refused]:
    for word in dict.fromkeys(pool):
        if list(pool).count(word) > 1:
            yield Refused(word, f"is in the pool {list(pool).count(word)} times, it counts once")


def _parts(pool: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Compute layers, pools and activations of a pool; the usual one where it names none."""
    compute = [word for word in dict.fromkeys(pool) if word in COMPUTE]
    if not compute:
        raise TandemError(
            f"bundles.pool = {list(pool)}: has no layer that computes: add some of "
            f"{', '.join(COMPUTE)}"
        )
    pools = [word for word in dict.fromkeys(pool) if word in POOLS] or ["maxpool"]
    activations = [word for word in dict.fromkeys(pool) if word in ACTIVATIONS] or ["relu6"]
    return compute, pools, activations
