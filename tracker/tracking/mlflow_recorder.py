"""Writes described runs to MLflow; the only place that talks to an MLflow server, whose errors end here.

A run is created RUNNING, filled, and only then ended: one that is found RUNNING was interrupted and is filled again, which
changes nothing that is there, because points have fixed times and equal points merge.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Experiment, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from tracker.errors import TrackerError, TrackingError
from tracker.tracking.addresses import first_line, hide_secrets, no_answer, refuse_local_artifacts, shown_address
from tracker.tracking.delivered import destination
from tracker.tracking.download import download, read_file
from tracker.tracking.logged_models import input_of, record_entry, remove_entry
from tracker.tracking.mlflow_database import (
    RUNS,
    beside,
    close_old,
    database_path,
    full_disk,
    make_database,
    move_locations,
    no_stray_folder,
    put_aside_half_made,
    require_opens,
)
from tracker.tracking.mlflow_settings import RUNS_AT_ONCE
from tracker.tracking.recorder import MOST_BYTES, MOST_PAGES, PAGE, Entry, Found, cut
from tracker.tracking.run_contents import Run
from tracker.tracking.upload import upload

MOST_VERSIONS = 1000  # of a registered model, that are searched for a run's


class MlflowRecorder:
    """One experiment of one MLflow server or database; a search asks for `page` runs at a time."""

    def __init__(self, tracking_uri: str, experiment: str, *, create: bool = True, page: int = PAGE) -> None:
        self.destination = destination(tracking_uri, experiment)
        self.at_once = RUNS_AT_ONCE if tracking_uri.startswith(("http:", "https:")) else 1  # a file has one writer
        self._create = create
        self._page = page
        self._uri = tracking_uri
        self._experiment = experiment
        self._link: tuple[MlflowClient, str] | None = None

    def connect(self) -> str:
        """Reaches the server, creating the experiment the first time (unless told not to); its id. Raises TrackingError."""
        return self._client()[1]

    def close(self) -> None:
        """Lets go of the database's file: who delivers next in this process opens what is there then."""
        if self._link is not None and database_path(self._uri) is not None:
            close_old(self._uri)
        self._link = None

    def reach(self) -> None:
        """Asks the server for one small thing. Raises TrackingError when it is away."""
        client, experiment_id = self._client()
        with self._translated("reach the server"):
            client.get_experiment(experiment_id)

    def search(self, tag: str, value: str, *, deleted: bool = False) -> list[Found]:
        """All active runs of the experiment that carry a tag, or all deleted ones, read once to the last page."""
        client, experiment_id = self._client()
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        found: list[Found] = []
        token: str | None = None
        with self._translated("search runs"):
            for _ in range(MOST_PAGES):
                page = client.search_runs(
                    [experiment_id], f"tags.`{tag}` = '{value}'", view, self._page, page_token=token
                )
                found.extend(_found(run) for run in page)
                if not page.token or (page.token == token and not page):
                    return found
                token = page.token
            raise self._error("search runs", ValueError(f"more than {MOST_PAGES} pages, or pages for ever"))

    def create(self, run: Run, parent: str | None) -> Found:
        """Creates a run as RUNNING, with all its tags, from which it is known again."""
        client, experiment_id = self._client()
        tags = {name: cut(value) for name, value in run.tags.items()}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        with self._translated(f"create run {run.name}"):
            return _found(client.create_run(experiment_id, run.start_ms, tags, run.name))

    def fill(self, found: Found, run: Run) -> None:
        """Logs params, points, data sets and the tags that differ."""
        client, _ = self._client()
        tags = [RunTag(name, cut(value)) for name, value in run.tags.items() if found.tags.get(name) != cut(value)]
        params = [Param(name, cut(value)) for name, value in run.params.items()]
        # The newest point first: MLflow then sets the latest value of a metric once instead of once per epoch.
        points = [Metric(point.name, point.value, point.time_ms, point.step) for point in reversed(run.points)]
        with self._translated(f"fill run {run.name}"):
            if run.inputs:
                client.log_inputs(found.run_id, [input_of(seen) for seen in run.inputs])
            client.log_batch(found.run_id, points, params, tags)

    @contextlib.contextmanager
    def files(self, found: Found) -> Iterator[Path]:
        """A folder whose content becomes the run's artifacts, over what is there: theirs itself where that is local."""
        self._require_place(found)
        if found.artifacts.startswith("file:"):
            folder = Path(local_file_uri_to_path(found.artifacts))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                yield folder
            except OSError as error:
                raise self._error(f"write files in {folder}", error) from error
            return
        with tempfile.TemporaryDirectory(prefix="tracker-") as scratch:
            yield Path(scratch)
            with self._translated("upload files"):
                upload(get_artifact_repository(found.artifacts, tracking_uri=self._uri), Path(scratch))

    def read(self, found: Found, name: str, most_bytes: int = MOST_BYTES) -> bytes:
        """The content of an artifact of a run. Raises TrackingError, naming both, also for one that is larger or too slow."""
        doing = f"read {name} of run {found.name} ({found.run_id})"
        self._require_place(found)
        with self._translated(doing):
            if (folder := self._folder(found)) is not None:
                return read_file(folder / name, most_bytes)
            return download(get_artifact_repository(found.artifacts, tracking_uri=self._uri), name, most_bytes)

    def _require_place(self, found: Found) -> None:
        if why := refuse_local_artifacts(self._uri, found.artifacts):
            raise TrackingError(f"{self._shown}: run {found.name} ({found.run_id}): {why}")

    def lacks(self, found: Found, name: str) -> bool:
        """Whether a file of a run is missing; a server is not asked for each file of each run."""
        folder = self._folder(found) if database_path(self._uri) is not None else None
        return folder is not None and not (folder / name).is_file()

    def size(self, found: Found, name: str) -> int | None:
        """The bytes of a file or folder of a run; None where its artifacts are not here."""
        if (folder := self._folder(found)) is None:
            return None
        place = folder / name
        paths = [place] if place.is_file() else place.rglob("*")
        return sum(path.lstat().st_size for path in paths if path.is_file())

    def remove(self, found: Found, name: str) -> None:
        """Removes a file or folder of a run's artifacts; what is not there is fine."""
        self._require_place(found)
        with self._translated(f"remove {name} of run {found.name} ({found.run_id})"):
            if (folder := self._folder(found)) is None:
                get_artifact_repository(found.artifacts, tracking_uri=self._uri).delete_artifacts(name)
            elif (folder / name).is_dir():
                shutil.rmtree(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)

    def untag(self, found: Found, name: str) -> None:
        """Takes a tag off a run; one that is not there is fine."""
        client, _ = self._client()
        with self._translated(f"take tag {name} off run {found.name}"):
            if name in client.get_run(found.run_id).data.tags:
                client.delete_tag(found.run_id, name)

    def last_value(self, found: Found, metric: str) -> float | None:
        """The newest point of a metric; None where there is none."""
        client, _ = self._client()
        with self._translated(f"read {metric} of run {found.name} ({found.run_id})"):
            points = client.get_metric_history(found.run_id, metric)
        return max(points, key=lambda point: (point.timestamp, point.step)).value if points else None

    def end(self, found: Found, run: Run) -> None:
        """Ends a run with its true time."""
        client, _ = self._client()
        with self._translated(f"end run {run.name}"):
            client.set_terminated(found.run_id, run.status, run.end_ms)

    def experiment_tags(self) -> dict[str, str]:
        """The tags of the experiment."""
        client, experiment_id = self._client()
        with self._translated("read the experiment's tags"):
            return dict(client.get_experiment(experiment_id).tags)

    def tag_experiment(self, name: str, value: str) -> None:
        """Sets a tag of the experiment, as long as it is."""
        client, experiment_id = self._client()
        with self._translated(f"set tag {name} of the experiment"):
            client.set_experiment_tag(experiment_id, name, value)

    def list_model(self, found: Found, entry: Entry, write: Callable[[Path], None]) -> str:
        """The id of a run's entry among the logged models, made the first time; `write` fills its folder."""
        client, experiment_id = self._client()
        with self._translated(f"list the model of run {found.name}"):
            return record_entry(client, self._uri, experiment_id, found, entry, write)

    def unlist_model(self, found: Found) -> None:
        """Takes a run's entry off the logged models, with its files; one that is not there is fine."""
        client, _ = self._client()
        with self._translated(f"unlist the model of run {found.name}"):
            remove_entry(client, self._uri, found)

    def register(self, model: str, found: Found, tags: Mapping[str, str]) -> str:
        """The version of a registered model that is the artifact `model` of a run; a run has one version of a model."""
        client, _ = self._client()
        with self._translated(f"register {model} from run {found.name}"):
            with contextlib.suppress(MlflowException):  # it is there; what else is wrong the next call says
                client.create_registered_model(model)
            there = client.search_model_versions(f"name = '{model}'", max_results=MOST_VERSIONS)
            of_run = [version for version in there if version.run_id == found.run_id]
            if not of_run:
                source = f"{found.artifacts.rstrip('/')}/model"
                of_run = [client.create_model_version(model, source, found.run_id, tags=dict(tags))]
            return str(min(int(version.version) for version in of_run))

    def point(self, model: str, alias: str, version: str) -> None:
        """Moves an alias of a registered model to a version; webhooks hear of it as `model_version_alias.created`."""
        client, _ = self._client()
        with self._translated(f"point {alias} of {model} to version {version}"):
            client.set_registered_model_alias(model, alias, version)

    def delete(self, found: Found) -> None:
        """Moves a run to MLflow's deleted runs, from which it can be restored."""
        client, _ = self._client()
        with self._translated("delete a run that is there twice"):
            client.delete_run(found.run_id)

    def _folder(self, found: Found) -> Path | None:
        """The folder of a run's files, beside a database that was copied or moved; None where they are not local."""
        if not found.artifacts.startswith("file:") or refuse_local_artifacts(self._uri, found.artifacts):
            return None
        recorded, path = Path(local_file_uri_to_path(found.artifacts)), database_path(self._uri)
        present = recorded if path is None else Path(local_file_uri_to_path(beside(found.artifacts, path)))
        return present if present.is_dir() else recorded

    def _client(self) -> tuple[MlflowClient, str]:
        if self._link is None:
            with self._translated("reach the server"):
                self._link = self._open()
        return self._link

    def _open(self) -> tuple[MlflowClient, str]:
        path = database_path(self._uri)
        if path is None:
            return self._opened()
        if not self._create:
            if not path.exists():
                raise TrackingError(f"{path}: there is no such file; set MLFLOW_TRACKING_URI to where the records are")
            require_opens(path)
            return self._opened()
        make_database(path)
        require_opens(path)
        try:
            return self._opened()
        except TrackerError:
            raise
        except Exception:
            if not put_aside_half_made(path):
                raise
            close_old(self._uri)
            make_database(path)
            return self._opened()

    def _opened(self) -> tuple[MlflowClient, str]:
        with no_stray_folder(self._uri):
            client = MlflowClient(self._uri)
        experiment = self._named(client)
        path, experiment_id = database_path(self._uri), str(experiment.experiment_id)
        if path is not None and self._create:
            move_locations(path, experiment_id, experiment.artifact_location)
        return client, experiment_id

    def _named(self, client: MlflowClient) -> Experiment:
        """The experiment of our name, created if need be."""
        experiment = client.get_experiment_by_name(self._experiment)
        if experiment is None and not self._create:
            raise TrackingError(f"{self._shown}: has no experiment {self._experiment!r}; see tracking.experiment")
        if experiment is None:
            with contextlib.suppress(MlflowException):  # another process was first; the look-up below tells
                client.create_experiment(self._experiment, artifact_location(self._uri, self._experiment))
            experiment = client.get_experiment_by_name(self._experiment)
        if experiment is None:
            raise TrackingError(f"{self._shown}: experiment {self._experiment!r} cannot be created; check your rights")
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"{self._shown}: experiment {self._experiment!r} was deleted; restore it "
                f"(mlflow experiments restore -x {experiment.experiment_id}) or choose another tracking.experiment"
            )
        return experiment

    @property
    def _shown(self) -> str:
        return shown_address(self._uri)

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except TrackerError:
            raise
        except Exception as error:
            raise self._error(doing, error) from error

    def _error(self, doing: str, error: Exception) -> TrackingError:
        if away := no_answer(error):
            return TrackingError(
                f"{self._shown}: could not {doing} ({away}); does it run, and is MLFLOW_TRACKING_URI right?"
            )
        if full := full_disk(database_path(self._uri)):  # of which MLflow says something else, or nothing
            return TrackingError(f"{self._shown}: could not {doing}: {full}")
        reason = hide_secrets(first_line(error), self._uri)
        return TrackingError(
            f"{self._shown}: could not {doing} ({reason}); is MLFLOW_TRACKING_URI right, and may you write there?"
        )


def artifact_location(tracking_uri: str, experiment: str) -> str | None:
    """Where a SQLite file's artifacts go: beside it, whatever folder the process works in; None: the server decides."""
    path = database_path(tracking_uri)
    if path is None:
        return None
    return path.parent.as_uri() + RUNS + re.sub(r"[^A-Za-z0-9_-]", "_", experiment)


def _found(run: Any) -> Found:
    info = run.info
    times = (info.start_time or 0, info.end_time or 0)
    name, data = info.run_name or "", run.data
    return Found(info.run_id, info.status, dict(data.tags), info.artifact_uri, name, *times, dict(data.params))
