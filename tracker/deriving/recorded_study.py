"""Turns the name of a study into everything that was recorded of it, from the store or from beside its best model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.deriving.recorded import Recorded, read_beside_model, reported_study
from tracker.errors import NotFoundError
from tracker.paths import Paths
from tracker.recording.store import FILE, Store
from tracker.records import Proposal, StudySpec, TrialOutcome
from tracker.studies.result import StudyResult, trial_of


@dataclass(frozen=True, slots=True)
class RecordedStudy:
    """A study's spec, its proposals in order, their outcomes, and what each trial was computed with (by trial key)."""

    spec: StudySpec
    proposals: tuple[Proposal, ...]
    outcomes: tuple[TrialOutcome, ...]
    provenances: Mapping[str, Mapping[str, Any]]

    @property
    def result(self) -> StudyResult:
        """The study as it was found, with its digest and its best trial."""
        trials = tuple(map(trial_of(self.spec), self.proposals, self.outcomes))
        return StudyResult(self.spec, trials, len(trials))

    def trial(self, number: int) -> Recorded:
        """The record of one trial."""
        proposal, outcome = self.proposals[number], self.outcomes[number]
        about = self.provenances.get(outcome.key, {})
        return Recorded(f"{self.spec.name}/{number}", proposal.spec, outcome, about, proposal.searched)


def find_study(name: str, paths: Paths) -> RecordedStudy:
    """The study of that name that the report speaks of, else the one stored last. Raises NotFoundError."""
    reported = reported_study(paths, name)
    if (paths.store / FILE).is_file():
        with Store.open(paths.store) as store:
            known = [key for key, _ in store.studies(name)]
            key, count = reported or (next(iter(known), None), None)
            if key in known:
                return _stored(store, str(key), name, count)
    spec, proposals, outcomes = read_beside_model(paths, name)
    return RecordedStudy(spec, tuple(proposals), tuple(outcomes), {})


def _stored(store: Store, key: str, name: str, count: int | None) -> RecordedStudy:
    proposals = store.proposals(key)[:count]
    outcomes = store.outcomes([proposal.spec.key for proposal in proposals])
    if missing := [proposal.number for proposal in proposals if proposal.spec.key not in outcomes]:
        raise NotFoundError(f"{name} has not ended, trial {missing[0]} has no outcome; run `tracker tune {name}`")
    found = tuple(outcomes[proposal.spec.key] for proposal in proposals)
    about = {outcome.key: store.provenance(outcome.key) for outcome in found}
    return RecordedStudy(store.study(key), tuple(proposals), found, about)
