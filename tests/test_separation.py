"""Scores of class probabilities against scikit-learn, ties and gaps included; their intervals; thresholds by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from tracker.metrics import separation_intervals, separation_scores
from tracker.separation import Cuts, average_precision, best_threshold, roc_auc
from tracker.standalone.decision import decide, decide_as

NAMES = ("average_precision", "roc_auc")
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=50)


def two_classes(p: np.ndarray) -> np.ndarray:
    """Probabilities (rows, 2) of the other class and of the class."""
    return np.stack([1 - p, p], axis=1)


@given(ROWS)
@settings(max_examples=300, deadline=None)
def test_scores_of_one_class_are_scikit_learns_with_many_ties(rows: list[tuple[bool, int]]) -> None:
    """Average precision and area under the curve, to rounding; None where scikit-learn has no class or no pair to score."""
    truth, p = np.array([row[0] for row in rows]), np.array([row[1] / 7 for row in rows], np.float32)
    found = separation_scores(truth.astype(np.int64), two_classes(p), 1, NAMES)
    if truth.any():
        assert average_precision_score(truth, p) == pytest.approx(found["average_precision"], abs=1e-12)
    if truth.any() and not truth.all():
        assert roc_auc_score(truth, p) == pytest.approx(found["roc_auc"], abs=1e-12)
    assert [not truth.any(), not truth.any() or truth.all()] == [found[name] is None for name in NAMES]


def test_means_over_classes_are_scikit_learns_one_against_the_rest() -> None:
    """Macro, unweighted; None as soon as one class is absent; no interval is claimed for it."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 200)
    p = rng.dirichlet(np.ones(4), 200).round(2) + np.eye(4)[truth] * 0.2
    p /= p.sum(axis=1, keepdims=True)
    found = separation_scores(truth, p, None, NAMES)
    assert roc_auc_score(truth, p, multi_class="ovr") == pytest.approx(found["roc_auc"], abs=1e-12)
    assert average_precision_score(np.eye(4)[truth], p) == pytest.approx(found["average_precision"], abs=1e-12)
    assert {"average_precision": None, "roc_auc": None} == separation_intervals(truth, p, None, NAMES)
    assert {"average_precision": None, "roc_auc": None} == separation_scores(truth % 3, p, None, NAMES)


def test_the_order_of_rows_means_nothing() -> None:
    """Shuffled rows give every bit again."""
    rng = np.random.default_rng(5)
    truth, p = rng.random(400) < 0.2, rng.integers(0, 90, 400) / 91
    order = rng.permutation(400)
    one, other = Cuts.of(truth, p), Cuts.of(truth[order], p[order])
    assert (average_precision(one), roc_auc(one)) == (average_precision(other), roc_auc(other))
    assert [best_threshold(one, name) for name in ("f1", "accuracy")] == [
        best_threshold(other, name) for name in ("f1", "accuracy")
    ]


@pytest.mark.parametrize(("share", "rows", "apart", "spread"), [
    (0.02, 2000, 2.0, 1.0), (0.1, 500, 1.0, 1.0), (0.3, 200, 2.0, 2.0), (0.3, 200, 2.0, 1.0), (0.5, 120, 0.5, 1.0),
    (0.05, 400, 3.0, 1.0),
])  # fmt: skip
def test_intervals_cover_the_truth(share: float, rows: int, apart: float, spread: float) -> None:
    """Over 400 simulated test sets the 95 % intervals cover the score of a large one at least 91 % of the time."""

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.random(count) < share
        scores = rng.normal(0, 1, count) * np.where(truth, spread, 1) + apart * truth
        return truth.astype(np.int64), two_classes(1 / (1 + np.exp(-scores)))

    rng = np.random.default_rng(7)
    whole = separation_scores(*draw(rng, 300_000), 1, NAMES)
    covered = {name: [] for name in NAMES}
    for _ in range(400):
        for name, ends in separation_intervals(*draw(rng, rows), 1, NAMES).items():
            if ends is not None:
                covered[name].append(ends[0] <= whole[name] <= ends[1])
    assert all(sum(hits) / len(hits) >= 0.91 for hits in covered.values()), covered


