"""The bi-directional co-design search: bundles, prototypes, networks with accelerators, winners.

Bottom-up: bundles are drawn, tried as prototypes and selected per group of similar speed. Top-down
and together: for every target networks of the selected bundles are grown with an accelerator around
them, each step simulated exactly. The best predicted ones are trained, the best trained ones are
quantised, verified on the RTL and synthesised. After Zhang et al. 2019.

Every stage is made of tasks with a key. The executor runs those that the journal does not hold, so
a search that was killed goes on, and no stage looks at a clock or at the order in which tasks end:
the same specification gives the same answer with any number of workers.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model.design import Design, design_from_dict
from model.design_writer import design_to_dict
from model.errors import TandemError
from quant.alignment import SKYNET_CHANNELS
from quant.trial import Trial
from search.bundle import Bundle
from search.bundle_pool import make_bundles
from search.chain import SCD
from search.evaluator import BudgetSpent, Evaluator
from search.executor import Event, Executor, Task
from search.genome_space import GenomeSpace
from search.prototypes import measure_prototype, prototype_record
from search.quality import QualityModel, fit_quality
from search.reach import check_reach
from search.search_status import put_notes
from search.selection import select, write_selection
from search.spec import SearchSpec, Target
from search.stages import Candidate, Progress, Record, best_predicted
from search.trial_worker import folder_of
from search.trials import Journal

TRAIN, CHAIN = "quant.trial:run_trial", "search.chain:run_chain"
SIZE, FINISH = "search.sizing_task:run_sizing", "search.finish:run_finish"
STAGES = ("bundles", "prototypes", "samples", "networks", "training", "winners")
Say = Callable[[str], None]
Watch = Callable[[str, Event], None]  # of a stage


class CoDesign:
    """One search in its folder."""

    def __init__(
        self,
        spec: SearchSpec,
        out: Path,
        journal: Journal,
        executor: Executor,
        data_digest: str,
        say: Say,
        watch: Watch,
    ) -> None:
        self.spec, self.out, self.data_digest = spec, out, data_digest
        self.journal, self.executor, self.say, self.watch = journal, executor, say, watch
        self.found = Progress(spec, out)
        self.quality = QualityModel()

    def run(self, until: str = STAGES[-1]) -> Progress:
        """All stages, or those up to one of STAGES.

        TandemError for a target out of reach, data that cannot be used, no disk.
        """
        for stage in STAGES[: STAGES.index(until) + 1]:
            getattr(self, stage)()
        return self.found

    def bundles(self) -> None:
        """Step 1: the bundles, and whether the targets can be reached with them at all."""
        pool = make_bundles(self.spec.bundles)
        self.found.bundles = list(pool.bundles)
        self.found.refused = [asdict(item) for item in (*pool.refused, *pool.duplicates)]
        reach = check_reach(self.spec, pool.bundles)
        self.found.reach = asdict(reach)
        self.say(
            f"{len(pool.bundles)} bundles of {pool.possible}; at most {reach.fps_bound:.0f} FPS "
            f"by {reach.cause}, {reach.fps_found:.0f} found"
        )

    def prototypes(self) -> None:
        """Step 2: a prototype of every bundle, its cost simulated, its IoU trained."""
        records: list[Record] = []
        tasks: dict[str, Task] = {}
        for bundle in self.found.bundles:
            try:
                design, cost = measure_prototype(bundle, self.spec)
            except TandemError as error:
                self.found.refused.append({"bundle": bundle.name, "reason": str(error)})
                continue
            slowest = min(target.least_fps for target in self.spec.targets)
            if cost.fps < slowest:
                reason = f"{cost.fps:.1f} FPS as a prototype, the slowest target is {slowest:.1f}"
                self.found.refused.append({"bundle": bundle.name, "reason": reason})
                continue
            task = self.trial(design, "prototype", self.spec.prototypes.settings, bundle)
            tasks[bundle.name] = task
            records.append(prototype_record(bundle, design, cost) | {"trial": task.key})
        put_notes(self.journal, "prototype", {record["trial"]: [record] for record in records})
        results = self.execute("prototype", tasks.values())
        trained = [
            record | {"iou": results[record["trial"]]["mean_iou"]}
            for record in records
            if record["trial"] in results
        ]
        if not trained:
            raise TandemError(
                f"no prototype could be trained: {self.first_failure(tasks.values())}"
            )
        chosen = select(trained, self.spec.prototypes.groups, self.spec.prototypes.keep)
        marks = {item.bundle: item for item in chosen.prototypes}
        self.found.prototypes = [
            record | {key: getattr(marks[record["bundle"]], key) for key in MARKS}
            for record in trained
        ]
        self.found.selected = [Bundle.named(name) for name in chosen.kept]
        write_selection(chosen, self.out)
        self.say(f"selected: {', '.join(chosen.kept)}")

    def samples(self) -> None:
        """A few networks of the selected bundles, trained as candidates are: what makes one good.

        They are drawn at random, so that no method of search is favoured by what is learned.
        """
        source = SKYNET_CHANNELS if self.spec.data.start else ()
        rng = random.Random(self.spec.scd.seed)
        designs: list[tuple[Design, Bundle]] = []
        for index in range(self.spec.scd.samples):
            bundle = self.found.selected[index % len(self.found.selected)]
            design = self.sample(GenomeSpace.of(self.spec, bundle), rng)
            if design is not None:
                designs.append((replace(design, name=f"sample{index}"), bundle))
        tasks = [
            self.trial(design, "sample", self.spec.training.candidate, bundle)
            for design, bundle in designs
        ]
        named = zip(tasks, designs, strict=True)
        notes = {task.key: [{"bundle": bundle.name}] for task, (_, bundle) in named}
        put_notes(self.journal, "sample", notes)
        results = self.execute("sample", tasks)
        pairs = [
            (design.network, float(results[task.key]["mean_iou"]))
            for (design, _), task in zip(designs, tasks, strict=True)
            if task.key in results
        ]
        self.quality = fit_quality(pairs, source)
        self.found.quality = self.quality.record()

    def sample(self, space: GenomeSpace, rng: random.Random) -> Design | None:
        """A random network about as fast as the targets ask for; None where none is found."""
        targets = self.spec.targets
        slowest, fastest = targets[0].least_fps, SAMPLE_SPAN * targets[-1].fps
        evaluate = Evaluator(space, self.quality.predict, SAMPLE_DRAWS)
        try:
            while True:
                found = evaluate(space.random(rng))
                if found.feasible and slowest <= found.fps <= fastest:
                    return space.build(found.genome)
        except BudgetSpent:
            return None

    def networks(self) -> None:
        """Step 3: chains for every target and selected bundle, and those of the baselines."""
        tasks: list[Task] = []
        for method, chains in self.methods():
            for target in self.spec.targets:
                for bundle in self.found.selected:
                    tasks += [self.chain(method, target, bundle, index) for index in range(chains)]
        results = self.execute("chain", tasks)
        for task in tasks:
            if task.key in results:
                payload = {key: task.payload[key] for key in ("chain", "method", "seed")}
                payload["key"] = task.key
                fps = task.payload["target"]["fps"]
                result = results[task.key]
                self.found.chains.append(payload | {"fps": fps} | _without(result, "candidates"))
                self.found.candidates += self.candidates(task, result)

    def methods(self) -> list[tuple[str, int]]:
        """SCD, and random search where some of its networks are to be trained; chains of each."""
        chains = self.spec.scd.chains
        found = [(SCD, chains)]
        if self.spec.baselines.trained and "random" in self.spec.baselines.methods:
            found.append(("random", chains))
        return found

    def candidates(self, task: Task, result: Mapping[str, Any]) -> list[Candidate]:
        """What a chain proposes."""
        fps = task.payload["target"]["fps"]
        target = next(item for item in self.spec.targets if item.fps == fps)
        method = str(task.payload["method"])
        found = []
        for record in result["candidates"]:
            design = design_from_dict(record["design"], "candidate")
            name = f"{self.spec.name}_{target.name}_{design.name.removeprefix('candidate_')[:8]}"
            costs = {key: float(record[key]) for key in COSTS}
            found.append(
                Candidate(
                    replace(design, name=name), target, str(record["genome"]["bundle"]), method,
                    float(record["fps"]), float(record["quality"]), costs,
                )
            )  # fmt: skip
        return found

    def training(self) -> None:
        """The best predicted candidates of every target and method, trained to be ranked."""
        tasks: dict[str, Task] = {}
        for target in self.spec.targets:
            for method, _ in self.methods():
                count = self.spec.scd.trained if method == SCD else self.spec.baselines.trained
                for item in best_predicted(self.of(target, method), count):
                    bundle = Bundle.named(item.bundle)
                    tasks[item.name] = self.trial(
                        item.design, "candidate", self.spec.training.candidate, bundle
                    )
        items = {item.name: item for item in self.found.candidates}
        self.note("candidate", [(items[name], task) for name, task in tasks.items()])
        results = self.execute("candidate", tasks.values())
        self.found.trained = {
            name: results[task.key] for name, task in tasks.items() if task.key in results
        }
        if not self.found.trained:
            raise TandemError(
                "no candidate reached a target and could be trained"
                f"{self.first_failure(tasks.values())}: raise scd.evaluations, or the tolerance"
            )

    def winners(self) -> None:
        """The best candidates of every target, trained to the end, verified, synthesised."""
        chosen: list[tuple[Candidate, Task]] = []
        for item in self.sized(self.ranked()):
            bundle = Bundle.named(item.bundle)
            settings = self.spec.training.winner
            task = self.trial(item.design, "winner", settings, bundle, ("float", "qat"))
            chosen.append((item, task))
        self.note("winner", chosen)
        results = self.execute("winner", [task for _, task in chosen])
        finishing = {
            item.name: self.finish(item, results[task.key], task)
            for item, task in chosen
            if task.key in results
        }
        finished = self.execute("finish", finishing.values())
        for item, task in chosen:
            if item.name not in finishing or finishing[item.name].key not in finished:
                continue
            key = finishing[item.name].key
            self.found.winners.append(
                self.winner(
                    item,
                    results[task.key],
                    finished[key],
                    folder_of(self.out, finishing[item.name]),
                )
            )

    def ranked(self) -> list[Candidate]:
        """The best trained candidates of every target."""
        found: list[Candidate] = []
        for target in self.spec.targets:
            trained = [item for item in self.of(target, SCD) if item.name in self.found.trained]
            trained.sort(key=lambda c: (-self.found.trained[c.name]["mean_iou"], c.name))
            found += trained[: self.spec.training.winners]
        return found

    def sized(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same networks, each with the fastest accelerator that exploring finds for it."""
        tasks = [
            Task(
                f"size-{item.name}",
                "size",
                SIZE,
                {"design": design_to_dict(item.design), "limits": asdict(self.spec.limits)},
            )
            for item in candidates
        ]
        results = self.execute("size", tasks)
        found = []
        for item, task in zip(candidates, tasks, strict=True):
            result = results.get(task.key)
            if result is None:
                found.append(item)
                continue
            design = design_from_dict(result["design"], item.name)
            costs = {key: float(result[key]) for key in COSTS}
            found.append(replace(item, design=design, fps=float(result["fps"]), costs=costs))
        return found

    def winner(
        self, item: Candidate, trained: Mapping[str, Any], done: Mapping[str, Any], folder: Path
    ) -> Record:
        """All about a winner, for the report."""
        return {
            **_without(item.record(), "design"),
            "weight_bits": item.design.weight_bits,
            "feature_bits": item.design.feature_bits,
            "bundles": design_to_dict(item.design)["network"]["bundles"],
            "path": str(folder / done["path"]),
            "network": str(folder / done["network"]),
            "rtl": str(folder / done["rtl"]),
            "mean_iou": trained["integer_iou"],
            "float_iou": trained["float_iou"],
            "qat_iou": trained["qat_iou"],
            "verified": done["verified"],
            "verify": done["verify"],
            "synth": done["synth"],
            "target_fps": item.target.fps,
        }

    def of(self, target: Target, method: str) -> list[Candidate]:
        """The candidates of a target that a method found."""
        return [c for c in self.found.candidates if c.target == target and c.method == method]

    def trial(
        self,
        design: Design,
        kind: str,
        settings: Mapping[str, Any],
        bundle: Bundle,
        stages: tuple[str, ...] = ("float",),
    ) -> Task:
        """The training of a design as a task."""
        data = self.spec.data
        start = dict(settings.get("start", {})) | {"activation": bundle.activation}
        trial = Trial(
            design=design_to_dict(design),
            data=data.train,
            val=data.val,
            settings={**settings, "start": start},
            stages=stages,
            data_digest=self.data_digest,
            start=data.start,
            teacher=data.teacher,
        )
        payload = trial.payload | {"cache": str(self.out / "cache")}
        return Task(f"{kind}-{trial.key}", kind, TRAIN, payload)

    def chain(self, method: str, target: Target, bundle: Bundle, index: int) -> Task:
        """A chain as a task; its share of the budget is that of all its like."""
        name = f"{method}-{target.name}-{bundle.name}-{index}"
        payload = {
            "chain": name,
            "space": GenomeSpace.of(self.spec, bundle).record(),
            "target": asdict(target),
            "method": method,
            "seed": self.spec.scd.seed * 1000 + index,
            "evaluations": self.spec.scd.evaluations,
            "candidates": self.spec.scd.candidates,
            "quality": self.quality.record(),
        }
        text = json.dumps(payload, sort_keys=True)  # with what the samples taught
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return Task(f"chain-{name}-{digest}", "chain", CHAIN, payload)

    def finish(self, item: Candidate, trained: Mapping[str, Any], task: Task) -> Task:
        """Verification and synthesis of a winner as a task."""
        finish = self.spec.finish
        payload = {
            "design": design_to_dict(item.design),
            "network": str(folder_of(self.out, task) / trained["network"]),
            "frames": finish.verify_frames,
            "synthesise": finish.synthesise,
            "build": str(self.out / "build"),
            "comment": f"Found by tandem search for {item.target.fps:g} FPS: bundle {item.bundle}.",
        }
        return Task(f"finish-{item.name}", "finish", FINISH, payload)

    def note(self, kind: str, tasks: Sequence[tuple[Candidate, Task]]) -> None:
        """Tell those who look on which candidates a training is of: it may be of several."""
        notes: dict[str, list[Record]] = {}
        for item, task in tasks:
            notes.setdefault(task.key, []).append(_without(item.record(), "design"))
        put_notes(self.journal, kind, notes)

    def execute(self, stage: str, tasks: Sequence[Task] | Any) -> dict[str, Record]:
        """Run the tasks of a stage; results by key, without those that failed."""
        found = list({task.key: task for task in tasks}.values())
        if not found:
            return {}
        results = self.executor.run(found, lambda event: self.watch(stage, event))
        failures = self.journal.failures()
        for task in found:
            if task.key in failures:
                self.say(f"{stage} {task.key}: {failures[task.key]}")
        return results

    def first_failure(self, tasks: Sequence[Task] | Any) -> str:
        """Why the first of these tasks that failed did."""
        failures = self.journal.failures()
        return next((failures[task.key] for task in tasks if task.key in failures), "")


SAMPLE_DRAWS, SAMPLE_SPAN = 500, 1.5  # simulated for one sample; times the fastest target
MARKS = ("group", "kept", "front")
COSTS = ("dsp", "bram18", "lut", "ff", "power_w", "latency_ms")


def _without(record: Mapping[str, Any], key: str) -> Record:
    return {name: value for name, value in record.items() if name != key}
