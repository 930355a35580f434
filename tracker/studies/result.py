"""Turns a study's spec, proposals and outcomes into its result: the trials with their values, the best, the digest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.canonical import digest
from tracker.ordering import Standing, best_first, objective_value
from tracker.records import Proposal, StudySpec, Trial, TrialOutcome, record_json


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A finished study: its spec and its trials in order."""

    spec: StudySpec
    trials: tuple[Trial, ...]
    replayed: int

    @property
    def best(self) -> Trial | None:
        """The best complete trial by the objective; ties: lower val_loss, then lower number."""
        return best_trial(self.trials, self.spec.objective["direction"])

    @property
    def digest(self) -> str:
        """SHA-256 over spec, proposals and outcomes: equal for equal studies wherever and however they ran."""
        rows = [[record_json(trial.proposal), trial.outcome.digest] for trial in self.trials]
        return digest("study-result", [record_json(self.spec), rows])


def best_trial(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best of trials that have a value; None where there is none."""
    return next(iter(best_first(trials, _standing, direction)), None)


def _standing(trial: Trial) -> Standing:
    return Standing(trial.value, trial.outcome.metrics.get("val_loss"), trial.study, trial.number)


def trial_of(spec: StudySpec) -> Callable[[Proposal, TrialOutcome], Trial]:
    """Pairs a proposal of the study with its outcome and objective value."""

    def pair(proposal: Proposal, outcome: TrialOutcome) -> Trial:
        value = objective_value(outcome.state, outcome.metrics, spec.objective["metric"])
        return Trial(spec.name, proposal, outcome, value)

    return pair


def study_result(spec: StudySpec, proposals: Sequence[Proposal], outcomes: Sequence[TrialOutcome]) -> StudyResult:
    """The study whose trials all came from elsewhere."""
    return StudyResult(spec, tuple(map(trial_of(spec), proposals, outcomes)), len(outcomes))


def summarise_study(result: StudyResult) -> dict[str, Any]:
    """What the store and MLflow say of a finished study."""
    best = result.best
    return {
        "digest": result.digest,
        "trials": len(result.trials),
        "number": best.number if best else None,
        "value": best.value if best else None,
    }
