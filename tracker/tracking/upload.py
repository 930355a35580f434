"""Brings a folder's files to a run's artifacts, some at a time where each file is a request of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

from tracker.tracking.mlflow_settings import FILES_AT_ONCE


def upload(repository: ArtifactRepository, folder: Path) -> None:
    """Uploads every file below a folder; when it returns, all are there. Raises what MLflow raises for the first that is not.

    A model is some ten files, and a server answers many at once. Other places have clients that do this themselves.
    """
    if not isinstance(repository, HttpArtifactRepository):
        repository.log_artifacts(str(folder))
        return
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        sent = [pool.submit(repository.log_artifact, str(path), _place(path, folder)) for path in files]
        try:
            for one in sent:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a server that is away is not asked for each file that is left
            raise


def _place(path: Path, folder: Path) -> str | None:
    """The folder of a file within the artifacts; None for the top."""
    parent = path.relative_to(folder).parent
    return None if parent == Path() else parent.as_posix()
