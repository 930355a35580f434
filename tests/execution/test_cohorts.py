"""How trials are grouped: exactly, within the caps, enough for the workers, by the specs alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.cases import spec
from tracker.execution.cohorts import CACHE_NUMBERS, MOST_LANES, form_cohorts
from tracker.families.mlp_layout import shape_of
from tracker.records import TrialSpec

FEATURES, CLASSES = 13, 3


def some_specs(count: int, seed: int) -> list[TrialSpec]:
    """Trials of mixed shapes, each with its own seed."""
    rng = np.random.default_rng(seed)
    return [
        spec(
            number,
            hidden_layers=int(rng.integers(0, 4)),
            units=int(rng.choice([7, 16, 40, 128, 500])),
            batch_size=int(rng.choice([8, 32])),
            batch_norm=bool(rng.random() < 0.2),
        )
        for number in range(count)
    ]


def keys(cohorts: list[list[TrialSpec]]) -> list[list[str]]:
    return [[one.key for one in cohort] for cohort in cohorts]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 90), st.integers(0, 9), st.integers(1, 9), st.integers(1, 40))
def test_every_trial_is_in_one_cohort_of_its_shape(count: int, seed: int, workers: int, cap: int) -> None:
    """Every spec exactly once, one shape per cohort, no cohort empty or above the cap."""
    specs = some_specs(count, seed)
    cohorts = form_cohorts(specs, FEATURES, CLASSES, workers, cap)
    assert sorted(one.key for one in specs) == sorted(key for cohort in keys(cohorts) for key in cohort)
    assert all(1 <= len(cohort) <= cap for cohort in cohorts)
    assert all(1 == len({shape_of(one, FEATURES, CLASSES) for one in cohort}) for cohort in cohorts)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(0, 9), st.integers(2, 9))
def test_no_worker_idles(count: int, seed: int, workers: int) -> None:
    """With several workers there are two cohorts for each, or one per trial where trials are too few for that."""
    cohorts = form_cohorts(some_specs(count, seed), FEATURES, CLASSES, workers)
    assert len(cohorts) >= min(count, 2 * workers)


def test_large_networks_share_a_cohort_with_few() -> None:
    """Parameters of a cohort stay within a core's cache; what is too large for it trains alone."""
    wide = [spec(number, units=128) for number in range(40)]
    for cohort in form_cohorts(wide, FEATURES, CLASSES):
        assert len(cohort) * shape_of(cohort[0], FEATURES, CLASSES).numbers <= CACHE_NUMBERS
    huge = [spec(number, units=1000) for number in range(3)]
    assert [1, 1, 1] == [len(cohort) for cohort in form_cohorts(huge, FEATURES, CLASSES)]
    small = [spec(number, units=8) for number in range(MOST_LANES)]
    assert [MOST_LANES] == [len(cohort) for cohort in form_cohorts(small, FEATURES, CLASSES)]


def test_costly_cohorts_run_first() -> None:
    """The longest cohort starts first, so that no worker ends with it alone."""
    specs = [spec(1, units=8, batch_size=64), spec(2, units=500, batch_size=8), spec(3, units=60, batch_size=32)]
    assert [500, 60, 8] == [cohort[0].params["units"] for cohort in form_cohorts(specs, FEATURES, CLASSES, 2)]


def test_grouping_follows_from_the_specs_alone() -> None:
    """Asked again, or for the same specs from elsewhere, the cohorts are the same."""
    first = form_cohorts(some_specs(60, 3), FEATURES, CLASSES, 3)
    np.random.default_rng().random(5)
    assert keys(first) == keys(form_cohorts(some_specs(60, 3), FEATURES, CLASSES, 3))
