"""Entries among MLflow's logged models (tab "Models"): of each study's best trial, and of what was scored.

An entry is made PENDING, gets its files and numbers, and is then called READY; last its run is marked. Whoever finds a PENDING
one completes it. A run that is marked has had its entry: one that somebody deleted does not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tracker.canonical import canonical_json
from tracker.errors import TrackingError
from tracker.tracking.addresses import refuse_local_artifacts
from tracker.tracking.recorder import Entry, Found, Recorder, cut
from tracker.tracking.run_contents import Dataset, Point, Run
from tracker.tracking.upload import upload

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.tracking import MlflowClient

NAME_LIMIT, DIGEST_LIMIT = 500, 36  # characters that MLflow keeps of a data set
ATTEMPTS = 2
LOGGED_TAG = "tracker.logged_model"  # of a run: the id of its entry
_NUMBERS = ("best_", "value", "test_")  # how the numbers of a kept model begin, in runs of trials and of final results


def entry_of(run: Run, role: str) -> Entry:
    """The entry of the run of a trial or a final result; `role` says why it has one."""
    rows = {seen.context: seen for seen in run.inputs}
    points = [
        (point, rows.get("test" if point.name.startswith("test_") else "validation"))
        for point in run.points
        if point.name.startswith(_NUMBERS)
    ]
    kept = ("tracker.study", "tracker.trial", "tracker.key", "tracker.weights", "tracker.data")
    tags = {"tracker.role": role, **{name: run.tags[name] for name in kept if name in run.tags}}
    return Entry(_name(run.name), tags, dict(run.params), points)


def list_model(recorder: Recorder, found: Found, entry: Entry, write: Callable[[Path], None]) -> Found:
    """The run with its entry among the logged models; an MLflow that refuses it twice has no such list: nothing else waits.

    Raises TrackingError where the server is away.
    """
    for _ in range(0 if LOGGED_TAG in found.tags else ATTEMPTS):
        try:
            name = recorder.list_model(found, entry, write)
        except TrackingError:
            recorder.reach()
        else:
            return replace(found, tags={**found.tags, LOGGED_TAG: name})
    return found


def record_entry(
    client: MlflowClient, uri: str, experiment_id: str, found: Found, entry: Entry, write: Callable[[Path], None]
) -> str:
    """The id of a run's entry, which is complete when this returns. Raises what MLflow raises, and TrackingError."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    model = _there(client, experiment_id, found, entry) or client.create_logged_model(
        experiment_id,
        entry.name,
        found.run_id,
        {name: cut(value) for name, value in entry.tags.items()},
        {name: cut(value) for name, value in entry.params.items()},
    )
    if model.status != LoggedModelStatus.READY:
        with _files(uri, model.artifact_location) as folder:
            write(folder)
            _name_itself(folder / "MLmodel", model.model_id)
        client.log_batch(found.run_id, [_metric(point, rows, model.model_id) for point, rows in entry.points])
        outputs = client.get_run(found.run_id).outputs
        if model.model_id not in {one.model_id for one in (outputs.model_outputs if outputs else ())}:
            client.log_outputs(found.run_id, [LoggedModelOutput(model.model_id, 0)])
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_tag(found.run_id, LOGGED_TAG, model.model_id)
    return str(model.model_id)


def remove_entry(client: MlflowClient, uri: str, found: Found) -> None:
    """Takes a run's entry away, then its files. The run stays marked, so that none is made again. Raises what MLflow raises."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        model = client.get_logged_model(found.tags[LOGGED_TAG])
    except (KeyError, MlflowException):  # it has none, or somebody deleted it
        return
    client.delete_logged_model(model.model_id)
    get_artifact_repository(model.artifact_location, tracking_uri=uri).delete_artifacts()


def _there(client: MlflowClient, experiment_id: str, found: Found, entry: Entry) -> LoggedModel | None:
    """The entry that an interrupted delivery left; the oldest, should there be several."""
    key = entry.tags.get("tracker.key", "")
    page = client.search_logged_models([experiment_id], f"tags.`tracker.key` = '{key}'")
    own = [model for model in page if model.source_run_id == found.run_id]
    return min(own, key=lambda model: (model.creation_timestamp, model.model_id), default=None)


@contextmanager
def _files(uri: str, location: str) -> Iterator[Path]:
    """A folder whose content becomes the files of an entry."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.file_utils import local_file_uri_to_path

    if why := refuse_local_artifacts(uri, location):
        raise TrackingError(why)
    if location.startswith("file:"):
        folder = Path(local_file_uri_to_path(location))
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with TemporaryDirectory(prefix="tracker-") as scratch:
        yield Path(scratch)
        upload(get_artifact_repository(location, tracking_uri=uri), Path(scratch))


def _name_itself(described: Path, model_id: str) -> None:
    """Writes its id into the MLmodel file, by which MLflow knows whose predictions it sees."""
    text = described.read_text()
    described.write_text(f"{text}model_id: '{model_id}'\n")


def _metric(point: Point, rows: Dataset | None, model_id: str) -> Any:
    """A number of an entry. The run has the same one at the same time, so it stays one there."""
    from mlflow.entities import Metric

    seen = (
        {} if rows is None else {"dataset_name": rows.name[:NAME_LIMIT], "dataset_digest": rows.digest[:DIGEST_LIMIT]}
    )
    return Metric(point.name, point.value, point.time_ms, point.step, model_id=model_id, **seen)


def input_of(seen: Dataset) -> Any:
    """A data set as MLflow takes it: 36 characters of the digest, which is whole in the profile and the source."""
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    profile = canonical_json({**seen.profile, "sha256": seen.digest}).decode()
    source = canonical_json({"source": seen.source, "sha256": seen.digest}).decode()
    entity = MlflowDataset(seen.name[:NAME_LIMIT], seen.digest[:DIGEST_LIMIT], "tracker", source, None, profile)
    return DatasetInput(entity, [InputTag("mlflow.data.context", seen.context)])


def _name(run_name: str) -> str:
    """A run's name without the characters that a model's may not have."""
    return run_name.translate(str.maketrans("/:.%\"'", "------"))
