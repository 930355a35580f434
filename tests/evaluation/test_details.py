"""What a report tells beyond the scores of a look: classes, weighted means, curves, calibration, optimism."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, roc_curve

from tests.evaluation.project import Project
from tracker.confusion import wilson
from tracker.evaluation.details import Called, detail
from tracker.evaluation.final import DETAILS
from tracker.evaluation.optimism import difference_interval, optimism


def called(rows: int, classes: int, seed: int, clusters: list[int] | None = None) -> Called:
    """Rows of a model that is right in most cases."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    odds = rng.random((rows, classes)) + 1.2 * np.eye(classes)[truth] * rng.random((rows, 1))
    odds /= odds.sum(axis=1, keepdims=True)
    return Called(truth, odds.argmax(axis=1), odds, clusters)


def test_weighted_means_and_classes_are_scikit_learns() -> None:
    """Weighted precision and F1 agree with scikit-learn; each class has the interval it has as the positive one."""
    test = called(200, 3, 1)
    told = detail(test, called(80, 3, 2), ["a", "b", "c"], None)
    assert told["weighted"]["f1"] == pytest.approx(f1_score(test.truth, test.call, average="weighted"), abs=1e-4)
    theirs = precision_score(test.truth, test.call, average="weighted")
    assert told["weighted"]["precision"] == pytest.approx(theirs, abs=1e-4)
    accuracy = float((test.truth == test.call).mean())
    assert told["weighted"]["recall"] == pytest.approx(accuracy, abs=1e-4)
    low, high = told["weighted"]["intervals"]["recall"]
    assert low < accuracy < high
    hits = int(((test.truth == 1) & (test.call == 1)).sum())
    expected = wilson(hits, int((test.truth == 1).sum()))
    assert told["classes"][1]["intervals"]["recall"] == pytest.approx(expected, abs=1e-4)
    assert "roc" not in told


def test_undefined_stays_undefined() -> None:
    """A class that is never predicted has no precision, so the weighted mean has none, nor an interval."""
    truth = np.array([0, 0, 1, 1, 2])
    test = Called(truth, np.array([0, 0, 1, 1, 1]), np.eye(3)[truth], None)
    told = detail(test, test, ["a", "b", "c"], None)
    assert (told["weighted"]["precision"], told["weighted"]["intervals"]["precision"]) == (None, None)
    assert told["classes"][2]["intervals"]["precision"] is None
    assert told["optimism"]["precision"] == {"difference": None, "interval": None}


def test_curves_and_calibration_of_two_classes() -> None:
    """Points of the ROC curve are scikit-learn's, at most 41; the bins of the calibration hold every row once."""
    test = called(300, 2, 3)
    told = detail(test, called(80, 2, 4), ["no", "yes"], "yes")
    false, true, _ = roc_curve(test.truth == 1, test.probabilities[:, 1], drop_intermediate=False)
    known = {(round(a, 4), round(b, 4)) for a, b in zip(false.tolist(), true.tolist(), strict=True)}
    assert len(told["roc"]) <= 41
    assert {tuple(point) for point in told["roc"]} <= known
    assert (told["roc"][0], told["roc"][-1]) == ([0.0, 0.0], [1.0, 1.0])
    share = round(float(test.truth.mean()), 4)
    assert told["precision_recall"][-1] == [1.0, share]
    assert sum(one["rows"] for one in told["calibration"]) == 300
    assert sum(one["rows"] * one["share"] for one in told["calibration"]) / 300 == pytest.approx(share, abs=1e-4)


def test_rows_of_clusters_widen_the_weighted_interval() -> None:
    """Four copies of each row, counted as clusters, give about the interval of the rows alone; counted as rows, half of it."""
    one = called(100, 3, 5)
    four = Called(np.repeat(one.truth, 4), np.repeat(one.call, 4), np.repeat(one.probabilities, 4, axis=0), None)
    copies = Called(four.truth, four.call, four.probabilities, np.repeat(np.arange(100), 4).tolist())
    width = {}
    for name, test in (("one", one), ("four", four), ("copies", copies)):
        low, high = detail(test, one, ["a", "b", "c"], None)["weighted"]["intervals"]["f1"]
        width[name] = high - low
    assert width["copies"] == pytest.approx(width["one"], rel=0.05)
    assert width["four"] == pytest.approx(width["one"] / 2, rel=0.08)


def test_the_weighted_interval_of_few_groups_covers_the_truth() -> None:
    """Of 30 groups of copies that are right in 97 and 94 %, it holds the truth in 92 to 98 % of 600 simulated test sets."""
    rng, hits = np.random.default_rng(8), []
    for _ in range(600):
        truth = (rng.random(30) < 0.37).astype(np.int64)
        call = np.where(rng.random(30) < np.array([0.97, 0.94])[truth], truth, 1 - truth)
        of_row = np.repeat(np.arange(30), 1 + rng.poisson(3, 30))
        test = Called(truth[of_row], call[of_row], np.eye(2)[truth[of_row]], of_row.tolist())
        low, high = detail(test, None, ["a", "b"], None)["weighted"]["intervals"]["recall"]
        hits.append(low <= 0.63 * 0.97 + 0.37 * 0.94 <= high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_the_interval_of_a_difference_is_the_published_one() -> None:
    """Newcombe (1998), table II, 56/70 - 48/80, method 10: 0.0524 to 0.3339."""
    ends = difference_interval(56 / 70, wilson(56, 70) or (), 48 / 80, wilson(48, 80) or ())
    assert [round(end, 4) for end in ends] == [0.0524, 0.3339]
    told = optimism({"f1": 0.9}, {"f1": (0.8, 0.95)}, {"f1": 0.9}, {"f1": None})
    assert told["f1"] == {"difference": 0.0, "interval": None}


def test_a_look_tells_details_and_which_rows_chose(project: Project) -> None:
    """They are in final.json and in the result beside the looks; a second time nothing is written anew."""
    project.compare().test()
    told, names = project.final(), {"weighted", "classes", "validation", "optimism"}
    assert names | {"roc", "precision_recall", "calibration"} == set(told[DETAILS])
    assert told["chosen_on"] == {"configuration": "validation", "epoch": None, "threshold": "none: it is fixed"}
    [kept] = (project.paths.looks / "results").glob("*.json")
    assert json.loads(kept.read_bytes())[DETAILS] == told[DETAILS]
    project.compare().test()
    assert [kept] == list((project.paths.looks / "results").glob("*.json"))


def test_a_result_of_an_earlier_release_stays_as_it_was_told(project: Project) -> None:
    """What a release without details told is repeated as it told it: one candidate has one result per test rows."""
    from tracker.evaluation.final import keep_result

    project.compare().test()
    [kept] = (project.paths.looks / "results").glob("*.json")
    earlier = {name: value for name, value in json.loads(kept.read_bytes()).items() if name != DETAILS}
    kept.unlink()
    keep_result(project.paths.looks, earlier)
    project.compare().test()
    assert DETAILS not in project.final()
    assert len(list((project.paths.looks / "results").glob("*.json"))) == 1
