"""Which hyperparameters a study's scores depend on: Optuna's importances, the same on every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import optuna

from tracker.records import StudySpec, Trial
from tracker.search.export import to_optuna
from tracker.search.optuna_border import optuna_border

FEWEST_TRIALS = {"fanova": 10, "ped_anova": 50}  # below that a forest sees noise, and a tenth is a handful
EVALUATORS: Mapping[str, Callable[[], optuna.importance.BaseImportanceEvaluator]] = MappingProxyType(
    {
        "fanova": lambda: optuna.importance.FanovaImportanceEvaluator(seed=0),
        "ped_anova": optuna.importance.PedAnovaImportanceEvaluator,
    }
)


def importances(
    spec: StudySpec, trials: Sequence[Trial], direction: str, method: str = "fanova"
) -> Mapping[str, float]:
    """The share of each hyperparameter that every complete trial has, largest first; shares add up to 1.

    `fanova`: of the variance of the value (Hutter, Hoos and Leyton-Brown, ICML 2014), by a forest with a seed of its own.
    `ped_anova`: of what tells the best tenth of the trials from all (Watanabe, Bansal and Hutter, IJCAI 2023). Both as Optuna
    computes them. Empty where there are fewer than FEWEST_TRIALS, or all are equal. The order of trials means nothing.
    """
    study = to_optuna(spec, trials, direction, None)
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    values = {trial.value for trial in study.get_trials(deepcopy=False) if trial.value is not None}
    if len(complete) < FEWEST_TRIALS[method] or len(values) < 2:
        return {}
    with optuna_border():
        return dict(optuna.importance.get_param_importances(study, evaluator=EVALUATORS[method]()))
