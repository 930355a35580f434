"""Whether the best trial is worth a look at the test split: on validation it must be better than one answer for all rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.ranking import Ranking
from tracker.evaluation.scoring import index_labels
from tracker.evaluation.unworthy import Unworthy
from tracker.metrics import asked_scores, metric_of

WON_BY_ONE_ANSWER = {"precision", "recall"}  # whoever always says the class, or once, has them; no vote to beat


def find_unworthy(
    ranking: Ranking,
    labels: Sequence[str],
    positive: str | None,
    train: Sequence[str],
    actual: Sequence[str],
    balanced: tuple[float, float] | None = None,
) -> Unworthy | None:
    """What keeps the best trial of a ranking from a look; None where nothing does, or the metric is none of ours.

    A score that is to be high must not be 0, and the vote's score must lie outside of its 95 % interval over validation rows
    (where there is none: the score must be better). `train` and `actual` are the labels of training and validation rows.
    `balanced` is the interval of the model's balanced accuracy, which of any vote is 1 / classes: a model that is clearly
    above knows something, even where the positive class is the larger one, and a vote's F1 therefore high.
    """
    chosen, metric = ranking.rows[0], ranking.objective["metric"]  # whose interval it is
    name, maximize = metric.removeprefix("val_"), ranking.objective["direction"] == "maximize"
    if metric_of(name) is None or metric == name:
        return None
    if maximize and chosen.value == 0 and not name.startswith("neg_"):
        return Unworthy(chosen, metric, None, None)
    if maximize and balanced is not None and balanced[0] > 1 / len(labels):
        return None
    place = None if positive is None else list(labels).index(positive)
    vote = _vote(name, index_labels(train, labels), index_labels(actual, labels), len(labels), place)
    if vote is None or name in WON_BY_ONE_ANSWER:
        return None
    low, high = ranking.interval or (chosen.value, chosen.value)
    beaten = low > vote if maximize else high < vote
    return None if beaten else Unworthy(chosen, metric, ranking.interval, vote)


def _vote(
    name: str, train: NDArray[np.int64], actual: NDArray[np.int64], classes: int, positive: int | None
) -> float | None:
    """What a model scores on validation that gives each row the shares of the classes among the training rows."""
    shares = np.bincount(train, minlength=classes) / len(train)
    if name == "loss":
        return -float(np.log(np.maximum(shares, 1e-300))[actual].mean())
    calls = np.full(len(actual), shares.argmax())
    scored = asked_scores(actual, calls, np.tile(shares, (len(actual), 1)), positive, [name])
    return scored[name]
