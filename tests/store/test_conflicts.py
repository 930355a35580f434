"""Which outcomes of one trial are the same: those that agree on all that both can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.tracking.studies import finished, proposal
from tracker.deriving.compare_outcomes import deviation, first_difference
from tracker.errors import ReplayError
from tracker.records import TrialOutcome
from tracker.store.conflicts import refuse_other_outcome

ADDED = "val_balanced_accuracy"  # the one metric that came to the table later
BASE = finished(proposal(3)).outcome
NEW = replace(
    BASE,
    metrics={**BASE.metrics, ADDED: 0.5},
    history=tuple({**entry, ADDED: 0.5} for entry in BASE.history),
)


def lacking(outcome: TrialOutcome, *names: str) -> TrialOutcome:
    """The outcome as a release would have recorded it that did not know these metrics."""

    def without(entry: Any) -> dict[str, Any]:
        return {name: value for name, value in entry.items() if name not in names}

    return replace(outcome, metrics=without(outcome.metrics), history=tuple(map(without, outcome.history)))


def changed(outcome: TrialOutcome, name: str, value: Any) -> TrialOutcome:
    """The outcome with another value in its last epoch."""
    *rest, last = outcome.history
    return replace(outcome, history=(*rest, {**last, name: value}))


@pytest.mark.parametrize("names", [("val_recall",), ("val_f1", "val_loss"), ("train_loss",), ("own",)])
def test_a_metric_that_every_release_computes_may_not_be_missing(names: tuple[str, ...]) -> None:
    """A record from which the objective was taken out is another record."""
    full = changed(NEW, "own", 1.0)
    with pytest.raises(ReplayError):
        refuse_other_outcome(lacking(full, *names), full)
    assert first_difference(lacking(full, *names), full) is not None


def test_a_metric_that_one_release_did_not_compute_is_no_difference() -> None:
    """Recorded with it and derived without it, or the other way round: the same trial, in this environment or another."""
    old = lacking(NEW, ADDED)
    assert deviation(old, NEW) == 0.0
    assert old.digest != NEW.digest
    for stored, given in ((old, NEW), (NEW, old)):
        refuse_other_outcome(given, stored)
        assert first_difference(stored, given) is None


@pytest.mark.parametrize(
    "other",
    [
        changed(NEW, "val_accuracy", 0.123),
        changed(NEW, "confusion_matrix", [[6, 0], [2, 4]]),
        changed(NEW, "own", 1.0),
        replace(NEW, metrics={**NEW.metrics, "val_loss": 0.123}),
        replace(NEW, metrics={**NEW.metrics, "own": 0.123}),
        replace(NEW, history=NEW.history[:-1]),
        replace(NEW, weights="0" * 64),
        replace(NEW, best_epoch=1),
    ],
)
def test_all_that_both_tell_is_compared(other: TrialOutcome) -> None:
    """Beside a metric that one lacks, another value, one of the user's own metrics, a matrix or a digest is a difference."""
    old = lacking(NEW, ADDED)
    with pytest.raises(ReplayError, match="differs from what is stored"):
        refuse_other_outcome(other, old)
    if len(other.history) == len(old.history):
        assert first_difference(old, other) is not None


def test_a_gap_in_a_curve_is_a_difference() -> None:
    """A metric that an outcome tells of one epoch and not of another is known to its release."""
    gap = replace(NEW, history=(lacking(NEW, ADDED).history[0], *NEW.history[1:]))
    assert first_difference(NEW, gap) is not None
    with pytest.raises(ReplayError, match=ADDED):
        refuse_other_outcome(gap, NEW)
