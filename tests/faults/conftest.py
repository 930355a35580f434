"""A nursery of drivers, a project of cheap trials and what its studies end as without interruption: made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import lives
from tests.faults.deliveries import MODULES
from tests.faults.lives import Ending
from tests.faults.nursery import Nursery
from tests.studies.project import SmallProject


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery(*MODULES) as started:
        yield started


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project of cheap trials; only to be copied."""
    return lives.make_project(tmp_path_factory.mktemp("origin") / "project", "function", trials=12)


@pytest.fixture(scope="session")
def endings(nursery: Nursery, origin: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ending]:
    """How each study ends when nothing interrupts it."""
    folder = tmp_path_factory.mktemp("whole")
    return {study: lives.bear(nursery, origin, folder / study, study) for study in lives.STUDIES}


@pytest.fixture
def project(origin: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of the project for one test."""
    return lives.copy(origin, tmp_path / "project")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "project.log"
