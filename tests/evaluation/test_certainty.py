"""The probability that one configuration is better than another: what it is, and that it is calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from tracker.evaluation.certainty import mean, probability_better


def test_it_is_welchs_t() -> None:
    """One minus the one-sided p-value of Welch's test; of a loss the lower mean is the better."""
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(0.95, 0.014, 20), rng.normal(0.94, 0.007, 15)
    expected = 1 - ttest_ind(ours, theirs, equal_var=False, alternative="greater").pvalue
    found = probability_better(list(ours), list(theirs), "maximize")
    assert round(float(expected), 4) == found
    assert round(1 - found, 4) == probability_better(list(ours), list(theirs), "minimize")


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([0.5, 0.5], [0.5, 0.5], 0.5),
        ([0.6, 0.6], [0.5, 0.5], 1.0),
        ([0.4, 0.4], [0.5, 0.5], 0.0),
        ([0.4, None], [0.5, 0.5], None),
        ([0.4, 0.5], [float("nan"), 0.5], None),
    ],
)
def test_the_ends_of_the_scale(ours: list, theirs: list, expected: float | None) -> None:
    """Scores that never vary decide; a seed without a score leaves the question open."""
    assert expected == probability_better(ours, theirs, "maximize")


def test_a_mean_needs_every_run() -> None:
    """One run without a finite value leaves no mean."""
    assert 2.0 == mean([1.0, 3.0])
    assert mean([1.0, None]) is None
    assert mean([]) is None


def share_of_wrong(rng: np.random.Generator, pairs: int, fresh: bool, rows: int = 113) -> float:
    """How often one of five equals is called better than a sixth at 0.95, chosen by 20 seeds, judged by others or the same."""
    wrong = 0
    for _ in range(pairs):
        chosen = np.round(rng.normal(0.94, 0.012, (6, 20)) * rows) / rows  # scores come in steps, as those of 113 rows
        judged = np.round(rng.normal(0.94, 0.012, (6, 20)) * rows) / rows if fresh else chosen
        best = int(chosen[:5].mean(axis=1).argmax())
        found = probability_better(judged[best].tolist(), judged[5].tolist(), "maximize")
        wrong += found is not None and found >= 0.95
    return wrong / pairs


def test_better_is_rarely_said_of_equals() -> None:
    """Of 500 pairs of equals at most 6 % are called better: the seeds that judge are not those that chose.

    Judged by the seeds that chose it, the best of five equals would be called better two or three times as often.
    """
    assert share_of_wrong(np.random.default_rng(2026), 500, fresh=True) <= 0.06
    assert share_of_wrong(np.random.default_rng(2026), 500, fresh=False) > 0.10
