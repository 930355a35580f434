"""The kinds of records that reach MLflow, one class and one row each; deliveries and pulls know no kind by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tracker.errors import NotFoundError, StoreError, TrackingError
from tracker.store.queue import Item
from tracker.tracking.convoy import Call
from tracker.tracking.figures import run_figures, study_figures
from tracker.tracking.project_files import data_params, seen_without_files
from tracker.tracking.recorder import Found
from tracker.tracking.retuned import MOVES, RETUNE, TAG, last_move, named, retune_run, version_tags
from tracker.tracking.run_contents import (
    FINAL,
    MODEL_TAG,
    RECORD,
    RECORD_TAG,
    Run,
    best_of,
    final_run,
    finished_study,
    study_run,
)
from tracker.tracking.transport import Taken, Transport, marked
from tracker.tracking.views import BEST_RUN


class Kind(Protocol):
    """One kind of record. An addition is a class with these members and its row in `KINDS`."""

    @property
    def name(self) -> str:
        """The first part of the names of its items."""

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether MLflow has the record whole. Raises TrackerError."""

    @property
    def alone(self) -> bool:
        """Whether all records before it must have arrived, and none travels beside it."""

    def deliver(self, transport: Transport, item: Item) -> Call | None:
        """Brings the record there; what an interrupted delivery left is completed. Raises TrackerError.

        Of one that does not go alone, what remains is given back: to be called beside others, it uses no store.
        """

    def came(self, taken: Taken, item: Item) -> bool:
        """Whether the record was just pulled from there and so need not be delivered."""


class StudyStart:
    """A study that was begun: its run, RUNNING, with settings and record."""

    name = "study"
    alone = True

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether the study has a run with its record; it may be another machine's, with other provenance."""
        parent = transport.presence.study(item.subject).parent
        return parent is not None and RECORD_TAG in parent.tags and not transport.recorder.lacks(parent, RECORD)

    def deliver(self, transport: Transport, item: Item) -> None:
        """Creates the run, writes its record, then the tag of the record and the settings."""
        run, parent = study_run(transport.store, item.subject), transport.parent(item.subject)
        run = transport.with_data(run, item.subject)
        with transport.recorder.files(parent) as folder:
            _write_files(folder, run)
        if parent.tags.get(RECORD_TAG) != run.tags[RECORD_TAG]:
            transport.fill(parent, run)
            transport.presence.study(item.subject).parent = replace(parent, tags={**parent.tags, **run.tags})

    def came(self, taken: Taken, item: Item) -> bool:
        """Whether the study was pulled."""
        return item.subject in taken.trials


class TrialEnd:
    """A trial that ended: its run below the study's, with its model where the policy says so."""

    name = "trial"
    alone = False

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether the trial's run has ended, with a model if one goes along."""
        study, number = item.subject, item.number or 0
        trial = transport.presence.study(study).trials.get(number)
        if trial is None or not transport.is_whole(trial, RECORD):
            return False
        return MODEL_TAG in trial.tags or not transport.models.with_run(study, number)

    def deliver(self, transport: Transport, item: Item) -> Call | None:
        """What creates the run if it is not there, and completes one that has not ended; None where it has."""
        study, number, models = item.subject, item.number or 0, transport.models
        runs, run = transport.presence.study(study), transport.trial(study, number)
        found = runs.trials.get(number)
        promised = found is not None and MODEL_TAG in found.tags  # interrupted under another policy
        with_model = models.with_run(study, number) or (promised and models.possible(study, number))
        if found is not None and transport.is_whole(found, RECORD) and (MODEL_TAG in found.tags or not with_model):
            return None
        run = marked(run) if with_model else run
        write_model = models.writer(study, number) if with_model else None
        parent = transport.parent(study).run_id

        def bring() -> None:
            there = runs.trials[number] = found or transport.recorder.create(run, parent)
            with transport.recorder.files(there) as folder:
                _write_files(folder, run)
                if write_model is not None:
                    write_model(folder / "model", there.run_id)
            runs.trials[number] = transport.complete(there, run)

        return bring

    def came(self, taken: Taken, item: Item) -> bool:
        """Whether the trial was pulled with its study."""
        return item.number in taken.trials.get(item.subject, ())


