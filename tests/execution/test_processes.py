"""Worker processes: the same outcomes as everywhere, and what happens when they are killed, paused or left alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from tests.execution.contract import ExecutorContract, alone, outcomes
from tests.studies.project import Project, command, surroundings
from tracker.errors import DataError, TrackerError
from tracker.execution.cohorts import form_cohorts
from tracker.execution.executor import DataSource
from tracker.execution.processes import ALONE_AFTER, GIVEN_UP_AFTER, ProcessExecutor
from tracker.records import TrialSpec


class Killed(ProcessExecutor):
    """A pool in which whoever is handed one of `victims` is killed at once, as often as `deaths` says for each of them."""

    def __init__(self, source: DataSource, workers: int, victims: Collection[str], deaths: int) -> None:
        super().__init__(source, workers)
        self.left = dict.fromkeys(victims, deaths)
        self.sizes: list[int] = []  # of the cohorts that died

    def _hand_out(self, worker, queue) -> None:
        super()._hand_out(worker, queue)
        doomed = [one.key for one in worker.cohort if self.left.get(one.key)]
        if doomed:
            self.left[doomed[0]] -= 1
            self.sizes.append(len(worker.cohort))
            os.kill(worker.process.pid, signal.SIGKILL)


class ProcessContract(ExecutorContract):
    """The contract for a number of workers."""

    workers: int

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls, small_project: Project) -> Iterator[ProcessExecutor]:
        executor = ProcessExecutor(small_project.source, cls.workers)
        yield executor
        executor.close()


class TestOneWorker(ProcessContract):
    """One process."""

    workers = 1


class TestTwoWorkers(ProcessContract):
    """Two processes."""

    workers = 2


class TestThreeWorkers(ProcessContract):
    """Three processes, more than there may be cores."""

    workers = 3


@pytest.fixture
def source(small_project: Project) -> DataSource:
    return small_project.source


@pytest.fixture
def specs(small_project: Project) -> list[TrialSpec]:
    """A dozen trials of several shapes."""
    return small_project.specs("random", studies__random__trials=12)


def living() -> set[int]:
    """The worker processes of this process that are still there."""
    return {child.pid for child in multiprocessing.active_children() if child.pid}


@pytest.mark.parametrize("deaths", [1, ALONE_AFTER])
def test_killed_workers_change_nothing(small_project: Project, specs: list[TrialSpec], deaths: int) -> None:
    """A worker of every cohort is killed with its trials in hand, once or twice: all complete, with the same bits."""
    features, classes = small_project.data.x_train.shape[1], len(small_project.data.labels)
    victims = [cohort[0].key for cohort in form_cohorts(specs, features, classes, 2)]
    executor = Killed(small_project.source, 2, victims, deaths)
    try:
        assert alone(small_project, specs) == outcomes(executor.run(specs))
    finally:
        executor.close()
    assert deaths * len(victims) == len(executor.sizes)


def test_workers_killed_in_the_middle_of_their_work_change_nothing(small_project: Project) -> None:
    """Whenever a result comes, the other busy workers are killed: nothing is lost, doubled or different."""
    specs = small_project.specs("random", studies__random__trials=16, training__epochs=30)
    executor, found, kills = ProcessExecutor(small_project.source, 3), [], 0
    try:
        for batch in executor.run(specs):
            found.append(batch)
            for worker in executor.workers:
                spared = max((executor.deaths[one.key] for one in worker.cohort), default=ALONE_AFTER) >= ALONE_AFTER
                if worker.process.is_alive() and not spared and kills < 6:
                    os.kill(worker.process.pid, signal.SIGKILL)
                    kills += 1
    finally:
        executor.close()
    assert kills >= 2
    assert alone(small_project, specs) == outcomes(found)


def test_a_trial_that_kills_its_workers_runs_alone_and_then_ends_the_run(small_project: Project) -> None:
    """After two deaths it runs in a cohort of its own, after three the run raises, once the others are complete.

    A death is never an outcome: the next run tries again, and gives what there would have been without any.
    """
    specs = small_project.specs("manual", studies__manual={"sampler": "manual", "configurations": [{}] * 4})
    bad = specs[1].key
    executor, found = Killed(small_project.source, 1, [bad], deaths=GIVEN_UP_AFTER), []
    try:
        with pytest.raises(TrackerError, match=r"ended 3 times \(SIGKILL\): seed \d+, {.*fewer workers"):
            found.extend(executor.run(specs))
        assert [4, 4, 1] == executor.sizes
        assert alone(small_project, [one for one in specs if one.key != bad]) == outcomes(found)
        assert alone(small_project, [specs[1]]) == outcomes(executor.run([specs[1]]))
    finally:
        executor.close()


def test_a_worker_that_dies_with_empty_hands_is_replaced(small_project: Project, specs: list[TrialSpec]) -> None:
    """Killed between two runs, a worker costs no trial a death."""
    executor = ProcessExecutor(small_project.source, 2)
    try:
        outcomes(executor.run(specs))
        for worker in executor.workers:
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.process.join()
        assert alone(small_project, specs) == outcomes(executor.run(specs))
        assert {} == executor.deaths
    finally:
        executor.close()


def test_close_leaves_no_process(small_project: Project, specs: list[TrialSpec]) -> None:
    """close() ends workers in the middle of a run, a paused one too."""
    before = living()
    executor = ProcessExecutor(small_project.source, 3)
    next(executor.run(specs))
    mine = {worker.process.pid for worker in executor.workers}
    assert mine == living() - before
    os.kill(min(mine), signal.SIGSTOP)
    executor.close()
    assert before == living()
    assert [] == executor.workers


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a process that is not a child needs Linux")
def test_the_driver_takes_its_workers_along(small_project: Project, tmp_path: Path) -> None:
    """A driver that is killed outright leaves no worker behind, not even one in a long cohort."""
    program = """
