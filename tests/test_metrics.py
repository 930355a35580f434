"""Our metrics against scikit-learn, against exact fractions, and where they are undefined."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from tracker.metrics import CURVES, METRICS, SCORES, count_confusion, direction_of, scores

RATIOS = ("precision", "recall", "f1")


def ulps(expected: float | None, actual: float | None) -> float:
    """How many units in the last place two ratios are apart; None and NaN both say undefined."""
    if expected is None or math.isnan(expected):
        return 0.0 if actual is None else math.inf
    return math.inf if actual is None else abs(expected - actual) / math.ulp(expected)


def random_labels(cases: int, classes: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction (rows, cases) of many small data sets, rare and absent classes among them."""
    rng = np.random.default_rng([cases, classes, rows])
    actual, guess = np.empty((rows, cases), int), np.empty((rows, cases), int)
    for case in range(cases):
        odds = rng.dirichlet(np.full(classes, 0.5))
        actual[:, case] = rng.choice(classes, rows, p=odds)
        guess[:, case] = rng.choice(classes, rows, p=rng.permutation(odds))
    return actual, np.where(rng.random((rows, cases)) < rng.random(cases), actual, guess)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Indicators (rows, cases * classes), one column per case and class, which scikit-learn scores in one call."""
    return (labels[:, :, None] == np.arange(classes)).reshape(len(labels), -1).astype(int)


@pytest.fixture(scope="module", params=[(c, r) for c in (2, 3, 5, 11) for r in (1, 7, 40, 90)], ids=str)
def judged(request):
    """750 random cases of one size with scikit-learn's counts and ratios, each (cases, classes, ...)."""
    classes, rows = request.param
    actual, predicted = random_labels(750, classes, rows)
    truth, call = one_hot(actual, classes), one_hot(predicted, classes)
    counts = multilabel_confusion_matrix(truth, call).reshape(750, classes, 2, 2)
    ratios = np.array(precision_recall_fscore_support(truth, call, zero_division=np.nan)[:3])
    return classes, actual, predicted, counts, ratios.reshape(3, 750, classes)


def test_counts_and_ratios_of_a_class_equal_scikit_learns(judged):
    """In 12,000 random cases (45,000 classes) counts equal scikit-learn's and ratios are within 1 ulp of its."""
    classes, actual, predicted, counts, ratios = judged
    for case in range(actual.shape[1]):
        ours = count_confusion(actual[:, case], predicted[:, case], classes)
        hits, rows = np.diagonal(ours), ours.sum()
        false_calls, misses = ours.sum(axis=0) - hits, ours.sum(axis=1) - hits
        rest = rows - hits - false_calls - misses
        assert counts[case].reshape(classes, 4).T.tolist() == [c.tolist() for c in (rest, false_calls, misses, hits)]
        for positive in range(classes):
            values = scores(ours, positive)
            assert all(ulps(ratios[i, case, positive], values[name]) <= 1 for i, name in enumerate(RATIOS))
            assert values["accuracy"] == float(np.mean(actual[:, case] == predicted[:, case]))


def test_macro_is_within_one_ulp_of_the_exact_mean(judged):
    """The mean over classes is within 1 ulp of the exact one, and None as soon as one class is undefined."""
    classes, actual, predicted, _, ratios = judged
    for case in range(actual.shape[1]):
        values = scores(count_confusion(actual[:, case], predicted[:, case], classes), None)
        for i, name in enumerate(RATIOS):
            each = ratios[i, case].tolist()
            undefined = any(math.isnan(value) for value in each)
            exact = None if undefined else float(sum(map(Fraction, each)) / classes)
            assert ulps(exact, values[name]) <= 1


