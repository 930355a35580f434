"""Takes one artifact from where MLflow keeps it, within limits of size and time: a server may answer for ever."""

from __future__ import annotations

import posixpath
import tempfile
import time
from pathlib import Path

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.utils.rest_utils import augmented_raise_for_status, http_request

DOWNLOAD_S = 600.0  # for one artifact
CHUNK = 65536


def read_file(path: Path, most_bytes: int) -> bytes:
    """The content of a file. Raises OSError, ValueError for one that is larger, or is none."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    if path.stat().st_size > most_bytes:
        raise ValueError(f"it has more than {most_bytes} bytes")
    return path.read_bytes()


def download(repository: ArtifactRepository, name: str, most_bytes: int, within_s: float = DOWNLOAD_S) -> bytes:
    """The content of an artifact. Raises what MLflow raises, ValueError for one that is larger or takes longer.

    From a server that is spoken to by HTTP it is read piece by piece; other places are left to the client of their own.
    """
    if isinstance(repository, HttpArtifactRepository):
        return _streamed(repository, name, most_bytes, time.monotonic() + within_s)
    with tempfile.TemporaryDirectory(prefix="tracker-") as scratch:
        return read_file(Path(repository.download_artifacts(name, scratch)), most_bytes)


def _streamed(repository: HttpArtifactRepository, name: str, most_bytes: int, until: float) -> bytes:
    credentials = repository._host_creds  # noqa: SLF001  there is no public way that has a limit
    answer = http_request(credentials, posixpath.join("/", name), "GET", stream=True)
    with answer:
        augmented_raise_for_status(answer)
        content = bytearray()
        while piece := answer.raw.read1(CHUNK, decode_content=True):
            content += piece
            if len(content) > most_bytes:
                raise ValueError(f"it has more than {most_bytes} bytes")
            if time.monotonic() > until:
                raise ValueError("the server takes too long")
        return bytes(content)
