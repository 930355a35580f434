"""Runs cohorts in worker processes and survives their death: a killed worker's trials run again, the others go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tracker.datasets.training_data import TrainingData
from tracker.errors import TrackerError
from tracker.execution.cohorts import MOST_LANES, Cohort, Cohorts
from tracker.execution.executor import Whereabouts, one_thread
from tracker.execution.fork_server import worker_context
from tracker.execution.pool import GIVEN_UP_AFTER, Answer, Death, Pool, Ready, Worker
from tracker.execution.row_sets import RowSets
from tracker.execution.shared_rows import Layout, SharedRows, receive_rows
from tracker.execution.trainer import Trainer
from tracker.training.loop import Result

DYING_S = 0.2  # a process that was killed may still seem to live for so long
FORGET = "forget"


@dataclass(slots=True, eq=False)
class Process(Worker):
    """A worker process of this machine, and the pipe to it."""

    process: BaseProcess
    pipe: Connection


class ProcessExecutor(Pool[Process]):
    """A pool of worker processes, each with one thread, that map the same rows; `root` is the folder of params.yaml.

    Workers write nothing, and end as soon as their driver has died.
    """

    def __init__(
        self, data: TrainingData, workers: int, most_lanes: int = MOST_LANES, root: Path | None = None
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, found {workers}")
        self.count, self.root, self.rows = workers, root, SharedRows(data)
        super().__init__(Cohorts(data.x_train.shape[1], len(data.labels), workers, most_lanes))
        self.context = worker_context()
        self.stillborn = 0

    def whereabouts(self) -> Whereabouts:
        """This machine."""
        return Whereabouts()

    def _staff(self, queue: list[Cohort]) -> None:
        """As many as there is work for, at most those that were asked for."""
        busy = sum(bool(worker.cohort) for worker in self.workers)
        while len(self.workers) < min(self.count, busy + len(queue)):
            self.workers.append(self._start())

    def _start(self) -> Process:
        while True:
            here, there = self.context.Pipe()
            process = self.context.Process(target=_work, args=(there, self.rows.layout, self.root), daemon=True)
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
                self.rows.send(here, process.pid or 0)
                return Process(process, here)
            finally:
                there.close()

    def _send(self, worker: Process, cohort: Cohort) -> bool:
        try:
            worker.pipe.send(cohort)
        except OSError:
            _reap(worker)
            return False
        return True

    def _heard(self, awaited: Sequence[Process]) -> list[Process]:
        heard = set(wait([w.pipe for w in awaited] + [w.process.sentinel for w in awaited])) if awaited else set()
        return [worker for worker in awaited if worker.pipe in heard or worker.process.sentinel in heard]

    def _receive(self, worker: Process) -> Answer:
        try:
            answer: Answer | None = worker.pipe.recv() if worker.pipe.poll() else None
        except (EOFError, OSError):
            answer = None
        if answer is None:
            answer = Death(_reap(worker))
            if not worker.ready:
                self._count_stillborn(answer.ending)
        elif isinstance(answer, Ready):
            self.stillborn = 0
        return answer

    def _let_go(self, worker: Process) -> None:
        with contextlib.suppress(OSError):  # it died; the next call finds out
            worker.pipe.send(FORGET)

    def _end(self, workers: Sequence[Process]) -> None:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()  # a paused process would not hear a gentler word
        for worker in workers:
            worker.process.join()
            worker.process.close()

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


def _reap(worker: Process) -> str:
    """How a dead worker ended."""
    worker.process.join()
    worker.pipe.close()
    code = worker.process.exitcode
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def _end_with_driver() -> None:
    """A worker in the middle of a cohort would find its pipe closed only minutes later."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _work(pipe: Connection, layout: Layout, root: Path | None) -> None:
    """A worker's life: map the rows, say so, train what comes through the pipe, end when the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    threading.Thread(target=_end_with_driver, daemon=True).start()
    with one_thread(), contextlib.suppress(EOFError, OSError):
        try:
            rows = RowSets(receive_rows(pipe, layout))
        except TrackerError as error:
            pipe.send(error)
            return
        pipe.send(Ready())
        trainer = Trainer(rows.whole, root, rows_of=rows.of)
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
