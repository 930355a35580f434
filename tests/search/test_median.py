"""The median pruner: its rungs, and which trials it stops."""

import pytest

from tests.search.curves import EPOCHS, NAME, Curve, stops_of
from tracker.search.pruners import open_pruner

DEFAULTS = {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1}


def median(direction="maximize", **changes):
    return open_pruner({"name": "median", **DEFAULTS, **changes}, direction, NAME, EPOCHS)


@pytest.mark.parametrize(
    ("changes", "rungs"),
    [
        ({}, (1, 2, 3, 4, 5, 6, 7)),
        ({"n_warmup_steps": 5}, (5, 6, 7)),
        ({"interval_steps": 3}, (1, 3, 6)),
        ({"n_warmup_steps": 1, "interval_steps": 3}, (1, 4, 7)),
        ({"n_warmup_steps": 2, "interval_steps": 4}, (2, 6)),
        ({"n_warmup_steps": 8}, ()),
    ],
    ids=str,
)
def test_rungs(changes, rungs):
    """The epochs of 8 after which the rule can stop a trial; the first report of all begins an interval."""
    assert rungs == median(**changes).rungs(8)


@pytest.mark.parametrize(("direction", "stopped"), [("maximize", 5), ("minimize", 6)])
def test_the_worse_half_stops(direction, stopped):
    """After five completed trials of values 1 to 5 a trial below 3 stops where more is better, one above 3 where less is."""
    completed = [Curve((float(value),) * 8) for value in range(1, 6)]
    assert [(1, stopped)] == stops_of(median(direction), [completed, [Curve((2.5,) * 8), Curve((3.5,) * 8)]])


def test_a_tie_with_the_median_goes_on():
    """Equal to the median is not worse."""
    assert [] == stops_of(median(), [[Curve((0.5,) * 8)] * 5, [Curve((0.5,) * 8)]])


def test_nothing_but_undefined_values_stops():
    """A trial without any defined value stops at the first rung after enough completed trials."""
    assert [(1, 5)] == stops_of(median(), [[Curve((0.5,) * 8)] * 5, [Curve((None,) * 8)]])
