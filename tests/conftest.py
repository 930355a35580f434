"""Projects on disk that several folders of tests begin with, made once; and CI, where a skipped test is a failed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.studies.project import SmallProject, make_table


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project that is split and otherwise empty; only for tests that write nothing into it."""
    return SmallProject.made(tmp_path_factory.mktemp("small"), make_table())


@pytest.fixture
def fresh(small_project: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of the small project for one test."""
    return small_project.copy(tmp_path / "fresh")


def pytest_configure() -> None:
    """In the background of a script Ctrl-C is ignored, which every process that a test starts would inherit."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: with several workers the last file to begin holds up the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A command that is run in this very process ends with signals ignored, which what later tests start would inherit."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TRACKER_NO_SKIPS=1 everything that tests need is there, so that none may skip."""
    report = yield
    if report.skipped and os.environ.get("TRACKER_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
