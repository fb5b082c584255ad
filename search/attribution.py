"""A difference shared out among its causes, exactly, by re-evaluation.

``value(taken)`` says what is measured where the causes in the bit set ``taken`` have been changed
and the others have not; None where that cannot be built. Along one order of changing the causes the
steps add up to the whole difference whatever they are. A cause's part is its step averaged over all
orders of which every state can be built; where all can, that is the Shapley value (L. S. Shapley,
A Value for n-Person Games, 1953). All arithmetic is rational: the parts add up without remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import factorial

Values = tuple[Fraction, ...]  # what is measured, each attributed alike
Value = Callable[[int], Values | None]


@dataclass(frozen=True)
class Attribution:
    """The parts of the players, which are sets of causes that were changed together."""

    players: tuple[int, ...]  # bit sets of causes; more than one bit: merged
    parts: tuple[Values, ...]  # by player, then by what is measured
    first: tuple[
        Values | None, ...
    ]  # the step of a player changed before all others; None: not built
    last: tuple[Values | None, ...]  # and after all others
    orders: int  # all of whose states can be built
    all_orders: int

    @property
    def whole(self) -> Values:
        """The sum of the parts: the whole difference."""
        return tuple(sum(column, Fraction(0)) for column in zip(*self.parts, strict=True))


def attribute(causes: int, value: Value) -> Attribution:
    """Share ``value(all) - value(none)`` out among ``causes`` causes.

    Where no order can be built, the first two players with which one can are merged; where no two
    do, the first two, and again. ``value`` is asked at most once for each set, and must know both
    ends: ValueError where it does not.
    """
    known: dict[int, Values | None] = {}

    def ask(taken: int) -> Values | None:
        if taken not in known:
            known[taken] = value(taken)
        return known[taken]

    if ask(0) is None or ask((1 << causes) - 1) is None:
        raise ValueError("both ends have to be buildable")
    players = [1 << index for index in range(causes)]
    while True:
        for tried in _attempts(players):
            found = _over_orders(tried, ask)
            if found is not None:
                return found
        players = merged(players, 0, 1)


def _attempts(players: Sequence[int]) -> list[list[int]]:
    """The players as they are; then with two of them merged, the first ones first."""
    pairs = combinations(range(len(players)), 2)
    return [list(players), *(merged(players, first, second) for first, second in pairs)]


def merged(players: Sequence[int], first: int, second: int) -> list[int]:
    """The players with two of them changed together, in the place of the first."""
    found = list(players)
    found[first] |= found.pop(second)
    return found


def _over_orders(players: Sequence[int], ask: Value) -> Attribution | None:
    """The average over all orders that can be built; None where none can."""
    count = len(players)
    full = (1 << count) - 1
    states = _states(players, ask)
    forward = _paths(states, range(full + 1), lambda state, bit: state & ~bit, 0)
    backward = _paths(states, range(full, -1, -1), lambda state, bit: state | bit, full)
    orders = forward[full]
    if orders == 0:
        return None
    parts = []
    for index in range(count):
        bit = 1 << index
        total = [Fraction(0)] * len(states[0] or ())
        for state, before in states.items():
            after = states.get(state | bit)
            if state & bit or before is None or after is None:
                continue
            weight = Fraction(forward[state] * backward[state | bit], orders)
            for place, (old, new) in enumerate(zip(before, after, strict=True)):
                total[place] += weight * (new - old)
        parts.append(tuple(total))
    return Attribution(
        players=tuple(players),
        parts=tuple(parts),
        first=tuple(_step(states, 0, 1 << index) for index in range(count)),
        last=tuple(_step(states, full & ~(1 << index), full) for index in range(count)),
        orders=orders,
        all_orders=factorial(count),
    )


def _step(states: dict[int, Values | None], before: int, after: int) -> Values | None:
    old, new = states.get(before), states.get(after)
    if old is None or new is None:
        return None
    return tuple(b - a for a, b in zip(old, new, strict=True))


def _states(players: Sequence[int], ask: Value) -> dict[int, Values | None]:
    """What is measured in every state that an order can reach from the beginning."""
    found: dict[int, Values | None] = {0: ask(0)}
    for state in range(1, 1 << len(players)):
        bits = [1 << index for index in range(len(players)) if state >> index & 1]
        if any(found.get(state & ~bit) is not None for bit in bits):
            taken = sum(player for index, player in enumerate(players) if state >> index & 1)
            found[state] = ask(taken)
    return found


def _paths(
    states: dict[int, Values | None],
    order: Sequence[int],
    neighbour: Callable[[int, int], int],
    start: int,
) -> dict[int, int]:
    """For each state the number of ways from ``start``, one player a step."""
    count = max(order).bit_length()
    ways: dict[int, int] = {}
    for state in order:
        if states.get(state) is None:
            ways[state] = 0
        elif state == start:
            ways[state] = 1
        else:
            near = {neighbour(state, 1 << index) for index in range(count)} - {state}
            ways[state] = sum(ways[other] for other in near)
    return ways
