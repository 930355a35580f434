"""What brings a record to a recorder, and what a pull took from there: what every kind of record works with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tracker.store.queue import Item
from tracker.store.store import Store
from tracker.tracking.logged_models import entry_of, list_model
from tracker.tracking.names import told_apart
from tracker.tracking.presence import Presence
from tracker.tracking.project_files import ProjectFiles, data_params, seen_without_files
from tracker.tracking.recorder import Found, Recorder
from tracker.tracking.run_contents import MODEL_TAG, RECORD_TAG, Run, study_run, trial_run

if TYPE_CHECKING:
    from tracker.tracking.run_models import RunModels  # it imports pandas


@dataclass(frozen=True, slots=True)
class Transport:
    """What brings a record from a store to a recorder: both, what is known to be there, the models that go along.

    `files` are those of the project, which say what data a study saw; `apart` what tells studies of one name apart.
    """

    store: Store
    recorder: Recorder
    presence: Presence
    models: RunModels
    files: ProjectFiles | None = None
    apart: dict[str, str] = field(default_factory=dict)

    def trial(self, study: str, number: int) -> Run:
        """The run of a trial."""
        if study not in self.apart:
            self.apart[study] = told_apart(self.store, study)
        return trial_run(self.store, study, number, self.apart[study])

    def with_data(self, run: Run, study: str) -> Run:
        """The run of a study with the data that it saw."""
        data = self.store.study(study).data
        seen = self.files.seen(data) if self.files else seen_without_files(data)
        return replace(run, params={**run.params, **data_params(seen)}, inputs=seen)

    def parent(self, study: str) -> Found:
        """The run of a study, created if it is not there: without the tag of its record, which follows the record."""
        runs = self.presence.study(study)
        if runs.parent is None:
            run = study_run(self.store, study)
            tags = {name: value for name, value in run.tags.items() if name != RECORD_TAG}
            runs.parent = self.recorder.create(replace(run, tags=tags), None)
        return runs.parent

    def is_whole(self, found: Found, name: str) -> bool:
        """Whether a run has ended and the file that holds it exactly is not missing."""
        return found.ended and not self.recorder.lacks(found, name)

    def was_deleted(self, item: Item) -> bool:
        """Whether somebody deleted the run of a study or trial there, and it has no other."""
        runs, number = self.presence.study(item.subject), item.number
        there = runs.parent if number is None else runs.trials.get(number)
        return there is None and ("" if number is None else str(number)) in self.presence.deleted(item.subject)

    def fill(self, found: Found, run: Run) -> None:
        """Fills a run with what it lacks: params that it has stay, which another release may have written otherwise."""
        self.recorder.fill(found, replace(run, params={n: v for n, v in run.params.items() if n not in found.params}))

    def add_model(self, study: str, number: int, found: Found) -> Found:
        """The run of a trial with its model, which it had not. Raises StoreError where the store has none."""
        with self.recorder.files(found) as folder:
            self.models.write(folder / "model", study, number, found.run_id)
        whole = marked(self.trial(study, number))
        self.fill(found, whole)
        return replace(found, tags={**found.tags, **whole.tags})

    def list_model(self, found: Found, run: Run, role: str) -> Found:
        """The run with its entry among the logged models, where it has its model."""
        key = run.tags.get("tracker.key", "")
        if MODEL_TAG not in found.tags or not self.models.possible_run(key):
            return found
        return list_model(
            self.recorder, found, entry_of(run, role), lambda folder: self.models.write_run(folder, key, found.run_id)
        )

    def complete(self, found: Found, run: Run) -> Found:
        """What a run gets after its files; the end comes last, so that what has ended is whole."""
        self.fill(found, run)
        self.recorder.end(found, run)
        return replace(found, status=run.status, tags={**found.tags, **run.tags})


@dataclass(frozen=True, slots=True)
class Taken:
    """What a pull took from MLflow: trial numbers by study key, studies whose last end came, digests of final results."""

    trials: Mapping[str, Collection[int]]
    ends: Collection[str]
    finals: Collection[str]


def marked(run: Run) -> Run:
    """A trial's run that says its model is whole."""
    return replace(run, tags={**run.tags, MODEL_TAG: run.tags["tracker.weights"]})
