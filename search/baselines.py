"""What SCD is compared with: random search and Optuna's TPE and NSGA-II.

All search the same space with the same evaluator, budget and seeds, and are ranked alike: the best
predicted networks among those that reach the target. Optuna's methods maximise the predicted
quality under the constraint of the target; what the chip cannot hold costs them no evaluation
either, but a trial.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from model.errors import TandemError
from search.evaluator import BudgetSpent, Evaluated, Evaluator
from search.genome import EXPANSIONS, Genome
from search.genome_space import TILE_ROWS, GenomeSpace
from search.spec import Target

INFEASIBLE = 10.0  # constraint of a genome that could not be simulated: worse than any gap
TRIALS_SHARE = 20  # trials an evaluation at the most: a sampler may be caught among infeasible ones


def random_search(evaluate: Evaluator, target: Target, seed: int) -> Iterator[Evaluated]:
    """Genomes drawn alike over the space, until the budget is spent."""
    rng = random.Random(seed)
    while True:
        found = evaluate(evaluate.space.random(rng))
        if found.meets(target):
            yield found


def optuna_search(
    evaluate: Evaluator, target: Target, seed: int, method: str
) -> Iterator[Evaluated]:
    """TPE or NSGA-II. TandemError where Optuna is not installed."""
    try:
        import optuna  # noqa: PLC0415  (only with the [quant] extra)
    except ImportError as error:
        raise TandemError(
            f"the baseline {method} needs Optuna: pip install 'tandem-codesign[quant]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = optuna.samplers

    sampler: Any
    if method == "tpe":
        sampler = samplers.TPESampler(seed=seed)
    else:
        sampler = samplers.NSGAIISampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(TRIALS_SHARE * evaluate.budget):
        trial = study.ask()
        found = evaluate(suggested(trial, evaluate.space))
        simulated = found.feasible and found.fps > 0
        gap = math.log(target.least_fps / found.fps) if simulated else INFEASIBLE
        trial.set_constraint("target", gap)
        study.tell(trial, found.quality if simulated else 0.0)
        if found.meets(target):
            yield found


def suggested(trial: Any, space: GenomeSpace) -> Genome:
    """A genome from an Optuna trial: one parameter a coordinate, all repetitions there are."""
    net = space.network
    low, high = net.repetitions
    count = trial.suggest_int("repetitions", max(low, net.downsamplings), high)
    wishes = [trial.suggest_float(f"pool{i}", 0, 1) for i in range(net.downsamplings)]
    expansions = [
        EXPANSIONS[trial.suggest_int(f"expansion{i}", 0, len(EXPANSIONS) - 1)] for i in range(high)
    ]
    places: list[int] = []
    for wish in sorted(wishes):
        free = [place for place in range(count) if place not in places]
        places.append(free[min(len(free) - 1, int(wish * len(free)))])
    return Genome(
        bundle=space.bundle,
        expansions=tuple(expansions[:count]),
        pools=tuple(index in places for index in range(count)),
        weight_bits=net.weight_bits[trial.suggest_int("weight", 0, len(net.weight_bits) - 1)],
        feature_bits=net.feature_bits[trial.suggest_int("feature", 0, len(net.feature_bits) - 1)],
        lanes=trial.suggest_int("lanes", 0, len(space.lanes) - 1),
        tile=trial.suggest_int("tile", 0, len(TILE_ROWS) - 1),
    )


def search_baseline(
    method: str, evaluate: Evaluator, target: Target, seed: int, candidates: int
) -> list[Evaluated]:
    """The best ``candidates`` networks that a method finds, the highest quality first."""
    if method == "random":
        source = random_search(evaluate, target, seed)
    else:
        source = optuna_search(evaluate, target, seed, method)
    kept: dict[tuple[object, ...], Evaluated] = {}
    try:
        for found in source:
            key = found.genome.network_key
            if key not in kept or found.fps > kept[key].fps:
                kept[key] = found
    except BudgetSpent:
        pass
    order = sorted(kept.values(), key=lambda e: (-e.quality, -e.fps, e.genome.key))
    return order[:candidates]
