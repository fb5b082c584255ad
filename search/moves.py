"""Moves of a coordinate descent, weighed before anything is simulated.

The speed of a neighbour is estimated analytically, its predicted quality needs no simulation at
all, and what does not fit the chip is left out. Logarithms of the speed are taken to add up, so two
moves together are weighed from each alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from model.errors import TandemError
from search.bounds import estimate_cycles
from search.coordinates import Coordinate, coordinates
from search.evaluator import Evaluated, Evaluator
from search.genome import Genome
from search.spec import Target

NETWORK_UNITS = (1, 2, -1, -2)
HARDWARE_UNITS = (1, -1, 3, -3)
MARGIN = 0.01  # predicted logarithm of the speed below the least that is still tried
LEAST_GAIN = 1e-4  # of predicted quality
ESTIMATES_KEPT = 7  # points after the one at which they were made: sensitivities change slowly


@dataclass(frozen=True)
class Move:
    """A coordinate moved by so many units, and what that is estimated to do."""

    coordinate: Coordinate
    units: int
    genome: Genome
    faster: float  # change of log FPS
    better: float  # change of predicted quality
    fits: bool


class Moves:
    """Neighbours of genomes with their estimates, each estimated once."""

    def __init__(self, evaluate: Evaluator) -> None:
        self.evaluate, self.space = evaluate, evaluate.space
        self._known: dict[Genome, tuple[float, float, bool] | None] = {}
        self._estimates: list[Move] = []  # around a point not far away
        self._repetitions = self._uses_left = 0

    def weigh(self, genome: Genome) -> tuple[float, float, bool] | None:
        """Log of the estimated cycles, predicted quality, does it fit; None: impossible."""
        if genome not in self._known:
            try:
                work = self.evaluate.work(genome)
                cycles = estimate_cycles(work.design, work.planned.plans)
                fits = not self.space.limits.exceeded(work.resources.totals())
                quality = self.evaluate.quality(work.design)
                self._known[genome] = math.log(cycles), quality, fits
            except TandemError:
                self._known[genome] = None
        return self._known[genome]

    def unit(self, genome: Genome, coordinate: Coordinate, units: int) -> Move | None:
        """One move of a genome; None where it leads outside or cannot be built."""
        there = coordinate.step(genome, self.space, units)
        if there is None:
            return None
        ours, theirs = self.weigh(genome), self.weigh(there)
        if ours is None or theirs is None:
            return None
        return Move(coordinate, units, there, ours[0] - theirs[0], theirs[1] - ours[1], theirs[2])

    def around(self, genome: Genome) -> list[Move]:
        """All unit moves, and those by a few units."""
        found = []
        for coordinate in coordinates(genome, self.space):
            for units in NETWORK_UNITS if coordinate.of_network else HARDWARE_UNITS:
                move = self.unit(genome, coordinate, units)
                if move is not None:
                    found.append(move)
        return found

    def _near(self, genome: Genome) -> list[Move]:
        """As :meth:`around`, from the estimates of a point a few moves back where there is one."""
        if genome.repetitions != self._repetitions or self._uses_left == 0:
            self._estimates, self._uses_left = self.around(genome), ESTIMATES_KEPT
            self._repetitions = genome.repetitions
            return self._estimates
        self._uses_left -= 1
        found = []
        for move in self._estimates:
            there = move.coordinate.step(genome, self.space, move.units)
            if there is not None:
                found.append(replace(move, genome=there, fits=True))
        return found

    def forget(self) -> bool:
        """Estimate anew next time; was the last answer from estimates of another point?"""
        old = self._uses_left < ESTIMATES_KEPT
        self._uses_left = 0
        return old

    def pairs(self, here: Evaluated, target: Target) -> list[Move]:
        """Moves, alone or two together, that are predicted to be better at the target.

        The best first. A pair is named after the coordinate that gains.
        """
        moves = self._near(here.genome)
        least = math.log(target.least_fps / here.fps) - MARGIN
        found: dict[Genome, Move] = {
            move.genome: move
            for move in moves
            if move.fits and move.better > LEAST_GAIN and move.faster >= least
        }
        for gain in moves:
            if gain.better <= LEAST_GAIN:
                continue
            for pay in moves:
                if pay.coordinate == gain.coordinate or pay.faster <= 0:
                    continue
                better, faster = gain.better + pay.better, gain.faster + pay.faster
                if better <= LEAST_GAIN or faster < least:
                    continue
                genome = pay.coordinate.step(gain.genome, self.space, pay.units)
                if genome is not None and genome not in found:
                    found[genome] = Move(gain.coordinate, gain.units, genome, faster, better, True)
        return sorted(found.values(), key=lambda move: (-move.better, move.genome.key))
