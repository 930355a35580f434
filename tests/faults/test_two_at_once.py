"""Several commands on one study at once, paused ones among them: one computes at a time, and the end is that of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.faults import lives
from tests.faults.lives import GATE, Ending
from tests.faults.nursery import Driver, Nursery
from tests.studies.project import SmallProject

HELD = "study-tpe is held by another command"


@pytest.mark.parametrize("commands", [2, 8])
def test_commands_that_begin_at_once_end_as_one(
    nursery: Nursery, project: SmallProject, log: Path, endings: dict[str, Ending], commands: int
) -> None:
    """The first use of a project by 2 and by 8 commands: none fails but with 4 and a clear message; the study is one run's."""
    root = project.paths.root
    drivers = [nursery.start(root, log, held=True, do="tune", study="tpe") for _ in range(commands)]
    for driver in drivers:
        os.kill(driver.pid, signal.SIGCONT)
    codes = [driver.wait() for driver in drivers]
    assert {0} <= set(codes) <= {0, 4}, log.read_text()
    assert "Traceback" not in log.read_text()
    assert codes.count(4) == log.read_text().count(HELD)
    assert lives.tally_of(project, "tpe", endings["tpe"]).sound


@pytest.fixture
def gated(project: SmallProject) -> SmallProject:
    """A project whose studies last until `opened` is called."""
    root = project.paths.root
    (root / "gate.py").write_text(GATE)
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("loop:fit", "gate:fit"))
    return project


def opened(project: SmallProject) -> None:
    (project.paths.root / "open").touch()


def wait_until(so: Callable[[], bool], driver: Driver) -> None:
    give_up = time.monotonic() + 60
    while not so():
        assert driver.poll() is None, driver.code
        assert time.monotonic() < give_up
        time.sleep(0.005)


def begun(project: SmallProject) -> bool:
    """Whether the study has come to the gate."""
    path = project.paths.root / "begun"
    return path.exists() and path.stat().st_size > 2


def test_a_paused_holder_makes_others_leave_and_does_no_harm(nursery: Nursery, gated: SmallProject, log: Path) -> None:
    """While the holder is stopped another command leaves with 4, naming it; later the holder goes on as if nothing had been."""
    root = gated.paths.root
    holder = nursery.start(root, log, do="tune", study="tpe")
    wait_until(lambda: begun(gated), holder)
    os.kill(holder.pid, signal.SIGSTOP)
    assert 4 == nursery.run(root, log, do="tune", study="tpe")
    assert f"{HELD} (process {holder.pid})" in log.read_text()
    os.kill(holder.pid, signal.SIGCONT)
    opened(gated)
    assert 0 == holder.wait()
    ending = Ending.of(gated, "tpe")
    assert 0 == nursery.run(root, log, do="tune", study="tpe")
    assert lives.tally_of(gated, "tpe", ending).sound


def test_a_paused_waiter_changes_nothing_when_it_goes_on(nursery: Nursery, gated: SmallProject, log: Path) -> None:
    """A command is stopped while it waits for the lock; it wakes when the study has ended, and nothing is other than before."""
    root = gated.paths.root
    holder = nursery.start(root, log, do="tune", study="tpe")
    wait_until(lambda: begun(gated), holder)
    waiter = nursery.start(root, log, do="tune", study="tpe")
    wait_until(lambda: waits(waiter.pid), waiter)
    os.kill(waiter.pid, signal.SIGSTOP)
    opened(gated)
    assert 0 == holder.wait()
    ending = Ending.of(gated, "tpe")
    os.kill(waiter.pid, signal.SIGCONT)
    assert waiter.wait() in {0, 4}
    assert lives.tally_of(gated, "tpe", ending).sound


def waits(pid: int) -> bool:
    """Whether a process has the study's lock file open."""
    return any(file.path.endswith("study-tpe") for file in psutil.Process(pid).open_files())


def test_a_killed_holder_makes_way_at_once(nursery: Nursery, gated: SmallProject, log: Path) -> None:
    """A stopped holder is killed: its lock is free, whatever it was doing."""
    root = gated.paths.root
    holder = nursery.start(root, log, do="tune", study="tpe")
    wait_until(lambda: begun(gated), holder)
    os.kill(holder.pid, signal.SIGSTOP)
    holder.kill()
    opened(gated)
    assert 0 == nursery.run(root, log, do="tune", study="tpe")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_says_so_at_any_moment(
    nursery: Nursery, origin: SmallProject, endings: dict[str, Ending], tmp_path: Path, number: signal.Signals
) -> None:
    """SIGTERM and Ctrl-C at random moments: 143 or 130, one sentence, no traceback; the same command ends the study."""
    draw = lives.rng(21, number)
    for life in range(8):
        project, log = lives.copy(origin, tmp_path / f"{life}"), tmp_path / f"{life}.log"
        driver = nursery.start(project.paths.root, log, do="tune", study="tpe")
        time.sleep(float(draw.uniform(0.02, 0.4)))
        driver.kill(number)
        code = driver.wait(10)
        said = log.read_text()
        assert code in {128 + number, 0, -number}, said  # the last: before its handler was there
        assert "Traceback" not in said
        assert ("stopped; what is finished is kept: the same command goes on" in said) == (code == 128 + number)
        assert lives.finish(nursery, project, log, "tpe", endings["tpe"]).sound
