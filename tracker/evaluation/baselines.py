"""What simple models give on the validation rows: a majority vote, a logistic regression, boosted trees; no test row is read.

They have the preprocessing that studies have, scikit-learn's own settings, and one thread, so equal rows give equal reports.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config
from tracker.config.asked import asked_metrics
from tracker.confusion import count_confusion
from tracker.datasets.made_with import load_present
from tracker.datasets.training_data import read_ranking
from tracker.evaluation.details import Called
from tracker.evaluation.files import write_report
from tracker.metrics import asked_scores, in_order, score_intervals, scores, separation_intervals
from tracker.paths import Paths

if TYPE_CHECKING:
    from tracker.datasets.training_data import TrainingData

MOST_CELLS = 4_000_000  # of training rows by features; more rows are thinned, so that it takes a second or two
BOOSTED_CELLS = 600_000
ALWAYS = ("average_precision", "roc_auc")  # which every table of baselines has
DIGITS = 4


def write_baselines(paths: Paths, config: Config) -> dict[str, Any]:
    """Fits the baselines on the training rows, scores them on the validation rows, writes `reports/baselines.json`."""
    data = load_present(config, paths)
    _, clusters = read_ranking(paths.splits)
    asked = in_order({*ALWAYS, *asked_metrics(config)})
    told = {
        "objective": {"metric": config.objective.metric, "direction": config.objective.direction},
        "data": {name: data.digests[name] for name in ("train", "validation")},
        "train_rows": len(data.y_train),
        "validation_rows": len(data.ranking[1]),
        "models": [_scored(name, fit, most, data, clusters, asked) for name, (fit, most) in FITS.items()],
    }
    write_report(paths.reports / "baselines.json", told)
    return told


def _scored(
    name: str, fit: Fit, most: int, data: TrainingData, clusters: tuple[int, ...] | None, asked: list[str]
) -> dict[str, Any]:
    """A baseline's scores and intervals on validation, by the names that trials have; why, where it cannot be fitted."""
    step = max(1, -(-data.x_train.size // most))  # every so many rows: which rows they are is a matter of their keys
    x, y = data.x_train[::step].astype(np.float64), data.y_train[::step]
    others, truth = data.ranking
    try:
        probabilities = _full(*fit(x, y, others.astype(np.float64)), len(data.labels))
    except ValueError as error:
        return {
            "name": name,
            "fitted_rows": len(y),
            "metrics": {},
            "intervals": {},
            "reason": str(error).split("\n")[0],
        }
    place = None if data.positive is None else data.labels.index(data.positive)
    rows = Called(truth, probabilities.argmax(axis=1), probabilities, clusters)
    confusion = count_confusion(rows.truth, rows.call, len(data.labels))
    found = scores(confusion, place)
    found |= asked_scores(rows.truth, rows.call, probabilities, place, asked)
    ends = rows.intervals(len(data.labels), place)
    ends |= score_intervals(confusion, place, None if clusters is None else {}, asked)
    ends |= separation_intervals(rows.truth, probabilities, place, asked, clusters)
    found["loss"] = -float(np.log(np.maximum(probabilities, 1e-300))[np.arange(len(rows.truth)), rows.truth].mean())
    metrics = {f"val_{metric}": None if value is None else round(value, DIGITS) for metric, value in found.items()}
    intervals = {
        f"val_{metric}": None if one is None else [round(end, DIGITS) for end in one] for metric, one in ends.items()
    }
    return {"name": name, "fitted_rows": len(y), "metrics": metrics, "intervals": intervals}


def _full(known: NDArray[Any], found: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Probabilities (rows, classes) from those of the classes that training rows have."""
    whole = np.zeros((len(found), classes))
    whole[:, known] = found
    return whole


Fit = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], tuple[NDArray[Any], NDArray[np.float64]]]


def _majority(
    x: NDArray[np.float64], y: NDArray[np.int64], others: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The share of each class among the training rows, for every row: the largest class is called."""
    del x
    known, counts = np.unique(y, return_counts=True)
    return known, np.tile(counts / len(y), (len(others), 1))


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.int64], others: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    return _fitted(LogisticRegression(max_iter=500), x, y, others)


def _boosted(
    x: NDArray[np.float64], y: NDArray[np.int64], others: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _fitted(HistGradientBoostingClassifier(early_stopping=False, random_state=0), x, y, others)


def _fitted(
    model: Any, x: NDArray[np.float64], y: NDArray[np.int64], others: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Fitted with one thread, whose sums have one order. Raises ValueError, such as for rows of one class."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge is what such a model is
        model.fit(x, y)
        return model.classes_, model.predict_proba(others)


FITS: Mapping[str, tuple[Fit, int]] = {
    "majority": (_majority, MOST_CELLS),
    "logistic": (_logistic, MOST_CELLS),
    "boosted": (_boosted, BOOSTED_CELLS),
}
