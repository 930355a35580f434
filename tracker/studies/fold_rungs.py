"""Stops hopeless configurations after few folds: after each fold, those that the best trial of earlier generations rules out.

A decision follows from a trial's own folds and from whole generations before it, so neither workers nor the other trials
of its generation change it. It is stored before training goes on; a stored decision is taken as it is, `verify` decides
again. A run that was not trained is in the records as one that was stopped after no epoch.

The rules are those of Bergman, Purucker and Hutter, Don't Waste Your Time: Early Stopping Cross-Validation (AutoML 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tracker.execution.executor import Executor
from tracker.execution.trainer import Segment
from tracker.records import (
    Proposal,
    StudySpec,
    Timing,
    Trial,
    TrialOutcome,
    TrialSpec,
    run_value,
    trained_runs,
    untrained,
)
from tracker.store.store import Store
from tracker.store.stored import Decision, Finished
from tracker.studies.result import best_trial
from tracker.training.loop import Result


def is_hopeless(values: Sequence[float | None], best: Sequence[float | None], direction: str, rule: str) -> bool:
    """Whether a trial with these values of its first folds is to stop, where the best trial so far has these, of all folds.

    `forgiving`: their mean is worse than the worst fold of the best trial; `aggressive`: worse than its mean. A fold without
    a value leaves the trial without one, so there is nothing to go on for.
    """
    known, others = [v for v in values if v is not None], [v for v in best if v is not None]
    if len(known) < len(values):
        return True
    sign = 1.0 if direction == "maximize" else -1.0
    bar = min(sign * v for v in others) if rule == "forgiving" else sign * math.fsum(others) / len(others)
    return sign * math.fsum(known) / len(known) < bar


class FoldRace:
    """One generation on its way through its folds; `best` is the best trial of the generations before."""

    def __init__(
        self,
        spec: StudySpec,
        key: str,
        store: Store,
        executor: Executor,
        segment: Callable[[TrialSpec], Segment],
        finished: Callable[[Result], Finished],
    ) -> None:
        self.spec, self.key, self.store, self.executor = spec, key, store, executor
        self.segment, self.finished = segment, finished
        self.known: dict[str, TrialOutcome] = {}

    def run(self, proposals: Sequence[Proposal], generation: int, best: Trial) -> dict[int, list[TrialOutcome]]:
        """The trials that were stopped, by number, with the outcomes of all their runs; the others lack their last run."""
        self.known = self.store.outcomes([key for proposal in proposals for key in proposal.keys])
        logged = self.store.decisions(self.key, generation)
        stopped: dict[int, list[TrialOutcome]] = {}
        going = {proposal.number: proposal for proposal in proposals}
        for fold in range(1, len(proposals[0].runs)):
            self._train([proposal.runs[fold - 1] for proposal in going.values()])
            decided = {n: self._stops(proposal, fold, best, logged) for n, proposal in going.items()}
            self._store(generation, fold, going, decided, logged.get(fold, {}))
            for number in [number for number, stops in decided.items() if stops]:
                stopped[number] = self._outcomes(going.pop(number), fold)
        return stopped

    def _train(self, runs: Sequence[TrialSpec]) -> None:
        """Runs that the store does not have; it has each as soon as its cohort has ended."""
        missing = {run.key: run for run in runs if run.key not in self.known}
        for results in self.executor.run([self.segment(run) for run in missing.values()]):
            self.store.put_outcomes(self.key, [self.finished(result) for result in results])
            self.known |= self.store.outcomes([result.spec.key for result in results])

    def _stops(self, proposal: Proposal, fold: int, best: Trial, logged: Mapping[int, Mapping[int, bool]]) -> bool:
        """As it was decided before; of studies that came from elsewhere only the stops are known."""
        number = proposal.number
        if number in logged.get(fold, {}):
            return logged[fold][number]
        if any(decided.get(number) for decided in logged.values()):
            return False
        return decide(self.spec, [self.known[key] for key in proposal.keys[:fold]], best)

    def _store(
        self,
        generation: int,
        fold: int,
        going: Mapping[int, Proposal],
        decided: Mapping[int, bool],
        logged: Mapping[int, bool],
    ) -> None:
        """The decision, with the runs that are not trained for it."""
        stopped = [number for number, stops in decided.items() if stops]
        new = {number: stops for number, stops in decided.items() if number not in logged}
        parts = [tuple(number for number, stops in new.items() if stops is wanted) for wanted in (True, False)]
        rung = Decision(generation, fold, *parts) if new else None
        left = [
            self._left_out(going[number], place) for number in stopped for place in range(fold, len(going[number].runs))
        ]
        if left or rung:
            self.store.put_outcomes(self.key, left, stopped, rung)

    def _left_out(self, proposal: Proposal, place: int) -> Finished:
        run, last = proposal.runs[place], proposal.spec.key
        ended = self.store.timing(last).ended
        return Finished(run, untrained(run.key), Timing(ended, ended), None, self.store.provenance(last))

    def _outcomes(self, proposal: Proposal, fold: int) -> list[TrialOutcome]:
        return [self.known[key] if place < fold else untrained(key) for place, key in enumerate(proposal.keys)]


def decide(spec: StudySpec, outcomes: Sequence[TrialOutcome], best: Trial) -> bool:
    """Whether a trial stops whose first folds came to these outcomes."""
    values = [run_value(spec, outcome) for outcome in outcomes]
    others = [run_value(spec, outcome) for outcome in best.outcomes]
    return is_hopeless(values, others, spec.objective["direction"], spec.runs["prune"])


class FoldDecisions:
    """Decides again, generation by generation, what the outcomes of a study say was decided."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._earlier: list[Trial] = []

    def first_other(self, trials: Sequence[Trial]) -> str | None:
        """Where it is decided otherwise about a whole generation; None where as recorded."""
        best = best_trial(self._earlier, self._spec.objective["direction"])
        self._earlier += trials
        for trial in trials:
            recorded, runs = trained_runs(trial.outcomes), len(trial.outcomes)
            now = next(
                (n for n in range(1, runs) if best and n <= recorded and decide(self._spec, trial.outcomes[:n], best)),
                runs,
            )
            if now != recorded:
                word = f"stopped after {recorded}" if recorded < runs else "went on through all"
                return f"trial {trial.number} {word} of its {runs} folds, which is now decided otherwise"
        return None
