"""What is wrong with the objectives, constraints and rule of choice that a configuration declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracker.config.asked import further_objectives, named_metrics, next_objectives
from tracker.config.entries import Entries
from tracker.config.goals import costs_of
from tracker.config.metric_faults import metric_faults
from tracker.config.study import Study
from tracker.goals import COSTS, PARAMETERS, constraint_text
from tracker.hyperparameters import BUILT, COUNTED, FAMILIES
from tracker.metrics import metric_of


def goal_name_faults(config: Entries) -> Iterator[str]:
    """What objectives and constraints name that is not there, or that does not fit the project's own objective."""
    first = config.objective
    for name, study in config.studies.items():
        place = config.place(name)
        for entry, metric in named_metrics(study):
            if metric not in COSTS:
                yield from metric_faults(config, f"{place}.{entry}", metric)
            elif metric not in costs_of(config.model.family):
                able = BUILT if metric == PARAMETERS else COUNTED
                yield (
                    f"{place}.{entry}: {metric} is counted of networks of {', '.join(able)}, not of family "
                    f"{config.model.family}; take it out"
                )
        if FAMILIES[config.model.family].metrics == "ours":
            yield from (f"{place}.constraints: {fault}" for fault in _out_of_reach(study))
        goal = study.objectives[0] if study.objectives else None
        if goal is not None and (goal.metric, goal.direction) != (first.metric, first.direction):
            yield (
                f"{place}.objectives: the first is what studies are ranked by, objective: {first.direction} {first.metric}; "
                f"found {goal.direction} {goal.metric}"
            )
    for name, refinement in config.refinements.items():
        if config.studies[refinement.refine].objectives:
            yield (
                f"refinements.{name}.refine: {refinement.refine} has several objectives, so its best trials are a front and "
                "no place to search more closely; refine a study of one"
            )


def _out_of_reach(study: Study) -> Iterator[str]:
    """Limits that no value of a proportion can keep; those that a loop of the user's own yields may be percent."""
    for one in study.constraints:
        bare = re.sub("^val_(robust_)?", "", str(one["metric"]))
        row = metric_of(bare) if bare != one["metric"] else None
        if row is not None and row.proportion and (one.get("least", 0.0) > 1 or one.get("most", 0.0) < 0):
            yield f"{constraint_text(one)} never holds: {one['metric']} lies between 0 and 1"


def prefer_faults(config: Entries) -> Iterator[str]:
    """What a rule of choice needs and does not find."""
    rule, several = config.compare.prefer, {name: one for name, one in config.studies.items() if one.objectives}
    if isinstance(rule, str):
        if rule != "best" and config.model.family not in COUNTED:
            by_parameters = (
                f"say {{within: ties}}, and objectives: [{config.objective.metric}, {PARAMETERS}] of a study"
            )
            yield (
                f"compare.prefer: {rule} counts the parameters of {', '.join(COUNTED)}, not those of {config.model.family}; "
                f"{by_parameters if costs_of(config.model.family) else 'take it out'}"
            )
    elif not several:
        yield "compare.prefer: within takes the best by the next objective, and no study has objectives; give one some"
    elif others := [name for name, study in several.items() if further_objectives(study) != next_objectives(config)]:
        first = next(iter(several))
        yield f"compare.prefer: within needs one next objective; {first} and {', '.join(others)} have other objectives"
