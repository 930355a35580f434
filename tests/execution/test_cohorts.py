"""How trials are grouped: exactly, within the caps, enough for the workers, by the specs alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.contract import segments
from tests.training.cases import spec
from tracker.execution.cohorts import CACHE_NUMBERS, HAND_OUT, MOST_LANES, Cohort, Cohorts, form_cohorts, left_over
from tracker.execution.trainer import Segment
from tracker.families.mlp_layout import shape_of
from tracker.records import TrialSpec

FEATURES, CLASSES = 13, 3


def some_runs(count: int, seed: int) -> list[Segment]:
    """Runs of mixed shapes, each with its own seed."""
    rng = np.random.default_rng(seed)
    specs = [
        spec(
            number,
            hidden_layers=int(rng.integers(0, 4)),
            units=int(rng.choice([7, 16, 40, 128, 500])),
            batch_size=int(rng.choice([8, 32])),
            batch_norm=bool(rng.random() < 0.2),
        )
        for number in range(count)
    ]
    return segments(specs)


def keys(cohorts: list[Cohort]) -> list[list[str]]:
    return [[one.spec.key for one in cohort] for cohort in cohorts]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 90), st.integers(0, 9), st.integers(1, 9), st.integers(1, 40))
def test_every_trial_is_in_one_cohort_of_its_shape(count: int, seed: int, workers: int, cap: int) -> None:
    """Every spec exactly once, one shape per cohort, no cohort empty or above the cap."""
    runs = some_runs(count, seed)
    cohorts = form_cohorts(runs, FEATURES, CLASSES, workers, cap)
    assert sorted(one.spec.key for one in runs) == sorted(key for cohort in keys(cohorts) for key in cohort)
    assert all(1 <= len(cohort) <= cap for cohort in cohorts)
    assert all(1 == len({shape_of(one.spec, FEATURES, CLASSES) for one in cohort}) for cohort in cohorts)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(0, 9), st.integers(2, 9))
def test_no_worker_idles(count: int, seed: int, workers: int) -> None:
    """With several workers there are two cohorts for each, or one per trial where trials are too few for that."""
    cohorts = form_cohorts(some_runs(count, seed), FEATURES, CLASSES, workers)
    assert len(cohorts) >= min(count, 2 * workers)


def test_large_networks_share_a_cohort_with_few() -> None:
    """Parameters of a cohort stay within a core's cache; what is too large for it trains alone."""
    wide = segments(spec(number, units=128) for number in range(40))
    for cohort in form_cohorts(wide, FEATURES, CLASSES):
        assert len(cohort) * shape_of(cohort[0].spec, FEATURES, CLASSES).numbers <= CACHE_NUMBERS
    huge = segments(spec(number, units=1000) for number in range(3))
    assert [1, 1, 1] == [len(cohort) for cohort in form_cohorts(huge, FEATURES, CLASSES)]
    small = segments(spec(number, units=8) for number in range(MOST_LANES))
    assert [MOST_LANES] == [len(cohort) for cohort in form_cohorts(small, FEATURES, CLASSES)]


def test_costly_cohorts_run_first() -> None:
    """The longest cohort starts first, so that no worker ends with it alone."""
    specs = [spec(1, units=8, batch_size=64), spec(2, units=500, batch_size=8), spec(3, units=60, batch_size=32)]
    assert [500, 60, 8] == [
        cohort[0].spec.params["units"] for cohort in form_cohorts(segments(specs), FEATURES, CLASSES, 2)
    ]


def test_grouping_follows_from_the_specs_alone() -> None:
    """Asked again, or for the same specs from elsewhere, the cohorts are the same."""
    first = form_cohorts(some_runs(60, 3), FEATURES, CLASSES, 3)
    np.random.default_rng().random(5)
    assert keys(first) == keys(form_cohorts(some_runs(60, 3), FEATURES, CLASSES, 3))


def loops(count: int) -> list[Segment]:
    """Runs of a family that never trains together."""
    training = {"epochs": 3, "early_stopping": None, "device": "cpu"}
    return segments(TrialSpec("function", {}, training, seed, {}, "test", 1) for seed in range(count))


def test_runs_that_train_alone_are_handed_out_after_the_others() -> None:
    """In parts, two for each worker at least, and never too many at once."""
    assert [4, 4, 4, 3] == [len(part) for part in form_cohorts(loops(15), FEATURES, CLASSES, 2)]
    assert HAND_OUT >= max(len(part) for part in form_cohorts(loops(1000), FEATURES, CLASSES))
    together = form_cohorts([*loops(2), *some_runs(3, 1)], FEATURES, CLASSES)
    assert [["mlp"], ["function", "function"]] == [
        sorted({one.spec.family for one in together[0]}),
        [one.spec.family for part in together[-2:] for one in part],
    ]


def test_what_is_left_over_is_handed_out_in_halves() -> None:
    """So that others can take part; nothing, where all is done."""
    runs = loops(8)
    assert [[], [[7]], [[3, 4, 5], [6, 7]]] == [
        [[one.spec.seed for one in part] for part in left_over(runs, range(done))] for done in (8, 7, 3)
    ]


def test_what_paused_together_stays_together() -> None:
    """Runs that wait in one process form one cohort, without those that were let go; what waits comes first."""
    cohorts, runs = Cohorts(FEATURES, CLASSES), segments(spec(seed, units=8) for seed in range(9))
    names = [one.spec.key for one in runs]
    assert [names] == keys(cohorts.form(runs))
    cohorts.paused(names[:3])
    cohorts.paused(names[3:6])
    assert [names[:3], names[3:6], names[6:]] == keys(cohorts.form(runs))
    assert [[names[1]], names[4:6], [names[8]]] == keys(cohorts.form([runs[8], runs[1], *runs[4:6]]))


def test_what_is_lost_is_formed_anew() -> None:
    """Where the process that held runs is gone they join the others; where everything is forgotten all do."""
    cohorts, runs = Cohorts(FEATURES, CLASSES), segments(spec(seed, units=8) for seed in range(6))
    names = [one.spec.key for one in runs]
    cohorts.paused(names[:2])
    cohorts.paused(names[2:4])
    cohorts.lost([*names[:2], "never seen"])
    assert [names[2:4], [*names[:2], *names[4:]]] == keys(cohorts.form(runs))
    assert [names] == keys(cohorts.emptied().form(runs))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 9), st.data())
def test_every_run_is_formed_once_whatever_waits(count: int, seed: int, data: st.DataObject) -> None:
    """Any of them paused in any groups, some lost since: each is in one cohort."""
    cohorts, runs = Cohorts(FEATURES, CLASSES, 2), some_runs(count, seed)
    names = st.lists(st.sampled_from([one.spec.key for one in runs]), unique=True) if runs else st.just([])
    for _ in range(3):
        cohorts.paused(data.draw(names))
        cohorts.lost(data.draw(names))
    formed = cohorts.form(runs)
    assert sorted(one.spec.key for one in runs) == sorted(key for cohort in keys(formed) for key in cohort)
    assert all(formed)
