"""Several objectives and constraints of a study, and which of equals is chosen: what params.yaml may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from tracker.config.base import Part
from tracker.goals import COSTS, PARAMETERS, constraint_from, constraint_text, is_constraint
from tracker.hyperparameters import BUILT, COUNTED
from tracker.metrics import Direction, direction_of
from tracker.shown import meant


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


def costs_of(family: str) -> tuple[str, ...]:
    """The costs of a family that are known: of a network of the user's own its parameters, not what its code multiplies."""
    return tuple(COSTS) if family in COUNTED else (PARAMETERS,) if family in BUILT else ()
