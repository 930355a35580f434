"""Runs sampler and trials of a recorded study again from its spec, step by step, and compares them.

A generation is proposed from the outcomes that were derived before it, so when all are equal the whole study is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from tracker.deriving.compare_models import other_model
from tracker.deriving.compare_outcomes import Difference
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_study import RecordedStudy, find_study
from tracker.deriving.judge_trial import reach_of, reproduce_record
from tracker.deriving.verdict import Verdict
from tracker.errors import NotFoundError, ReplayError
from tracker.evaluation.files import read_report
from tracker.evaluation.reports import other_entry
from tracker.paths import Paths
from tracker.records import Proposal, Trial
from tracker.remedies import run_again, stage_command
from tracker.search.samplers import open_sampler, plan_generations, versions
from tracker.search.shrink import shrink
from tracker.search.stopping import Stopping
from tracker.seeds import bit_generator
from tracker.store.conflicts import refuse_other_proposal
from tracker.studies.finished import finished_in, recorded_spec
from tracker.studies.fold_rungs import FoldDecisions
from tracker.studies.plan import Planner
from tracker.studies.report import study_files
from tracker.studies.rungs import Decisions, told
from tracker.surroundings.changes import changes
from tracker.surroundings.environment import asked_of
from tracker.surroundings.provenance import trained_with
from tracker.trees import first_difference

OnStep = Callable[[str, int, int], None]  # study, trials derived, trials to derive


class FreshProcesses:
    """A few fresh processes that derive trials at the same time, each alone on one thread."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._processes = [FreshProcess() for _ in range(count)]
        self._free: SimpleQueue[FreshProcess] = SimpleQueue()
        for process in self._processes:
            self._free.put(process)
        self._threads = ThreadPoolExecutor(count)

    def __enter__(self) -> FreshProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._end()  # whoever waits for an answer hears that there is none
        self._threads.shutdown()
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.close()

    def reproduce(self, study: RecordedStudy, numbers: Sequence[int], paths: Paths) -> Iterator[Verdict]:
        """The verdicts on trials, in their order."""

        def one(number: int) -> Verdict:
            process = self._free.get()
            try:
                return reproduce_record(study.trial(number), paths.root, paths.splits, process)
            finally:
                self._free.put(process)

        return self._threads.map(one, numbers)


def verify_study(
    name: str,
    paths: Paths,
    processes: FreshProcesses,
    sample: int | None = None,
    on_step: OnStep = lambda *_: None,
) -> Verdict:
    """Derives a study again and compares proposals, outcomes, winner, digest and report; stops at the first difference.

    Proposals are always derived, all of them, from the recorded values: they are the same where trials are equivalent.

    `sample` trains so many trials only, drawn by a seed that is named after the study. Raises NotFoundError.
    """
    return verify_recorded(find_study(name, paths), paths, processes, sample, on_step)


def verify_recorded(
    study: RecordedStudy, paths: Paths, processes: FreshProcesses, sample: int | None, on_step: OnStep
) -> Verdict:
    """The same of a study that was found."""
    chosen = sample_numbers(study, sample)
    run = _Verifying(study, paths, processes, chosen, on_step)
    return run.verify()


def sample_numbers(study: RecordedStudy, count: int | None) -> list[int]:
    """The trials to train again, ascending: all, or `count` drawn by the seed of the study under the name `verify`."""
    total = len(study.proposals)
    if count is None or count >= total:
        return list(range(total))
    words = bit_generator(study.spec.seed, "verify", count).random_raw(total)
    return sorted(sorted(range(total), key=lambda number: int(words[number]))[:count])


