"""Two records under one key: an error that says what differs, if anything does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tracker.errors import EnvironmentChanged, ReplayError
from tracker.metrics import told_once
from tracker.records import Proposal, TrialOutcome, record_json
from tracker.store.stored import Finished
from tracker.trees import differences


def refuse_other_proposal(given: Proposal, stored: Proposal) -> None:
    """Raises ReplayError when a trial number is proposed with other values than were logged."""
    differences = list(_told(record_json(stored), record_json(given)))
    if differences:
        raise ReplayError(
            f"trial {given.number}: the sampler now proposes something else than was logged: "
            f"{'; '.join(differences)[:1000]}. The study cannot go on under this key; "
            "use the library versions it was begun with, or give the study a new name"
        )


def refuse_other_outcome(given: TrialOutcome, stored: TrialOutcome) -> None:
    """Raises ReplayError when a trial that has an outcome comes back with another one; a metric more or less is none."""
    if given.digest == stored.digest:
        return
    old, new = map(record_json, told_by_both(stored, given))
    if differences := list(_told(old, new)):
        raise ReplayError(
            f"trial {given.key}: was computed again and differs from what is stored: {'; '.join(differences)[:1000]}. "
            "The stored outcome stays; `tracker reproduce` looks for the cause"
        )


def refuse_other_environment(one: Finished) -> None:
    """Raises EnvironmentChanged: outcomes of another CPU or device must not be stored under this one's keys."""
    if one.environment and one.environment != one.spec.environment:
        raise EnvironmentChanged(
            f"trial {one.spec.key[:12]} was computed in environment {one.environment[:12]}, planned in "
            f"{one.spec.environment[:12]}: nothing of it was stored. Run the same command again; where workers run on other "
            "machines, they need the same libraries and kind of CPU"
        )


def told_by_both(one: TrialOutcome, other: TrialOutcome) -> tuple[TrialOutcome, TrialOutcome]:
    """Two outcomes of one trial without the metrics of our table that only one of them has, in its curve or its kept epoch.

    A release that computes more metrics computes the same trial: such outcomes differ by nothing that both can tell.
    """
    curves = told_once(*({name for entry in outcome.history for name in entry} for outcome in (one, other)))
    kept = told_once(one.metrics, other.metrics)

    def without(outcome: TrialOutcome) -> TrialOutcome:
        history = tuple({n: v for n, v in entry.items() if n not in curves} for entry in outcome.history)
        return replace(outcome, history=history, metrics={n: v for n, v in outcome.metrics.items() if n not in kept})

    return without(one), without(other)


def _told(stored: Any, given: Any) -> Iterator[str]:
    for place, old, new in differences(stored, given):
        yield f"{place} was {old!r}, is {new!r}"
