"""Several objectives and constraints of a study, and which of equals is chosen: what params.yaml says, and what fits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from tracker.config.base import Part
from tracker.goals import COSTS, PARAMETERS, constraint_from, constraint_text, is_constraint
from tracker.hyperparameters import BUILT, COUNTED, FAMILIES
from tracker.metrics import Direction, direction_of, metric_of
from tracker.sampler_table import SAMPLERS
from tracker.shown import meant

if TYPE_CHECKING:
    from tracker.config.parts import Study
    from tracker.config.settings import Config


def _direction(given: Mapping[str, Any]) -> Direction:
    metric = str(given.get("metric"))
    return "minimize" if metric in COSTS else direction_of(metric)


class Goal(Part):
    """One of several objectives: a metric of the kept epoch, or what a configuration costs; the name alone will do."""

    metric: str
    direction: Direction = Field(default_factory=_direction)


def _named(value: Any) -> Any:
    return {"metric": value} if isinstance(value, str) else value


def _constraint(value: Any) -> Any:
    """A text, or what was read from one before."""
    return constraint_from(constraint_text(value) if is_constraint(value) else str(value))


def _within(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "ties" and not (number and 0 <= value < math.inf):
        near = meant(value, ["ties"])
        raise ValueError(f"expected ties, or how much worse a score may be, such as 0.01, found {value!r}{near}")
    return float(value) if number else value


Objectives = Annotated[tuple[Annotated[Goal, BeforeValidator(_named)], ...], Field(strict=False)]
Constraints = Annotated[tuple[Annotated[Mapping[str, Any], BeforeValidator(_constraint)], ...], Field(strict=False)]


class Within(Part):
    """Of the trials whose objective is at most so much worse than the best one's, or ties of it, the best by the next one."""

    within: Annotated[float | Literal["ties"], Field(union_mode="left_to_right"), BeforeValidator(_within)]


def _rule(value: Any) -> Any:
    if value not in RULES:
        raise ValueError(f"expected {', '.join(RULES)} or {{within: 0.01}}, found {value!r}{meant(value, RULES)}")
    return value


RULES = ("best", "simplest", "cheapest")
Prefer = Annotated[
    Annotated[Literal["best", "simplest", "cheapest"], BeforeValidator(_rule), Tag("<word>")]
    | Annotated[Within, Tag("<within>")],
    Discriminator(lambda value: "<within>" if isinstance(value, Mapping | Within) else "<word>"),
]


def goal_faults(study: Study) -> dict[str, bool]:
    """What cannot be said together of the objectives of a study."""
    several, row = bool(study.objectives), SAMPLERS[study.sampler]
    able = ", ".join(other.name for other in SAMPLERS.values() if other.several)
    metrics = [goal.metric for goal in study.objectives]
    folds = study.cross_validation
    return {
        "objectives: give two or more; one alone is the project's objective": several and len(metrics) < 2,
        f"objectives: {', '.join(metrics)}: each metric once": len(set(metrics)) < len(metrics),
        f"sampler {row.name} takes one objective; several are for {able}": several and not row.several,
        "pruner and objectives cannot go together: a rung compares one value": several and study.pruner is not None,
        "cross_validation.prune and objectives cannot go together: it compares one value": (
            several and folds is not None and folds.prunes
        ),
        **dict.fromkeys(_contradictions(study), True),
    }


def _contradictions(study: Study) -> Iterator[str]:
    for most in (one for one in study.constraints if "most" in one):
        for least in (one for one in study.constraints if "least" in one and one["metric"] == most["metric"]):
            if least["least"] > most["most"]:
                texts = f"{constraint_text(most)} and {constraint_text(least)}"
                yield f"constraints: {texts} cannot both hold; change one"


def goal_name_faults(config: Config) -> Iterator[str]:
    """What objectives and constraints name that is not there, or that does not fit the project's own objective."""
    from tracker.config.metrics import metric_faults

    first = config.objective
    for name, study in config.studies.items():
        place = config.place(name)
        for entry, metric in _named_metrics(study):
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


def next_objectives(config: Config) -> list[dict[str, str]]:
    """Metric and direction of the objectives behind the first, of the first study that has such."""
    return next((_further(study) for study in config.studies.values() if study.objectives), [])


def _further(study: Study) -> list[dict[str, str]]:
    return [goal.model_dump(mode="json") for goal in study.objectives[1:]]


def prefer_faults(config: Config) -> Iterator[str]:
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
    elif others := [name for name, study in several.items() if _further(study) != next_objectives(config)]:
        first = next(iter(several))
        yield f"compare.prefer: within needs one next objective; {first} and {', '.join(others)} have other objectives"


def costs_wanted(config: Config, study: str) -> list[str]:
    """The costs that a study names, in the order of the table."""
    named = {metric for _, metric in _named_metrics(config.studies[study])}
    return [cost for cost in COSTS if cost in named]


def metrics_wanted(config: Config, study: str | None = None) -> list[str]:
    """The metrics that the objectives and constraints of a study (None: of any) name, costs apart."""
    studies = config.studies.values() if study is None else [config.studies[study]]
    return [metric for one in studies for _, metric in _named_metrics(one) if metric not in COSTS]


def costs_of(family: str) -> tuple[str, ...]:
    """The costs of a family that are known: of a network of the user's own its parameters, not what its code multiplies."""
    return tuple(COSTS) if family in COUNTED else (PARAMETERS,) if family in BUILT else ()


def _named_metrics(study: Study) -> Iterator[tuple[str, str]]:
    yield from (("objectives", goal.metric) for goal in study.objectives)
    yield from (("constraints", str(one["metric"])) for one in study.constraints)
