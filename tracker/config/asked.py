"""What the studies of a configuration ask for: objectives, costs, metrics, and functions of the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracker.config.entries import Entries
from tracker.config.model import ENTRY
from tracker.config.study import Study
from tracker.goals import COSTS
from tracker.metrics import asked_of, in_order


def next_objectives(config: Entries) -> list[dict[str, str]]:
    """Metric and direction of the objectives behind the first, of the first study that has such."""
    return next((further_objectives(study) for study in config.studies.values() if study.objectives), [])


def further_objectives(study: Study) -> list[dict[str, str]]:
    """Metric and direction of the objectives behind the first."""
    return [goal.model_dump(mode="json") for goal in study.objectives[1:]]


def costs_wanted(config: Entries, study: str) -> list[str]:
    """The costs that a study names, in the order of the table."""
    named = {metric for _, metric in named_metrics(config.studies[study])}
    return [cost for cost in COSTS if cost in named]


def metrics_wanted(config: Entries, study: str | None = None) -> list[str]:
    """The metrics that the objectives and constraints of a study (None: of any) name, costs apart."""
    studies = config.studies.values() if study is None else [config.studies[study]]
    return [metric for one in studies for _, metric in named_metrics(one) if metric not in COSTS]


def named_metrics(study: Study) -> Iterator[tuple[str, str]]:
    """What the objectives and constraints of a study name, costs among them: the entry, and the metric."""
    yield from (("objectives", goal.metric) for goal in study.objectives)
    yield from (("constraints", str(one["metric"])) for one in study.constraints)


def asked_metrics(config: Entries, study: str | None = None) -> list[str]:
    """The metrics that a study (None: any) asks for beside those that all have, in the order of the table."""
    training = config.training if study is None else config.training_of(study)
    stopping = training.early_stopping
    named = [config.objective.metric, stopping.monitor if stopping else "", *metrics_wanted(config, study)]
    return in_order([*asked_of(named), *training.metrics])


def own_metrics(config: Entries, study: str | None = None) -> dict[str, str]:
    """The entries `module:function` that a study (None: any) asks for, by the function's name, which is the metric's.

    What decides, or stops training early, is asked for though a study has `training.metrics` of its own.
    """
    known = {entry.partition(":")[2]: entry for entry in own_entries(config)}
    if study is None:
        return known
    training = config.training_of(study)
    named = {config.objective.metric, training.early_stopping.monitor if training.early_stopping else ""}
    named.update(metrics_wanted(config, study))
    return {name: one for name, one in sorted(known.items()) if one in training.metrics or f"val_{name}" in named}


def own_entries(config: Entries) -> list[str]:
    """Every `module:function` among the metrics of the common training and of the studies' own."""
    own = (study.training.get("metrics") or () for study in config.studies.values() if study.training)
    given = [*config.training.metrics, *(metric for metrics in own for metric in metrics)]
    return [entry for entry in given if isinstance(entry, str) and re.fullmatch(ENTRY, entry)]
