"""Runs cohorts in worker processes and survives their death: a killed worker's trials run again, the others go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tracker.datasets.training_data import TrainingData
from tracker.errors import TrackerError
from tracker.execution.cohorts import MOST_LANES, Cohort, Cohorts, left_over
from tracker.execution.executor import DataSource, Executor, InlineExecutor, arrays_of, note_pauses, one_thread
from tracker.execution.fork_server import worker_context
from tracker.execution.trainer import Segment, Trainer
from tracker.records import TrialSpec
from tracker.training.loop import Result

ALONE_AFTER = 2  # deaths of workers that held a trial, after which it runs in a cohort of its own
GIVEN_UP_AFTER = 3
DYING_S = 0.2  # a process that was killed may still seem to live for so long
FORGET = "forget"


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    cohort: Cohort = field(default_factory=list)
    holds: set[str] = field(default_factory=set)


class ProcessExecutor:
    """A pool of worker processes, each with one thread and the data loaded once.

    Workers write nothing, and end as soon as their driver has died.
    """

    def __init__(self, source: DataSource, workers: int, most_lanes: int = MOST_LANES) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, found {workers}")
        self.source, self.count = source, workers
        data = source.load()
        self.cohorts = Cohorts(data.x_train.shape[1], len(data.labels), workers, most_lanes)
        self.context = worker_context()
        self.workers: list[_Worker] = []
        self.deaths: Counter[str] = Counter()
        self.stillborn = 0
        self.given_up: list[tuple[TrialSpec, str]] = []

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        """Results of each cohort as it finishes; a call that is left early is forgotten with what was in training.

        Raises DataError where a worker finds other splits than this process did, TrackerError where workers cannot start, and,
        once all others have finished, where the workers of one trial died again and again.
        """
        self._abandon()
        self.given_up = []
        queue = self.cohorts.form(segments)
        while len(self.workers) < min(self.count, len(queue)):
            self.workers.append(self._start())
        while queue or any(worker.cohort for worker in self.workers):
            for worker in list(self.workers):
                if worker.ready and not worker.cohort and (place := self._next_for(worker, queue)) is not None:
                    self._hand_out(worker, queue, place)
            awaited = [worker for worker in self.workers if worker.cohort or not worker.ready]
            heard = set(wait([w.pipe for w in awaited] + [w.process.sentinel for w in awaited]))
            for worker in awaited:
                if worker.pipe in heard or worker.process.sentinel in heard:
                    yield from self._collect(worker, queue)
        self._give_up()

    def forget(self) -> None:
        """Workers let go of all that is paused."""
        for worker in self.workers:
            if worker.holds:
                worker.holds = set()
                with contextlib.suppress(OSError):  # it died; the next call finds out
                    worker.pipe.send(FORGET)
        self.cohorts = self.cohorts.emptied()

    def close(self) -> None:
        """Ends the workers; what they were training is dropped."""
        self._end(self.workers)
        self.workers = []

    def _start(self) -> _Worker:
        while True:
            here, there = self.context.Pipe()
            process = self.context.Process(target=_work, args=(there, self.source), daemon=True)
            try:
                process.start()
            except (
                EOFError,
                OSError,
            ):  # the process that workers are forked from was killed; the next start makes another
                here.close()
                self._count_stillborn("the process that starts workers was killed")
                time.sleep(DYING_S)
            else:
                return _Worker(process, here)
            finally:
                there.close()

    def _abandon(self) -> None:
        busy = [worker for worker in self.workers if worker.cohort]
        self.cohorts.lost(key for worker in busy for key in worker.holds)
        self._end(busy)
        self.workers = [worker for worker in self.workers if not worker.cohort]

    def _next_for(self, worker: _Worker, queue: list[Cohort]) -> int | None:
        """The place of the first cohort that waits in this worker, else of the first that waits in none."""
        homes = [self._home_of(cohort) for cohort in queue]
        own = next((place for place, home in enumerate(homes) if home is worker), None)
        return own if own is not None else next((place for place, home in enumerate(homes) if home is None), None)

    def _home_of(self, cohort: Cohort) -> _Worker | None:
        return next((worker for worker in self.workers if cohort[0].spec.key in worker.holds), None)

    def _end(self, workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()  # a paused process would not hear a gentler word
        for worker in workers:
            worker.process.join()
            worker.process.close()

    def _hand_out(self, worker: _Worker, queue: list[Cohort], place: int = 0) -> None:
        try:
            worker.pipe.send(queue[place])
        except OSError:  # it died while it had nothing to do; no trial is to blame
            self._replace(worker)
        else:
            worker.cohort = queue.pop(place)

    def _collect(self, worker: _Worker, queue: list[Cohort]) -> Iterator[list[Result]]:
        try:
            answer = worker.pipe.recv() if worker.pipe.poll() else None
        except (EOFError, OSError):
            answer = None
        if answer is None:
            self._bury(worker, queue)
        elif isinstance(answer, TrackerError):
            raise answer
        elif not worker.ready:
            worker.ready, self.stillborn = True, 0
        else:
            queue[:0] = left_over(worker.cohort, answer)
            worker.holds -= {result.spec.key for result in answer}
            worker.holds |= {result.spec.key for result in answer if result.outcome.state == "paused"}
            worker.cohort = []
            note_pauses(self.cohorts, answer)
            yield answer

    def _bury(self, worker: _Worker, queue: list[Cohort]) -> None:
        """Queues a dead worker's trials again: together, after two deaths alone, after three not at all."""
        ending = _ending(self._replace(worker))
        if not worker.ready:
            self._count_stillborn(ending)
        self.deaths.update(segment.spec.key for segment in worker.cohort)
        deaths = [(segment, self.deaths[segment.spec.key]) for segment in worker.cohort]
        together = [segment for segment, count in deaths if count < ALONE_AFTER]
        alone = [[segment] for segment, count in deaths if ALONE_AFTER <= count < GIVEN_UP_AFTER]
        queue[:0] = [cohort for cohort in (together, *alone) if cohort]
        self.given_up += [(segment.spec, ending) for segment, count in deaths if count >= GIVEN_UP_AFTER]

    def _give_up(self) -> None:
        """A death is no outcome: it says something of the machine, and another machine would say something else."""
        if not self.given_up:
            return
        spec, ending = self.given_up[0]
        for one, _ in self.given_up:  # another run tries anew
            del self.deaths[one.key]
        others = f", and {len(self.given_up) - 1} more" if len(self.given_up) > 1 else ""
        raise TrackerError(
            f"a trial's worker ended {GIVEN_UP_AFTER} times ({ending}): seed {spec.seed}, {dict(spec.params)}{others}; the "
            "other trials are kept, and the same command tries again. SIGKILL often means that memory ran out: use fewer "
            "workers, or leave such configurations out of the search space"
        )

    def _replace(self, worker: _Worker) -> int | None:
        """Starts another worker in the place of a dead one and gives the dead one's exit code."""
        worker.process.join()
        worker.pipe.close()
        self.cohorts.lost(worker.holds)
        worker.holds = set()
        self.workers[self.workers.index(worker)] = self._start()
        return worker.process.exitcode

    def _count_stillborn(self, ending: str) -> None:
        """Workers that die before they have the data say nothing about any trial, so none may fail for it."""
        self.stillborn += 1
        if self.stillborn >= GIVEN_UP_AFTER * self.count:
            script = getattr(sys.modules["__main__"], "__file__", None)
            remedy = (
                'a script that calls this needs `if __name__ == "__main__":`'
                if script is None or Path(script).exists()
                else f"workers read the script again, and {script} is no file: save the script in one"
            )
            raise TrackerError(
                f"{self.stillborn} workers in a row ended while they started ({ending}), see their messages above; "
                f"{remedy}; one worker runs in this very process"
            )


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _end_with_driver() -> None:
    """A worker in the middle of a cohort would find its pipe closed only minutes later."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _work(pipe: Connection, source: DataSource) -> None:
    """A worker's life: load the data, say so, train what comes through the pipe, end when the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    threading.Thread(target=_end_with_driver, daemon=True).start()
    try:
        arrays = arrays_of(source.load())
    except TrackerError as error:
        pipe.send(error)
        return
    with one_thread(), contextlib.suppress(EOFError, OSError):
        pipe.send("ready")
        trainer = Trainer(arrays, source.root)
        while True:
            message = pipe.recv()
            if message == FORGET:
                trainer.forget()
            else:
                pipe.send(_answer(message, trainer))


def _answer(cohort: Cohort, trainer: Trainer) -> list[Result] | TrackerError:
    """The results, or why no trial can run."""
    try:
        return trainer.run(cohort)
    except TrackerError as error:
        return error


@contextlib.contextmanager
def open_executor(workers: int, source: DataSource, data: TrainingData, lanes: int) -> Iterator[Executor]:
    """This process, or several; what was started ends with the block."""
    executor: Executor
    executor = ProcessExecutor(source, workers, lanes) if workers > 1 else InlineExecutor(data, lanes, source.root)
    try:
        yield executor
    finally:
        executor.close()
