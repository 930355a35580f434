"""Projects on disk that several folders of tests begin with, made once; and CI, where a skipped test is a failed one."""

from __future__ import annotations

import os
import signal
import sys
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
def process_as_before() -> Iterator[None]:
    """No test meets what another left in this process: signals ignored by a command, an address of MLflow, torch's threads."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    environ, path, torch = dict(os.environ), list(sys.path), sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)
    sys.path[:] = path
    if torch is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TRACKER_NO_SKIPS=1 everything that tests need is there, so that none may skip."""
    report = yield
    if report.skipped and os.environ.get("TRACKER_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
