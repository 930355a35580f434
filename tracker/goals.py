"""What a study may want beside its objective: what a configuration costs, and constraints, in words and in numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Metrics of a run that follow from its configuration, its rows and its epochs alone: no clock decides.
PARAMETERS = "parameters"
COSTS: Mapping[str, str] = {
    PARAMETERS: "numbers that training sets",
    "training_flops": "operations of training: six per multiplication of a row, over all its rows and epochs",
}
UNKNOWN = 1e6  # how far a constraint counts as broken whose metric is undefined
_FORM = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=)\s*([^\s<>=]+)\s*")
_SIDES = {"<=": "most", ">=": "least"}


def constraint_from(text: str) -> dict[str, Any]:
    """`parameters <= 20000` as `{metric: parameters, most: 20000.0}`; `>=` gives `least`. Raises ValueError."""
    found = _FORM.fullmatch(text)
    try:
        limit = float(found[3]) if found else math.nan
    except ValueError:
        limit = math.nan
    if found is None or not math.isfinite(limit):
        other = re.sub("<=?|=<", "<=", re.sub(">=?|=>", ">=", text, count=1), count=1)
        hint = f"; did you mean {other.strip()}?" if other != text and _FORM.fullmatch(other) else ""
        raise ValueError(f"expected METRIC <= NUMBER or METRIC >= NUMBER, found {text!r}{hint}")
    return {"metric": found[1], _SIDES[found[2]]: limit}


def constraint_text(constraint: Mapping[str, Any]) -> str:
    """The words that `constraint_from` reads."""
    limit = _limit(constraint)
    exact = str(int(limit)) if limit.is_integer() and abs(limit) < 1e15 else repr(limit)
    return f"{constraint['metric']} {'<=' if 'most' in constraint else '>='} {exact}"


def is_constraint(value: Any) -> bool:
    """Whether a value is what `constraint_from` gives."""
    sides = [("metric", side) for side in _SIDES.values()]
    return isinstance(value, Mapping) and tuple(value) in sides and type([*value.values()][1]) is float


def excess(constraint: Mapping[str, Any], metrics: Mapping[str, float | None]) -> float:
    """How far a trial is beyond a limit, in parts of the limit's size; 0 or less: it holds."""
    value, limit = metrics.get(str(constraint["metric"])), _limit(constraint)
    if value is None or not math.isfinite(value):
        return UNKNOWN
    beyond = value - limit if "most" in constraint else limit - value
    return beyond / abs(limit) if limit else beyond


def broken(constraints: Iterable[Mapping[str, Any]], metrics: Mapping[str, float | None]) -> tuple[str, ...]:
    """The constraints that a trial breaks, with what it has in their place; an undefined metric breaks its own."""
    return tuple(
        f"{constraint_text(one)}, found {number_text(metrics.get(str(one['metric'])))}"
        for one in constraints
        if excess(one, metrics) > 0
    )


def number_text(value: float | None) -> str:
    """A number as people write it: whole ones without a point, scores with four digits."""
    if value is None or not math.isfinite(value):
        return "undefined"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def goals_text(objectives: Sequence[Mapping[str, str]]) -> str:
    """`maximize val_f1, minimize parameters`."""
    return ", ".join(f"{goal['direction']} {goal['metric']}" for goal in objectives)


def goal_params(
    objectives: Sequence[Mapping[str, str]], constraints: Sequence[Mapping[str, Any]]
) -> dict[str, str | None]:
    """What MLflow shows of several objectives and of constraints; None where there are none."""
    limits = ", ".join(map(constraint_text, constraints))
    return {"objectives": goals_text(objectives) if len(objectives) > 1 else None, "constraints": limits or None}


def front_words(count: int) -> str:
    """How many trials a front has."""
    if count == 1:
        return "1 trial, the best in all objectives"
    return f"{count or 'no'} trials that no other one is better than in all objectives"


def _limit(constraint: Mapping[str, Any]) -> float:
    return float(constraint["most"] if "most" in constraint else constraint["least"])
