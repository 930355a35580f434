"""Runs segments in this process, and the protocol that every executor follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from tracker.config import Preprocessing
from tracker.datasets.training_data import TrainingData, load_training_data
from tracker.execution.cohorts import MOST_LANES, Cohorts, left_over
from tracker.execution.row_sets import RowSets
from tracker.execution.trainer import Segment, Trainer
from tracker.families.family import open_family
from tracker.store.store import Store
from tracker.training.loop import Result


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where the rows are: the splits folder and the preprocessing that is fitted on its train split.

    `root` is the folder of params.yaml, for families whose code is the user's own.
    """

    splits: Path
    preprocessing: Preprocessing
    root: Path | None = None

    def load(self) -> TrainingData:
        """Reads and checks the splits. Raises DataError where a file differs from the manifest."""
        return load_training_data(self.splits, self.preprocessing)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an executor trains, in words (empty: on this machine), and which nodes get no work, with the reason of each."""

    words: str = ""
    refused: tuple[str, ...] = ()


class Executor(Protocol):
    """Runs segments and yields their results, a cohort at a time, in whatever order they finish."""

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        """Every segment's result exactly once; one that raises comes back as failed, a death of a process is no result.

        All segments have one `until`. What paused is held until it is run again, or forgotten.
        """
        ...

    def forget(self) -> None:
        """Lets go of all that is paused; run again, it begins from its checkpoint or from the start."""
        ...

    def close(self) -> None:
        """Ends what was started; nothing runs on afterwards."""
        ...

    def whereabouts(self) -> Whereabouts:
        """Where it trains at present."""
        ...


class InlineExecutor:
    """Runs segments in this process, one cohort after the other, on one thread."""

    def __init__(self, data: TrainingData, most_lanes: int = MOST_LANES, root: Path | None = None) -> None:
        rows = RowSets(data)
        self.arrays = rows.whole
        self.trainer = Trainer(self.arrays, root, rows_of=rows.of)
        self.cohorts = Cohorts(self.arrays.x_train.shape[1], self.arrays.classes, 1, most_lanes)

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        """Results of each cohort as it finishes. Raises ConfigError where the user's own code has changed."""
        queue = self.cohorts.form(segments)
        while queue:
            cohort = queue.pop(0)
            with one_thread():
                results = self.trainer.run(cohort)
            queue[:0] = left_over(cohort, results)
            note_pauses(self.cohorts, results)
            yield results

    def forget(self) -> None:
        """Nothing is paused from here on."""
        self.trainer.forget()
        self.cohorts = self.cohorts.emptied()

    def close(self) -> None:
        """Ends paused loops of the user's own."""
        self.trainer.forget()

    def whereabouts(self) -> Whereabouts:
        """This process."""
        return Whereabouts()


def note_pauses(cohorts: Cohorts, results: Sequence[Result]) -> None:
    """Which of these runs, that were trained together, wait together."""
    cohorts.lost(result.spec.key for result in results)
    cohorts.paused([result.spec.key for result in results if result.outcome.state == "paused"])


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside the block: more would change bits and slow small networks down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def lanes_allowed(store: Store, environment_digest: str, family: str) -> int:
    """How many trials may train together: many, where this environment has shown that lanes equal solo training."""
    passed = store.selftest(environment_digest, family)
    if passed is None:
        with one_thread():
            passed = open_family(family).lanes_agree()
        store.put_selftest(environment_digest, family, passed)
    return MOST_LANES if passed else 1
