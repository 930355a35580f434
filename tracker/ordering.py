"""THE order of trials: what a trial is worth, and which stands before which, for whoever picks, ranks or lists them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeGuard, TypeVar

Trial = TypeVar("Trial")


class Standing(NamedTuple):
    """What decides a trial's place; value and loss as a record or a report tells them, None where undefined."""

    value: Any
    val_loss: Any
    study: str
    number: int


def best_first(trials: Iterable[Trial], standing: Callable[[Trial], Standing], direction: str) -> list[Trial]:
    """The trials that rank, best first; a trial whose value is no finite number does not rank.

    Ties go to the lower val_loss (an undefined one counts as infinite), then to the study's name, then to the lower
    number. `direction` is maximize or minimize.
    """
    known = [(standing(trial), trial) for trial in trials]
    ranked = [(_order(place, direction), trial) for place, trial in known if ranks(place.value)]
    return [trial for _, trial in sorted(ranked, key=lambda pair: pair[0])]


def ranks(value: object) -> TypeGuard[float]:
    """Whether a trial of this value has a place: a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def why_unranked(state: str, value: object, metric: str, reason: str | None) -> str | None:
    """Why a trial that ran to its end has no place, in a line; None where it has one, or was pruned."""
    if state == "complete":
        return None if ranks(value) else f"{metric} is undefined in its kept epoch"
    return (reason or "no reason is recorded").strip().splitlines()[0] if state == "failed" else None


def first_reason(reasons: Iterable[str | None]) -> str:
    """The first reason of several trials, and how many share it; empty where no trial has one."""
    known = [reason for reason in reasons if reason is not None]
    alike = sum(reason == known[0] for reason in known)
    return f"{known[0]}{f' ({alike} of {len(known)} alike)' if len(known) > 1 else ''}" if known else ""


def objective_value(state: str, metrics: Mapping[str, Any], metric: str) -> float | None:
    """The value of a trial by its objective's metric: that of the kept epoch; None unless complete and finite."""
    value = metrics.get(metric) if state == "complete" else None
    return value if ranks(value) else None


def _order(place: Standing, direction: str) -> tuple[float, float, str, int]:
    value = -place.value if direction == "maximize" else place.value
    loss = place.val_loss
    known = isinstance(loss, int | float) and not math.isnan(loss)
    return value, loss if known else math.inf, place.study, place.number
