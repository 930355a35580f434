"""One order of trials, and everybody who picks, ranks or lists them asks it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracking.studies import PROVENANCE, STARTED, finished, proposal, study_spec
from tracker.evaluation.ranking import rank_trials
from tracker.ordering import Standing, best_first, common_further, objective_value, ties_of
from tracker.records import StudySpec
from tracker.store.store import Store
from tracker.studies.report import study_report
from tracker.studies.result import StudyResult, study_result
from tracker.terminal.leaderboard import leaderboard
from tracker.tracking.run_models import best_numbers

VALUES = [0.5, 0.5, 0.5, 0.7, -0.0, 0.0, None, math.nan, math.inf, -math.inf]
LOSSES = [0.1, 0.1, 0.2, None, math.nan, math.inf]


def random_study(rng: np.random.Generator, name: str, direction: str) -> StudyResult:
    """A study of 3 to 12 trials with ties, gaps and numbers that are not finite; some failed, some without a val_loss."""
    spec: StudySpec = dataclasses.replace(study_spec(name), objective={"metric": "val_f1", "direction": direction})
    planned, outcomes = [proposal(number, name) for number in range(int(rng.integers(3, 13)))], []
    for one in planned:
        metrics = {"val_f1": VALUES[rng.integers(len(VALUES))], "val_loss": LOSSES[rng.integers(len(LOSSES))]}
        kept = {key: metrics[key] for key in metrics if key == "val_f1" or rng.random() < 0.8}
        state = "failed" if rng.random() < 0.15 else "complete"
        outcomes.append([finished(one, state=state, metrics=kept, history=()).outcome])
    return study_result(spec, planned, outcomes)


def stored_best(result: StudyResult, folder: Path) -> list[int]:
    """Whose models go to MLflow, best first."""
    with Store.open(folder, lambda: STARTED) as store:
        key = store.put_study(result.spec, PROVENANCE)
        proposals = [trial.proposal for trial in result.trials]
        store.put_proposals(key, proposals)
        ends = [
            dataclasses.replace(finished(p), outcome=t.outcome) for p, t in zip(proposals, result.trials, strict=True)
        ]
        store.put_outcomes(key, ends, [proposal.number for proposal in proposals])
        return best_numbers(store, key, len(ends))


@pytest.mark.parametrize("seed", range(12))
def test_all_who_order_trials_agree(tmp_path: Path, seed: int) -> None:
    """A study's best, the models of its best, the ranking and `runs` have one order, of whatever values and losses."""
    rng, direction = np.random.default_rng(seed), ("maximize", "minimize")[seed % 2]
    studies = [random_study(rng, name, direction) for name in ("b", "a")]
    for result in studies:
        (tmp_path / f"{result.spec.name}.json").write_text(json.dumps(study_report(result)))
    listed = leaderboard(tmp_path, None, "value")
    ranked = [(row.study, row.trial) for row in rank_trials(tmp_path).rows]
    assert ranked == [(row["study"], row["trial"]) for row in listed][: len(ranked)]
    for result in studies:
        own = [number for study, number in ranked if study == result.spec.name]
        assert own == stored_best(result, tmp_path / f"store-{result.spec.name}")
        assert own[:1] == ([] if result.best is None else [result.best.number])
    worth = {t.number: t for result in studies for t in result.trials if result.spec.name == ranked[0][0]}
    assert math.isfinite(worth[ranked[0][1]].outcome.metrics["val_f1"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0.7, 0.9, "b", 9), (0.6, 0.1, "a", 0)),
        ((0.7, 0.1, "b", 9), (0.7, 0.2, "a", 0)),
        ((0.7, 5.0, "b", 9), (0.7, None, "a", 0)),
        ((0.7, math.nan, "a", 9), (0.7, None, "b", 0)),
        ((0.7, math.inf, "a", 0), (0.7, math.nan, "a", 9)),
    ],
)
def test_value_then_loss_then_study_then_number(first: Any, second: Any) -> None:
    """The better value; of equal ones the lower loss, an undefined one last; then the study's name; then the number."""
    places = [Standing(*first), Standing(*second)]
    for order in (places, places[::-1]):
        assert places == best_first(order, lambda place: place, "maximize")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "0.5"])
def test_what_is_no_finite_number_does_not_rank(value: Any) -> None:
    """Whatever the direction, such a trial has no place."""
    places = [Standing(value, 0.0, "a", 0), Standing(0.1, None, "a", 1)]
    for direction in ("maximize", "minimize"):
        assert places[1:] == best_first(places, lambda place: place, direction)


def test_a_trial_is_worth_its_kept_metric_once_it_is_complete() -> None:
    """None where it failed, was pruned, lacks the metric or the metric is no finite number."""
    assert 0.5 == objective_value("complete", {"val_f1": 0.5}, "val_f1")
    assert [None] * 5 == [
        objective_value("failed", {"val_f1": 0.5}, "val_f1"),
        objective_value("pruned", {"val_f1": 0.5}, "val_f1"),
        objective_value("complete", {}, "val_f1"),
        objective_value("complete", {"val_f1": None}, "val_f1"),
        objective_value("complete", {"val_f1": math.inf}, "val_f1"),
    ]


def test_further_objectives_decide_where_all_studies_have_the_same() -> None:
    """A trial that does not know them comes behind; where studies have other ones, none of them decides."""
    cost, score = {"metric": "parameters", "direction": "minimize"}, {"metric": "val_recall", "direction": "maximize"}
    assert [cost] == common_further([[cost], (), [cost]])
    assert () == common_further([[cost], [score]]) == common_further([(), ()])
    known, unknown = {"values": [0.9, 300.0]}, {"value": 0.9}
    assert ((300.0,), (None,)) == (ties_of(known, [cost], [cost]), ties_of(unknown, (), [cost]))
    assert () == ties_of(known, [cost], ())
    places = [
        Standing(0.9, 0.1, "plain", 0, (None,)),
        Standing(0.9, 0.3, "front", 1, (300.0,)),
        Standing(0.9, 0.2, "front", 2, (500.0,)),
    ]
    assert ["front", "front", "plain"] == [one.study for one in best_first(places, lambda one: one, "maximize")]
