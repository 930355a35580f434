"""What MLflow holds, as a user's client reads it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from tests.tracking.studies import EXPERIMENT


def all_runs(uri: str, experiment: str = EXPERIMENT) -> list[Any]:
    """All active runs of an experiment, by name."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = [] if found is None else list(client.search_runs([found.experiment_id], max_results=10_000))
    return sorted(runs, key=lambda run: (run.info.run_name, run.info.run_id))


def run_named(uri: str, name: str) -> Any:
    """The one run of a name."""
    [run] = [run for run in all_runs(uri) if run.info.run_name == name]
    return run


def points(uri: str, run: Any, metric: str) -> list[tuple[int, int, float]]:
    """Step, time in ms and value of every point of a metric."""
    history = MlflowClient(uri).get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.timestamp, point.value) for point in history)


def statuses(uri: str) -> Counter[tuple[str, str]]:
    """How many runs there are of each kind and status."""
    return Counter((run.data.tags["tracker.kind"], run.info.status) for run in all_runs(uri))


def artifact(uri: str, run: Any, name: str, folder: Path) -> Path:
    """A downloaded artifact of a run."""
    folder.mkdir(exist_ok=True)
    repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)
    return Path(repository.download_artifacts(name, str(folder)))
