"""Finds everything that was recorded of a study, in the store or beside its best model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.deriving.find_trial import Recorded, read_beside_model, reported_study
from tracker.errors import NotFoundError
from tracker.paths import Paths
from tracker.records import Proposal, StudySpec, Timing
from tracker.store.store import Store
from tracker.store.stored import StoredTrial, outcome_slot
from tracker.studies.begun import begun
from tracker.studies.result import StudyResult, study_result


@dataclass(frozen=True, slots=True)
class RecordedStudy:
    """A study as it was found, and what each run was computed with (by the key of its outcome)."""

    result: StudyResult
    provenances: Mapping[str, Mapping[str, Any]]

    @property
    def spec(self) -> StudySpec:
        """What decided it."""
        return self.result.spec

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """All of them, in order."""
        return tuple(trial.proposal for trial in self.result.trials)

    def trial(self, number: int) -> Recorded:
        """The record of one trial."""
        trial = self.result.trials[number]
        abouts = tuple(self.provenances.get(outcome_slot(outcome), {}) for outcome in trial.outcomes)
        times = tuple(Timing(0.0, 0.0) for _ in abouts)
        stored = StoredTrial(trial.proposal, trial.outcomes, times, abouts)
        return Recorded.of(f"{self.spec.name}/{number}", stored)


def find_study(name: str, paths: Paths) -> RecordedStudy:
    """The study of that name that the report speaks of, else the one stored last. Raises NotFoundError."""
    reported = reported_study(paths, name)
    with Store.opened_if_there(paths.store) as store:
        known = [key for key, _ in store.studies(name)] if store else []
        key, count = reported or (next(iter(known), None), None)
        if store and key in known:
            return _stored(store, str(key), name, count)
    return RecordedStudy(read_beside_model(paths, name), {})


def _stored(store: Store, key: str, name: str, count: int | None) -> RecordedStudy:
    trials = []
    for proposal in store.proposals(key)[:count]:
        try:
            trials.append(store.trial(key, proposal.number))
        except NotFoundError:
            told = "; ".join(begun(store.folder, name))
            raise NotFoundError(
                told or f"{name} has not ended, trial {proposal.number} has no outcome; run `tracker tune {name}`"
            ) from None
    result = study_result(store.study(key), [one.proposal for one in trials], [one.outcomes for one in trials])
    about = {
        outcome_slot(outcome): found
        for one in trials
        for outcome, found in zip(one.outcomes, one.provenances, strict=True)
    }
    return RecordedStudy(result, about)
