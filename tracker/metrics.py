"""THE table of metrics: what each is called, whether it is to be high or low, its formula, its 95 % interval over rows.

Everybody who lists metrics, sorts by one or computes one reads it, so a new metric is one row and its formula, here.

A score of labels is a ratio of counts of a confusion matrix, or a mean of such ratios over classes. 0/0 is None, never 0:
precision of a class that is never predicted, recall of a class that is absent, F1 of one that is both; and a mean is
None as soon as one class is. A ratio of counts is correctly rounded; a mean is so up to 1 ulp, whatever the order of classes.

An interval is Wilson's score interval of a proportion, or of a monotone function of one (Wilson 1927). A mean over classes
gets Wilson's interval of its effective sample size m (1 - m) / variance (Korn and Graubard 1998, Survey Methodology 24),
the variance by the delta method on the multinomial counts, smoothed by one row spread over all cells. Simulated coverage:
tests/test_intervals.py. Where rows come in clusters, that of fewer rows, by the design effect (`tracker.design_effects`). A
score of class probabilities (`tracker.separation`) needs a sort of all rows, so it is computed where a study asks for it,
and nowhere else; over more classes it is the mean of each class against the rest, without an interval. An interval speaks of
other rows of the same kind, not of other trainings, and it knows nothing of choosing among trials.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tracker.separation import Cuts, average_precision, average_precision_rows, roc_auc, roc_auc_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction = Literal["maximize", "minimize"]
Interval = tuple[float, float]
Z = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True)
class Confusion:
    """A confusion matrix and its margins, which are counted once for all formulas.

    `cells` (classes, classes), rows: truth, columns: prediction. Of each class, `truths` counts the rows that are of it,
    `calls` those that are predicted so, `hits` those that are both. `scored` holds the classes that a score of single
    classes speaks about: the positive one, or all of them.
    """

    cells: NDArray[Any]
    hits: Sequence[float]
    truths: Sequence[float]
    calls: Sequence[float]
    scored: Sequence[int]

    @classmethod
    def of(cls, cells: NDArray[np.int64], positive: int | None) -> Confusion:
        """The matrix with its margins; `positive` is the place of the class that scores speak about, None for all."""
        hits = cells.diagonal().tolist()
        scored = range(len(hits)) if positive is None else (positive,)
        return cls(cells, hits, cells.sum(axis=1).tolist(), cells.sum(axis=0).tolist(), scored)

    def thinned(self, effect: float) -> Confusion:
        """The matrix of so many times fewer rows; itself for 1."""
        if effect == 1.0:
            return self
        hits, truths, calls = ([n / effect for n in counts] for counts in (self.hits, self.truths, self.calls))
        return replace(self, cells=self.cells / effect, hits=hits, truths=truths, calls=calls)


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table.

    `needs` says what it is computed from: the training's own loss, or a confusion matrix, for which there is a `formula`
    and, where an honest one is known, an `interval`, or the class probabilities: then `separates` gives the score of one
    class against the rest, and `rows` what its interval rests on. One that is `per_class` is of the positive class, or the
    mean over classes, and reports tell it of each class too. `test` says whether it is part of a test result. `added` marks
    what came to the table later: only such a metric may be absent from what an earlier release recorded.
    """

    name: str
    direction: Direction
    needs: Literal["loss", "confusion", "probabilities"]
    formula: Callable[[Confusion], float | None] | None = None
    interval: Callable[[Confusion], Interval | None] | None = None
    per_class: bool = False
    test: bool = False
    added: bool = False
    separates: Callable[[Cuts], float | None] | None = None
    rows: Callable[[Cuts, Sequence[int] | None], float | None] | None = None


