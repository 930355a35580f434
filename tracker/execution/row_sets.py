"""The arrays that each run trains on and is scored on: those of train and validation, or of a fold; made once, then shared."""

from __future__ import annotations

from tracker.canonical import canonical_json
from tracker.datasets.resampling import Resampling
from tracker.datasets.training_data import TrainingData
from tracker.records import TrialSpec
from tracker.standalone.transform import blocks_of
from tracker.training.arrays import Arrays

MOST = 32  # choices of rows whose arrays are held at once


class RowSets:
    """The rows of one data set by what runs say of them."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self.whole = arrays_of(data)
        self._resampling: Resampling | None = None
        self._made: dict[str, Arrays] = {}

    def of(self, spec: TrialSpec) -> Arrays:
        """The arrays of a run. Raises DataError where its rows cannot be chosen here."""
        chosen = rows_named(spec)
        if chosen is None:
            return self.whole
        if chosen not in self._made:
            self._resampling = self._resampling or Resampling.of(self._data)
            while len(self._made) >= MOST:
                del self._made[next(iter(self._made))]
            self._made[chosen] = arrays_of(self._resampling.load(spec.data["rows"]))
        return self._made[chosen]


def rows_named(spec: TrialSpec) -> str | None:
    """What tells the rows of runs apart; None: train and validation as they are."""
    rows = spec.data.get("rows")
    return None if rows is None else canonical_json(dict(rows)).decode()


def arrays_of(data: TrainingData) -> Arrays:
    """The arrays of a data set with its positive class as an index."""
    positive = None if data.positive is None else data.labels.index(data.positive)
    labels = tuple(data.labels)
    columns = tuple(data.preprocessing["features"])
    x_train, y_train, x_validation, y_validation = data.x_train, data.y_train, data.x_validation, data.y_validation
    blocks, ranking = blocks_of(data.preprocessing), (data.x_selection, data.y_selection)
    about = labels, columns, data.shape, data.mask, data.parents, blocks, *ranking
    return Arrays(x_train, y_train, x_validation, y_validation, len(labels), positive, *about)
