"""Stages run by real DVC: what they leave, and lives in which `dvc`, the stage or what it started is killed at random."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil

from tests.end_to_end.project import Project
from tests.faults.deliveries import Runs, compare_runs
from tests.faults.lives import GATE, LOOP, Tally, children, kill
from tests.faults.mlflow_runs import read_runs

STUDIES = {"tpe": {"sampler": "tpe", "trials": 6, "generation": 2}}  # the first generation passes the gate
SPACE = {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
FIXED = {"dropout": 0.1}
BUSY = ("is held by", "is busy", "locked")  # words of a run that leaves because another one works
ATTEMPTS = 200


def make_split_project(folder: Path) -> Project:
    """A project whose one study waits at a gate until a file `open` is there; split already."""
    folder.mkdir(parents=True)
    (folder / "loop.py").write_text(LOOP)
    (folder / "gate.py").write_text(GATE)
    model = {"family": "function", "entry": "gate:fit"}
    project = Project.new(folder, STUDIES, model=model, hyperparameters=FIXED, search_space=SPACE)
    project.repro("split")
    return project


def copy_project(project: Project, folder: Path) -> Project:
    subprocess.run(["cp", "-a", project.folder, folder], check=True)
    return Project(folder)


def outputs(project: Project) -> dict[str, bytes]:
    """Report and model of the study, and what dvc.lock says of them."""
    files = [
        path for folder in ("reports", "models") for path in (project.folder / folder).rglob("*") if path.is_file()
    ]
    names = {str(path.relative_to(project.folder)): path.read_bytes() for path in files}
    return names | {"dvc.lock": (project.folder / "dvc.lock").read_bytes()}


def ending(project: Project) -> tuple[dict[str, bytes], Runs]:
    """What a finished study has left in the folder and in MLflow."""
    project.tracker("sync")
    return outputs(project), read_runs(project.folder / "mlflow.db")


def hunt_stage(
    origin: Project,
    folder: Path,
    expected: tuple[dict[str, bytes], Runs],
    draw: np.random.Generator,
    span_s: float,
    most: int,
) -> Tally:
    """A `dvc repro` that is killed at most `most` times, each time run again at once, then left alone."""
    project, tally = copy_project(origin, folder), Tally(lives=1)
    while tally.kills < most:
        with project.start("dvc", "repro", "tune") as running:  # reaped: DVC takes a zombie for a living command
            time.sleep(float(draw.uniform(0.3, 1.0) * span_s))
            if running.poll() is None:
                family = [running.pid, *children(running.pid)]
                victim = family[min(int(draw.exponential(1.0)), len(family) - 1)]  # mostly dvc and the stage
                tally.kills += kill(victim)
                if victim != running.pid:
                    running.wait()
        if running.returncode == 0:
            break
    for _ in range(ATTEMPTS):
        running = project.start("dvc", "repro", "tune")
        said, _ = running.communicate()
        if running.returncode == 0 or not any(words in said for words in BUSY):
            break
        time.sleep(0.1)
    if running.returncode:
        tally.notes.append(f"the last run left with {running.returncode}: {said[-2000:]}")
        return tally
    found, _ = ending(project)
    if found != expected[0]:
        odd = sorted(name for name in {*found, *expected[0]} if found.get(name) != expected[0].get(name))
        tally.different, tally.notes = 1, [f"other files: {odd}"]
    tally += compare_runs(project.folder / "mlflow.db", expected[1])
    shutil.rmtree(folder)
    return tally


def stage_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The stage that a `dvc repro` is running."""
    [stage] = [one for one in psutil.Process(process.pid).children(recursive=True) if "pipelines.tune" in one.cmdline()]
    return stage
