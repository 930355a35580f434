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

from tests.execution.contract import ExecutorContract, alone, outcomes, segments
from tests.studies.project import SmallProject, command, surroundings
from tracker.datasets.training_data import TrainingData
from tracker.errors import TrackerError
from tracker.execution.cohorts import form_cohorts
from tracker.execution.pool import ALONE_AFTER, GIVEN_UP_AFTER
from tracker.execution.processes import ProcessExecutor
from tracker.records import TrialSpec


class Killed(ProcessExecutor):
    """A pool in which whoever is handed one of `victims` is killed at once, as often as `deaths` says for each of them."""

    def __init__(self, data: TrainingData, workers: int, victims: Collection[str], deaths: int) -> None:
        super().__init__(data, workers)
        self.left = dict.fromkeys(victims, deaths)
        self.sizes: list[int] = []  # of the cohorts that died

    def _hand_out(self, worker, queue, place=0) -> None:
        super()._hand_out(worker, queue, place)
        doomed = [one.spec.key for one in worker.cohort if self.left.get(one.spec.key)]
        if doomed:
            self.left[doomed[0]] -= 1
            self.sizes.append(len(worker.cohort))
            os.kill(worker.process.pid, signal.SIGKILL)


class ProcessContract(ExecutorContract):
    """The contract for a number of workers."""

    workers: int

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls, small_project: SmallProject) -> Iterator[ProcessExecutor]:
        executor = ProcessExecutor(small_project.data, cls.workers)
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
def data(small_project: SmallProject) -> TrainingData:
    return small_project.data


@pytest.fixture
def specs(small_project: SmallProject) -> list[TrialSpec]:
    """A dozen trials of several shapes."""
    return small_project.specs("random", studies__random__trials=12)


def living() -> set[int]:
    """The worker processes of this process that are still there."""
    return {child.pid for child in multiprocessing.active_children() if child.pid}


@pytest.mark.parametrize("deaths", [1, ALONE_AFTER])
def test_killed_workers_change_nothing(small_project: SmallProject, specs: list[TrialSpec], deaths: int) -> None:
    """A worker of every cohort is killed with its trials in hand, once or twice: all complete, with the same bits."""
    features, classes = small_project.data.x_train.shape[1], len(small_project.data.labels)
    victims = [cohort[0].spec.key for cohort in form_cohorts(segments(specs), features, classes, 2)]
    executor = Killed(small_project.data, 2, victims, deaths)
    try:
        assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))
    finally:
        executor.close()
    assert deaths * len(victims) == len(executor.sizes)


def test_workers_killed_in_the_middle_of_their_work_change_nothing(small_project: SmallProject) -> None:
    """Whenever a result comes, the other busy workers are killed: nothing is lost, doubled or different."""
    specs = small_project.specs("random", studies__random__trials=16, training__epochs=30)
    executor, found, kills = ProcessExecutor(small_project.data, 3), [], 0
    try:
        for batch in executor.run(segments(specs)):
            found.append(batch)
            for worker in executor.workers:
                spared = (
                    max((executor.deaths[one.spec.key] for one in worker.cohort), default=ALONE_AFTER) >= ALONE_AFTER
                )
                if worker.process.is_alive() and not spared and kills < 6:
                    os.kill(worker.process.pid, signal.SIGKILL)
                    kills += 1
    finally:
        executor.close()
    assert kills >= 2
    assert alone(small_project, specs) == outcomes(found)


def test_a_trial_that_kills_its_workers_runs_alone_and_then_ends_the_run(small_project: SmallProject) -> None:
    """After two deaths it runs in a cohort of its own, after three the run raises, once the others are complete.

    A death is never an outcome: the next run tries again, and gives what there would have been without any.
    """
    specs = small_project.specs("manual", studies__manual={"sampler": "manual", "configurations": [{}] * 4})
    bad = specs[1].key
    executor, found = Killed(small_project.data, 1, [bad], deaths=GIVEN_UP_AFTER), []
    try:
        with pytest.raises(TrackerError, match=r"ended 3 times \(SIGKILL\): seed \d+, {.*fewer workers"):
            found.extend(executor.run(segments(specs)))
        assert [4, 4, 1] == executor.sizes
        assert alone(small_project, [one for one in specs if one.key != bad]) == outcomes(found)
        assert alone(small_project, [specs[1]]) == outcomes(executor.run(segments([specs[1]])))
    finally:
        executor.close()


