"""A challenger is promoted where it is better, and rarely where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from tracker.config.parts import Promote
from tracker.retuning import decide
from tracker.retuning.decide import Judged, Side, judge
from tracker.seeds import bit_generator

SETTINGS = Promote(margin=0.0)


def side(truth: np.ndarray, right: float, rng: np.random.Generator, classes: int = 2) -> Side:
    """A model that is right on a share of rows."""
    call = np.where(rng.random(len(truth)) < right, truth, (truth + 1) % classes)
    probabilities = np.full((len(truth), classes), 0.3 / (classes - 1))
    probabilities[np.arange(len(truth)), call] = 0.7
    probabilities += rng.random(probabilities.shape) * 0.01
    return Side(probabilities / probabilities.sum(axis=1, keepdims=True), call.astype(np.int64))


def judged(seed: int, rows: int, one: float, other: float, metric: str = "val_f1", copies: int = 1) -> Judged:
    """Two models of these qualities on the same rows, each of which may stand there several times."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows)
    sides = [side(truth, right, rng) for right in (one, other)]
    sides = [Side(np.repeat(s.probabilities, copies, axis=0), np.repeat(s.call, copies)) for s in sides]
    clusters = np.repeat(np.arange(rows), copies).tolist() if copies > 1 else None
    return judge(np.repeat(truth, copies), *sides, SETTINGS, metric, 1, clusters, bit_generator(seed, "test"))


@pytest.mark.parametrize("metric", ["val_f1", "val_loss", "val_roc_auc"])
def test_scores_are_those_of_scikit_learn(metric: str) -> None:
    """Both scores, and the lead with its sign: of a loss, less is better."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 200)
    sides = [side(truth, right, rng) for right in (0.7, 0.8)]
    found = judge(truth, *sides, SETTINGS, metric, 1, None, bit_generator(0, "test"))
    scored = {
        "val_f1": lambda s: f1_score(truth, s.call),
        "val_loss": lambda s: log_loss(truth, s.probabilities),
        "val_roc_auc": lambda s: roc_auc_score(truth, s.probabilities[:, 1]),
    }[metric]
    one, other = map(scored, sides)
    assert found.champion == pytest.approx(one)
    assert found.challenger == pytest.approx(other)
    assert found.lead == pytest.approx(one - other if metric == "val_loss" else other - one)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.lead < found.high
    assert found.promotes(SETTINGS)


def test_an_equal_challenger_is_promoted_in_at_most_one_of_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pairs of equals about 5 % lead surely, whether rows stand alone or come five times each."""
    monkeypatch.setattr(decide, "DRAWS", 300)
    alone = sum(judged(seed, 120, 0.8, 0.8).promotes(SETTINGS) for seed in range(200))
    clustered = sum(judged(seed, 120, 0.8, 0.8, copies=5).promotes(SETTINGS) for seed in range(100))
    assert alone <= 20  # 10 expected at most; more than 19 come in 1 of 300 such tests
    assert clustered <= 12  # of 100


def test_a_better_challenger_is_promoted_by_margin_and_certainty() -> None:
    """0.9 against 0.7 on 150 rows leads surely; the margin asks for more; four rows never decide."""
    assert judged(1, 150, 0.7, 0.9).promotes(Promote(margin=0.05))
    assert not judged(1, 150, 0.7, 0.9).promotes(Promote(margin=0.5))
    assert not judged(1, 4, 0.7, 0.9).promotes(SETTINGS)
    assert not judged(1, 150, 0.9, 0.7).promotes(SETTINGS)


def test_chance_is_counted_exactly() -> None:
    """Six rows, all of which the challenger alone has right: one of 64 exchanges leads as far (p 1/64), whatever the metric."""
    truth = np.array([0, 1] * 3)
    right, wrong = (np.where(np.eye(2)[call] > 0, 0.9, 0.1) for call in (truth, 1 - truth))
    sides = Side(wrong, 1 - truth), Side(right, truth)
    for metric in ("val_accuracy", "val_loss"):
        found = judge(truth, *sides, SETTINGS, metric, 1, None, bit_generator(0, "test"))
        assert found.p == pytest.approx(1 / 64, abs=0.009)
        assert found.promotes(SETTINGS)


def test_an_undefined_score_promotes_nobody() -> None:
    """No row of the positive class is there or called: F1 is undefined, and so is the lead."""
    nothing = Side(np.tile([0.9, 0.1], (50, 1)), np.zeros(50, dtype=np.int64))
    found = judge(np.zeros(50, dtype=np.int64), nothing, nothing, SETTINGS, "val_f1", 1, None, bit_generator(0, "test"))
    assert (found.champion, found.challenger, found.lead) == (None, None, None)
    assert not found.promotes(SETTINGS)
    assert not found.holds(1.0)


def test_equal_input_gives_equal_numbers() -> None:
    """The draws come from a named seed."""
    assert judged(5, 90, 0.8, 0.85) == judged(5, 90, 0.8, 0.85)
