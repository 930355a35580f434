"""Files go to a server several at a time: all are there when it is over, and a refusal ends it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tracker.loading import note_absent
from tracker.tracking.mlflow_settings import ASKED_FOR, FILES_AT_ONCE
from tracker.tracking.upload import upload

REFUSED = "refused.txt"


class Artifacts(BaseHTTPRequestHandler):
    """Keeps what is put; told to, it answers nobody before as many requests have come as there are connections."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        place = self.path.partition("/artifacts/")[2]
        if (together := self.server.together) is not None:  # type: ignore[attr-defined]
            together.wait(30)
        self.server.kept[place] = content  # type: ignore[attr-defined]
        self.send_response(403 if place.endswith(REFUSED) else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server of artifacts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Artifacts)
    server.daemon_threads = True
    server.kept, server.together = {}, None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def repository(server: ThreadingHTTPServer):
    return get_artifact_repository("mlflow-artifacts:/run", tracking_uri=f"http://127.0.0.1:{server.server_port}")


def test_files_of_all_folders_arrive_together(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """The server answers nobody before as many requests have come as there are connections: one by one would wait for ever."""
    server.together = threading.Barrier(FILES_AT_ONCE)  # type: ignore[attr-defined]
    wanted = {f"run/model/data/{number}.bin": b"x" * (number + 1) for number in range(2 * FILES_AT_ONCE - 1)}
    wanted["run/record.json"] = b"{}"
    for place, content in wanted.items():
        path = tmp_path / place.removeprefix("run/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    upload(repository(server), tmp_path)
    assert wanted == server.kept  # type: ignore[attr-defined]


def test_a_refused_file_is_raised_and_the_rest_is_left(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """What was under way may arrive; of what waited most is not asked for."""
    for name in [REFUSED, *(f"s{number:03d}" for number in range(100))]:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Exception, match="403"):
        upload(repository(server), tmp_path)
    assert len(server.kept) < 101  # type: ignore[attr-defined]


def test_a_request_looks_for_no_module(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client tries at each request to import what is not installed; told so once, Python searches no folder for it."""
    for name in set(ASKED_FOR) - set(sys.modules):
        monkeypatch.setitem(sys.modules, name, None)  # this puts back what there was, nothing
        del sys.modules[name]
    note_absent(*ASKED_FOR)
    (tmp_path / "record.json").write_bytes(b"{}")
    upload(repository(server), tmp_path)
    looked: list[str] = []
    watch = SimpleNamespace(find_spec=lambda name, *_: looked.append(name))
    monkeypatch.setattr(sys, "meta_path", [watch, *sys.meta_path])
    upload(repository(server), tmp_path)
    assert [] == looked