import sys
from tests.studies.project import Project
from tracker.execution.processes import ProcessExecutor
from pathlib import Path

if __name__ == "__main__":
    project = Project(Path(sys.argv[1]))
    training = {"epochs": 1_000_000, "early_stopping": None}
    specs = project.specs("manual", training=training)

    class Told(ProcessExecutor):
        def _hand_out(self, worker, queue):
            super()._hand_out(worker, queue)
            print(worker.process.pid, flush=True)

    list(Told(project.source, 2).run(specs))
"""
    (tmp_path / "driver.py").write_text(program)
    arguments = [sys.executable, str(tmp_path / "driver.py"), str(small_project.paths.root)]
    environ = surroundings(tmp_path, {})
    with subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        workers = [int(driver.stdout.readline()) for _ in range(2)]
        handles = [os.pidfd_open(pid) for pid in workers]
        driver.kill()
    for handle in handles:
        assert [handle] == wait([handle], timeout=30)  # readable once the process has ended
        os.close(handle)


def test_splits_that_changed_since_are_refused(fresh: Project) -> None:
    """A worker that finds other rows than the manifest names trains nothing; the run ends with a DataError."""
    executor = ProcessExecutor(fresh.source, 2)
    specs = fresh.specs("grid")
    path = fresh.paths.splits / "train.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    try:
        with pytest.raises(DataError, match=r"train\.parquet"):
            list(executor.run(specs))
    finally:
        executor.close()


def test_workers_that_cannot_start_fail_no_trial(small_project: Project, tmp_path: Path) -> None:
    """A script without its `__main__` guard gets one clear error, and not a study of failed trials."""
    program = """
import sys
from pathlib import Path
from tests.studies.project import Project
from tracker.execution.processes import ProcessExecutor

project = Project(Path(sys.argv[1]))
for batch in ProcessExecutor(project.source, 1).run(project.specs("grid")):
    print("a result")
"""
    (tmp_path / "script.py").write_text(program)
    done = command(tmp_path, "script.py", str(small_project.paths.root))
    assert (1, "") == (done.returncode, done.stdout)
    assert "tracker.errors.TrackerError: " in done.stderr
    assert 'a script that calls this needs `if __name__ == "__main__":`' in done.stderr


def test_a_pool_has_at_least_one_worker(source: DataSource) -> None:
    """Zero workers are refused."""
    with pytest.raises(ValueError, match="at least 1, found 0"):
        ProcessExecutor(source, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers start by themselves")
def test_the_process_that_starts_workers_may_be_killed_while_it_does(
    small_project: Project, specs: list[TrialSpec]
) -> None:
    """Workers are forked from a process of ours; killed in the middle of a start, it is replaced, and nothing is lost."""
    from multiprocessing.forkserver import _forkserver

    _forkserver.ensure_running()
    server = _forkserver._forkserver_pid
    os.kill(server, signal.SIGSTOP)  # the first start waits for its answer
    killer = threading.Timer(0.2, os.kill, (server, signal.SIGKILL))
    executor = ProcessExecutor(small_project.source, 2)
    try:
        killer.start()
        assert alone(small_project, specs) == outcomes(executor.run(specs))
    finally:
        killer.join()
        executor.close()
    assert executor.stillborn == 0