def test_a_worker_that_dies_with_empty_hands_is_replaced(small_project: SmallProject, specs: list[TrialSpec]) -> None:
    """Killed between two runs, a worker costs no trial a death."""
    executor = ProcessExecutor(small_project.data, 2)
    try:
        outcomes(executor.run(segments(specs)))
        for worker in executor.workers:
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.process.join()
        assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))
        assert {} == executor.deaths
    finally:
        executor.close()


def test_close_leaves_no_process(small_project: SmallProject, specs: list[TrialSpec]) -> None:
    """close() ends workers in the middle of a run, a paused one too."""
    before = living()
    executor = ProcessExecutor(small_project.data, 3)
    next(executor.run(segments(specs)))
    mine = {worker.process.pid for worker in executor.workers}
    assert mine == living() - before
    os.kill(min(mine), signal.SIGSTOP)
    executor.close()
    assert before == living()
    assert [] == executor.workers


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a process that is not a child needs Linux")
def test_the_driver_takes_its_workers_along(small_project: SmallProject, tmp_path: Path) -> None:
    """A driver that is killed outright leaves no worker behind, not even one in a long cohort."""
    program = """
import sys
from tests.studies.project import SmallProject
from tracker.execution.processes import ProcessExecutor
from tracker.execution.trainer import Segment
from pathlib import Path

if __name__ == "__main__":
    project = SmallProject(Path(sys.argv[1]))
    training = {"epochs": 1_000_000, "early_stopping": None}
    specs = project.specs("manual", training=training)

    class Told(ProcessExecutor):
        def _hand_out(self, worker, queue, place=0):
            super()._hand_out(worker, queue, place)
            print(worker.process.pid, flush=True)

    list(Told(project.data, 2).run([Segment(spec) for spec in specs]))
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


def test_splits_that_change_meanwhile_change_nothing(fresh: SmallProject) -> None:
    """Workers train on the rows that their driver has read, whatever becomes of the file."""
    executor = ProcessExecutor(fresh.data, 2)
    specs = fresh.specs("grid")
    expected = alone(fresh, specs)
    path = fresh.paths.splits / "train.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    try:
        assert expected == outcomes(executor.run(segments(specs)))
    finally:
        executor.close()


def test_workers_that_cannot_start_fail_no_trial(small_project: SmallProject, tmp_path: Path) -> None:
    """A script without its `__main__` guard gets one clear error, and not a study of failed trials."""
    program = """
import sys
from pathlib import Path
from tests.studies.project import SmallProject
from tracker.execution.processes import ProcessExecutor
from tracker.execution.trainer import Segment

project = SmallProject(Path(sys.argv[1]))
for batch in ProcessExecutor(project.data, 1).run([Segment(spec) for spec in project.specs("grid")]):
    print("a result")
