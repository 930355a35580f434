"""Decisions of rungs: what is stored stays, what is new is added, whoever brings it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracking.studies import begin, finished, proposal
from tracker.errors import ReplayError
from tracker.records import Proposal, TrialOutcome
from tracker.store.store import Store
from tracker.store.stored import Decision, Finished
from tracker.studies.adopt import put_decisions
from tracker.training.early_stopping import paused_outcome


def stopped(planned: Proposal, epochs: int = 1) -> Finished:
    """A trial as it was after some epochs."""
    one = finished(planned)
    return replace(one, outcome=paused_outcome(planned.spec.key, one.outcome.history[:epochs]), weights=None)


@pytest.fixture
def study(tmp_path: Path) -> tuple[Store, str, list[Proposal]]:
    """A study of twelve proposals in generations of four."""
    store, key = begin(tmp_path / "store")
    planned = [proposal(number) for number in range(12)]
    store.put_proposals(key, planned)
    return store, key, planned


def test_a_generation_that_grew_elsewhere_keeps_every_stop(study: tuple[Store, str, list[Proposal]]) -> None:
    """A decision that came from a longer study adds what is new to the one that stands here, and changes nothing."""
    store, key, planned = study
    store.put_outcomes(key, [stopped(planned[8])], [8], Decision(2, 1, (8,), (9,)))
    put_decisions(store, key, [(one, (stopped(one).outcome,)) for one in (planned[8], planned[10])])
    store.put_outcomes(key, [stopped(planned[10])], [10])
    assert {1: {8: True, 9: False, 10: True}} == store.decisions(key, 2)
    assert "paused" == store.trial(key, 10).outcomes[0].state
    put_decisions(store, key, [(planned[8], (stopped(planned[8]).outcome,))])
    assert {8: 1, 10: 1} == store.stopped(key, 2)


def test_a_decision_that_contradicts_is_refused(study: tuple[Store, str, list[Proposal]]) -> None:
    """Whether a trial stops after an epoch is decided once."""
    store, key, planned = study
    store.put_outcomes(key, [stopped(planned[8])], [8], Decision(2, 1, (8,), (9,)))
    with pytest.raises(ReplayError, match="trial 9, epoch 1: whether it stops there was decided otherwise before"):
        store.put_outcomes(key, [stopped(planned[9])], [9], Decision(2, 1, (9,)))
    assert {8: 1} == store.stopped(key, 2)


def test_a_stop_is_there_before_its_trial_is_queued(study: tuple[Store, str, list[Proposal]]) -> None:
    """Of a study that has not ended elsewhere, stopped trials are settled here all the same."""
    store, key, planned = study
    outcome: TrialOutcome = stopped(planned[4]).outcome
    put_decisions(store, key, [(planned[4], (outcome,)), (planned[5], (finished(planned[5]).outcome,))])
    store.put_outcomes(key, [stopped(planned[4]), finished(planned[5])], [4, 5])
    assert ["paused", "complete"] == [store.trial(key, number).outcomes[0].state for number in (4, 5)]
