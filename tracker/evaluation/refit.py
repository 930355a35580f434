"""The model of a choice that was made on folds: its configuration trained once more, on all rows of train and validation.

It has no rows left to be scored on, so nothing of its own is told as a score: what is known of the configuration are the
means over folds. Its length and its threshold, which rows that it has not seen must choose, are medians over the folds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracker.aggregation import RULE
from tracker.errors import InputError
from tracker.evaluation.ranked import RankedTrial, run_row
from tracker.records import THRESHOLD, StudySpec, Trial
from tracker.search.samplers import versions
from tracker.seeds import derive_seed
from tracker.studies.plan import StudyPlan
from tracker.studies.result import StudyResult

REFIT = "confirm.refit"  # a study of one run


@dataclass(frozen=True, slots=True)
class Refit:
    """The choice as it is scored: its row with the run that was trained on all rows; what that run was told."""

    scored: RankedTrial
    seed: int
    epochs: int
    best_epochs: tuple[int | None, ...]
    digest: str

    @property
    def json(self) -> dict[str, Any]:
        """The entry `refit` of `reports/ranking.json`."""
        return {
            "rows": "train and validation",
            "seed": self.seed,
            "key": self.scored.key,
            "epochs": self.epochs,
            "epochs_of_folds": list(self.best_epochs),
            "digest": self.digest,
        }


def plan_refit(study: StudySpec, trial: Trial, root_seed: int) -> StudyPlan:
    """The study that trains the configuration of a trial of folds once, on train and validation."""
    spec = trial.spec.on_validation
    plan = StudySpec(
        name=REFIT,
        family=spec.family,
        sampler={"name": "manual", "configurations": [dict(spec.params)]},
        space={"entries": []},
        fixed={},
        training=_training(trial),
        objective=dict(study.objective),
        generation=None,
        seed=derive_seed(root_seed, "confirm", "refit"),
        data=spec.data,
        environment=spec.environment,
        numerics=spec.numerics,
        versions=versions("manual"),
        code=spec.code,
        runs={"all": True, "rule": RULE},
    )
    return StudyPlan(plan, 1)


def refit_of(row: RankedTrial, trial: Trial, found: StudyResult) -> Refit:
    """What the planned study came to. Raises InputError where its run failed."""
    [one] = found.trials
    if one.state != "complete":
        raise InputError(
            f"{row.study}/{row.trial}, trained on train and validation, failed: {one.reason}; take refit out of its study"
        )
    spec, outcome = one.spec, one.outcome
    # its metrics and values stay those of its folds: the refitted run has seen validation
    run = run_row(row, spec, outcome)
    scored = replace(run, metrics=row.metrics, values=row.values, first_run=dict(outcome.metrics))
    epochs = tuple(run.best_epoch for run in trial.outcomes)
    return Refit(scored, spec.seed, int(spec.training["epochs"]), epochs, found.digest)


def _training(trial: Trial) -> Mapping[str, Any]:
    """The training of a trial without what needs rows that were not trained on."""
    training = trial.spec.training
    told = {**training, "early_stopping": None}
    epochs = [outcome.best_epoch for outcome in trial.outcomes if outcome.best_epoch is not None]
    if training.get("early_stopping") is not None:
        told["epochs"] = statistics.median_low(epochs)
    thresholds = [
        float(outcome.metrics[THRESHOLD] or 0.5) for outcome in trial.outcomes if THRESHOLD in outcome.metrics
    ]
    if thresholds:
        told["threshold"] = statistics.median(thresholds)
    return told
