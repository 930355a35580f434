"""Turns what waits in the outbox into MLflow runs, each exactly once, whatever was interrupted before."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tracker.errors import TrackerError
from tracker.recording.delivered import DeliveredItems, destination
from tracker.recording.items import Item
from tracker.recording.mlflow_recorder import Found, MlflowRecorder
from tracker.recording.presence import Presence
from tracker.recording.report import Delivered, Policy
from tracker.recording.run_models import MODEL_TAG, RunModels
from tracker.recording.runs import RECORD_TAG, Run, final_run, finished_study, study_run, trial_run
from tracker.recording.store import Store

LOCK_S = 600.0


class Delivery:
    """One store on its way to one experiment. Several may exist; a lock lets one at a time deliver."""

    def __init__(
        self,
        store: Store,
        tracking_uri: str,
        experiment: str,
        policy: Policy,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._store = store
        self._recorder = MlflowRecorder(tracking_uri, experiment)
        self._presence = Presence(self._recorder)
        self._progress = progress or (lambda _delivered, _waiting: None)
        self._name = destination(tracking_uri, experiment)
        self._log = DeliveredItems(store.folder, self._name, uuid.uuid4().hex)
        self._items: list[Item] = []
        self._delivered = 0
        self._stack = ExitStack()
        scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tracker-"))
        self._models = RunModels(store, policy, Path(scratch))

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def deliver(self, compare: Collection[str] | None = ()) -> Delivered:
        """Delivers what waits; studies in `compare` (None: everything) are first compared with what MLflow really has.

        Never raises for a server that is away or refuses: the report says how much waits and why.
        """
        problem: str | None
        try:
            with self._store.lock(f"outbox-{self._name}", LOCK_S):
                self._catch_up()
                problem = self._deliver_locked(compare)
        except TrackerError as error:
            problem = str(error)
        return Delivered(self._delivered, len(self._waiting()), problem)

    def _catch_up(self) -> None:
        if self._log.refresh():  # somebody else delivered: what we know of MLflow is old
            self._presence.forget()
        self._log.claim()
        self._items.extend(self._store.items(self._items[-1].place if self._items else 0))

    def _deliver_locked(self, compare: Collection[str] | None) -> str | None:
        chosen = {item.study for item in self._items} if compare is None else set(compare)
        if not chosen and not self._waiting():
            return None
        self._recorder.connect()
        for item in self._items:
            if item.study in chosen:
                (self._log.add if self._is_there(item) else self._log.forget)([item.name])
        problem, waiting = None, self._waiting()
        for place, item in enumerate(waiting, start=1):
            try:
                self._deliver_item(item)
            except TrackerError as error:
                problem = str(error)
                self._presence.forget(item.study)  # the attempt failed half-way: whether its run exists is asked again
                self._recorder.reach()  # raises when the server is away; otherwise this item alone was refused
                continue
            self._log.add([item.name])
            self._delivered += 1
            self._progress(self._delivered, len(waiting) - place)
        return problem

    def _waiting(self) -> list[Item]:
        return [item for item in self._items if item.name not in self._log.names]

    def _deliver_item(self, item: Item) -> None:
        if item.kind == "study":
            self._deliver_start(item.study)
        elif item.kind == "trial":
            self._deliver_trial(item.study, item.number or 0)
        elif item.kind == "finish":
            self._deliver_finish(item.study)
        else:
            self._deliver_final(item.study)

    def _deliver_start(self, study: str) -> None:
        run, parent = study_run(self._store, study), self._parent(study)
        with self._recorder.files(parent) as folder:
            _write_files(folder, run)
        if parent.tags.get(RECORD_TAG) != run.tags[RECORD_TAG]:
            self._recorder.fill(parent, run)

    def _deliver_trial(self, study: str, number: int) -> None:
        runs, run = self._presence.study(study), trial_run(self._store, study, number)
        found = runs.trials.get(number)
        promised = found is not None and MODEL_TAG in found.tags  # interrupted under another policy
        with_model = self._models.with_run(study, number) or (promised and self._models.possible(study, number))
        if with_model:
            run = replace(run, tags={**run.tags, MODEL_TAG: run.tags["tracker.weights"]})
        if found is None:
            found = runs.trials[number] = self._recorder.create(run, self._parent(study).run_id)
        if found.ended and (MODEL_TAG in found.tags or not with_model):
            return
        with self._recorder.files(found) as folder:
            _write_files(folder, run)
            if with_model:
                self._models.write(folder / "model", study, number, found.run_id)
        runs.trials[number] = self._complete(found, run)

    def _deliver_finish(self, study: str) -> None:
        run, runs = finished_study(self._store, study), self._presence.study(study)
        if run is None:
            return
        for number in self._models.at_end(study):
            found = runs.trials.get(number)
            if found is not None and MODEL_TAG not in found.tags:
                runs.trials[number] = self._add_model(study, number, found)
        with self._recorder.files(self._parent(study)) as folder:
            _write_files(folder, run)
        runs.parent = self._complete(self._parent(study), run)

    def _deliver_final(self, final: str) -> None:
        run, runs = final_run(self._store, final), self._presence.finals()
        found = self._presence.final(run.tags)
        if found is None:
            found = runs[final] = self._recorder.create(run, None)
        if not found.ended:
            with self._recorder.files(found) as folder:
                _write_files(folder, run)
            runs[final] = self._complete(found, run)

    def _parent(self, study: str) -> Found:
        runs = self._presence.study(study)
        if runs.parent is None:
            runs.parent = self._recorder.create(study_run(self._store, study), None)
        return runs.parent

    def _complete(self, found: Found, run: Run) -> Found:
        """What a run gets after its files; the end comes last, so that what has ended is whole."""
        self._recorder.fill(found, run)
        self._recorder.end(found, run)
        return replace(found, status=run.status, tags={**found.tags, **run.tags})

    def _add_model(self, study: str, number: int, found: Found) -> Found:
        with self._recorder.files(found) as folder:
            self._models.write(folder / "model", study, number, found.run_id)
        run = trial_run(self._store, study, number)
        marked = replace(run, tags={**run.tags, MODEL_TAG: run.tags["tracker.weights"]})
        self._recorder.fill(found, marked)
        return replace(found, tags={**found.tags, **marked.tags})

    def _is_there(self, item: Item) -> bool:
        if item.kind == "final":
            final = self._presence.final(final_run(self._store, item.study).tags)
            return final is not None and final.ended
        runs = self._presence.study(item.study)
        if item.kind == "study":
            return runs.parent is not None
        if item.kind == "finish":
            return self._end_is_there(item.study)
        number = item.number or 0
        trial = runs.trials.get(number)
        if trial is None or not trial.ended:
            return False
        return MODEL_TAG in trial.tags or not self._models.with_run(item.study, number)

    def _end_is_there(self, study: str) -> bool:
        run, runs = finished_study(self._store, study), self._presence.study(study)
        if run is None or runs.parent is None or not runs.parent.ended:
            return run is None
        trials = [runs.trials.get(number) for number in self._models.at_end(study)]
        with_model = all(trial is not None and MODEL_TAG in trial.tags for trial in trials)
        return with_model and runs.parent.tags.get("tracker.finish") == run.tags["tracker.finish"]


def _write_files(folder: Path, run: Run) -> None:
    for name, content in run.files.items():
        (folder / name).write_bytes(content)
