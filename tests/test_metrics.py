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
    log_loss,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from tracker.confusion import count_confusion
from tracker.evaluation.scikit_learn import OF_LABELS, OF_PROBABILITIES, by_scikit_learn
from tracker.metrics import (
    CURVES,
    METRICS,
    SCORES,
    TEST,
    asked_of,
    asked_scores,
    direction_of,
    in_order,
    metric_of,
    needs_number,
    scores,
)

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
    for metric in [*METRICS.values(), metric_of("fbeta_2"), metric_of("top_k_accuracy_3")]:
        given = {"confusion": metric.formula, "probabilities": metric.separates or metric.judges}
        assert [metric.needs] * (metric.needs != "loss") == [name for name, formula in given.items() if formula]
        assert (metric.separates is None) == (metric.rows is None)
    assert all(metric.name == name for name, metric in METRICS.items())
    assert ["train_loss", *(f"val_{name}" for name in METRICS)] == list(CURVES)


ASKED_FOR = [
    *(name for name in TEST if metric_of(name).asked),
    "fbeta_2",
    "fbeta_0.5",
    "top_k_accuracy_1",
    "top_k_accuracy_2",
]


@given(st.integers(2, 5), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_what_is_asked_for_is_scikit_learns(classes, rows, seed, sure):
    """Every metric that a study may ask for equals scikit-learn's to 1e-9, of two classes and more, also with ties."""
    rng = np.random.default_rng(seed)
    given = rng.dirichlet(np.full(classes, 0.3 if sure else 3.0), rows)
    probabilities = given if sure else np.round(given, 1)
    truth, call = rng.integers(0, classes, rows), probabilities.argmax(1)
    positive = 1 if classes == 2 else None
    found = asked_scores(truth, call, probabilities, positive, ASKED_FOR)
    assert set(found) == set(ASKED_FOR)
    for name, value in found.items():
        if name == "neg_log_loss":
            theirs = -log_loss(truth, given.astype(np.float32), labels=range(classes)) if sure else None
        else:
            theirs = None if value is None else by_scikit_learn(name, truth, call, probabilities, positive)
        if theirs is not None:
            assert math.isclose(value, theirs, abs_tol=1e-5 if name == "neg_log_loss" else 1e-9), name


def test_what_is_asked_for_is_undefined_without_what_it_compares():
    """A correlation with a constant, agreement by chance alone and probabilities of no rows are None, never 0."""
    one, none = np.zeros(4, dtype=np.int64), np.zeros(0, dtype=np.int64)
    shares = np.tile([0.7, 0.3], (4, 1))
    names = ["matthews_corrcoef", "cohen_kappa", "neg_log_loss", "neg_brier_score", "top_k_accuracy_1", "fbeta_2"]
    found = asked_scores(one, one, shares, 1, names)
    assert {"matthews_corrcoef": None, "cohen_kappa": None, "fbeta_2": None} == {
        n: found[n] for n in found if found[n] is None
    }
    assert dict.fromkeys(names) == asked_scores(none, none, shares[:0], 1, names)
    assert math.isclose(found["neg_log_loss"], math.log(0.7))
    assert (found["neg_brier_score"], found["top_k_accuracy_1"]) == (-0.09, 1.0)


def test_a_name_may_end_in_the_number_of_its_metric():
    """A number in its shortest writing names a metric; another one, or none, is no name, and what is missing is said."""
    assert all(metric_of(name) for name in ("fbeta_2", "fbeta_0.5", "fbeta_10", "top_k_accuracy_3"))
    assert not any(
        metric_of(name) for name in ("fbeta", "fbeta_0", "fbeta_2.0", "fbeta_02", "fbeta_x", "top_k_accuracy_1.5")
    )
    assert needs_number("fbeta_2.0") == "fbeta wants its beta at its end, as in fbeta_2"
    assert needs_number("fbeta_2") is needs_number("f1") is None
    assert asked_of(["val_fbeta_3", "val_f1", "fbeta_2", "val_fbeta_0.5", "val_roc_auc"]) == [
        "roc_auc",
        "fbeta_0.5",
        "fbeta_3",
    ]
    assert in_order(["top_k_accuracy_2", "f1", "mine", "loss"]) == ["loss", "f1", "top_k_accuracy_2"]


def test_every_metric_of_a_test_result_is_compared_with_scikit_learn():
    """What a study may ask for is either computed by scikit-learn too before it is told of test rows, or its log loss."""
    asked = {name.rpartition("_")[0] if name[-1].isdigit() else name for name in ASKED_FOR}
    assert asked == {*OF_LABELS, *OF_PROBABILITIES, "neg_log_loss"}