def test_perfect_and_hopeless_scores_still_have_room() -> None:
    """Without a mistake the upper end is 1 and the lower end rests on the rows of the smaller class; with none right, 0."""
    truth = np.array([1] * 10 + [0] * 90)
    for p, side in ((np.linspace(1, 0, 100), 1), (np.linspace(0, 1, 100), 0)):
        ends = separation_intervals(truth, two_classes(p), 1, NAMES)["roc_auc"]
        assert (side, True) == (ends[side], ends[0] < ends[1])
    low, _ = separation_intervals(truth, two_classes(np.linspace(1, 0, 100)), 1, NAMES)["average_precision"]
    assert 0.65 < low < 0.75  # Wilson's lower end of 10 of 10 is 0.72


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_no_threshold_scores_higher_than_the_best(rows: list[tuple[bool, int]]) -> None:
    """Of all thresholds at which some row is called the class none has a higher F1, accuracy or balanced accuracy."""
    truth, p = np.array([row[0] for row in rows]), np.array([row[1] / 7 for row in rows], np.float32)
    rules = {
        "f1": lambda call: f1_score(truth, call, zero_division=0.0),
        "accuracy": lambda call: (truth == call).mean(),
        "balanced_accuracy": lambda call: balanced_accuracy_score(truth, call),
    }
    if truth.all() or not truth.any():
        rules.pop("balanced_accuracy")
    for name, score in rules.items():
        found = best_threshold(Cuts.of(truth, p), name)
        best = max(score(p >= threshold) for threshold in np.unique(p))
        assert best == pytest.approx(score(decide(two_classes(p), 1, found) == 1), abs=1e-12)


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_taken() -> None:
    """It lies between two probabilities that occur; of two equally near the higher; below all of them it is 0."""
    cuts = Cuts.of(np.array([True, True, False, False]), np.array([0.9, 0.7, 0.2, 0.1]))
    assert pytest.approx(0.45) == best_threshold(cuts, "f1")
    tied = Cuts.of(np.array([True, False, True, False]), np.array([0.8, 0.6, 0.4, 0.2]))
    assert pytest.approx(0.7) == best_threshold(tied, "accuracy")  # 0.7 and 0.3 are right on three rows each
    assert 0.0 == best_threshold(Cuts.of(np.array([True, True]), np.array([0.3, 0.2])), "f1")


def test_decisions() -> None:
    """Without a threshold the most probable class, the first of equals; with one, the positive class from it on."""
    p = np.array([[0.5, 0.5], [0.7, 0.3], [0.69, 0.31], [0.2, 0.8]])
    assert [0, 0, 0, 1] == decide(p, 1, None).tolist()
    assert [1, 0, 1, 1] == decide(p, 1, 0.31).tolist()
    assert [0, 0, 0, 1] == decide(p, 0, 0.5).tolist()
    labels = {"labels": ["no", "yes"], "positive": "yes"}
    assert [[0, 0, 0, 1], [1, 0, 1, 1]] == [
        decide_as(about, p).tolist() for about in (labels, {**labels, "threshold": 0.31})
    ]
    assert [] == decide_as({**labels, "threshold": 0.31}, np.zeros((0, 2))).tolist()


def test_rows_that_stay_together_count_less() -> None:
    """Copies of rows widen an interval as if each was there once; one row per cluster changes nothing but n - 1."""
    rng = np.random.default_rng(11)
    truth = (rng.random(300) < 0.2).astype(np.int64)
    p = two_classes(1 / (1 + np.exp(-rng.normal(size=300) - 1.5 * truth)))
    once = separation_intervals(truth, p, 1, NAMES)
    copies = separation_intervals(np.repeat(truth, 4), np.repeat(p, 4, axis=0), 1, NAMES, np.repeat(np.arange(300), 4))
    naive = separation_intervals(np.repeat(truth, 4), np.repeat(p, 4, axis=0), 1, NAMES)
    for name in NAMES:
        assert copies[name] == pytest.approx(once[name], abs=0.01)
        assert naive[name][1] - naive[name][0] < 0.7 * (once[name][1] - once[name][0])
    assert {None} == set(separation_intervals(truth, p, 1, NAMES, truth).values())  # one cluster holds the whole class
