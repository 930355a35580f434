"""Turns a recorded study into a verdict: sampler and trials are run again from its spec, step by step, and compared.

A generation is proposed from the outcomes that were derived before it, so when all are equal the whole study is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from tracker.canonical import canonical_json
from tracker.errors import ReplayError
from tracker.evaluation.files import read_report
from tracker.evaluation.fresh import FreshProcess
from tracker.evaluation.ranking import REPAIR
from tracker.evaluation.recorded_study import RecordedStudy, find_study
from tracker.evaluation.reproduce import EXIT_CODES, Reproduction, Verdict, reproduce_record, reproduction_json
from tracker.paths import Paths
from tracker.recording.conflicts import refuse_other_proposal
from tracker.records import Proposal
from tracker.search.samplers import open_sampler, plan_generations, versions
from tracker.seeds import bit_generator
from tracker.studies.plan import propose_trial
from tracker.studies.report import study_report

OnStep = Callable[[str, int, int], None]  # study, trials derived, trials to derive


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of deriving a study again.

    `derived` counts the trials that were trained again out of `trials`; proposals are always derived, all of them.
    `first_difference` says where it went another way, `trial` is the verdict on that trial, where it was a trial.
    """

    study: str
    verdict: Verdict
    trials: int
    derived: int
    digest: str
    first_difference: str | None = None
    trial: Reproduction | None = None

    @property
    def exit_code(self) -> int:
        """What `tracker verify` leaves with."""
        return EXIT_CODES[self.verdict]


class FreshProcesses:
    """A few fresh processes that derive trials at the same time, each alone on one thread."""

    def __init__(self, count: int = 1) -> None:
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

    def reproduce(self, study: RecordedStudy, numbers: Sequence[int], paths: Paths) -> Iterator[Reproduction]:
        """The verdicts on trials, in their order."""

        def one(number: int) -> Reproduction:
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
) -> Verification:
    """Derives a study again and compares proposals, outcomes, winner, digest and report; stops at the first difference.

    `sample` trains so many trials only, drawn by a seed that is named after the study. Raises NotFoundError.
    """
    study = find_study(name, paths)
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

    def verify(self) -> Verification:
        self.on_step(self.study.spec.name, 0, len(self.chosen))
        spec, outcomes = self.study.spec, self.study.outcomes
        sampler = open_sampler(spec)
        for generation, (start, count) in enumerate(plan_generations(spec, len(outcomes))):
            searched = sampler.propose(generation, count, start)
            proposals = [propose_trial(spec, start + i, generation, values) for i, values in enumerate(searched)]
            if found := self._other_proposal(proposals) or self._other_outcome(range(start, start + count)):
                return found
            # Derived outcomes equal the recorded ones, or were not asked for.
            values = [trial.value for trial in self.study.result.trials[start : start + count]]
            sampler.tell(values)
        report = next(_report_differences(self.study, self.paths), None)
        return self._verdict("identical" if report is None else "differs", report)

    def _other_proposal(self, proposals: Sequence[Proposal]) -> Verification | None:
        for proposal in proposals:
            try:
                refuse_other_proposal(proposal, self.study.proposals[proposal.number])
            except ReplayError as error:
                return self._verdict("differs", str(error).partition(". The study")[0] + self._other_versions())
        return None

    def _other_versions(self) -> str:
        """The releases that shape proposals, where they are others than they were."""
        spec = self.study.spec
        present = versions(spec.sampler["name"])
        words = [f"{name} {old} recorded, {present.get(name)} here" for name, old in spec.versions.items()]
        return f" ({', '.join(words)})" if dict(spec.versions) != present else ""

    def _other_outcome(self, numbers: Sequence[int]) -> Verification | None:
        wanted = [number for number in numbers if number in self.chosen]
        for number, found in zip(wanted, self.processes.reproduce(self.study, wanted, self.paths), strict=True):
            if found.verdict != "identical":
                difference = found.first_difference
                words = f"trial {number}: {difference.words if difference else found.causes[0].words}"
                return self._verdict(found.verdict, words, found)
            self.derived += 1
            self.on_step(self.study.spec.name, self.derived, len(self.chosen))
        return None

    def _verdict(self, verdict: Verdict, words: str | None = None, trial: Reproduction | None = None) -> Verification:
        result = self.study.result
        return Verification(result.spec.name, verdict, len(result.trials), self.derived, result.digest, words, trial)


def _report_differences(study: RecordedStudy, paths: Paths) -> Iterator[str]:
    """Where the report of a study says something else than what was derived."""
    path = paths.study_reports / f"{study.spec.name}.json"
    if not path.is_file():
        return
    told, found = read_report(path, REPAIR), study_report(study.result)
    rows = zip(told.get("trials", []), found.pop("trials"), strict=False)
    pairs = [(name, told.get(name), value) for name, value in found.items()]
    pairs += [(f"trial {new['number']}, {name}", old.get(name), new[name]) for old, new in rows for name in new]
    pairs.append(("number of trials", len(told.get("trials", [])), len(study.proposals)))
    for name, old, new in pairs:
        if canonical_json(old) != canonical_json(new):
            yield f"{path.name}: {name} is {_short(old)} in the report, {_short(new)} was derived"


def verification_json(found: Verification) -> dict[str, Any]:
    """A verdict on a study as plain mappings and lists."""
    names = ("study", "verdict", "trials", "derived", "digest", "first_difference")
    value = {name: getattr(found, name) for name in names}
    return value | {"trial": None if found.trial is None else reproduction_json(found.trial)}


def _short(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