def count_confusion(actual: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes), rows: truth, columns: prediction, from two arrays of class indices (rows,)."""
    import numpy as np

    cells = np.bincount(np.asarray(actual) * classes + np.asarray(predicted), minlength=classes * classes)
    return cells.astype(np.int64).reshape(classes, classes)


def scores(cells: NDArray[np.int64], positive: int | None) -> dict[str, float | None]:
    """Every metric of a confusion matrix (rows: truth, columns: prediction) by name; None where it is undefined.

    Those of single classes are of class `positive`, or the unweighted mean over all classes where it is None.
    """
    confusion = Confusion.of(cells, positive)
    return {metric.name: metric.formula(confusion) for metric in METRICS.values() if metric.formula}


def score_intervals(
    cells: NDArray[np.int64], positive: int | None, effects: Mapping[str, float | None] | None = None
) -> dict[str, Interval | None]:
    """95 % intervals of what `scores` gives for the same arguments; None where the score is, or no interval is known.

    `effects` are the design effects of rows that come in clusters (`tracker.design_effects`): so many rows count as one.
    """
    confusion = Confusion.of(cells, positive)
    scored = [metric for metric in METRICS.values() if metric.formula]
    return {metric.name: _interval(metric, confusion, effects) for metric in scored}


def _interval(metric: Metric, confusion: Confusion, effects: Mapping[str, float | None] | None) -> Interval | None:
    effect = 1.0 if effects is None else effects.get(metric.name)
    return metric.interval(confusion.thinned(effect)) if metric.interval and effect is not None else None


def separation_scores(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], positive: int | None, names: Iterable[str]
) -> dict[str, float | None]:
    """These metrics of class probabilities (rows, classes) and true places (rows,), of a class or the mean over all."""
    cuts = _cuts(truth, probabilities, positive)
    formulas = {name: METRICS[name].separates for name in names}
    return {name: _mean([formula(one) for one in cuts]) for name, formula in formulas.items() if formula}


def separation_intervals(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    positive: int | None,
    names: Iterable[str],
    clusters: Sequence[int] | None = None,
) -> dict[str, Interval | None]:
    """95 % intervals of what `separation_scores` gives; None where that is, and for a mean over classes.

    Where rows come in `clusters` (a number per row) they count these, and there is none where a class is in one alone.
    """
    cuts = _cuts(truth, probabilities, positive)
    return {name: _separation_interval(cuts[0], METRICS[name], clusters) if len(cuts) == 1 else None for name in names}


def _cuts(truth: NDArray[np.int64], probabilities: NDArray[np.floating], positive: int | None) -> list[Cuts]:
    scored = range(probabilities.shape[1]) if positive is None else (positive,)
    return [Cuts.of(truth == place, probabilities[:, place]) for place in scored]


def _separation_interval(cuts: Cuts, metric: Metric, clusters: Sequence[int] | None) -> Interval | None:
    assert metric.separates is not None
    assert metric.rows is not None
    score = metric.separates(cuts)
    rows = None if score is None else metric.rows(cuts, clusters)
    return None if score is None or rows is None else wilson(score * rows, rows)


def name_fault(name: str) -> str | None:
    """Why a loop of the user's own may not yield a metric of this name; None where it may. MLflow takes these names too."""
    if not _NAME.fullmatch(name) or len(name) > 100:
        return (
            "is no name of a metric; it has letters, digits, _ . and -, in parts that / separates (at most 100), "
            "such as val_loss or val/loss"
        )
    if name in {"epoch", "model", "confusion_matrix"}:
        return "is no metric but has a meaning of its own; give it another name"
    if name.startswith("best_"):
        return "begins with best_, as the numbers of the kept epoch do in MLflow; give it another name"
    return None


def direction_of(name: str) -> Direction:
    """Whether a metric is to be high or low, `f1` or `val_f1`; of any other that a user's loop yields, a loss is to be low."""
    if known := METRICS.get(re.sub("^(train|val|test)_", "", name)):
        return known.direction
    return "minimize" if name.endswith("loss") else "maximize"


def told_once(one: Iterable[str], other: Iterable[str]) -> set[str]:
    """The names of our metrics, as a history or a test result has them, that one side has and the other has not.

    The side without was written by a release that had no such metric, so the two do not differ by it.
    """
    later = {place for metric in METRICS.values() if metric.added for place in (metric.name, f"val_{metric.name}")}
    return (set(one) ^ set(other)) & later


def wilson(part: float, whole: float) -> Interval | None:
    """Wilson's 95 % interval for the proportion part / whole; None where whole is 0."""
    if not whole:
        return None
    share, weight = part / whole, Z * Z / whole
    centre = (share + weight / 2) / (1 + weight)
    spread = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return (0.0 if part == 0 else centre - spread, 1.0 if part == whole else centre + spread)


def _accuracy(confusion: Confusion) -> float | None:
    return _ratio(sum(confusion.hits), sum(confusion.truths))


def _accuracy_interval(confusion: Confusion) -> Interval | None:
    return wilson(sum(confusion.hits), sum(confusion.truths))


def _balanced_accuracy(confusion: Confusion) -> float | None:
    """The mean of the recalls of all classes, also where there is a positive one (Brodersen et al. 2010, ICPR)."""
    return _recall(_of_all_classes(confusion))


def _balanced_accuracy_interval(confusion: Confusion) -> Interval | None:
    return _recall_interval(_of_all_classes(confusion))


def _of_all_classes(confusion: Confusion) -> Confusion:
    return replace(confusion, scored=range(len(confusion.hits)))


