"""Intervals of a project in which rows stay together: they count groups, and old results stay as they were told."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.project import Project
from tracker.canonical import canonical_json, digest_bytes
from tracker.confusion import Z
from tracker.datasets.sealed import test_identity as identity_of_test
from tracker.deriving.judge_project import verify_looks
from tracker.design_effects import t_factor
from tracker.evaluation.chosen_model import validation_interval
from tracker.evaluation.final import summarize
from tracker.evaluation.scoring import as_told, other_scores, score_labels
from tracker.metrics import group_lines
from tracker.paths import Paths
from tracker.store.store import Store

COPIES = 4


@pytest.fixture
def copied(tmp_path) -> Project:
    """A project in which each row of the table is there several times, under ids of its own."""
    project = Project(Paths.of(tmp_path, {}))
    project.write_table()
    table = pd.read_csv(tmp_path / "table.csv")
    pd.concat([table] * COPIES).assign(who=range(COPIES * len(table))).to_csv(tmp_path / "table.csv", index=False)
    project.resplit()
    project.tune("tpe")
    return project


def without_clusters(test):
    """The entry `test` as a release wrote it that counted rows."""
    rows = score_labels(*predictions(test), test["labels"], test["positive"])
    assert rows["confusion_matrix"] == test["confusion_matrix"]
    return rows


def predictions(test):
    """True and predicted labels that give the confusion matrix of a result."""
    cells = [
        (a, b)
        for a, row in zip(test["labels"], test["confusion_matrix"], strict=True)
        for b, n in zip(test["labels"], row, strict=True)
        for _ in range(n)
    ]
    return [a for a, _ in cells], [b for _, b in cells]


def test_copies_of_rows_do_not_narrow_the_interval(copied: Project):
    """A test split of copies has the interval of its different rows, says how many these are, and follows from itself."""
    final = copied.compare().test()
    told = copied.final()["test"]
    rows = final.result["test_rows"]
    assert rows // COPIES == told["clusters"] == len(set(identity_of_test(copied.paths.sealed).clusters))
    counts = np.array(told["confusion_matrix"]).sum(axis=1) // COPIES
    mean = COPIES * t_factor(counts.tolist())  # of both classes
    expected = dict.fromkeys(told["design_effects"], float(COPIES)) | {"balanced_accuracy": mean}
    assert told["design_effects"] == pytest.approx(expected)
    low, high = final.interval("accuracy")
    right = final.accuracy * rows / COPIES
    alone = (right + Z**2 / 2) / (rows / COPIES + Z**2)
    assert (low + high) / 2 == pytest.approx(alone)
    assert other_scores(told) is None
    assert counts.tolist() == told["class_clusters"]
    assert any(f"intervals count the {rows // COPIES} groups of rows" in line for line in summarize(final, "val_f1"))


def test_classes_of_few_groups_are_named():
    """Where few groups have rows of a class a line says which and in how many; not where all are in five or more."""
    actual, called = ["a"] * 10 + ["b"] * 3 + ["c"], ["a"] * 9 + ["c"] + ["b"] * 2 + ["a", "c"]
    test = score_labels(actual, called, ["a", "b", "c"], "c", [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 8, 9, 9, 10])
    assert [8, 2, 1] == test["class_clusters"]
    few = "of 11 groups few have rows of a class and say little of it: 'b' in 2, 'c' in 1"
    alone = "precision and recall of a class in fewer than two have no interval"
    whole = "intervals count the 11 groups of rows that stay together, not the rows"
    assert [whole, f"{few}; {alone}"] == group_lines(test)
    assert {"precision", "recall"} == {name for name, ends in test["intervals"].items() if ends is None}
    many = {**test, "class_clusters": [8, 5, 5]}
    assert group_lines(test)[:1] == group_lines(many) == group_lines({**many, "class_clusters": []})
    assert [] == group_lines(without_clusters(test))


def test_the_validation_interval_counts_copies_once(copied: Project):
    """The interval of a ranking has the width of that of the different rows, whose number is the fourth part."""
    ranking = copied.compare()
    low, high = ranking.interval
    apart = Project(Paths.of(copied.paths.root.parent / "apart", {}))
    apart.paths.root.mkdir()
    apart.write_table()
    apart.tune("tpe")
    wide, narrow = (high - low, np.diff(apart.compare().interval)[0])
    assert wide == pytest.approx(narrow, rel=0.25)


def test_the_interval_of_a_loss_counts_clusters():
    """The standard error of a mean loss over copies is that of the different rows, up to K / (K - 1)."""

    class Fixed:
        labels, positive = ("a", "b"), "b"

        def probabilities(self, frame):
            return np.array(frame[["p", "q"]])

    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.9, 50)
    frame = pd.DataFrame({"p": p, "q": 1 - p})
    single = validation_interval(Fixed(), "val_loss", frame, ["a"] * 50)
    copies = pd.concat([frame] * 3)
    over = validation_interval(Fixed(), "val_loss", copies, ["a"] * 150, [*range(50)] * 3)
    assert single == pytest.approx(over)
    assert np.diff(validation_interval(Fixed(), "val_loss", copies, ["a"] * 150))[0] < np.diff(over)[0] / math.sqrt(2.9)
    assert validation_interval(Fixed(), "val_loss", frame, ["a"] * 50, [0] * 50) is None


def test_a_result_over_rows_stays_as_it_was_told(copied: Project):
    """What a release without clusters scored is told again as it was: one result of one look, and none that differs."""
    copied.compare().test()
    [path] = (copied.paths.looks / "results").glob("*.json")
    result = json.loads(path.read_bytes())
    old = {**result, "test": without_clusters(result["test"])}
    assert as_told(old["test"], result["test"]) == old["test"]
    content = canonical_json(old) + b"\n"
    path.unlink()
    (path.parent / f"{digest_bytes(content)}.json").write_bytes(content)
    assert old["test"] == dict(copied.compare().test().result["test"])
    assert [content] == [file.read_bytes() for file in path.parent.glob("*.json")]
    assert "identical" == verify_looks(copied.paths).state


def test_a_result_over_rows_in_the_store_alone_is_told_again(copied: Project):
    """Where only the store has the old result, it is that which is written beside the looks."""
    copied.compare().test()
    [path] = (copied.paths.looks / "results").glob("*.json")
    result = json.loads(path.read_bytes())
    old = {**result, "test": without_clusters(result["test"])}
    path.unlink()
    (copied.paths.store / "store.db").unlink()
    with Store.open(copied.paths.store) as store:
        store.put_final({**old, "looks": 1, "budget": 1, "stale": False})
    assert old["test"] == dict(copied.compare().test().result["test"])
    assert [canonical_json(old) + b"\n"] == [file.read_bytes() for file in path.parent.glob("*.json")]


@pytest.mark.parametrize("entry", ["f1", "intervals"])
def test_an_altered_result_over_clusters_is_found(entry: str):
    """A score or an interval that does not follow from the confusion matrix and the design effects is named."""
    rng = np.random.default_rng(1)
    actual, called = rng.choice(["a", "b"], 60), rng.choice(["a", "b"], 60)
    test = score_labels(list(actual), list(called), ["a", "b"], "b", [row // 3 for row in range(60)])
    assert other_scores(test) is None
    altered = {**test["intervals"], "f1": [0.1, 0.2]} if entry == "intervals" else 0.123
    assert other_scores({**test, entry: altered})[0].startswith(entry)


def test_of_many_classes_in_few_groups_those_of_the_fewest_are_named() -> None:
    """A line stays a line, however many classes there are."""
    groups = [4, 3, 9, 2, *[4] * 60]
    test = {"clusters": 70, "labels": [f"c{place:02}" for place in range(64)], "class_clusters": groups}
    _, told = group_lines(test)
    assert told.endswith(
        "say little of it: 'c00' in 4, 'c01' in 3, 'c03' in 2, 'c04' in 4, 'c05' in 4, 'c06' in 4, 'c07' in 4, 'c08' in 4 "
        "and 55 more"
    )
