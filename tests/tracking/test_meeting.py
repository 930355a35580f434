"""One delivery process for the stages of one `dvc repro`: it waits for the next stage, and never outlives that dvc."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.studies.project import SmallProject, surroundings
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs, statuses
from tests.tracking.studies import EXPERIMENT
from tracker.lifelines import began, life_of
from tracker.tracking.meeting import Meeting, join, meeting_of_stage, stages_of_this_process
from tracker.tracking.notes import NOTE
from tracker.tracking.outbox import waiting
from tracker.tracking.report import Delivered

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets and pidfds"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow's own
]
DVC = """
import json, os, subprocess, sys
for number, line in enumerate(sys.stdin):
    words = json.loads(line)
    environ = {**os.environ, "DVC_STAGE": f"tune@{number}", **words.pop()}
    subprocess.run([sys.executable, "-c", sys.argv[1], *words], env=environ)
"""
STAGE = """
import contextlib, os, signal, sys
from pathlib import Path
sys.path.insert(0, '.')
from tests.tracking.studies import EXPERIMENT, begin, end_study, run_trials
from tracker.tracking.meeting import meeting_of_stage, stages_of_this_process
from tracker.tracking.outbox import Outbox
folder, uri, names, how = sys.argv[1:]
folder = Path(folder)
with stages_of_this_process() if how == "run" else contextlib.nullcontext():
    for name in names.split():
        store, key = begin(folder, name)
        compare = None if how == "compare" else [key]
        with store, Outbox(folder, uri, EXPERIMENT, 'none', compare, meeting=meeting_of_stage(folder)) as outbox:
            run_trials(store, key, range(2), name)
            end_study(store, key, 2)
            if how == "die":
                print(outbox._process.pid, "died", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            print(outbox._process.pid, outbox.finish(60), flush=True)
"""

COUNTED = """
import subprocess, sys
started = []
class Popen(subprocess.Popen):
    def __init__(self, words, *others, **named):
        started.append('tracker.tracking.deliver' in words)
        super().__init__(words, *others, **named)
subprocess.Popen = Popen
from tracker import cli
try:
    cli.main()
finally:
    print('delivery processes:', sum(started))
"""


class Dvc:
    """What starts stages one after the other, as dvc does, with a delivery process in common."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri = folder, uri
        words = [sys.executable, "-c", DVC, STAGE]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stage(self, name: str, how: str = "deliver", **environ: str) -> tuple[int, str]:
        """The delivery process of a stage, and what it delivered."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(self.folder), self.uri, name, how, environ]) + "\n")
        self.process.stdin.flush()
        number, _, said = self.process.stdout.readline().strip().partition(" ")
        return int(number), said


@pytest.fixture
def dvc(tmp_path: Path, uri: str) -> Iterator[Dvc]:
    running = Dvc(tmp_path / ".tracker", uri)
    yield running
    running.process.kill()
    running.process.communicate()


def ended(process: int, seconds: float) -> bool:
    """Whether a process ends in time."""
    if (life := life_of(process)) is None:
        return True
    with contextlib.closing(os.fdopen(life, "rb")):
        return bool(select.select([life], [], [], seconds)[0])


def test_the_stages_of_one_dvc_share_a_process_that_ends_with_it(dvc: Dvc, tmp_path: Path) -> None:
    """The next stage finds the process that waits, a database that was deleted meanwhile is made and filled, and all ends."""
    first, said = dvc.stage("tpe")
    assert str(Delivered(4, 0)) == said
    assert (first, str(Delivered(4, 0))) == dvc.stage("random")
    (tmp_path / "mlflow.db").unlink()
    assert (first, str(Delivered(12, 0))) == dvc.stage("grid", "compare")
    assert {("study", "FINISHED"): 3, ("trial", "FINISHED"): 6} == statuses(dvc.uri)
    assert not ended(first, 0.0)
    dvc.process.kill()
    dvc.process.wait()
    assert ended(first, 60.0)


def test_a_stage_that_is_killed_takes_the_shared_process_along(dvc: Dvc) -> None:
    """As a delivery process of its own would end; the next stage starts another, and each record arrives once."""
    first, _ = dvc.stage("tpe")
    assert (first, "died") == dvc.stage("random", "die")
    assert ended(first, 60.0)
    second, said = dvc.stage("random")
    assert second != first
    assert "problem=None" in said
    assert 0 == waiting(dvc.folder, dvc.uri, EXPERIMENT)
    assert Delivered(0, 0) == sync(dvc.folder, dvc.uri, EXPERIMENT, "none")
    assert {("study", "FINISHED"): 2, ("trial", "FINISHED"): 4} == statuses(dvc.uri)


def test_the_stages_of_one_process_share_another_that_ends_with_it(tmp_path: Path, uri: str) -> None:
    """What `tracker run` does, where there is no DVC."""
    words = [sys.executable, "-c", STAGE, str(tmp_path / ".tracker"), uri, "tpe random", "run"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    processes, told = zip(*(line.split(" ", 1) for line in done.stdout.splitlines()), strict=True)
    assert (str(Delivered(4, 0)),) * 2 == told
    assert processes[0] == processes[1]
    assert ended(int(processes[0]), 60.0)


def test_the_studies_of_one_command_share_a_process(small_project: SmallProject, tmp_path: Path, uri: str) -> None:
    """`tracker tune` with two names starts one delivery process, which loads MLflow once; in the end both have their notes."""
    project = small_project.copy(tmp_path / "project")
    environ = surroundings(project.paths.root, {"MLFLOW_TRACKING_URI": uri})
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, "tune", "manual", "random"],
        cwd=project.paths.root, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "delivery processes: 1" == done.stdout.splitlines()[-1]
    assert {"manual", "random"} == {run.info.run_name for run in all_runs(uri, "tests") if NOTE in run.data.tags}


def test_a_stage_with_another_environment_has_a_process_of_its_own(dvc: Dvc) -> None:
    """What was set for one stage alone, such as a password, must not decide what another stage does."""
    first, _ = dvc.stage("tpe")
    second, said = dvc.stage("random", MLFLOW_TRACKING_TOKEN="x")
    assert (second != first, str(Delivered(4, 0))) == (True, said)


def test_nobody_is_waited_for_where_nobody_waits(tmp_path: Path) -> None:
    """Outside of DVC, and of a command of many stages, is no meeting; where no process waits, or it hangs, none is joined."""
    assert meeting_of_stage(tmp_path) is None
    with stages_of_this_process(more=True):
        assert (there := meeting_of_stage(tmp_path)) is not None
    assert (True, there) == (there.more, Meeting.read(asdict(there)))
    meeting = Meeting("nobody" + tmp_path.name, os.getpid(), began(os.getpid()) or "")
    assert join(meeting) is None
    hangs = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1].encode().replace(b'@', b'\\0'))"
    hangs += "; s.listen(); print(flush=True); time.sleep(600)"
    address = meeting.address.decode().replace("\0", "@")
    with subprocess.Popen([sys.executable, "-c", hangs, address], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert join(meeting) is None
        process.send_signal(signal.SIGKILL)
