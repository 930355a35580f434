"""From a study's spec, proposals and outcomes to its result: the trials with their values, the best, the digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tracker.canonical import digest
from tracker.ordering import best_first
from tracker.records import Proposal, StudySpec, Trial, TrialOutcome, record_json, standing_of
from tracker.search.front import front_of
from tracker.search.stopping import stopped


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A finished study: its spec and its trials in order; `cut_off` says why wall time ended it early, where it did."""

    spec: StudySpec
    trials: tuple[Trial, ...]
    replayed: int
    cut_off: str | None = None

    @property
    def best(self) -> Trial | None:
        """The best complete trial by the objective; ties: the next objective, lower val_loss, then lower number."""
        return best_trial(self.trials, self.spec.objective["direction"])

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other is better than in all objectives (Pareto), in their order; none where there is one."""
        return front_of(self.spec, self.trials)

    @property
    def digest(self) -> str:
        """SHA-256 over spec, proposals and outcomes: equal for equal studies wherever and however they ran."""
        rows = [[record_json(t.proposal), *(outcome.digest for outcome in t.outcomes)] for t in self.trials]
        return digest("study-result", [record_json(self.spec), rows])


def best_trial(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best of trials that have a value; None where there is none."""
    return next(iter(best_first(trials, standing_of, direction)), None)


def study_result(
    spec: StudySpec, proposals: Sequence[Proposal], outcomes: Sequence[Sequence[TrialOutcome]]
) -> StudyResult:
    """The study whose trials all came from elsewhere."""
    return StudyResult(spec, tuple(map(partial(Trial.of, spec), proposals, outcomes)), len(outcomes))


def summarise_study(result: StudyResult) -> dict[str, Any]:
    """What the store and MLflow say of a finished study."""
    best, end = result.best, stopped(result.spec, result.trials)
    return {
        "digest": result.digest,
        "trials": len(result.trials),
        "number": best.number if best else None,
        "value": best.value if best else None,
        **({} if not result.spec.further else {"front": len(result.front)}),
        **({} if end is None else {"stopped": end[1]}),
        **({} if result.cut_off is None else {"cut_off": result.cut_off}),
    }
