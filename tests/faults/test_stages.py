"""Stages whose `dvc` or shell is killed, that are stopped, or run twice at once, with real DVC: never two writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.project import Project
from tests.faults.lives import Tally, rng
from tests.faults.stages import copy_project, ending, hunt_stage, make_split_project, outputs, stage_of

pytestmark = pytest.mark.slow
STOPPED = "stopped; what is finished is kept: the same command goes on"
SHELLS = ("/bin/sh", "/bin/bash")  # what DVC may run a command with; not every shell replaces itself with it


@pytest.fixture(scope="module")
def split_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose one study stops at a gate; split already."""
    return make_split_project(tmp_path_factory.mktemp("stages") / "project")


@pytest.fixture
def project(split_project: Project, tmp_path: Path) -> Project:
    return copy_project(split_project, tmp_path / "project")


def wait_until(so: Callable[[], bool], seconds: float = 120.0) -> None:
    give_up = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def begun(project: Project) -> bool:
    path = project.folder / "begun"
    return path.exists() and path.stat().st_size > 2


def at_the_gate(project: Project, **environ: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A `dvc repro` whose stage is in the middle of its study."""
    running = project.start("dvc", "repro", "tune", **environ)
    wait_until(lambda: begun(project) or running.poll() is not None)
    assert running.poll() is None, running.communicate()[0]
    return running, stage_of(running)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_stage_ends_with_the_dvc_that_started_it(project: Project, shell: str) -> None:
    """After `kill -9` of dvc the stage ends, its workers too; an instant `dvc repro` does the work alone."""
    running, stage = at_the_gate(project, SHELL=shell)
    started = [stage, *stage.children(recursive=True)]
    running.kill()
    running.wait()  # DVC takes a zombie for a living command
    again = project.start("dvc", "repro", "tune")
    _, alive = psutil.wait_procs(started, timeout=60)
    assert [] == alive
    (project.folder / "open").touch()
    output, _ = again.communicate(timeout=300)
    assert 0 == again.returncode, output
    assert STOPPED in running.communicate()[0]
    assert "didn't change, skipping" in project.repro("tune")


def test_a_paused_orphan_never_writes_into_a_newer_run(project: Project) -> None:
    """Its dvc is killed while the stage is stopped: newer runs leave and name it; awake, it ends without writing."""
    running, stage = at_the_gate(project)
    stage.suspend()
    running.kill()
    running.wait()
    said = project.run("dvc", "repro", "tune", code=255)
    assert f"stage tune@tpe is held by another command (process {stage.pid})" in said
    (project.folder / "open").touch()
    before = outputs(project)
    stage.resume()
    assert STOPPED in running.communicate(timeout=20)[0]
    assert before == outputs(project)
    project.repro("tune")
    assert "didn't change, skipping" in project.repro("tune")


def test_two_repros_at_once_end_as_one(project: Project) -> None:
    """One computes; the other waits or leaves with a message; what they leave is what one would have left."""
    (project.folder / "open").touch()
    alone = copy_project(project, project.folder.with_name("alone"))
    alone.repro("tune")
    both = [project.start("dvc", "repro", "tune") for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes[0] == 0, said
    assert codes[1] in {0, 255}, said
    assert codes[1] == 0 or any("busy" in text or "locked" in text or "is held by" in text for text in said), said
    assert not any("Traceback" in text for text in said)
    assert outputs(alone) == outputs(project)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_stopped_stage_says_so(project: Project, shell: str) -> None:
    """Ctrl-C on `dvc repro`: the stage ends at once with all it started, and the same command goes on."""
    running, stage = at_the_gate(project, SHELL=shell)
    started = [stage, *stage.children(recursive=True)]
    os.killpg(running.pid, signal.SIGINT)
    output, _ = running.communicate(timeout=10)
    assert running.returncode != 0
    assert STOPPED in output
    assert "exited with 130" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(started, timeout=60)
    assert [] == alive
    (project.folder / "open").touch()
    assert "tpe: 6 trials, 2 of them from the store" in project.repro("tune")


def test_a_stopped_tune_ends_with_all_it_started(project: Project) -> None:
    """SIGTERM: the command, its workers and the delivery process end within seconds; what is finished is in the store."""
    running = project.start(sys.executable, "-m", "tracker.cli", "tune", "tpe", "--workers", "2")
    wait_until(lambda: begun(project) or running.poll() is not None)
    started = psutil.Process(running.pid).children(recursive=True)
    assert len(started) >= 3
    running.terminate()
    output, _ = running.communicate(timeout=10)
    assert (143, f"{STOPPED}\n") == (running.returncode, output)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert [] == alive
    (project.folder / "open").touch()
    assert ", 2 of them from the store" in project.tracker("tune", "tpe")


def test_a_killed_repro_ends_as_if_it_had_never_been_killed(project: Project) -> None:
    """SIGKILL of dvc, the stage or what it started at random moments, at once `dvc repro` again: the same files and runs."""
    (project.folder / "open").touch()
    whole = copy_project(project, project.folder.with_name("whole"))
    started = time.monotonic()
    whole.repro("tune")
    span = time.monotonic() - started
    total, expected = Tally(), ending(whole)
    while not total.kills and total.lives < 5:  # a life may end before its moment has come
        folder = project.folder.with_name(f"hunted-{total.lives}")
        total += hunt_stage(project, folder, expected, rng(14, total.lives), span * 0.8, 2)
    assert total.sound, str(total)
    assert total.kills >= 1
