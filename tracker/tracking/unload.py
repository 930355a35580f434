"""Takes models off runs of trials in MLflow; the runs stay, with every number. What was killed goes on the next time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tracker.store.store import Store
from tracker.tracking.delivery import LOCK_S
from tracker.tracking.logged_models import LOGGED_TAG
from tracker.tracking.mlflow_database import database_path
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.recorder import Found, Recorder
from tracker.tracking.run_contents import MODEL_TAG, Run

GOING = "tracker.model_going"  # on a run whose model is being removed
FOLDER = "model"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The runs of a store's trials that have a model, those among them whose model is to go, and the bytes of both.

    Bytes are None where the artifacts are not on this machine.
    """

    there: tuple[Found, ...] = ()
    going: tuple[Found, ...] = ()
    bytes_there: int | None = 0
    bytes_going: int | None = 0


def open_recorder(tracking_uri: str, experiment: str) -> Recorder | None:
    """What keeps the runs; None where there is a database's address and no database."""
    path = database_path(tracking_uri)
    return None if path is not None and not path.exists() else MlflowRecorder(tracking_uri, experiment, create=False)


def find_loaded(recorder: Recorder, studies: Collection[str], kept: Collection[str]) -> Loaded:
    """The models of runs of these studies (keys); those of trials that are not `kept` (keys) go. Raises TrackingError."""
    runs = [run for run in recorder.search("tracker.kind", "trial") if run.tags.get("tracker.study_key") in studies]
    there = tuple(run for run in runs if MODEL_TAG in run.tags or GOING in run.tags)
    going = tuple(run for run in there if run.tags.get("tracker.key") not in kept or GOING in run.tags)
    return Loaded(there, going, _bytes(recorder, there), _bytes(recorder, going))


def unload(store: Store, recorder: Recorder, going: Collection[Found]) -> None:
    """Takes the model off each run; no run says it has a model that is not whole. Raises TrackingError."""
    with store.lock(f"outbox-{recorder.destination}", LOCK_S):
        for found in going:
            recorder.fill(found, Run(found.name, found.start_ms, found.end_ms, "FINISHED", {GOING: "true"}))
            recorder.untag(found, MODEL_TAG)
            if LOGGED_TAG in found.tags:  # which stays, so that no entry is made again
                recorder.unlist_model(found)
            recorder.remove(found, FOLDER)
            recorder.untag(found, GOING)


def _bytes(recorder: Recorder, runs: Collection[Found]) -> int | None:
    sizes = [recorder.size(found, FOLDER) for found in runs]
    return None if None in sizes else sum(size or 0 for size in sizes)
