"""From true and predicted labels to the scores of a report: scikit-learn computes, our own metrics must agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.design_effects import design_effects
from tracker.errors import DataError, TrackerError
from tracker.metrics import (
    ASKED,
    METRICS,
    TEST,
    count_confusion,
    score_intervals,
    scores,
    separation_intervals,
    separation_scores,
    told_once,
)
from tracker.remedies import run_again
from tracker.trees import first_difference

RATIOS = ("precision", "recall", "f1")  # as scikit-learn's precision_recall_fscore_support orders them


def score_labels(
    actual: Sequence[str],
    predicted: Sequence[str],
    labels: Sequence[str],
    positive: str | None,
    clusters: Sequence[int] | None = None,
    probabilities: NDArray[np.floating] | None = None,
    asked: Sequence[str] = (),
) -> dict[str, Any]:
    """The entry `test` of `reports/final.json`.

    Metrics of single classes are those of `positive` (average `binary`), or the mean over classes (`macro`); None where
    0/0. `support` counts the rows they speak about: of the positive class, or all. `classes` holds each class alone.
    Where rows come in `clusters` (numbers from 0, one per row; None: each row stands alone), intervals count these, and the
    entries `clusters` (how many) and `design_effects` (by how much each score's rows count less) are added.
    Those of class `probabilities` (rows, classes) are there where they are `asked` for.
    What scikit-learn computes is taken from it, other metrics of our table from there. Raises DataError for a label that
    the model does not know, TrackerError should the two computations differ.
    """
    truth, call = index_labels(actual, labels), index_labels(predicted, labels)
    confusion = count_confusion(truth, call, len(labels))
    chosen = None if positive is None else list(labels).index(positive)
    each, accuracy = _by_scikit_learn(truth, call, confusion)
    theirs = each[chosen] if chosen is not None else _means(each)
    found = _checked(scores(confusion, chosen), {**theirs, "accuracy": accuracy})
    classes = [_checked(scores(confusion, place), entry) for place, entry in enumerate(each)]
    effects = None if clusters is None else design_effects(truth, call, clusters, len(labels), chosen)
    ends = score_intervals(confusion, chosen, effects)
    if probabilities is not None:
        found |= _separation(truth, probabilities, chosen, asked)
        ends |= separation_intervals(truth, probabilities, chosen, asked, clusters)
    names = [name for name in TEST if name in found]
    return {
        "positive": positive,
        "average": "macro" if positive is None else "binary",
        **{name: found[name] for name in names},
        "support": int(confusion.sum() if chosen is None else confusion[chosen].sum()),
        "intervals": {name: None if ends[name] is None else list(ends[name] or ()) for name in names},
        "labels": list(labels),
        "confusion_matrix": confusion.tolist(),
        "classes": [
            {"label": label}
            | {name: scored[name] for name in TEST if METRICS[name].per_class}
            | {"support": int(confusion[place].sum())}
            for place, (label, scored) in enumerate(zip(labels, classes, strict=True))
        ],
    } | ({} if clusters is None else {"clusters": len(set(clusters)), "design_effects": effects})


def as_told(told: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
    """The `test` that was computed again, without what the release of the one told did not have: metrics, clusters."""
    if "design_effects" in again and "design_effects" not in told:  # intervals over rows, whatever their clusters
        again = _with_effects(again, None)
    lost = told_once(told, again)
    kept = {name: value for name, value in again.items() if name not in lost}
    kept["intervals"] = {name: ends for name, ends in again["intervals"].items() if name not in lost}
    kept["classes"] = [{name: value for name, value in each.items() if name not in lost} for each in again["classes"]]
    return kept


def other_scores(test: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first entry of such a `test` that its confusion matrix contradicts: its place, what stands there, what follows.

    Ends of intervals may be 1e-6 off: their last digits may be another machine's or release's.
    """
    labels, matrix = list(test["labels"]), np.array(test["confusion_matrix"], dtype=np.int64)
    truth, call = np.divmod(np.repeat(np.arange(matrix.size), matrix.ravel()), len(labels))
    again = score_labels([labels[i] for i in truth], [labels[i] for i in call], labels, test["positive"])
    if "design_effects" in test:  # they follow from which rows were right, and the intervals from them
        again = _with_effects({**again, "clusters": test["clusters"]}, test["design_effects"])
    again = as_told(test, again)
    for name in (name for name in ASKED if name in test):  # they do not follow from labels
        again[name], again["intervals"][name] = test[name], test["intervals"].get(name)
    for name, ends in again["intervals"].items():
        told = test["intervals"].get(name)
        if told and ends and np.allclose(told, ends, rtol=0.0, atol=1e-6):
            again["intervals"][name] = told
    return first_difference(dict(test), again)


def _with_effects(test: Mapping[str, Any], effects: Mapping[str, float | None] | None) -> dict[str, Any]:
    """The same scores with the intervals that these design effects give; with none, those of rows that stand alone."""
    kept = {name: value for name, value in test.items() if effects or name not in {"clusters", "design_effects"}}
    labels, positive = list(test["labels"]), test["positive"]
    chosen = None if positive is None else labels.index(positive)
    ends = score_intervals(np.array(test["confusion_matrix"], dtype=np.int64), chosen, effects)
    kept["intervals"] = {name: None if ends[name] is None else list(ends[name] or ()) for name in test["intervals"]}
    return kept | ({"design_effects": dict(effects)} if effects else {})


def index_labels(values: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """The index of every label. Raises DataError for one that is not among the model's."""
    place = {label: i for i, label in enumerate(labels)}
    if unknown := sorted({str(value) for value in values if value not in place}):
        raise DataError(
            f"labels {', '.join(unknown[:5])} are unknown to the model ({', '.join(labels)}); {run_again()}"
        )
    return np.array([place[value] for value in values], dtype=np.int64)


def _by_scikit_learn(
    truth: NDArray[np.int64], call: NDArray[np.int64], confusion: NDArray[np.int64]
) -> tuple[list[dict[str, Any]], float]:
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    names = list(range(len(confusion)))
    if not np.array_equal(confusion_matrix(truth, call, labels=names), confusion):
        raise TrackerError("scikit-learn counts another confusion matrix than tracker.metrics; report this")
    columns = precision_recall_fscore_support(truth, call, labels=names, zero_division=np.nan)
    each = [{name: _defined(columns[i][c]) for i, name in enumerate(RATIOS)} for c in names]
    return each, float(accuracy_score(truth, call))


def _separation(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], chosen: int | None, asked: Sequence[str]
) -> dict[str, float | None]:
    """Our metrics of class probabilities; scikit-learn, which adds up in another order, must give them to 1e-9."""
    from sklearn import metrics

    found = separation_scores(truth, probabilities, chosen, asked)
    for name in [name for name, value in found.items() if value is not None]:
        theirs = getattr(metrics, f"{name}_score")
        scored = range(probabilities.shape[1]) if chosen is None else [chosen]
        mean = math.fsum(float(theirs(truth == place, probabilities[:, place])) for place in scored) / len(scored)
        if not math.isclose(mean, found[name] or 0.0, abs_tol=1e-9):
            raise TrackerError(f"{name}: scikit-learn gives {mean}, tracker.separation {found[name]}; report this")
    return found


def _defined(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def _means(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = {name: [entry[name] for entry in each] for name in RATIOS}
    return {name: None if None in column else math.fsum(column) / len(column) for name, column in columns.items()}


def _checked(ours: dict[str, float | None], theirs: Mapping[str, Any]) -> dict[str, float | None]:
    """Our scores, and scikit-learn's where it has them: ratios may be 1 ulp apart, means 2 (both round)."""
    for name in set(ours) & set(theirs):
        a, b = ours[name], theirs[name]
        if (a is None) != (b is None) or (a is not None and abs(a - b) > 2 * math.ulp(a)):
            raise TrackerError(f"{name}: scikit-learn gives {b}, tracker.metrics {a}; report this")
    return {name: theirs.get(name, score) for name, score in ours.items()}
