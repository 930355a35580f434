"""What runs trials: the protocol, the data that workers load for themselves, and the executor of this very process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from tracker.config import Preprocessing
from tracker.datasets.training_data import TrainingData, load_training_data
from tracker.errors import TrackerError
from tracker.execution.cohorts import MOST_LANES, form_cohorts, left_over
from tracker.records import Timing, TrialOutcome, TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.cohort import Result, train_cohort
from tracker.training.memory import refuse_without_memory
from tracker.training.trainers import Trainers


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a worker finds the rows: the splits folder and the preprocessing that is fitted on its train split.

    `root` is the folder of params.yaml, for families whose code is the user's own.
    """

    splits: Path
    preprocessing: Preprocessing
    root: Path | None = None

    def load(self) -> TrainingData:
        """Reads and checks the splits. Raises DataError where a file differs from the manifest."""
        return load_training_data(self.splits, self.preprocessing)


class Executor(Protocol):
    """Runs trials and yields their results, a cohort at a time, in whatever order they finish."""

    def run(self, specs: Sequence[TrialSpec]) -> Iterator[list[Result]]:
        """Every spec's result exactly once; a trial that raises comes back as failed, a death of a process is no result."""
        ...

    def close(self) -> None:
        """Ends what was started; nothing runs on afterwards."""
        ...


class InlineExecutor:
    """Runs trials in this process, one cohort after the other, on one thread."""

    def __init__(self, data: TrainingData, most_lanes: int = MOST_LANES, root: Path | None = None) -> None:
        self.arrays = arrays_of(data)
        self.most_lanes = most_lanes
        self.train = Trainers(root)

    def run(self, specs: Sequence[TrialSpec]) -> Iterator[list[Result]]:
        """Results of each cohort as it finishes. Raises ConfigError where the user's own code has changed."""
        features, classes = self.arrays.x_train.shape[1], self.arrays.classes
        queue = form_cohorts(specs, features, classes, most_lanes=self.most_lanes)
        while queue:
            cohort = queue.pop(0)
            with one_thread():
                results = run_cohort(cohort, self.arrays, self.train)
            queue[:0] = left_over(cohort, results)
            yield results

    def close(self) -> None:
        """Nothing to end."""


def arrays_of(data: TrainingData) -> Arrays:
    """The arrays of a data set with its positive class as an index."""
    positive = None if data.positive is None else data.labels.index(data.positive)
    labels = tuple(data.labels)
    return Arrays(data.x_train, data.y_train, data.x_validation, data.y_validation, len(labels), positive, labels)


def run_cohort(
    specs: Sequence[TrialSpec],
    arrays: Arrays,
    train: Callable[[Sequence[TrialSpec], Arrays], list[Result]] = train_cohort,
) -> list[Result]:
    """Trains a cohort, or its first trials; if it raises, they run one by one, and the one that raises again has failed.

    Raises ConfigError where the user's own code cannot be run as it was proposed, TrackerError where there is not enough
    memory for one trial: no trial is to blame for that.
    """
    try:
        return train(specs, arrays)
    except TrackerError:
        raise
    except Exception as error:
        if len(specs) > 1:
            return [result for spec in specs for result in run_cohort([spec], arrays, train)]
        refuse_without_memory(error, specs[0])
        return [failed(specs[0], f"{type(error).__name__}: {error}")]


def failed(spec: TrialSpec, reason: str) -> Result:
    """The result of a trial that gave nothing."""
    outcome = TrialOutcome(spec.key, "failed", 0, None, {}, (), None, None, reason)
    return Result(spec, outcome, None, Timing(0.0, 0.0))


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside the block: more would change bits and slow small networks down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
