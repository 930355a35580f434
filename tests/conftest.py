"""Projects on disk that several folders of tests begin with: made once, copied for each test that writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.project import Project, make_table


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is split and otherwise empty; only for tests that write nothing into it."""
    return Project.made(tmp_path_factory.mktemp("small"), make_table())


@pytest.fixture
def fresh(small_project: Project, tmp_path: Path) -> Project:
    """A copy of the small project for one test."""
    return small_project.copy(tmp_path / "fresh")
