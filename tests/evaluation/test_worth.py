"""No look is spent on a trial that is no better than a majority vote, unless somebody says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from tests.evaluation.test_stage import run_stage
from tracker.deriving.judge_final import reproduce_final
from tracker.errors import LookWithheld, NotFoundError
from tracker.evaluation.ranked import RankedTrial
from tracker.evaluation.ranking import Ranking
from tracker.evaluation.restore import restore_finals
from tracker.evaluation.worth import find_unworthy
from tracker.store.store import Store
from tracker.terminal.leaderboard import closing_lines

LABELS = ("no", "yes")
TRAIN = ["no"] * 90 + ["yes"] * 10
ROWS = ["no"] * 45 + ["yes"] * 5


def ranked(metric: str, value: float, interval: tuple[float, float] | None, direction: str = "maximize") -> Ranking:
    """A ranking of one trial."""
    row = RankedTrial(1, "tpe", 3, "k", "c", "w", value, 1, {}, {})
    return Ranking({"metric": metric, "direction": direction}, (row,), {}, interval=interval)


@pytest.mark.parametrize(
    ("metric", "value", "interval", "vote"),
    [
        ("val_accuracy", 0.92, (0.81, 0.97), 0.9),
        ("val_accuracy", 0.92, (0.901, 0.97), None),
        ("val_balanced_accuracy", 0.6, (0.5, 0.7), 0.5),
        ("val_f1", 0.2, (0.01, 0.5), None),
        ("val_average_precision", 0.3, (0.1, 0.6), 0.1),
        ("val_average_precision", 0.3, (0.11, 0.6), None),
        ("val_roc_auc", 0.5, None, 0.5),
        ("val_roc_auc", 0.51, None, None),
        ("val_recall", 1.0, (0.5, 1.0), None),  # whoever always says yes has it: there is no vote to beat
        ("my_score", 0.0, None, None),  # whatever it means
    ],
)
def test_the_vote_must_be_outside_of_the_interval(metric, value, interval, vote):
    """The share of the larger class in accuracy, a half, the share of the rare one, as the metric has it; or none."""
    found = find_unworthy(ranked(metric, value, interval), LABELS, "yes", TRAIN, ROWS)
    assert vote == (None if found is None else pytest.approx(found.vote))


def test_a_model_that_tells_the_classes_apart_is_worth_a_look():
    """Where most rows are positive, the F1 of a vote lies inside an interval of few rows; balanced accuracy sees more."""
    ranking = ranked("val_f1", 0.88, (0.75, 0.94))
    train, rows = ["yes"] * 90 + ["no"] * 54, ["yes"] * 30 + ["no"] * 18
    assert find_unworthy(ranking, LABELS, "yes", train, rows) is not None
    assert find_unworthy(ranking, LABELS, "yes", train, rows, balanced=(0.49, 0.93)) is not None
    assert find_unworthy(ranking, LABELS, "yes", train, rows, balanced=(0.72, 0.93)) is None
    assert find_unworthy(ranked("val_f1", 0.0, None), LABELS, "yes", train, rows, balanced=(0.72, 0.93)) is not None


def test_a_score_of_0_is_worth_no_look():
    """Whatever its interval; the sentence says which trial and which metric."""
    found = find_unworthy(ranked("val_f1", 0.0, (0.0, 0.4)), LABELS, "yes", TRAIN, ROWS)
    assert "tpe/3 is best, with val_f1 0.0000 on validation" == found.words


def test_where_the_positive_class_is_the_larger_f1_of_the_vote_is_high():
    """Then F1 must be better than that of always saying so; likewise a loss than that of the shares of the classes."""
    vote = f1_score(ROWS, ["no"] * 50, pos_label="no")
    assert vote == pytest.approx(find_unworthy(ranked("val_f1", 0.95, (0.9, 0.99)), LABELS, "no", TRAIN, ROWS).vote)
    assert None is find_unworthy(ranked("val_f1", 0.98, (0.95, 0.99)), LABELS, "no", TRAIN, ROWS)
    loss = log_loss(ROWS, np.tile([0.9, 0.1], (50, 1)), labels=LABELS)
    found = find_unworthy(ranked("val_loss", 0.3, (0.2, 0.4), "minimize"), LABELS, "yes", TRAIN, ROWS)
    assert loss == pytest.approx(found.vote)
    assert None is find_unworthy(ranked("val_loss", 0.2, (0.1, 0.3), "minimize"), LABELS, "yes", TRAIN, ROWS)


def test_no_look_is_spent_and_every_reader_knows(project):
    """A model that never says yes: the ranking is there, the look is not, until somebody looks anyway; then it counts."""
    project.tune("tpe", units=-40)  # no step was made: all rows are called the first class
    content = json.loads((project.paths.study_reports / "tpe.json").read_bytes())
    content["trials"] = content["trials"][:1]
    (project.paths.study_reports / "tpe.json").write_text(json.dumps(content))
    with pytest.raises(LookWithheld, match=r"no look was spent: tpe/0 is best, with val_f1 0\.0000"):
        project.compare().test()
    assert (False, []) == ((project.paths.reports / "final.json").exists(), project.looks())

    done = run_stage(project)
    assert (0, "", True) == (done.returncode, done.stderr, "no look was spent: tpe/0 is best" in done.stdout)
    final = project.final()
    assert (False, "tpe", 0, 0.0, None) == tuple(
        final[name] for name in ("scored", "study", "trial", "value", "majority_vote")
    )
    assert "actual,predicted\n" == (project.paths.reports / "confusion.csv").read_text()
    assert (project.paths.reports / "ranking.json").is_file()
    assert [] == project.looks()
    assert any("nothing was scored on the test split" in line for line in closing_lines(project.paths))
    with pytest.raises(NotFoundError, match="nothing was scored: tpe/0 is best"):
        reproduce_final(project.paths)
    with Store.open(project.paths.store) as store:
        assert 0 == restore_finals(project.paths, store)

    assert 0.0 == project.compare().test(anyway=True).f1
    assert 1 == len(project.looks())
    assert 0.0 == project.compare().test().f1  # it was looked at: no further look is spent