def _precision(confusion: Confusion) -> float | None:
    return _mean([_ratio(confusion.hits[c], confusion.calls[c]) for c in confusion.scored])


def _precision_interval(confusion: Confusion) -> Interval | None:
    if len(confusion.scored) == 1:
        c = confusion.scored[0]
        return wilson(confusion.hits[c], confusion.calls[c])
    return _mean_interval(confusion, _precision(confusion), by_call=1.0, by_truth=0.0)


def _recall(confusion: Confusion) -> float | None:
    return _mean([_ratio(confusion.hits[c], confusion.truths[c]) for c in confusion.scored])


def _recall_interval(confusion: Confusion) -> Interval | None:
    if len(confusion.scored) == 1:
        c = confusion.scored[0]
        return wilson(confusion.hits[c], confusion.truths[c])
    return _mean_interval(confusion, _recall(confusion), by_call=0.0, by_truth=1.0)


def _f1(confusion: Confusion) -> float | None:
    """2tp / (2tp + fp + fn), so 0 where a class that is there is never found."""
    hits, truths, calls = confusion.hits, confusion.truths, confusion.calls
    return _mean([_ratio(2 * hits[c], truths[c] + calls[c]) for c in confusion.scored])


def _f1_interval(confusion: Confusion) -> Interval | None:
    """F1 is 2J / (1 + J), J = tp / (tp + fp + fn): given how many rows are not true negatives, tp is binomial."""
    if len(confusion.scored) > 1:
        return _mean_interval(confusion, _f1(confusion), by_call=0.5, by_truth=0.5)
    c = confusion.scored[0]
    ends = wilson(confusion.hits[c], confusion.truths[c] + confusion.calls[c] - confusion.hits[c])
    return ends and (2 * ends[0] / (1 + ends[0]), 2 * ends[1] / (1 + ends[1]))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(values) if len(defined) == len(values) else None


def _mean_interval(confusion: Confusion, score: float | None, by_call: float, by_truth: float) -> Interval | None:
    """The interval of a mean over all classes, each of which scores hits / (by_call * calls + by_truth * truths)."""
    if score is None:
        return None
    rows = _effective_rows(confusion.cells, by_call, by_truth)
    return wilson(score * rows, rows)


def _effective_rows(cells: NDArray[Any], by_call: float, by_truth: float) -> float:
    """How many independent rows would give a proportion of this size the variance of the mean over classes.

    Sums are exact, so that every machine gives the same bits.
    """
    import numpy as np

    classes = len(cells)
    hits = np.diagonal(cells) + classes**-2
    size = by_call * cells.sum(axis=0) + by_truth * cells.sum(axis=1) + 1 / classes
    slopes = np.diag(1 / size) - by_call * (hits / size**2)[None, :] - by_truth * (hits / size**2)[:, None]
    rows: float = cells.sum().item() + 1
    shares = (cells + classes**-2) / rows
    mean = math.fsum((slopes * shares).ravel()) / classes
    variance = math.fsum((slopes * slopes * shares).ravel()) / classes**2 - mean**2
    score = math.fsum(hits / size) / classes
    return score * (1 - score) / (variance * rows)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_TABLE = (
    Metric("loss", "minimize", needs="loss"),
    Metric("accuracy", "maximize", "confusion", _accuracy, _accuracy_interval, test=True),
    Metric(
        "balanced_accuracy",
        "maximize",
        "confusion",
        _balanced_accuracy,
        _balanced_accuracy_interval,
        test=True,
        added=True,
    ),
    Metric("precision", "maximize", "confusion", _precision, _precision_interval, per_class=True, test=True),
    Metric("recall", "maximize", "confusion", _recall, _recall_interval, per_class=True, test=True),
    Metric("f1", "maximize", "confusion", _f1, _f1_interval, per_class=True, test=True),
    Metric(
        "average_precision",
        "maximize",
        "probabilities",
        test=True,
        separates=average_precision,
        rows=average_precision_rows,
    ),
    Metric("roc_auc", "maximize", "probabilities", test=True, separates=roc_auc, rows=roc_auc_rows),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _TABLE}  # in the order in which they are shown
VALIDATION = tuple(f"val_{name}" for name in METRICS)
CURVES = (*(f"train_{metric.name}" for metric in _TABLE if metric.needs == "loss"), *VALIDATION)  # of every epoch
ASKED = tuple(metric.name for metric in _TABLE if metric.needs == "probabilities")  # where a study asks for them
SCORES = tuple(metric.name for metric in _TABLE if metric.formula)
TEST = tuple(metric.name for metric in _TABLE if metric.test)
