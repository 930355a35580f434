"""Projects on disk, split once and copied for each test."""

from __future__ import annotations

import shutil

import pytest

from tests.evaluation.project import Project
from tracker.paths import Paths


@pytest.fixture(scope="session", params=[2], ids=["binary"])
def template(tmp_path_factory):
    """A project with one study, never touched."""
    project = Project(Paths.of(tmp_path_factory.mktemp("template"), {}))
    project.write_table()
    project.tune("tpe")
    return project.paths.root


@pytest.fixture
def project(template, tmp_path):
    """A copy of that project for one test."""
    root = tmp_path / "project"
    shutil.copytree(template, root)
    return Project(Paths.of(root, {}))
