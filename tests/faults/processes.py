"""Lives in which any process of a driver is killed: its workers, the one they are forked from, the delivery process, itself."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.faults.deliveries import compare_runs
from tests.faults.lives import Ending, Tally, children, clear, copy, finish, kill
from tests.faults.nursery import Nursery
from tests.studies.project import SmallProject

DIED = "worker ended 3 times (SIGKILL)"


def hunt_processes(
    nursery: Nursery,
    origin: SmallProject,
    root: Path,
    study: str,
    expected: Ending,
    draw: np.random.Generator,
    span_s: float,
) -> Tally:
    """A life with two workers in which up to four of the driver's own processes are killed, and half of the time itself.

    A trial whose workers die three times ends the command with an error; the same command then tries it again.
    """
    project, log = copy(origin, root), root.with_suffix(".log")
    tally = Tally(lives=1)
    driver = nursery.start(root, log, do="tune", study=study, workers=2, deliver=True)
    with_itself = bool(draw.integers(2))
    for _ in range(int(draw.integers(1, 5))):
        time.sleep(float(draw.uniform(0, span_s / 3)))
        living = children(driver.pid)
        if living and driver.poll() is None:
            tally.kills += kill(int(draw.choice(living)))
    if with_itself:
        tally.kills += driver.kill_after(float(draw.uniform(0, span_s / 2)))
    if driver.wait() not in {0, -signal.SIGKILL} and DIED not in log.read_text():
        tally.notes.append(f"{study}: left with {driver.code}: {log.read_text()[-2000:]}")
    tally += finish(nursery, project, log, study, expected[0])
    if nursery.run(root, log, do="deliver", policy="all", compare=None):
        tally.notes.append(f"{study}: the last delivery failed: {log.read_text()[-2000:]}")
    else:
        tally += replace(compare_runs(root / "mlflow.db", expected[1]), trials=0)
    clear(root, log)
    return tally
