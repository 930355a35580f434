"""Which trial a declared rule took of those that are as good as the best: as a value, in a report, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.evaluation.ranked import RankedTrial
from tracker.goals import COSTS, number_text
from tracker.metrics import CURVES

RULES = {"simplest": "parameters", "cheapest": "multiplications"}  # what is least
NEXT = "next"  # the best by the next objective
TIES = "ties"


@dataclass(frozen=True, slots=True)
class Weight:
    """What a trial is held against: numbers that its training set, and multiplications that training it took."""

    parameters: int
    multiplications: int

    @property
    def json(self) -> dict[str, int]:
        """As `ranking.json` has it."""
        return {"parameters": self.parameters, "multiplications": self.multiplications}


@dataclass(frozen=True, slots=True)
class Preference:
    """The preferred trial, the best one, and how many could have been taken, these two among them.

    `alike` is 1, and `row` the best one, where none is known to be as good: there, too, where no interval is to be had.
    """

    rule: str
    row: RankedTrial
    best: RankedTrial
    alike: int
    weights: Mapping[str, Weight]  # by key
    within: float | str = TIES  # how much worse is as good, where that is declared
    following: Sequence[Mapping[str, str]] = ()  # the objectives that decide, where they do

    @property
    def json(self) -> dict[str, Any]:
        """The entry `preferred` of `reports/ranking.json`."""
        pair = {"row": self.row, "best": self.best}
        if self.rule == NEXT:
            names = [goal["metric"] for goal in self.following]
            rows = {who: {**row.place, **{name: row.metrics.get(name) for name in names}} for who, row in pair.items()}
            return {"rule": NEXT, "within": self.within, "next": names, "alike": self.alike, **rows}
        told = {who: {**row.place, **self.weights[row.key].json} for who, row in pair.items()}
        return {"rule": self.rule, "least": RULES[self.rule], "alike": self.alike, **told}


def preferred_lines(told: Mapping[str, Any], metric: str, *, confirmed: bool = False) -> list[str]:
    """What the rule took and what it passed over, for people, from the entry `preferred` of `ranking.json`.

    Of what was confirmed the rule takes one, by its mean; of all trials, as they were found, where nothing was.
    """
    whose = "confirmed, by their means," if confirmed else "that"
    if told["rule"] == NEXT:
        return _next_lines(told, metric, whose)
    row, best, least = told["row"], told["best"], told["least"]
    name = f"{row['study']}/{row['trial']}"
    if told["alike"] == 1:
        return [f"preferred: {name}, the best: no other is as good as far as these rows tell ({told['rule']})"]
    of, count = f"{told['alike']} {whose} rows cannot tell apart", f"{row[least]:,} {least}"
    if row["key"] == best["key"]:
        return [f"preferred: {name}, the best, is also the {told['rule']} of {of}: {count}"]
    found = f"{metric} as found {_digits(row)} and {_digits(best)}"
    return [
        f"preferred: {name}, the {told['rule']} of {of}: {count}",
        f"           the best of them, {best['study']}/{best['trial']}: {best[least]:,}; {found}",
    ]


def _next_lines(told: Mapping[str, Any], metric: str, whose: str) -> list[str]:
    row, best, second = told["row"], told["best"], told["next"][0]
    name, near = f"{row['study']}/{row['trial']}", near_words(told, metric)
    if told["alike"] == 1:
        return [f"preferred: {name}, the best: no other is {near}"]
    words = f"preferred: {name}, the best by {second} of {told['alike']} {whose} are {near}: {_told(row, second)}"
    if row["key"] == best["key"]:
        return [f"{words}; it is the best by {metric}, too"]
    found = f"{metric} as found {_digits(row)} and {_digits(best)}"
    return [
        words,
        f"           the best by {metric}, {best['study']}/{best['trial']}: {_told(best, second)}; {found}",
    ]


def _told(row: Mapping[str, Any], metric: str) -> str:
    """The value; where there is none, whether it is undefined, or was not computed: of what not every study computes."""
    if row[metric] is not None or metric in CURVES:
        return number_text(row[metric])
    if metric in COSTS:  # they are always defined; a study without objectives counts none
        return f"{metric} not known ({row['study']} has no objectives)"
    return f"{metric} not known ({row['study']} did not ask for it, or it is undefined there)"


def near_words(told: Mapping[str, Any], metric: str) -> str:
    """What is as good as the best by the rule `next`, from the entry `preferred` of `ranking.json`."""
    return "ties of the best" if told["within"] == TIES else f"within {told['within']:g} of the best {metric}"


def preferred_criterion(told: Mapping[str, Any], metric: str, best: str) -> str:
    """By what the rule chose, where `best` says which is the best."""
    if told["rule"] == NEXT:
        return f"the best {told['next'][0]} of those that are {near_words(told, metric)}: {best}"
    return f"the fewest {told['least']} of those that these rows cannot tell from the one with {best}"


def preferred_words(told: Mapping[str, Any]) -> str:
    """The same in short."""
    row = told["row"]
    if told["rule"] == NEXT:
        return f"preferred: {row['study']}/{row['trial']}, the best by {told['next'][0]} of {told['alike']}"
    return f"preferred: {row['study']}/{row['trial']}, the {told['rule']} of {told['alike']}"


def _digits(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.4f}" if math.isfinite(row["value"]) else "undefined"
