"""How a search stands, read from its journal alone, so that any other process can ask.

Beside the trials the journal holds *notes* about them: the search says once what it is after and,
for every trial of a stage, of which bundle or target it is. Numbers of stages that have not begun
are the most that the specification allows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.journal_lock import is_alive
from search.selection import group_latencies
from search.spec import SearchSpec
from search.trials import DONE, FAILED, HOLDER, RUNNING, WAITING, Journal, JournalView, Trial

TRAINED = ("prototype", "sample", "candidate", "winner")
STAGES = ("prototype", "sample", "chain", "candidate", "size", "winner", "finish")
FACTS, ENDED = "status facts", "status ended"
BEATING_SECONDS = 30.0  # a worker that was heard of so lately is at work
Status = dict[str, Any]
Notes = dict[str, list[dict[str, Any]]]


def put_facts(journal: Journal, spec: SearchSpec) -> None:
    """Say what the search is after; it has not ended."""
    journal.put_meta(FACTS, json.dumps(facts_of(spec)))
    journal.put_meta(ENDED, "")


def put_ended(journal: Journal) -> None:
    """Say that all stages were gone through."""
    journal.put_meta(ENDED, f"{time.time():.3f}")


def put_notes(
    journal: Journal, kind: str, notes: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Say what the trials of a kind are, by key: one trial may stand for several candidates."""
    journal.put_meta(f"status {kind}", json.dumps(notes))


def notes_of(journal: JournalView, kind: str) -> Notes:
    """What :func:`put_notes` kept; nothing where it kept none."""
    found: Notes = json.loads(journal.meta(f"status {kind}") or "{}")
    return found


def facts_of(spec: SearchSpec) -> Status:
    """What a reader needs of the specification."""
    targets = len(spec.targets)
    selected = spec.prototypes.groups * spec.prototypes.keep
    methods = 1 + bool(spec.baselines.trained and "random" in spec.baselines.methods)
    return {
        "name": spec.name,
        "device": spec.device.name,
        "targets": [{"name": t.name, "fps": t.fps, "tolerance": t.tolerance} for t in spec.targets],
        "groups": spec.prototypes.groups,
        "planned": {
            "prototype": spec.bundles.draw or None,
            "sample": spec.scd.samples,
            "chain": targets * selected * methods * spec.scd.chains,
            "candidate": targets * (spec.scd.trained + spec.baselines.trained),
            "size": targets * spec.training.winners,
            "winner": targets * spec.training.winners,
            "finish": targets * spec.training.winners,
        },
    }


def status_of(journal: JournalView, now: float | None = None) -> Status:
    """Stages, running trials, the best so far of each group and target, and the time left.

    ``seconds_left`` is that of the stages of which a trial has ended or told its progress; those of
    which nothing is known yet are ``not_known``. Seconds everywhere; IoU from 0 to 1.
    """
    now = time.time() if now is None else now
    facts: Status = json.loads(journal.meta(FACTS) or "{}")
    trials = journal.trials()
    ended = bool(journal.meta(ENDED))
    results = {kind: journal.results(kind) for kind in (*TRAINED, "chain")}
    running = [_running(trial, now, journal) for trial in trials if trial.state == RUNNING]
    stages = _stages(journal, trials, facts.get("planned", {}), ended, now)
    left = _seconds_left(stages, running)
    waits_for = [] if ended else [name for name, item in stages.items() if _unknown(item)]
    return {
        "folder": str(journal.folder),
        "name": facts.get("name", ""),
        "state": "ended" if ended else _state(journal, trials, now),
        "targets": facts.get("targets", []),
        "stages": stages,
        "running": running,
        "groups": _groups(journal, results["prototype"], int(facts.get("groups", 1))),
        "best_by_target": _by_target(journal, facts.get("targets", []), results),
        "best": {
            kind: max(float(result["mean_iou"]) for result in results[kind].values())
            for kind in TRAINED
            if results[kind]
        },
        "evaluations": sum(journal.chains().values()),
        "seconds_left": 0.0 if ended else left,
        "not_known": waits_for,
        "failures": journal.failures(),
    }


def _stages(
    journal: JournalView, trials: Sequence[Trial], planned: Mapping[str, Any], ended: bool,
    now: float,
) -> dict[str, Status]:  # fmt: skip
    counts = journal.counts()
    found: dict[str, Status] = {}
    for kind in (*STAGES, *(kind for kind in counts if kind not in STAGES)):
        known = counts.get(kind)
        if known is None:
            if planned.get(kind) != 0 and kind in planned and not ended:
                found[kind] = _stage(planned[kind], {}, None, begun=False)
            continue
        each = _seconds_each([trial for trial in trials if trial.task.kind == kind], now)
        found[kind] = _stage(sum(known.values()), known, each, begun=True)
    return found


def _stage(
    total: int | None, counts: Mapping[str, int], seconds_each: float | None, begun: bool
) -> Status:
    states = {state: counts.get(state, 0) for state in (WAITING, RUNNING, DONE, FAILED)}
    return {"begun": begun, "total": total, **states, "seconds_each": seconds_each}


def _seconds_each(trials: Sequence[Trial], now: float) -> float | None:
    """The mean of those that are done, else of what the running ones will take."""
    times = [
        trial.finished_at - trial.claimed_at
        for trial in trials
        if trial.state == DONE and trial.finished_at and trial.claimed_at
    ]
    if not times:
        times = [
            (now - trial.claimed_at) / share
            for trial in trials
            if trial.state == RUNNING and trial.claimed_at and (share := share_done(trial)) > 0
        ]
    return sum(times) / len(times) if times else None