def test_the_confusion_matrix_and_accuracy_are_scikit_learns():
    """Rows are the truth and columns the prediction, as in scikit-learn."""
    actual, predicted = random_labels(200, 4, 30)
    for truth, call in zip(actual.T, predicted.T, strict=True):
        ours = count_confusion(truth, call, 4)
        assert confusion_matrix(truth, call, labels=range(4)).tolist() == ours.tolist()
        assert accuracy_score(truth, call) == scores(ours, 0)["accuracy"]


def test_balanced_accuracy_is_scikit_learns_where_every_class_is_there(judged):
    """The mean of the recalls of all classes, whichever is positive, within 2 ulp; None where a class is absent."""
    classes, actual, predicted, _, _ = judged
    for truth, call in zip(actual.T, predicted.T, strict=True):
        found = [scores(count_confusion(truth, call, classes), place)["balanced_accuracy"] for place in (None, 0, 1)]
        whole = len(set(truth)) == classes
        expected = balanced_accuracy_score(truth, call) if whole else None
        assert all(ulps(expected, value) <= 2 for value in found)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60), st.permutations(range(4)))
@settings(max_examples=300, deadline=None)
def test_scores_do_not_depend_on_the_order_of_classes(pairs, order):
    """Renaming the classes changes no bit of any score."""
    actual, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    confusion = count_confusion(actual, predicted, 4)
    shuffled = confusion[np.ix_(order, order)]
    assert scores(confusion, None) == scores(shuffled, None)
    assert scores(confusion, order[2]) == scores(shuffled, 2)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        ([[5, 0], [3, 0]], {"accuracy": 5 / 8, "balanced_accuracy": 0.5, "precision": None, "recall": 0.0, "f1": 0.0}),
        ([[5, 2], [0, 0]], {"accuracy": 5 / 7, "balanced_accuracy": None, "precision": 0.0, "recall": None, "f1": 0.0}),
        ([[5, 0], [0, 0]], {"accuracy": 1.0, "balanced_accuracy": None, "precision": None, "recall": None, "f1": None}),
        ([[0, 0], [0, 0]], dict.fromkeys(SCORES)),
        ([[4, 1], [2, 3]], {"accuracy": 0.7, "balanced_accuracy": 0.7, "precision": 0.75, "recall": 0.6, "f1": 6 / 9}),
    ],
)
def test_zero_by_zero_is_undefined_never_zero(confusion, expected):
    """0/0 is None; a class that is there and never found has recall and F1 of 0, which is a number."""
    assert expected == scores(np.array(confusion, dtype=np.int64), 1)


def test_a_mean_is_undefined_where_one_class_is():
    """Macro precision is None when one class is never predicted, though the others have a precision."""
    values = scores(np.array([[2, 0, 0], [0, 2, 0], [1, 0, 0]], dtype=np.int64), None)
    assert (values["precision"], values["recall"]) == (None, 2 / 3)


def test_the_direction_of_a_metric_is_that_of_its_row():
    """With or without a prefix; of a name that is not in the table a loss is to be low and all else high."""
    for name, metric in METRICS.items():
        assert {metric.direction} == {direction_of(f"{prefix}{name}") for prefix in ("", "train_", "val_", "test_")}
    assert ["val_loss", "train_loss"] == [
        name for name in ("val_loss", "val_f1", "train_loss") if direction_of(name) == "minimize"
    ]
    assert ["minimize"] * 3 + ["maximize"] * 3 == [
        direction_of(name) for name in ("loss", "my_loss", "hingeloss", "cost", "losses", "val_my_f1")
    ]


def test_the_table_says_all_that_each_metric_needs():
    """A metric of labels has a formula, one of probabilities another, and an epoch's names come in the order of the table."""
    for metric in METRICS.values():
        given = {"confusion": metric.formula, "probabilities": metric.separates}
        assert [metric.needs] * (metric.needs != "loss") == [name for name, formula in given.items() if formula]
        assert (metric.separates is None) == (metric.rows is None)
    assert all(metric.name == name for name, metric in METRICS.items())
    assert ["train_loss", *(f"val_{name}" for name in METRICS)] == list(CURVES)
