"""The expected best of n random trials and its band: right for distributions that are known, exact in how often it holds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tracker.evaluation.tuning_curve import CONFIDENCE, level_band, probability_inside, tuning_curve


def test_the_estimate_is_the_mean_over_all_choices() -> None:
    """Of five scores, the expected best of n is the mean of the best over all choices of n of them."""
    scores = [0.2, 0.9, 0.5, 0.5, 0.7]
    expected = [np.mean([max(chosen) for chosen in combinations(scores, n)]) for n in range(1, 6)]
    assert tuning_curve(scores).best == pytest.approx(expected, abs=1e-12)


def test_the_probability_of_all_levels_is_computed_exactly() -> None:
    """For one and for two draws it is the area by hand; bounds without effect have all of it."""
    assert probability_inside(np.array([0.25]), np.array([0.75])) == pytest.approx(0.5)
    # two draws: the smaller in [0.1, 0.5], the larger in [0.4, 1.0]: pairs in order, and pairs that are both in [0.4, 0.5]
    two = 2 * (0.4 * 0.6 - 0.1 * 0.1) + 0.1 * 0.1
    assert probability_inside(np.array([0.1, 0.4]), np.array([0.5, 1.0])) == pytest.approx(two)
    assert probability_inside(np.zeros(7), np.ones(7)) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 5, 48])
def test_the_band_holds_in_95_of_100(count: int) -> None:
    """All levels of sorted uniform draws lie inside in 95 % (4,000 simulated samples), and the band is symmetric."""
    low, high = level_band(count)
    draws = np.sort(np.random.default_rng(3).random((4000, count)), axis=1)
    assert float(((low <= draws) & (draws <= high)).all(axis=1).mean()) == pytest.approx(CONFIDENCE, abs=0.011)
    assert low == pytest.approx(1 - high[::-1])


def test_the_curve_lies_in_its_band_and_rises() -> None:
    """Band and estimate rise with the budget, inside [0, 1]; what is known of a distribution lies inside."""
    curve = tuning_curve(np.random.default_rng(1).random(40).tolist())
    budgets = np.arange(1, 41)
    truth = budgets / (budgets + 1)  # of uniform scores
    for values in (curve.best, curve.low, curve.high):
        assert np.all(np.diff(values) >= 0)
    assert np.all((curve.low <= truth) & (truth <= curve.high))
    assert 0 <= curve.low[0] <= curve.best[0] <= curve.high[-1] <= 1
