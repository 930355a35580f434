"""Deliveries to MLflow that are killed at random moments and begun again, and what MLflow has at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.lives import Tally, clear, copy
from tests.faults.mlflow_runs import read_runs, unfinished
from tests.faults.nursery import ROOT, Nursery
from tests.studies.project import SmallProject

MODULES = ("tracker.tracking.delivery", "mlflow.store.tracking.sqlalchemy_store")  # for a nursery that delivers
Runs = dict[tuple[str, ...], dict[str, Any]]
MADE = (
    "import os, sys\nfrom tracker.tracking.mlflow_settings import settle\nsettle(os.environ)\n"
    "from tracker.tracking.mlflow_recorder import MlflowRecorder\nMlflowRecorder(sys.argv[1], 'unused').connect()"
)


def make_database(path: Path) -> None:
    """An MLflow database without runs."""
    subprocess.run([sys.executable, "-c", MADE, f"sqlite:///{path}"], cwd=ROOT, check=True, capture_output=True)


def deliver_once(nursery: Nursery, finished: SmallProject, root: Path, policy: str = "all") -> tuple[Runs, float]:
    """What an uninterrupted delivery brings to MLflow, and how long it takes."""
    copy(finished, root)
    log, started = root.with_suffix(".log"), time.monotonic()
    assert nursery.run(root, log, do="deliver", policy=policy) == 0
    took, said = time.monotonic() - started, log.read_text()
    assert "waiting 0 None" in said, said
    runs = read_runs(root / "mlflow.db")
    assert not unfinished(runs)
    clear(root, log)
    return runs, took


def hunt_delivery(
    nursery: Nursery,
    finished: SmallProject,
    root: Path,
    expected: Runs,
    draw: np.random.Generator,
    span_s: float,
    most: int,
) -> Tally:
    """A delivery that is killed at most `most` times; afterwards MLflow must have each run once, whole and ended."""
    copy(finished, root)
    log, tally = root.with_suffix(".log"), Tally(lives=1)
    while tally.kills < most:
        driver = nursery.start(root, log, do="deliver", policy="all", compare=[])
        if not driver.kill_after(float(draw.uniform(0, span_s))):
            break
        tally.kills += 1
    if nursery.run(root, log, do="deliver", policy="all", compare=None if draw.integers(2) else []):
        tally.notes.append(f"the last delivery failed: {log.read_text()[-2000:]}")
    tally += compare_runs(root / "mlflow.db", expected)
    clear(root, log)
    return tally


def compare_runs(database: Path, expected: Runs) -> Tally:
    """The runs of a database against those of a delivery that was never interrupted."""
    tally = Tally()
    try:
        runs = read_runs(database)
    except AssertionError as error:
        tally.double, tally.notes = 1, [str(error)]
        return tally
    tally.trials = sum(identity[0] == "trial" for identity in runs)
    tally.lost = len(set(expected) - set(runs))
    tally.different = sum(runs.get(identity) != run for identity, run in expected.items()) + len(
        set(runs) - set(expected)
    )
    odd = [identity for identity, run in expected.items() if identity in runs and runs[identity] != run]
    if odd:
        run, other = expected[odd[0]], runs[odd[0]]
        what = {name: (run[name], other[name]) for name in run if run[name] != other[name]}
        tally.notes.append(f"{len(odd)} runs differ, {odd[0]} in {str(what)[:1000]}")
    if unfinished(runs):
        tally.notes.append(f"not ended: {unfinished(runs)}")
    return tally