class StudyEnd:
    """A study that reached its end, for the first time or again: its summary, and the models of its best trials."""

    name = "finish"
    alone = True

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether the run shows the last end, and the best trials have their models."""
        study = item.subject
        run, runs = finished_study(transport.store, study), transport.presence.study(study)
        if run is None or runs.parent is None or not runs.parent.ended:
            return run is None
        trials = [runs.trials.get(number) for number in transport.models.at_end(study)]
        with_model = all(trial is not None and MODEL_TAG in trial.tags for trial in trials)
        return with_model and runs.parent.tags.get("tracker.finish") == run.tags["tracker.finish"]

    def deliver(self, transport: Transport, item: Item) -> None:
        """Adds the models that follow the end, then completes the study's run."""
        study = item.subject
        run, runs = finished_study(transport.store, study), transport.presence.study(study)
        if run is None:
            return
        for number in transport.models.at_end(study):
            found = runs.trials.get(number)
            if found is not None and MODEL_TAG not in found.tags:
                runs.trials[number] = transport.add_model(study, number, found)
        best = self._dress_best(transport, study)
        run = run if best is None else replace(run, tags={**run.tags, BEST_RUN: best.run_id})
        with transport.recorder.files(transport.parent(study)) as folder:
            _write_files(folder, replace(run, files={**run.files, **study_figures(transport.store, study)}))
        runs.parent = transport.complete(transport.parent(study), transport.with_data(run, study))

    def came(self, taken: Taken, item: Item) -> bool:
        """Whether the study was pulled and MLflow shows its last end."""
        return item.subject in taken.ends

    @staticmethod
    def _dress_best(transport: Transport, study: str) -> Found | None:
        """Pictures beside the best trial, and its entry among logged models; before the study's end, so a kill repeats them.

        The best trial's run is returned; None where there is none.

        What confirms or nests a study of params.yaml has a dot in its name and no entry: what is served of it is the final one.
        """
        finish = transport.store.finish(study)
        best = None if finish is None else best_of(transport.store, study, finish[0])
        found = None if best is None else transport.presence.study(study).trials.get(best.number)
        if best is not None and found is not None:
            serving = transport.store.serving(best.spec.data) or {}
            with transport.recorder.files(found) as folder:
                _write_all(folder, run_figures(f"{best.study}/{best.number}", best.outcome, serving.get("labels", ())))
            if "." in best.study:
                return found
            run = transport.with_data(transport.trial(study, best.number), study)
            transport.presence.study(study).trials[best.number] = transport.list_model(
                found, run, f"best of {best.study}"
            )
        return found


