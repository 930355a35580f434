"""What a run id means where MLflow has no such run, is away, or is not MLflow at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tracker.errors import NotFoundError, TrackingError
from tracker.tracking.verdicts import fetch_run, find_runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
RUN = "c908" * 8


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a web server that is no MLflow server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_run_that_mlflow_does_not_have_is_not_found(uri: str) -> None:
    """An MLflow that answers has the last word: there is no such run, exit code 2."""
    with pytest.raises(NotFoundError, match=f"MLflow has no run {RUN}") as told:
        fetch_run(uri, RUN)
    assert 2 == told.value.exit_code


def test_a_server_that_is_away_says_nothing_about_runs() -> None:
    """Reading a run and searching runs both say that it cannot be reached, exit code 6, without the password."""
    address = "http://ada:hunter2@127.0.0.1:9"
    for ask in (lambda: fetch_run(address, RUN), lambda: find_runs(address, "tests", "trial", "k")):
        with pytest.raises(TrackingError, match=r"MLflow at http://\*\*\*@127.0.0.1:9: cannot be reached") as told:
            ask()
        assert 6 == told.value.exit_code
        assert "hunter2" not in str(told.value)
        assert "check MLFLOW_TRACKING_URI" in str(told.value)


def test_a_server_that_is_not_mlflow_says_nothing_about_runs(elsewhere: str) -> None:
    """Its 404 is about the address and not about the run: exit code 6."""
    with pytest.raises(TrackingError, match=f"{elsewhere}: could not read run {RUN}") as told:
        fetch_run(elsewhere, RUN)
    assert 6 == told.value.exit_code
