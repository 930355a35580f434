"""Which hyperparameters a study's scores depend on: Optuna's importances, the same on every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from types import MappingProxyType

import optuna

from tracker.records import StudySpec, Trial
from tracker.search.export import to_optuna
from tracker.search.optuna_border import optuna_border

FEWEST_TRIALS = {"fanova": 10, "ped_anova": 50}  # below that a forest sees noise, and a tenth is a handful
MOST_TRIALS = {"fanova": 400}  # over 1,000 trials its trees took two thirds of the time of a report
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
    computes them. Empty where there are fewer than FEWEST_TRIALS, or all are equal. The order of trials means nothing. Of more
    than MOST_TRIALS the method sees so many, evenly spread over their numbers. Of several objectives it sees the first.
    """
    seen = [replace(one, values=one.values[:1]) for one in _spread(trials, MOST_TRIALS.get(method, len(trials)))]
    study = to_optuna(replace(spec, further=(), constraints=()), seen, direction, None)
    told = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(told) < FEWEST_TRIALS[method] or len({trial.value for trial in told}) < 2:
        return {}
    with optuna_border():
        return dict(optuna.importance.get_param_importances(study, evaluator=EVALUATORS[method]()))


def _spread(trials: Sequence[Trial], most: int) -> Sequence[Trial]:
    """The complete trials with a value, or as many as `most` of them, evenly spread."""
    told = sorted(
        (one for one in trials if one.state == "complete" and one.value is not None), key=attrgetter("number")
    )
    return told if len(told) <= most else [told[place * len(told) // most] for place in range(most)]
