"""Hands cohorts to workers and survives their death; what a worker is, a process here or one of a cluster, it does not know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tracker.errors import TrackerError
from tracker.execution.cohorts import Cohort, Cohorts, left_over
from tracker.execution.executor import Whereabouts, note_pauses
from tracker.execution.trainer import Segment
from tracker.records import TrialSpec
from tracker.training.loop import Result

ALONE_AFTER = 2  # deaths of workers that held a trial, after which it runs in a cohort of its own
GIVEN_UP_AFTER = 3


@dataclass(slots=True, eq=False, kw_only=True)
class Worker:
    """One that trains: whether it has loaded the data, the cohort in its hands, the keys of the runs that wait in it."""

    ready: bool = False
    cohort: Cohort = field(default_factory=list)
    holds: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's first answer: it has loaded the data and waits for work."""


@dataclass(frozen=True, slots=True)
class Death:
    """In place of an answer: how the worker ended, and whether the trials in its hands may have been the cause."""

    ending: str
    blames: bool = True


Answer = list[Result] | TrackerError | Ready | Death
W = TypeVar("W", bound=Worker)


class Pool(ABC, Generic[W]):
    """Who gets which cohort, what happens to the trials of a worker that dies; workers write nothing."""

    def __init__(self, cohorts: Cohorts) -> None:
        self.cohorts = cohorts
        self.workers: list[W] = []
        self.deaths: Counter[str] = Counter()
        self.given_up: list[tuple[TrialSpec, str]] = []

    @abstractmethod
    def _staff(self, queue: list[Cohort]) -> None:
        """Starts workers, as many as there should be for this queue, the cohorts in hand, and the ones that are there."""

    @abstractmethod
    def _send(self, worker: W, cohort: Cohort) -> bool:
        """Gives it a cohort to train; False where it has died meanwhile."""

    @abstractmethod
    def _heard(self, awaited: Sequence[W]) -> list[W]:
        """Waits until some of these have an answer, or have died; at times none."""

    @abstractmethod
    def _receive(self, worker: W) -> Answer:
        """The answer of one that was heard; a death leaves it ended."""

    @abstractmethod
    def _let_go(self, worker: W) -> None:
        """Has it forget what waits in it; its death is found out later."""

    @abstractmethod
    def _end(self, workers: Sequence[W]) -> None:
        """Ends them at once, whatever they are at."""

    @abstractmethod
    def whereabouts(self) -> Whereabouts:
        """Where it trains."""

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        """Results of each cohort as it finishes; a call that is left early is forgotten with what was in training.

        Raises TrackerError where a worker can train nothing, where workers cannot start, and, once all others have finished,
        where the workers of one trial died again and again.
        """
        self._abandon()
        self.given_up = []
        queue = self.cohorts.form(segments)
        while queue or any(worker.cohort for worker in self.workers):
            self._staff(queue)
            for worker in list(self.workers):
                if worker.ready and not worker.cohort and (place := self._next_for(worker, queue)) is not None:
                    self._hand_out(worker, queue, place)
            for worker in self._heard([worker for worker in self.workers if worker.cohort or not worker.ready]):
                yield from self._collect(worker, queue)
        self._give_up()

    def forget(self) -> None:
        """Workers let go of all that is paused."""
        for worker in self.workers:
            if worker.holds:
                worker.holds = set()
                self._let_go(worker)
        self.cohorts = self.cohorts.emptied()

    def close(self) -> None:
        """Ends the workers; what they were training is dropped."""
        self._end(self.workers)
        self.workers = []

    def _abandon(self) -> None:
        busy = [worker for worker in self.workers if worker.cohort]
        self.cohorts.lost(key for worker in busy for key in worker.holds)
        self._end(busy)
        self.workers = [worker for worker in self.workers if not worker.cohort]

    def _next_for(self, worker: W, queue: list[Cohort]) -> int | None:
        """The place of the first cohort that waits in this worker, else of the first that waits in none."""
        for place, cohort in enumerate(queue if worker.holds else ()):
            if cohort[0].spec.key in worker.holds:
                return place
        return next((place for place, cohort in enumerate(queue) if self._home_of(cohort) is None), None)

    def _home_of(self, cohort: Cohort) -> W | None:
        return next((worker for worker in self.workers if cohort[0].spec.key in worker.holds), None)

    def _hand_out(self, worker: W, queue: list[Cohort], place: int = 0) -> None:
        if self._send(worker, queue[place]):
            worker.cohort = queue.pop(place)
        else:  # it died while it had nothing to do; no trial is to blame
            self._bury(worker)

    def _collect(self, worker: W, queue: list[Cohort]) -> Iterator[list[Result]]:
        answer = self._receive(worker)
        if isinstance(answer, Death):
            self._bury(worker)
            self._queue_again(worker.cohort, answer, queue)
        elif isinstance(answer, TrackerError):
            raise answer
        elif isinstance(answer, Ready):
            worker.ready = True
        else:
            queue[:0] = left_over(worker.cohort, answer)
            worker.holds -= {result.spec.key for result in answer}
            worker.holds |= {result.spec.key for result in answer if result.outcome.state == "paused"}
            worker.cohort = []
            note_pauses(self.cohorts, answer)
            yield answer

    def _bury(self, worker: W) -> None:
        """Nothing waits in it any more, and another takes its place."""
        self.cohorts.lost(worker.holds)
        worker.holds = set()
        self.workers.remove(worker)

    def _queue_again(self, cohort: Cohort, death: Death, queue: list[Cohort]) -> None:
        """Queues a dead worker's trials: together, after two deaths that they may have caused alone, after three not at all."""
        if death.blames:
            self.deaths.update(segment.spec.key for segment in cohort)
        deaths = [(segment, self.deaths[segment.spec.key]) for segment in cohort]
        together = [segment for segment, count in deaths if count < ALONE_AFTER]
        alone = [[segment] for segment, count in deaths if ALONE_AFTER <= count < GIVEN_UP_AFTER]
        queue[:0] = [cohort for cohort in (together, *alone) if cohort]
        self.given_up += [(segment.spec, death.ending) for segment, count in deaths if count >= GIVEN_UP_AFTER]

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
