"""From true and predicted labels to the scores of a report: scikit-learn computes, our own metrics must agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.confusion import count_confusion
from tracker.design_effects import (
    EFFECTS_VERSION,
    VERSION,
    clusters_of_classes,
    design_effects,
    effects_version,
    version_entry,
)
from tracker.errors import DataError, TrackerError
from tracker.evaluation.scikit_learn import require_agreement
from tracker.metrics import (
    METRICS,
    TEST,
    is_asked,
    score_intervals,
    scores,
    separation_intervals,
    separation_scores,
    tested,
    told_once,
)
from tracker.remedies import run_again
from tracker.trees import first_difference

COUNTS = ("clusters", "class_clusters")  # of a result whose rows come in clusters; the second since version 3
RATIOS = ("precision", "recall", "f1")  # as scikit-learn's precision_recall_fscore_support orders them


def score_labels(
    actual: Sequence[str],
    predicted: Sequence[str],
    labels: Sequence[str],
    positive: str | None,
    clusters: Sequence[int] | None = None,
    probabilities: NDArray[np.floating] | None = None,
    asked: Sequence[str] = (),
    version: int = VERSION,
) -> dict[str, Any]:
    """The entry `test` of `reports/final.json`.

    Metrics of single classes are those of `positive` (average `binary`), or the mean over classes (`macro`); None where
    0/0. `support` counts the rows they speak about: of the positive class, or all. `classes` holds each class alone.
    Where rows come in `clusters` (numbers from 0, one per row; None: each row stands alone), intervals count these, and the
    entries `clusters` (how many), `class_clusters` (how many have a row of each label) and `design_effects` (by how much each
    score's rows count less, by which `version`) are added.
    What is `asked` is added; what of it needs class `probabilities` (rows, classes), where these are given.
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
    effects = None if clusters is None else design_effects(truth, call, clusters, len(labels), chosen, version)
    ends = score_intervals(confusion, chosen, effects) | score_intervals(confusion, chosen, effects, asked)
    found |= scores(confusion, chosen, asked)
    if probabilities is not None:
        found |= separation_scores(truth, probabilities, chosen, asked)
        ends |= separation_intervals(truth, probabilities, chosen, asked, clusters)
    require_agreement({name: found[name] for name in asked if name in found}, truth, call, probabilities, chosen)
    names = tested(found)
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
    } | (
        {}
        if effects is None or clusters is None
        else _clustered(_counts(truth, clusters, len(labels)), effects, version)
    )


def as_told(told: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
    """The `test` that was computed again, without what the release of the one told did not have: metrics, clusters."""
    if "design_effects" in again and "design_effects" not in told:  # intervals over rows, whatever their clusters
        again = _with_effects(again, None)
    elif "design_effects" in again and effects_version(told) != effects_version(again):  # the effects that it told
        again = _with_effects(again, told["design_effects"], effects_version(told))
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
    asked = [name for name in tested(test) if is_asked(name)]
    again = score_labels([labels[i] for i in truth], [labels[i] for i in call], labels, test["positive"], asked=asked)
    if "design_effects" in test:  # they follow from which rows were right, and the intervals from them
        again |= {name: test[name] for name in COUNTS if name in test}
        again = _with_effects(again, test["design_effects"], effects_version(test))
    again = as_told(test, again)
    for name in (name for name in tested(test) if name not in again):  # they do not follow from labels
        again[name], again["intervals"][name] = test[name], test["intervals"].get(name)
    for name, ends in again["intervals"].items():
        told = test["intervals"].get(name)
        if told and ends and np.allclose(told, ends, rtol=0.0, atol=1e-6):
            again["intervals"][name] = told
    return first_difference(dict(test), again)


def _counts(truth: NDArray[np.int64], clusters: Sequence[int], classes: int) -> dict[str, Any]:
    """How many clusters there are, and how many have a row of each class."""
    return {"clusters": len(set(clusters)), "class_clusters": clusters_of_classes(truth, clusters, classes)}


def _clustered(counts: Mapping[str, Any], effects: Mapping[str, float | None], version: int) -> dict[str, Any]:
    """The entries of a `test` whose rows come in clusters, of which it has these counts."""
    told = {name: counts[name] for name in COUNTS if name in counts and (version > 2 or name == "clusters")}
    return {**told, "design_effects": dict(effects), **version_entry(version)}


def _with_effects(
    test: Mapping[str, Any], effects: Mapping[str, float | None] | None, version: int = VERSION
) -> dict[str, Any]:
    """The same scores with the intervals that these design effects give; with none, those of rows that stand alone."""
    ours = {*COUNTS, "design_effects", EFFECTS_VERSION}
    kept = {name: value for name, value in test.items() if name not in ours}
    labels, positive = list(test["labels"]), test["positive"]
    chosen = None if positive is None else labels.index(positive)
    matrix = np.array(test["confusion_matrix"], dtype=np.int64)
    ends = dict(test["intervals"]) | score_intervals(matrix, chosen, effects, test["intervals"])
    kept["intervals"] = {name: None if ends[name] is None else list(ends[name] or ()) for name in test["intervals"]}
    return kept | (_clustered(test, effects, version) if effects else {})


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
