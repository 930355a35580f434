"""Clocks that jump, and machines that disagree about the time: what a study is does not depend on when it ran."""

from __future__ import annotations

from pathlib import Path

from tests.studies.project import SmallProject, command
from tests.studies.test_runner import Forbidden

DRIVER = """
import itertools, sys, time

real, calls, kind = time.time, itertools.count(), sys.argv[2]
time.time = (lambda: real() + (-1) ** next(calls) * 86400) if kind == "jumps" else (lambda: real() - 3600)
if __name__ == "__main__":
    from pathlib import Path

    from tests.studies.project import SmallProject
    from tests.studies.test_clocks import plan_of
    from tracker.execution.executor import InlineExecutor
    from tracker.execution.processes import ProcessExecutor

    project = SmallProject(Path(sys.argv[1]))
    workers = ProcessExecutor(project.data, 2) if kind == "jumps" else InlineExecutor(project.data)
    project.run(plan_of(project, int(sys.argv[3])), executor=workers)
"""


def plan_of(project: SmallProject, trials: int):
    """A study with a pruner, so that runs pause and go on."""
    study = {"sampler": "tpe", "trials": trials, "generation": 4, "pruner": {"name": "median", "n_startup_trials": 3}}
    return project.plan("tpe", studies__tpe=study)


def test_a_study_is_the_same_whatever_the_clocks_say(fresh: SmallProject, tmp_path: Path) -> None:
    """Begun by a driver whose clock jumps by two days at each reading, ended by one that is an hour behind: one digest."""
    (fresh.paths.root / "driver.py").write_text(DRIVER)
    for kind, trials in (("jumps", "8"), ("behind", "12")):
        done = command(fresh.paths.root, "driver.py", str(fresh.paths.root), kind, trials)
        assert 0 == done.returncode, done.stderr
    plan = plan_of(fresh, 12)
    ended = fresh.run(plan, executor=Forbidden(fresh.data))
    assert fresh.run(plan, tmp_path / "whole").digest == ended.digest
    assert list(range(12)) == [trial.number for trial in ended.trials]
