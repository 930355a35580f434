"""Downloads have an end: a server that sends for ever, or pages for ever, or names a folder of ours, is refused."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tracker.errors import TrackingError
from tracker.tracking.download import download, read_file
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.recorder import Found

RUN = {
    "info": {"run_id": "a" * 32, "run_name": "tpe", "status": "FINISHED", "artifact_uri": "file:///x", "start_time": 1},
    "data": {"tags": [{"key": "tracker.kind", "value": "study"}]},
}


class Hostile(BaseHTTPRequestHandler):
    """Answers as MLflow does, but artifacts never end and neither do the pages of a search."""

    def do_GET(self) -> None:
        if "mlflow-artifacts" in self.path:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)
        else:
            self._answer({"experiment": {"experiment_id": "1", "name": "tests", "lifecycle_stage": "active"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.pages += 1  # type: ignore[attr-defined]
        self._answer({"runs": [RUN], "next_page_token": str(self.server.pages)})  # type: ignore[attr-defined]

    def _answer(self, value: object) -> None:
        content = json.dumps(value).encode()
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hostile() -> Iterator[str]:
    """The address of the hostile server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    server.pages = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_artifact_has_an_end(hostile: str) -> None:
    """In bytes and in time, however much comes."""
    repository = get_artifact_repository("mlflow-artifacts:/1/run/artifacts", tracking_uri=hostile)
    with pytest.raises(ValueError, match="more than 1000000 bytes"):
        download(repository, "record.json", 1_000_000)
    with pytest.raises(ValueError, match="takes too long"):
        download(repository, "record.json", 10**9, within_s=0.0)


def test_a_search_has_an_end(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that pages for ever is refused after so many pages."""
    monkeypatch.setattr("tracker.tracking.mlflow_recorder.MOST_PAGES", 5)
    with pytest.raises(TrackingError, match="more than 5 pages"):
        MlflowRecorder(hostile, "tests", create=False).search("tracker.kind", "study")


def test_a_server_may_not_name_a_folder_of_this_machine(hostile: str, tmp_path: Path) -> None:
    """Nothing is written there, nothing is read; the message says how the server should be started."""
    found = Found("a" * 32, "FINISHED", {}, (tmp_path / "ssh").as_uri(), "tpe/1")
    recorder = MlflowRecorder(hostile, "tests", create=False)
    with pytest.raises(TrackingError, match=r"tpe/1.*--serve-artifacts"), recorder.files(found):
        pass
    with pytest.raises(TrackingError, match="--serve-artifacts"):
        recorder.read(found, "record.json")
    assert not (tmp_path / "ssh").exists()


def test_a_local_artifact_is_a_file_of_a_size(tmp_path: Path) -> None:
    """A folder, or a file that is too large, is refused before it is read."""
    (tmp_path / "large").write_bytes(b"x" * 1001)
    assert b"x" * 1001 == read_file(tmp_path / "large", 1001)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        read_file(tmp_path / "large", 1000)
    with pytest.raises(ValueError, match="no file"):
        read_file(tmp_path, 1000)