class FinalResult:
    """A final result: a run of its own, once for a trial on the same test rows."""

    name = "final"
    alone = True

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether the result, or the same one with another number of looks, has a run that ended."""
        found = transport.presence.final(final_run(transport.store, item.subject).tags)
        return found is not None and transport.is_whole(found, FINAL)

    def deliver(self, transport: Transport, item: Item) -> None:
        """Creates the run if it is not there, and completes one that has not ended."""
        run, runs = final_run(transport.store, item.subject), transport.presence.finals()
        found = transport.presence.final(run.tags)
        if found is None:
            found = runs[item.subject] = transport.recorder.create(run, None)
        if not transport.is_whole(found, FINAL):
            run, key = self._with_data(transport, run), run.tags.get("tracker.key", "")
            with transport.recorder.files(found) as folder:
                _write_all(folder, self._curve(transport, run, key))
                _write_files(folder, run)  # last: its confusion matrix is of the test rows
                if transport.models.possible_run(key):
                    transport.models.write_run(folder / "model", key, found.run_id)
                    run = marked(run)
            found = transport.list_model(
                replace(found, tags={**found.tags, **run.tags}), run, "scored on the test rows"
            )
            runs[item.subject] = transport.complete(found, run)

    def came(self, taken: Taken, item: Item) -> bool:
        """Whether the result was pulled."""
        return item.subject in taken.finals

    @staticmethod
    def _curve(transport: Transport, run: Run, key: str) -> dict[str, bytes]:
        """The curve of the run that was scored, of its trial or of what confirmed it."""
        outcome = transport.store.outcomes([key]).get(key)
        name = f"{run.tags.get('tracker.study')}/{run.tags.get('tracker.trial')}"
        return {} if outcome is None else run_figures(name, outcome)

    @staticmethod
    def _with_data(transport: Transport, run: Run) -> Run:
        """The run with the rows its trial saw; the table's name is known where the project's files hold the same rows."""
        try:
            spec = transport.store.spec(run.tags.get("tracker.key", ""))
        except NotFoundError:
            return run
        seen = transport.files.seen(spec.data) if transport.files else seen_without_files(spec.data)
        name = next((part.source for part in seen if part.source), "")
        tests = [replace(test, name=name or test.name, source=name) for test in run.inputs]
        told = data_params([part for part in (*seen, *tests) if part.source])
        return replace(run, params={**told, **run.params}, inputs=[*seen, *tests])


class Retuning:
    """A decision of a retuning: its run, and for one that changes the champion a version of the model with the alias."""

    name = "retune"
    alone = True

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether the decision has a run that ended, which it does last."""
        found = self._found(transport, item)
        return found is not None and transport.is_whole(found, RETUNE)

    def deliver(self, transport: Transport, item: Item) -> None:
        """Creates the run if it is not there, registers the champion, moves the alias, ends the run.

        An older decision never takes the alias back: only the last one that moved it points it.
        """
        run, found = retune_run(transport.store, item.subject), self._found(transport, item)
        if found is None:
            found = transport.recorder.create(run, None)
        if transport.is_whole(found, RETUNE):
            return
        told, _ = transport.store.retune(item.subject)
        if told["decision"] in MOVES and (model := told.get("registered_model")):
            version = transport.recorder.register(model, self._champion(transport, told), version_tags(told))
            if last_move(transport.store, model) == item.subject:
                transport.recorder.point(model, told["alias"], version)
        with transport.recorder.files(found) as folder:
            for name, content in run.files.items():
                (folder / name).write_bytes(content)
        transport.complete(found, run)

    def came(self, taken: Taken, item: Item) -> bool:
        """No pull takes decisions: they travel as reports/retunes.jsonl."""
        del taken, item
        return False

    @staticmethod
    def _found(transport: Transport, item: Item) -> Found | None:
        runs = transport.recorder.search(TAG, item.subject)
        return min(runs, key=lambda one: (not one.ended, one.run_id), default=None)

    @staticmethod
    def _champion(transport: Transport, told: Mapping[str, Any]) -> Found:
        """The run of the champion's trial, with its model; a policy that keeps none makes an exception for it."""
        study, number = told["champion"]["study_key"], told["champion"]["trial"]
        runs = transport.presence.study(study)
        found = runs.trials.get(number)
        if found is None:
            raise TrackingError(f"trial {named(told['champion'])} has no run yet; `tracker sync` brings it there")
        if MODEL_TAG not in found.tags:
            try:
                found = runs.trials[number] = transport.add_model(study, number, found)
            except NotFoundError:
                raise TrackingError(
                    f"the store has no trial {named(told['champion'])}; `tracker pull` brings it"
                ) from None
        return found


_ROWS: tuple[Kind, ...] = (StudyStart(), TrialEnd(), StudyEnd(), FinalResult(), Retuning())
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ROWS}


def kind_of(item: Item) -> Kind:
    """The kind of an item. Raises StoreError for one that a newer release queued."""
    if item.kind not in KINDS:
        raise StoreError(
            f"record {item.name}: kind {item.kind!r} is unknown here (known: {', '.join(KINDS)}); upgrade repro-tracker"
        )
    return KINDS[item.kind]


def _write_files(folder: Path, run: Run) -> None:
    _write_all(folder, run.files)


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
