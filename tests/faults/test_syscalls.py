"""A driver killed, or refused, at single system calls; `benchmarks/crash_points.py` takes every one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import syscalls
from tests.faults.lives import Ending, Tally
from tests.faults.nursery import Nursery
from tests.faults.syscalls import Moment
from tests.studies.project import SmallProject

REASON = syscalls.reason_without_strace()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
STUDY = "median"


@pytest.fixture(scope="module")
def moments(nursery: Nursery, origin: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """All write-type system calls of a life."""
    return syscalls.list_calls(nursery, origin, tmp_path_factory.mktemp("traced") / "project", STUDY)


def sample(moments: list[Moment], count: int, first: int) -> list[Moment]:
    return moments[first :: max(1, len(moments) // count)]


def test_a_kill_at_any_system_call_changes_nothing(
    nursery: Nursery, origin: SmallProject, endings: dict[str, Ending], moments: list[Moment], tmp_path: Path
) -> None:
    """A sample of all calls that change the disk: killed there, the same command ends the same study."""
    assert len(moments) > 100
    total = Tally()
    for number, moment in enumerate(sample(moments, 12, 7)):
        total += syscalls.crash_at(nursery, origin, tmp_path / f"{number}", STUDY, endings[STUDY], moment)
    assert total.sound, str(total)
    assert total.kills >= 12


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_is_a_message_and_costs_nothing(
    nursery: Nursery,
    origin: SmallProject,
    endings: dict[str, Ending],
    moments: list[Moment],
    tmp_path: Path,
    error: str,
) -> None:
    """A sample of calls fails once: no traceback, exit code 4, the file and what to do; the same command then goes on."""
    total, messages = Tally(), []
    for number, moment in enumerate(sample(moments, 8, 3 if error == "EIO" else 19)):
        root = tmp_path / f"{number}"
        tally, said = syscalls.fail_at(nursery, origin, root, STUDY, endings[STUDY], moment, error)
        total += tally
        messages.append(said)
    assert total.sound, str(total)
    assert any(messages)