"""
    (tmp_path / "script.py").write_text(program)
    remedies = {
        "script.py": 'a script that calls this needs `if __name__ == "__main__":`; one worker',
        "-": "workers read the script again, and <stdin> is no file: save the script in one; one worker",
    }
    for script, remedy in remedies.items():
        done = command(tmp_path, script, str(small_project.paths.root), stdin=program if script == "-" else "")
        assert (1, "") == (done.returncode, done.stdout)
        assert "tracker.errors.TrackerError: " in done.stderr
        assert remedy in done.stderr


def test_a_pool_has_at_least_one_worker(data: TrainingData) -> None:
    """Zero workers are refused."""
    with pytest.raises(ValueError, match="at least 1, found 0"):
        ProcessExecutor(data, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers start by themselves")
def test_the_process_that_starts_workers_may_be_killed_while_it_does(
    small_project: SmallProject, specs: list[TrialSpec]
) -> None:
    """Workers are forked from a process of ours; killed in the middle of a start, it is replaced, and nothing is lost."""
    from multiprocessing.forkserver import _forkserver

    _forkserver.ensure_running()
    server = _forkserver._forkserver_pid
    os.kill(server, signal.SIGSTOP)  # the first start waits for its answer
    killer = threading.Timer(0.2, os.kill, (server, signal.SIGKILL))
    executor = ProcessExecutor(small_project.data, 2)
    try:
        killer.start()
        assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))
    finally:
        killer.join()
        executor.close()
    assert executor.stillborn == 0


class Watched(ProcessExecutor):
    """A pool that notes which process got which runs, cohort by cohort."""

    def __init__(self, data: TrainingData, workers: int) -> None:
        super().__init__(data, workers)
        self.given: list[tuple[int, set[str]]] = []

    def _hand_out(self, worker, queue, place=0) -> None:
        super()._hand_out(worker, queue, place)
        if worker.cohort:
            self.given.append((worker.process.pid, {one.spec.key for one in worker.cohort}))

    def homes(self) -> dict[str, int]:
        """The process that each run went to last."""
        return {key: pid for pid, keys in self.given for key in keys}


@pytest.fixture
def going(small_project: SmallProject) -> list[TrialSpec]:
    """A dozen trials of several shapes, none of which stops by itself before its sixth epoch."""
    training = {"epochs": 6, "early_stopping": None}
    return small_project.specs("random", studies__random__trials=12, training=training)


@pytest.fixture
def watched(small_project: SmallProject) -> Iterator[Watched]:
    """Two workers that both have loaded the data, so that both get work as soon as there is some."""
    executor, specs = Watched(small_project.data, 2), small_project.specs("grid")
    outcomes(executor.run(segments(specs)))
    while not all(worker.ready for worker in executor.workers):
        outcomes(executor.run(segments(specs)))
    executor.given.clear()
    yield executor
    executor.close()


def pause(executor: ProcessExecutor, specs: list[TrialSpec], until: int) -> None:
    """Runs them all to a pause."""
    assert {"paused"} == {one.state for one in outcomes(executor.run(segments(specs, until))).values()}


def test_a_paused_cohort_goes_back_to_the_worker_that_holds_it(
    small_project: SmallProject, watched: Watched, going: list[TrialSpec]
) -> None:
    """Whatever order the next call has, each run goes on where it waits, in the company it paused in; bits are as ever."""
    pause(watched, going, 1)
    first, before = watched.homes(), [keys for _, keys in watched.given]
    watched.given.clear()
    pause(watched, going[::-1], 2)
    assert first == watched.homes()
    assert sorted(map(sorted, before)) == sorted(sorted(keys) for _, keys in watched.given)
    watched.given.clear()
    chosen = going[::2]
    assert alone(small_project, chosen) == outcomes(watched.run(segments(chosen)))
    assert {spec.key: first[spec.key] for spec in chosen} == watched.homes()


def test_what_a_killed_worker_held_begins_again(
    small_project: SmallProject, watched: Watched, going: list[TrialSpec]
) -> None:
    """One of two workers dies while its runs wait: they are trained from the start elsewhere, the others go on."""
    pause(watched, going, 2)
    first, dead = watched.homes(), watched.workers[0].process
    os.kill(dead.pid, signal.SIGKILL)
    dead.join()
    lost = dead.pid
    watched.given.clear()
    assert alone(small_project, going) == outcomes(watched.run(segments(going)))
    second = watched.homes()
    kept = {key for key, pid in first.items() if pid != lost}
    assert {key: first[key] for key in kept} == {key: second[key] for key in kept}
    assert {lost} < set(first.values())
    assert lost not in {second[key] for key in first.keys() - kept}
    assert {} == watched.deaths


@pytest.mark.parametrize("deaths", [1, ALONE_AFTER])
def test_workers_killed_while_they_go_on_change_nothing(
    small_project: SmallProject, going: list[TrialSpec], deaths: int
) -> None:
    """Every held cohort loses its worker in the moment it is handed back, once or twice: all complete with the same bits."""
    executor = Killed(small_project.data, 2, [], 0)
    try:
        pause(executor, going, 2)
        victims = [cohort[0].spec.key for cohort in executor.cohorts.form(segments(going))]
        executor.left = dict.fromkeys(victims, deaths)
        assert alone(small_project, going) == outcomes(executor.run(segments(going)))
    finally:
        executor.close()
    assert deaths * len(victims) == len(executor.sizes)


def test_a_run_left_early_lets_go_of_what_its_workers_held(small_project: SmallProject, going: list[TrialSpec]) -> None:
    """Workers that were busy are ended, with all that waited in them; the next call gives the same bits."""
    executor = ProcessExecutor(small_project.data, 2)
    try:
        pause(executor, going, 1)
        left = executor.run(segments(going, 3))
        next(left)
        left.close()
        assert alone(small_project, going) == outcomes(executor.run(segments(going)))
    finally:
        executor.close()


def test_forgetting_reaches_the_workers(small_project: SmallProject, watched: Watched, going: list[TrialSpec]) -> None:
    """After forget() no worker is the home of a run, and one that has died meanwhile does no harm."""
    pause(watched, going, 1)
    os.kill(watched.workers[0].process.pid, signal.SIGKILL)
    watched.workers[0].process.join()
    watched.forget()
    assert [set(), set()] == [worker.holds for worker in watched.workers]
    assert alone(small_project, going) == outcomes(watched.run(segments(going)))
