"""Which hyperparameters a study's scores depend on: Optuna's importances, with a seed of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna

from tracker.records import StudySpec, Trial
from tracker.search.export import to_optuna
from tracker.search.optuna_border import optuna_border

FEWEST_TRIALS = 10  # below that a forest sees noise


def importances(spec: StudySpec, trials: Sequence[Trial], direction: str) -> Mapping[str, float]:
    """Share of the variance of the value that each hyperparameter explains, largest first; shares add up to 1.

    By fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) as Optuna computes it, of the hyperparameters that every complete
    trial has. Empty where there are fewer than FEWEST_TRIALS values, or all are equal.
    """
    study = to_optuna(spec, trials, direction, None)
    values = {trial.value for trial in study.get_trials(deepcopy=False) if trial.value is not None}
    if (
        len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))) < FEWEST_TRIALS
        or len(values) < 2
    ):
        return {}
    with optuna_border():
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
