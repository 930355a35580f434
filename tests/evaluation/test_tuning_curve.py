"""The median best of n random trials and its band: right for distributions that are known, exact in how often it holds."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.evaluation.tuning_curve import CONFIDENCE, level_band, probability_inside, tuning_curve


def test_the_estimate_is_a_quantile_of_the_scores() -> None:
    """Half of all searches with n trials reach the level 0.5 ** (1 / n): the median of one, 0.71 of two, then the best."""
    assert tuning_curve([0.2, 0.9, 0.5, 0.6, 0.7]).best == [0.6, 0.7, 0.7, 0.9, 0.9]
    draws = np.random.default_rng(2).random((4000, 6)).max(axis=1)
    assert float(np.median(draws)) == pytest.approx(0.5 ** (1 / 6), abs=0.01)


def test_the_probability_of_all_levels_is_computed_exactly() -> None:
    """For one and for two draws it is the area by hand; bounds without effect have all of it."""
    assert probability_inside(np.array([0.25]), np.array([0.75])) == pytest.approx(0.5)
    # two draws: the smaller in [0.1, 0.5], the larger in [0.4, 1.0]: pairs in order, and pairs that are both in [0.4, 0.5]
    two = 2 * (0.4 * 0.6 - 0.1 * 0.1) + 0.1 * 0.1
    assert probability_inside(np.array([0.1, 0.4]), np.array([0.5, 1.0])) == pytest.approx(two)
    assert probability_inside(np.zeros(7), np.ones(7)) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [5, 48])
def test_the_band_holds_the_whole_curve_in_95_of_100(count: int) -> None:
    """In 4,000 simulated studies of uniform scores the true curve of 1 to N trials, and of parts of a trial, lies inside."""
    low, high = level_band(count)
    draws = np.sort(np.random.default_rng(3).random((4000, count)), axis=1)
    levels = 0.5 ** (1 / np.geomspace(1, count, 1500))
    below = np.hstack([np.zeros((4000, 1)), draws])[:, np.searchsorted(high, levels, side="left")]
    above = np.hstack([draws, np.ones((4000, 1))])[:, np.searchsorted(low, levels, side="right")]
    held = ((below <= levels) & (levels <= above)).all(axis=1).mean()
    assert float(held) == pytest.approx(CONFIDENCE, abs=0.012)


def test_one_trial_tells_nothing() -> None:
    """The band of a single score is everything."""
    assert (tuning_curve([0.4]).low, tuning_curve([0.4]).high) == ([0.0], [1.0])


def test_the_curve_lies_in_its_band_and_rises() -> None:
    """Band and estimate rise with the budget, inside [0, 1]; what is known of a distribution lies inside."""
    curve = tuning_curve(np.random.default_rng(1).random(40).tolist())
    budgets = np.arange(1, 41)
    truth = 0.5 ** (1 / budgets)  # of uniform scores
    for values in (curve.best, curve.low, curve.high):
        assert np.all(np.diff(values) >= 0)
    assert np.all((curve.low <= truth) & (truth <= curve.high))
    assert 0 <= curve.low[0] <= curve.best[0] <= curve.high[-1] <= 1