def share_done(trial: Trial) -> float:
    """How much of its work a trial says is done, from 0 to 1; 0 where it says nothing."""
    told = trial.progress
    if "epoch" in told:
        stages = list(trial.task.payload.get("stages", [told.get("stage")]))
        before = stages.index(told["stage"]) if told.get("stage") in stages else 0
        within = told["epoch"] / max(1, told.get("epochs", 1))
        return float(min(1.0, (before + within) / len(stages)))
    if "spent" in told:
        return float(min(1.0, told["spent"] / max(1, told.get("budget", 1))))
    return 0.0


def _seconds_left(stages: Mapping[str, Status], running: Sequence[Status]) -> float | None:
    """Work of the stages that can be told, over the workers that are at it."""
    total, known = 0.0, False
    for kind, stage in stages.items():
        each = stage["seconds_each"]
        if each is None:
            continue
        known = True
        shares = [item["share"] for item in running if item["kind"] == kind]
        total += each * (stage[WAITING] + sum(1 - share for share in shares))
    return total / max(1, len(running)) if known else None


def _unknown(stage: Status) -> bool:
    open_trials = not stage["begun"] or stage[WAITING] + stage[RUNNING] > 0
    return open_trials and stage["seconds_each"] is None


def _running(trial: Trial, now: float, journal: JournalView) -> Status:
    key, kind = trial.task.key, trial.task.kind
    notes = notes_of(journal, kind).get(key, [{}])
    what = notes[0].get("name" if "target" in notes[0] else "bundle")
    seconds = now - trial.claimed_at if trial.claimed_at else 0.0
    facts = {"kind": kind, "key": key, "what": what or _short(trial), "seconds": seconds}
    return {**trial.progress, **facts, "share": share_done(trial), "attempts": trial.attempts}


def _short(trial: Trial) -> str:
    return trial.task.key.removeprefix(f"{trial.task.kind}-")


def _groups(
    journal: JournalView, results: Mapping[str, Mapping[str, Any]], count: int
) -> list[Status]:
    """Groups of prototypes of similar latency, the fastest first, and the best of each so far."""
    records = [note[0] | {"trial": key} for key, note in notes_of(journal, "prototype").items()]
    records.sort(key=lambda item: (item["latency_ms"], item["bundle"]))
    numbers = group_latencies([item["latency_ms"] for item in records], count)
    found = []
    for group in sorted(set(numbers)):
        members = [item for item, number in zip(records, numbers, strict=True) if number == group]
        trained = [
            item | {"iou": float(results[item["trial"]]["mean_iou"])}
            for item in members
            if item["trial"] in results
        ]
        best = min(trained, key=_rank) if trained else {}
        found.append(
            {
                "group": group,
                "latency_ms": [members[0]["latency_ms"], members[-1]["latency_ms"]],
                "prototypes": len(members),
                "trained": len(trained),
                "best": {key: best[key] for key in ("bundle", "iou", "fps") if key in best},
            }
        )
    return found


def _rank(item: Mapping[str, Any]) -> tuple[float, float, str]:
    return (-item["iou"], item["latency_ms"], item["bundle"])


def _by_target(
    journal: JournalView,
    targets: Sequence[Mapping[str, Any]],
    results: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> list[Status]:
    """What the chains of every target found, and its best trained candidate and winner so far."""
    chains = [
        (trial.task.payload.get("target", {}).get("fps"), results["chain"][trial.task.key])
        for trial in journal.trials("chain")
        if trial.task.key in results["chain"]
    ]
    found = []
    for target in targets:
        mine = [result for fps, result in chains if fps == target["fps"]]
        proposed = [item for result in mine for item in result.get("candidates", [])]
        gaps = [abs(item["fps"] / target["fps"] - 1) for item in proposed]
        found.append(
            {
                "target": target["name"],
                "fps": target["fps"],
                "chains": len(mine),
                "candidates": len(proposed),
                "smallest_gap": min(gaps, default=None),
                "candidate": _best(journal, "candidate", target, results, _mean_iou),
                "winner": _best(journal, "winner", target, results, _final_iou),
            }
        )
    return found


def _best(
    journal: JournalView,
    kind: str,
    target: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Mapping[str, Any]]],
    iou: Callable[[Mapping[str, Any]], float],
) -> Status:
    """The best trained one of a target by its notes; empty where none is trained."""
    trained = [
        {**note, "iou": iou(results[kind][key])}
        for key, notes in notes_of(journal, kind).items()
        for note in notes
        if note["target"] == target["name"] and key in results[kind]
    ]
    if not trained:
        return {"trained": 0}
    best = min(trained, key=lambda item: (-item["iou"], item["name"]))
    keys = ("name", "bundle", "method", "fps", "iou")
    return {"trained": len(trained)} | {key: best[key] for key in keys if key in best}


def _mean_iou(result: Mapping[str, Any]) -> float:
    return float(result["mean_iou"])


def _final_iou(result: Mapping[str, Any]) -> float:
    """Of the integer network where there is one."""
    found = result.get("integer_iou")
    return _mean_iou(result) if found is None else float(found)


def _state(journal: JournalView, trials: Sequence[Trial], now: float) -> str:
    """``running`` while the process that holds the folder lives or a worker is at work."""
    beats = [trial.heartbeat_at or 0.0 for trial in trials if trial.state == RUNNING]
    beating = any(now - beat < BEATING_SECONDS for beat in beats)
    holder = journal.meta(HOLDER)
    return "running" if beating or (holder and is_alive(holder)) else "stopped"
