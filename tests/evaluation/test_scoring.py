"""The scores of a report: what they speak about, and that they agree with scikit-learn's own averages."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import classification_report

from tracker.errors import DataError
from tracker.evaluation.scoring import other_scores, score_labels


def draw(labels, rows, seed):
    rng = np.random.default_rng(seed)
    actual = rng.choice(labels, rows)
    return actual.tolist(), np.where(rng.random(rows) < 0.8, actual, rng.choice(labels, rows)).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_a_report_agrees_with_scikit_learns_classification_report(seed):
    """Binary scores and support are those of the positive class, macro ones scikit-learn's macro average."""
    labels = ["ham", "maybe", "spam"]
    actual, predicted = draw(labels, 200, seed)
    theirs = classification_report(actual, predicted, output_dict=True)
    for positive, row in (("spam", "spam"), (None, "macro avg")):
        ours = score_labels(actual, predicted, labels, positive)
        for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert ours[name] == pytest.approx(theirs[row][key], rel=1e-14)
        assert ours["support"] == theirs[row]["support"]
        assert ours["accuracy"] == theirs["accuracy"]
        assert (ours["positive"], ours["average"]) == (positive, "binary" if positive else "macro")


def test_a_class_that_never_occurs_leaves_the_mean_undefined():
    """An absent class that is never predicted has no scores, so there is no mean and no interval either."""
    ours = score_labels(["a", "b"], ["a", "b"], ["a", "b", "c"], None)
    assert (ours["f1"], ours["precision"], ours["recall"], ours["accuracy"]) == (None, None, None, 1.0)
    assert ours["intervals"]["f1"] is None
    assert ours["classes"][2] == {"label": "c", "precision": None, "recall": None, "f1": None, "support": 0}


def test_a_label_the_model_does_not_know_is_named():
    """A test row of a class that training never saw is an error that names the class."""
    with pytest.raises(DataError, match="labels new are unknown"):
        score_labels(["a", "new"], ["a", "a"], ["a", "b"], None)


def test_the_matrix_follows_the_order_of_labels():
    """Rows are the truth, columns the prediction, both in the order of `labels`."""
    ours = score_labels(["b", "b", "a"], ["a", "b", "a"], ["a", "b"], "b")
    assert ours["confusion_matrix"] == [[1, 0], [1, 1]]
    assert (ours["precision"], ours["recall"], ours["support"]) == (1.0, 0.5, 2)


@pytest.mark.parametrize("positive", ["spam", None])
def test_a_result_of_a_release_with_fewer_metrics_still_holds(positive):
    """What it does not tell is not missed; what it tells must follow from its confusion matrix."""
    told = score_labels(*draw(["ham", "maybe", "spam"], 50, 3), ["ham", "maybe", "spam"], positive)
    for entry in (told, told["intervals"]):
        del entry["balanced_accuracy"]  # which came later
    assert other_scores(told) is None
    place, there, follows = other_scores({**told, "f1": 0.123})
    assert (place, there) == ("f1", 0.123)
    assert follows == told["f1"]
    for there in (told, told["intervals"]):  # recall was always told: without it something is missing
        less = {name: value for name, value in there.items() if name != "recall"}
        assert other_scores(less if there is told else {**told, "intervals": less}) is not None
