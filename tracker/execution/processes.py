"""Runs cohorts in worker processes and survives their death: a killed worker's trials run again, the others go on."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

from tracker.errors import TrackerError
from tracker.execution.cohorts import MOST_LANES, form_cohorts
from tracker.execution.executor import DataSource, arrays_of, failed, one_thread, run_cohort
from tracker.records import TrialSpec
from tracker.training.cohort import Arrays, Result

ALONE_AFTER = 2  # deaths of workers that held a trial, after which it runs in a cohort of its own
FAILED_AFTER = 3


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    cohort: list[TrialSpec] = field(default_factory=list)


class ProcessExecutor:
    """A pool of worker processes, each with one thread and the data loaded once.

    Workers write nothing; a worker whose driver has died finds its pipe closed and ends.
    """

    def __init__(self, source: DataSource, workers: int, most_lanes: int = MOST_LANES) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, found {workers}")
        self.source, self.count, self.most_lanes = source, workers, most_lanes
        data = source.load()
        self.features, self.classes = data.x_train.shape[1], len(data.labels)
        self.context = _context()
        self.workers: list[_Worker] = []
        self.deaths: Counter[str] = Counter()

    def run(self, specs: Sequence[TrialSpec]) -> Iterator[list[Result]]:
        """Results of each cohort as it finishes."""
        queue = form_cohorts(specs, self.features, self.classes, self.count, self.most_lanes)
        while len(self.workers) < min(self.count, len(queue)):
            self.workers.append(self._start())
        while queue or any(worker.cohort for worker in self.workers):
            for worker in self.workers:
                if queue and not worker.cohort:
                    self._hand_out(worker, queue.pop(0))
            busy = [worker for worker in self.workers if worker.cohort]
            ready = set(wait([w.pipe for w in busy] + [w.process.sentinel for w in busy]))
            for worker in busy:
                if worker.pipe in ready or worker.process.sentinel in ready:
                    yield from self._collect(worker, queue)

    def close(self) -> None:
        """Ends the workers; what they were training is dropped."""
        for worker in self.workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
        self.workers = []

    def _start(self) -> _Worker:
        here, there = self.context.Pipe()
        process = self.context.Process(target=_work, args=(there, self.source), daemon=True)
        process.start()
        there.close()
        return _Worker(process, here)

    def _hand_out(self, worker: _Worker, cohort: list[TrialSpec]) -> None:
        worker.cohort = cohort
        try:
            worker.pipe.send(cohort)
        except OSError:  # it died meanwhile; its sentinel is ready and the cohort runs again
            return

    def _collect(self, worker: _Worker, queue: list[list[TrialSpec]]) -> Iterator[list[Result]]:
        try:
            answer = worker.pipe.recv() if worker.pipe.poll() else None
        except (EOFError, OSError):
            answer = None
        if answer is None:
            yield from self._replace(worker, queue)
        elif isinstance(answer, TrackerError):
            raise answer
        else:
            worker.cohort = []
            yield answer

    def _replace(self, worker: _Worker, queue: list[list[TrialSpec]]) -> Iterator[list[Result]]:
        """Starts another worker for a dead one and queues its trials again, alone or not at all if they keep killing."""
        worker.process.join()
        code = worker.process.exitcode
        cohort, together = worker.cohort, []
        place = self.workers.index(worker)
        worker.pipe.close()
        self.workers[place] = self._start()
        for spec in cohort:
            self.deaths[spec.key] += 1
            if self.deaths[spec.key] >= FAILED_AFTER:
                yield [failed(spec, f"its worker died {FAILED_AFTER} times ({_ending(code)})")]
            elif self.deaths[spec.key] >= ALONE_AFTER:
                queue.insert(0, [spec])
            else:
                together.append(spec)
        if together:
            queue.insert(0, together)


def _context() -> SpawnContext | ForkServerContext:
    """Processes that share no state with the driver; on Linux they start in a moment, from one that has torch loaded."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tracker.execution.processes"])
    return context


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _work(pipe: Connection, source: DataSource) -> None:
    """A worker's life: load the data, train what comes through the pipe, end when the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    arrays: Arrays | None = None
    with one_thread():
        while True:
            try:
                cohort = pipe.recv()
            except (EOFError, OSError):
                return
            try:
                arrays = arrays or arrays_of(source.load())
                answer: object = run_cohort(cohort, arrays)
            except TrackerError as error:
                answer = error
            try:
                pipe.send(answer)
            except OSError:
                return
