"""Finds the exact record of an MLflow run, and writes verdicts to the tags of runs; MLflow's errors end here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker.errors import NotFoundError, TrackerError, TrackingError
from tracker.tracking.addresses import hide_secrets, refuse_local_artifacts, shown_address
from tracker.tracking.mlflow_database import beside, database_path, no_stray_folder, require_opens
from tracker.tracking.mlflow_settings import settle
from tracker.tracking.recorder import MOST_RECORD

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RECORD = "record.json"
NO_SUCH_RUN = "RESOURCE_DOES_NOT_EXIST"  # MLflow's word; a wrong address says ENDPOINT_NOT_FOUND
TAGS = ("tracker.reproduced", "tracker.reproduced_at", "tracker.reproduced_on")


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run of MLflow with its tags and, where it has one, its exact record."""

    run_id: str
    tags: Mapping[str, str]
    record: bytes | None


def fetch_run(tracking_uri: str, run_id: str) -> LoggedRun:
    """The run of an id. Raises NotFoundError where MLflow has none, TrackingError where it cannot be asked."""
    client = open_client(tracking_uri)
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from tracker.tracking.download import download

    with translated(tracking_uri, f"read run {run_id}"):
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != NO_SUCH_RUN:
                raise
            shown = shown_address(tracking_uri)
            raise NotFoundError(f"MLflow has no run {run_id} ({shown}); see the ids with `tracker ui`") from None
    tags = dict(run.data.tags)
    with translated(tracking_uri, f"read {RECORD} of run {run_id}"):
        path = database_path(tracking_uri)
        places = (
            [run.info.artifact_uri] if path is None else [beside(run.info.artifact_uri, path), run.info.artifact_uri]
        )
        for place in places:
            if why := refuse_local_artifacts(tracking_uri, place):
                raise TrackingError(f"MLflow at {shown_address(tracking_uri)}: run {run_id}: {why}")
        for place in dict.fromkeys(places):  # a database that was copied or moved still names its old folder
            files = get_artifact_repository(place, tracking_uri=tracking_uri)
            if tags.get("tracker.kind") != "final" and any(entry.path == RECORD for entry in files.list_artifacts()):
                return LoggedRun(run_id, tags, download(files, RECORD, MOST_RECORD))
        return LoggedRun(run_id, tags, None)


def find_runs(tracking_uri: str, experiment: str, kind: str, key: str) -> list[str]:
    """The ids of the runs of a kind (`trial`, `final`) and trial key in an experiment. Raises TrackingError."""
    client = open_client(tracking_uri)
    with translated(tracking_uri, "search runs"):
        found = client.get_experiment_by_name(experiment)
        query = f"tags.`tracker.key` = '{key}' and tags.`tracker.kind` = '{kind}'"
        return [] if found is None else [run.info.run_id for run in client.search_runs([found.experiment_id], query)]


def tag_runs(tracking_uri: str, run_ids: list[str], tags: Mapping[str, str]) -> None:
    """Sets tags of runs, over what they were. Raises TrackingError."""
    client = open_client(tracking_uri)
    with translated(tracking_uri, "set tags"):
        for run_id in run_ids:
            for name, value in tags.items():
                client.set_tag(run_id, name, value)


def open_client(tracking_uri: str) -> MlflowClient:
    """What asks MLflow. Raises NotFoundError where a database is not there, TrackingError where it cannot be reached."""
    path = database_path(tracking_uri)
    if path is not None and not path.is_file():
        raise NotFoundError(
            f"{path}: there is no MLflow database; set MLFLOW_TRACKING_URI, or run `tracker sync` first"
        )
    if path is not None:
        require_opens(path)
    settle(os.environ)
    from mlflow.tracking import MlflowClient

    with translated(tracking_uri, "reach the server"), no_stray_folder(tracking_uri):
        return MlflowClient(tracking_uri)


@contextlib.contextmanager
def translated(tracking_uri: str, doing: str) -> Iterator[None]:
    """Whatever MLflow raises inside is a TrackingError."""
    try:
        yield
    except TrackerError:
        raise
    except Exception as error:
        what = "cannot be reached" if _is_away(error) else f"could not {doing}"
        reason = hide_secrets(_first_line(error), tracking_uri)
        raise TrackingError(
            f"MLflow at {shown_address(tracking_uri)}: {what} ({reason}); check MLFLOW_TRACKING_URI"
        ) from None


def _is_away(error: BaseException | None) -> bool:
    """Whether a connection failed below an error: what requests raises are OSErrors, MLflow's own are not."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error is not None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
