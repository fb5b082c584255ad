"""Which trainings a study is made of."""

from __future__ import annotations

from quant import study_precision, study_stability
from quant.study_journal import Run

SMALL_BITS = (None, 4, 1)
SMALL_SETTINGS = ((None, None), (2, 4))


def plan(study: str, task: str, seeds: int, small: bool) -> list[Run]:
    """All runs of a study on one data set, seed by seed."""
    if study == "precision":
        bits = SMALL_BITS if small else study_precision.BITS
        return study_precision.plan(task, seeds, bits)
    settings = SMALL_SETTINGS if small else study_stability.SETTINGS
    return study_stability.plan(task, seeds, settings)