@dataclass(slots=True)
class _Verifying:
    study: RecordedStudy
    paths: Paths
    processes: FreshProcesses
    chosen: Collection[int]
    on_step: OnStep
    derived: int = 0
    farthest: Verdict | None = None  # the equivalent trial that deviates most

    def verify(self) -> Verdict:
        self.on_step(self.study.spec.name, 0, len(self.chosen))
        if (other_space := self._other_space()) is not None:
            return other_space
        spec, trials = self.study.spec, self.study.result.trials
        sampler, planner = open_sampler(spec), Planner(spec)
        decisions: Decisions | FoldDecisions = FoldDecisions(spec) if "prune" in spec.runs else Decisions(spec)
        stopping = Stopping(spec)
        for generation, (start, count) in enumerate(plan_generations(spec, len(trials))):
            searched = sampler.propose(generation, count, start)
            proposals = [planner.propose(start + place, generation, values) for place, values in enumerate(searched)]
            found = self._other_proposal(proposals) or self._other_outcome(range(start, start + count))
            # Derived outcomes equal the recorded ones, are equivalent, or were not asked for.
            found = found or self._other_decision(decisions, trials[start : start + count])
            if found is not None:
                return found
            if (why := stopping.after(trials[start : start + count])) and start + count < len(trials):
                words = f"stop: {why} after trial {start + count - 1}, yet there are {len(trials)} trials"
                return replace(self._verdict(), state="differs", first_difference=Difference.told("stop", words))
            sampler.tell([told(spec, trial) for trial in trials[start : start + count]])
        other = next(_other_files(self.study, self.paths), None)
        if other is not None:
            stage = "refine" if spec.refines else "tune"
            remedy = f"{stage_command(self.paths.root, stage, spec.name)} writes it again"
            return replace(self._verdict(), state="differs", first_difference=other, remedy=remedy)
        return self._verdict() if self.farthest is None else self._like(self.farthest)

    def _other_space(self) -> Verdict | None:
        """Where the space of a refinement is not what the trials that it names leave of theirs. Raises NotFoundError."""
        spec = self.study.spec
        if not spec.refines:
            return None
        name, key, count = str(spec.refines["study"]), str(spec.refines["key"]), int(spec.refines["trials"])
        base, trials = recorded_spec(self.paths, name, key), finished_in(self.paths)(name, key, count)
        if base is None or len(trials) < count:
            raise NotFoundError(
                f"{spec.name} refines study {name} ({key[:12]}, {count} trials), which is not recorded here any more; "
                f"{stage_command(self.paths.root, 'tune', name)} computes it again, if params.yaml still describes it"
            )
        leaf = first_difference(dict(spec.space), shrink(base, trials, float(spec.refines["keep"])).canonical())
        if leaf is None:
            return None
        words = f"search space: {leaf[0]} is {leaf[1]} there, {leaf[2]} follows from the trials of {name}"
        return replace(self._verdict(), state="differs", first_difference=Difference.told("space", words, *leaf[1:]))

    def _other_proposal(self, proposals: Sequence[Proposal]) -> Verdict | None:
        for proposal in proposals:
            try:
                refuse_other_proposal(proposal, self.study.proposals[proposal.number])
            except ReplayError as error:
                words = str(error).partition(". The study")[0] + self._other_versions()
                return self._otherwise(proposal.number, Difference.told(f"proposal {proposal.number}", words))
        return None

    def _otherwise(self, number: int, difference: Difference) -> Verdict:
        """Something that this process computed itself differs: with what surrounds it otherwise than it did the trial."""
        spec, recorded = self.study.spec, self.study.trial(number).provenance
        _, present = trained_with(sys.argv, self.paths.root, *asked_of(spec.training, spec.family))
        causes = changes(recorded, present) if recorded else ()
        return replace(self._verdict(), state="differs", first_difference=difference, causes=causes)

    def _other_decision(self, decisions: Decisions | FoldDecisions, trials: Sequence[Trial]) -> Verdict | None:
        """Where a pruner decides otherwise than the outcomes of a generation say."""
        words = decisions.first_other(trials)
        if words is None:
            return None
        return self._otherwise(trials[0].proposal.number, Difference.told("pruner", words + self._other_versions()))

    def _other_versions(self) -> str:
        """The releases that shape proposals, where they are others than they were."""
        spec = self.study.spec
        present = versions(spec.sampler["name"], spec.pruner.get("name"))
        words = [f"{name} {old} recorded, {present.get(name)} here" for name, old in spec.versions.items()]
        return f" ({', '.join(words)})" if dict(spec.versions) != present else ""

    def _other_outcome(self, numbers: Sequence[int]) -> Verdict | None:
        wanted = [number for number in numbers if number in self.chosen]
        for found in self.processes.reproduce(self.study, wanted, self.paths):
            if not found.is_sound:
                return self._like(found)
            if found.state == "equivalent" and (self.farthest is None or reach_of(found) > reach_of(self.farthest)):
                self.farthest = found
            self.derived += 1
            self.on_step(self.study.spec.name, self.derived, len(self.chosen))
        return None

    def _verdict(self) -> Verdict:
        """All that was derived so far is the same."""
        result = self.study.result
        total = len(result.trials)
        sample = tuple(self.chosen) if len(self.chosen) < total else None
        return Verdict(
            "study",
            result.spec.name,
            "identical",
            counted=total,
            derived=self.derived,
            sample=sample,
            digest=result.digest,
        )

    def _like(self, trial: Verdict) -> Verdict:
        """The verdict on the study that one of its trials decides."""
        difference = trial.first_difference
        if difference is not None:
            words = f"trial {trial.name.rpartition('/')[2]}: {difference.words}"
            difference = replace(difference, sentence=words)
        return replace(
            self._verdict(),
            state=trial.state,
            first_difference=difference,
            causes=trial.causes,
            remedy=trial.remedy,
            inner=trial,
        )


def _other_files(study: RecordedStudy, paths: Paths) -> Iterator[Difference]:
    """Where a file that the study has left is missing, or holds something else than what was derived."""
    files = study_files(study.result, paths.reports, paths.models)
    if not any(path.is_file() for path in files):
        return  # its records alone are here, of a pull
    for path, text in files.items():
        name = path.relative_to(paths.root)
        if not path.is_file():
            yield Difference.told(str(name), f"{name} is not there")
            continue
        if path.suffix == ".json":
            if leaf := other_entry(read_report(path, run_again(path)), text):
                words = f"{name}: {leaf[0]} is {_short(leaf[1])} there, {_short(leaf[2])} was derived"
                yield Difference.told(f"{name}, {leaf[0]}", words, *leaf[1:])
        elif path.read_bytes() != text.encode():
            lines = zip(path.read_bytes().splitlines(), text.encode().splitlines(), strict=False)
            line = next((number for number, (old, new) in enumerate(lines, 1) if old != new), None)
            words = f"{name}: {f'line {line}' if line else 'the number of lines'} is not what was derived"
            yield Difference.told(str(name), words)
    if study.spec.name in {
        path.stem for path in files
    }:  # those that confirm a choice leave no report, and no model of a best
        yield from _other_best(study, paths)


def _other_best(study: RecordedStudy, paths: Paths) -> Iterator[Difference]:
    """Where the folder of the best model is not what follows from its record."""
    best = study.result.best
    if best is None or best.outcome.weights is None:  # no trial is complete, or the loop gives no model
        described = paths.models / study.spec.name / "model.json"
        if described.is_file():
            yield Difference.told(
                "model", f"{described.relative_to(paths.root)} is there, yet no trial gave that model"
            )
    elif other := other_model(study.spec.name, study.trial(best.number), paths):
        yield Difference.told("model", other)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
