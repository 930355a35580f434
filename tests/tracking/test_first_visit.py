"""`tracker ui` answers whatever surrounds it, with the line that keeps the mode for training where it can have it."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.tracking.browser import tracker_ui
from tracker.tracking.first_visit import LINE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow's own
]


def page_of(folder: Path, uri: str) -> str:
    with tracker_ui(folder, uri, "any") as address, urlopen(address) as answer:
        page: str = answer.read().decode()
        return page


def test_a_folder_of_the_packages_name_is_in_nobodys_way(tmp_path: Path, uri: str) -> None:
    """Of one without code Python makes nothing."""
    (tmp_path / "tracker").mkdir()
    assert LINE in page_of(tmp_path, uri)


def test_a_file_of_the_packages_name_does_not_break_the_ui(tmp_path: Path, uri: str) -> None:
    """MLflow's own page is served where a file tracker.py in the folder stands before this package."""
    (tmp_path / "tracker.py").write_text("")
    assert "<title>MLflow</title>" in page_of(tmp_path, uri)


def test_gunicorn_serves_the_ui_too(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own page is served where its options ask for gunicorn, which takes no application of ours."""
    monkeypatch.setenv("MLFLOW_GUNICORN_OPTS", "--timeout 60 --no-control-socket")
    assert "<title>MLflow</title>" in page_of(tmp_path, uri)
