"""Sizing: the best accelerators for a fixed network, precision, device and clock.

First every structure is surveyed (``search/survey.py``): its demand is exact and its bound a true
one, so most need no simulation. Those that could still be on a front are opened, the fastest bound
first, each with a ladder of buffers; a rung is simulated unless a measured design beats its bound
and its costs. If what is left of the space then is small enough, all of it is gone through and the
fronts are final; else the corners of the fronts are improved by the best neighbour until none is
better. Everything is deterministic: it does not depend on the number of processes, nor on whether
points come from the simulator or from the journal of a run that was stopped. Only whether the rest
of the space is gone through depends on the machine's speed.
"""

from __future__ import annotations

import time
from dataclasses import replace

from model.design import Design
from search.exploration import Exploration, Settings
from search.exploration_journal import Journal, mark
from search.improvement import improve
from search.measure import Limits, Point
from search.search_run import Report, SearchRun
from search.space import base_design
from search.survey import survey
from search.workers import Workers

NEAREST_SHARE, LEAST_NEAREST = 4, 100  # simulations for what comes nearest to a speed out of reach


def explore(
    design: Design,
    limits: Limits | None = None,
    settings: Settings | None = None,
    journal: Journal | None = None,
    report: Report = lambda *_: None,
) -> Exploration:
    """Search the space around a design's network. TandemError where nothing runs it at all."""
    settings = settings or Settings()
    base = base_design(design)
    limits = limits or Limits.of(base)
    journal = journal or Journal(None, mark(base, settings.frames))
    started = time.perf_counter()
    with Workers(settings.jobs) as workers:

        def run(limits: Limits, settings: Settings) -> Exploration:
            found = survey(base, limits, settings.max_structures)
            search = SearchRun(base, limits, settings, journal, workers, found, report)
            search.seed(design)
            search.open_structures()
            if not search.exhaust():
                improve(search)
            return search.result

        result = run(limits, settings)
        if not result.held and limits.fps:  # then what comes nearest
            fewer = max(LEAST_NEAREST, settings.evaluations // NEAREST_SHARE)
            unaimed = replace(settings, method="guided", evaluations=fewer)
            nearest = run(replace(limits, fps=0.0), unaimed)
            nearest.excluded = result.method == "exhaustive"
            nearest.limits = limits
            result = nearest
    result.seconds = time.perf_counter() - started
    return result


def size_accelerator(
    design: Design, limits: Limits | None = None, evaluations: int = 40, structures: int = 4
) -> Point | None:
    """The fastest accelerator found quickly for one network; None where none fits the limits.

    The ``structures`` with the best bounds, a few buffer sizes each, the best of them improved;
    at most ``evaluations`` simulations, in this process. With ``limits.fps`` set, the fastest too.
    """
    settings = Settings(
        frames=2, evaluations=evaluations, method="guided", rungs=4, max_structures=structures
    )
    return explore(design, limits, settings).best
