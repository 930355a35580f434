"""THE order of trials: what a trial is worth, and which stands before which, for whoever picks, ranks or lists them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard, TypeVar

Trial = TypeVar("Trial")
FOUND = ", found "  # in the reason of a trial that breaks a limit, before what it has


class Standing(NamedTuple):
    """What decides a trial's place; value and loss as a record or a report tells them, None where undefined.

    `ties` are the values of further objectives, the lower the better.
    """

    value: Any
    val_loss: Any
    study: str
    number: int
    ties: tuple[float | None, ...] = ()


def best_first(trials: Iterable[Trial], standing: Callable[[Trial], Standing], direction: str) -> list[Trial]:
    """The trials that rank, best first; a trial whose value is no finite number does not rank.

    Ties go to the better further objective, where there are several, to the lower val_loss (an undefined one counts as
    infinite), then to the study's name, then to the lower number. `direction` is maximize or minimize. The further objectives
    of all trials are the same ones (`common_further`); one that is not known counts as infinite.
    """
    known = [(standing(trial), trial) for trial in trials]
    ranked = [(_order(place, direction), trial) for place, trial in known if ranks(place.value)]
    return [trial for _, trial in sorted(ranked, key=lambda pair: pair[0])]


def has_place(trial: Mapping[str, Any]) -> bool:
    """Whether a trial, as a report tells it, is ranked: complete, every value a finite number, no constraint broken."""
    whole = all(map(ranks, trial.get("values", [trial["value"]])))
    return bool(trial["state"] == "complete" and whole and not trial.get("breaks"))


def reason_of(trial: Mapping[str, Any], metric: str) -> str | None:
    """Why a trial, as a report tells it, has no place; see `why_unranked`."""
    value = trial["value"] if has_place(trial) or not ranks(trial["value"]) else None
    named = metric if not ranks(trial["value"]) else "a further objective"
    return why_unranked(trial["state"], value, named, trial.get("reason"), trial.get("breaks") or ())


def common_further(further: Iterable[Sequence[Mapping[str, str]]]) -> Sequence[Mapping[str, str]]:
    """The objectives behind the first that decide among trials of several studies; none where studies have other ones."""
    told: list[Sequence[Mapping[str, str]]] = []
    for goals in further:
        if goals and list(goals) not in told:
            told.append(list(goals))
    return told[0] if len(told) == 1 else ()


def ties_of(
    trial: Mapping[str, Any], own: Sequence[Mapping[str, str]], common: Sequence[Mapping[str, str]]
) -> tuple[float | None, ...]:
    """What decides between equal values of a trial, as a report tells it: None where its study does not know an objective."""
    return better_low(trial["values"][1:], own) if own and common else (None,) * len(common)


def ranks(value: object) -> TypeGuard[float]:
    """Whether a trial of this value has a place: a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def better_low(values: Sequence[float | None], objectives: Sequence[Mapping[str, str]]) -> tuple[float | None, ...]:
    """The values of objectives with their sign turned where more is better."""
    return tuple(
        -value if value is not None and goal["direction"] == "maximize" else value
        for value, goal in zip(values, objectives, strict=True)
    )


def on_front(rows: Sequence[Sequence[float]]) -> list[int]:
    """The places of the rows that no other dominates (Pareto), in their order; lower is better in each column.

    One dominates another where it is no worse in any column and better in one, so equal rows stand together.
    """
    front: list[int] = []
    for place in sorted(range(len(rows)), key=lambda place: tuple(rows[place])):  # what dominates a row comes before it
        row = tuple(rows[place])
        if not any(dominates(rows[other], row) for other in front):
            front.append(place)
    return sorted(front)


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether a row is nowhere worse than another, and somewhere better; lower is better."""
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))


def why_unranked(state: str, value: object, metric: str, reason: str | None, breaks: Sequence[str] = ()) -> str | None:
    """Why a trial that ran to its end has no place, in a line; None where it has one, or was pruned."""
    if state == "complete" and breaks:
        return f"breaks {'; '.join(breaks)}"
    if state == "complete":
        return None if ranks(value) else f"{metric} is undefined in its kept epoch"
    return (reason or "no reason is recorded").strip().splitlines()[0] if state == "failed" else None


def first_reason(reasons: Iterable[str | None]) -> str:
    """The first reason of several trials, and how many share it, whatever each found; empty where no trial has one."""
    known = [reason for reason in reasons if reason is not None]
    alike = sum(reason.partition(FOUND)[0] == known[0].partition(FOUND)[0] for reason in known)
    return f"{known[0]}{f' ({alike} of {len(known)} alike)' if len(known) > 1 else ''}" if known else ""


def objective_value(state: str, metrics: Mapping[str, Any], metric: str) -> float | None:
    """The value of a trial by its objective's metric: that of the kept epoch; None unless complete and finite."""
    value = metrics.get(metric) if state == "complete" else None
    return value if ranks(value) else None


def _order(place: Standing, direction: str) -> tuple[float, tuple[float, ...], float, str, int]:
    value = -place.value if direction == "maximize" else place.value
    loss = place.val_loss
    known = isinstance(loss, int | float) and not math.isnan(loss)
    ties = tuple(float(tie) if ranks(tie) else math.inf for tie in place.ties)
    return value, ties, loss if known else math.inf, place.study, place.number
