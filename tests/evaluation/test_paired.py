"""Two configurations on the same rows: better, equivalent, or not distinguishable."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import tracker
from tests.studies.project import SmallProject
from tracker.confusion import count_confusion
from tracker.errors import InputError, NotFoundError
from tracker.evaluation.paired import Question, compare_pair, verdict_of
from tracker.metrics import SCORES, scores


def calls(truth: np.ndarray, wrong: list[int], classes: int = 2) -> np.ndarray:
    """Called classes of one seed (1, rows), wrong on these rows."""
    called = truth.copy()
    called[wrong] = (called[wrong] + 1) % classes
    return called[None, :]


TRUTH = np.arange(120) % 3


@pytest.mark.parametrize("positive", [None, 1])
@pytest.mark.parametrize("metric", [*SCORES, "fbeta_2", "fbeta_0.5"])
def test_scores_are_those_of_the_table_of_metrics(metric: str, positive: int | None) -> None:
    """What is compared has the very scores that reports tell, and the difference lies inside its interval."""
    ours, theirs = calls(TRUTH, [0, 5, 9, 14], 3), calls(TRUTH, [*range(0, 60, 4)], 3)
    found = compare_pair(Question(metric, 3, positive), TRUTH, ours, theirs)
    assert found is not None
    expected = [scores(count_confusion(TRUTH, one[0], 3), positive, [metric])[metric] for one in (ours, theirs)]
    assert [found.ours, found.theirs] == pytest.approx(expected, abs=1e-12)
    assert found.interval[0] < found.difference < found.interval[1]


def test_what_may_be_said() -> None:
    """Equals are not told apart, a clear difference is better one way and worse the other, with the same width."""
    question, good, bad = Question("accuracy", 3, None), calls(TRUTH, [0, 1], 3), calls(TRUTH, [*range(30)], 3)
    alike = compare_pair(question, TRUTH, good, good)
    assert alike is not None
    assert (alike.interval, alike.probability, alike.verdict) == ((0.0, 0.0), 0.5, "not distinguishable")
    better, worse = compare_pair(question, TRUTH, good, bad), compare_pair(question, TRUTH, bad, good)
    assert better is not None
    assert worse is not None
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert better.probability > 0.99
    assert worse.probability < 0.01
    assert [-end for end in worse.interval[::-1]] == pytest.approx(better.interval, abs=0.02)
    assert better == compare_pair(question, TRUTH, good, bad)


def test_inside_the_margin_they_are_equivalent() -> None:
    """An interval inside the margin says so, also where it does not hold 0; without a margin nothing is equivalent."""
    assert [verdict_of((0.001, 0.004), margin) for margin in (None, 0.003, 0.005)] == ["better", "better", "equivalent"]
    assert [verdict_of((-0.02, 0.004), margin) for margin in (None, 0.01, 0.02)] == [
        "not distinguishable",
        "not distinguishable",
        "equivalent",
    ]


def test_groups_and_seeds_are_drawn_too() -> None:
    """Copies of rows, counted as groups, tell no more than the rows; seeds that differ widen the interval."""
    question, wrong = Question("accuracy", 3, None), [*range(12)]
    good, bad = calls(TRUTH, [], 3), calls(TRUTH, wrong, 3)
    copied = [np.repeat(part, 4, axis=-1) for part in (TRUTH, good, bad)]
    groups = np.repeat(np.arange(len(TRUTH)), 4).tolist()
    one, rows, clusters = (
        compare_pair(question, TRUTH, good, bad),
        compare_pair(question, *copied),
        compare_pair(question, *copied, clusters=groups),
    )
    width = [found.interval[1] - found.interval[0] for found in (one, rows, clusters) if found]
    assert width[1] == pytest.approx(width[0] / 2, rel=0.15)
    assert width[2] == pytest.approx(width[0], rel=0.15)
    seeds = np.vstack([good, calls(TRUTH, [*range(60)], 3)])
    unsure = compare_pair(question, TRUTH, seeds, np.vstack([bad, bad]))
    assert unsure is not None
    assert unsure.interval[1] - unsure.interval[0] > 2 * width[0]


def test_undefined_scores_are_not_compared() -> None:
    """Where a class is never called its precision is undefined; a metric that labels do not give is refused."""
    none = np.zeros((1, 120), dtype=np.int64)
    assert compare_pair(Question("precision", 3, 2), TRUTH, none, none) is None
    with pytest.raises(InputError, match="roc_auc is none"):
        compare_pair(Question("roc_auc", 3, None), TRUTH, none, none)


def test_two_trials_of_a_project(fresh: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their scores are the recorded ones; models that are gone are trained again; no test row is read."""
    for name in ("manual", "random"):
        fresh.report(fresh.run(fresh.plan(name)))
    shutil.rmtree(fresh.paths.sealed)
    monkeypatch.chdir(fresh.paths.root)
    pair = tracker.compare_trials(fresh.config.with_("compare.margin", 0.9), ["manual/0", "random/1"])
    recorded = [fresh.run(fresh.plan(name)).trials[number].value for name, number in (("manual", 0), ("random", 1))]
    assert pair.answer is not None
    assert [pair.answer.ours, pair.answer.theirs] == pytest.approx(recorded, abs=1e-9)
    assert "verdict: equivalent: they differ by less than 0.9" == pair.lines()[-1]
    assert f"manual/0 and random/1 on the same {pair.rows} rows of validation, one seed each" == pair.lines()[0]
    by_order = tracker.compare_trials(fresh.config.with_("objective.metric", "val_roc_auc"), ["manual/0", "random/1"])
    assert by_order.lines()[0].endswith(
        "\nval_roc_auc does not follow from called classes alone: they are compared by val_f1"
    )
    with pytest.raises(NotFoundError, match="no trial manual/9: manual has 3"):
        tracker.compare_trials(fresh.config, ["manual/9", "random/1"])
    with pytest.raises(InputError, match="expected two trials to compare"):
        tracker.compare_trials(fresh.config, ["random/1"])
