"""Which of several trials that are as good as the best is taken: by a declared rule another than the best.

It is the simplest or the cheapest of what rows cannot tell apart, or the best by the next objective of what is near enough.

The rule needs what every study has on disk: records, and the description of its model. No clock and no score decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracker.evaluation.contenders import StudyRecords
from tracker.evaluation.files import read_report
from tracker.evaluation.ranking import RankedTrial, Ranking
from tracker.fields import model as model_shape
from tracker.goals import COSTS, number_text
from tracker.metrics import CURVES
from tracker.ordering import better_low, ranks
from tracker.remedies import run_again

RULES = {"simplest": "parameters", "cheapest": "multiplications"}  # what is least
NEXT = "next"  # the best by the next objective
TIES = "ties"
ROUNDED = 1e-9  # 0.85 is within 0.01 of 0.86, whose difference is 0.010000000000000009


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


@dataclass(frozen=True, slots=True)
class Preferring:
    """Applies a rule to the trials of one project; `records` are read once.

    With rule `next` a trial is as good as the best where it is no more than `within` worse, or one of its ties, and the
    objectives that are `following` decide.
    """

    rule: str
    models: Path
    records: StudyRecords
    within: float | str = TIES
    following: Sequence[Mapping[str, str]] = ()

    @property
    def needs_ties(self) -> bool:
        """Whether it has to know what rows cannot tell from the best."""
        return self.within == TIES

    def among_ties(self, ranking: Ranking) -> Preference:
        """The preferred one of the first of a ranking and its ties. Raises InputError where a record or model is missing."""
        first = ranking.rows[0]
        if isinstance(self.within, float):
            reach = self.within + ROUNDED
            return self.among([row for row in ranking.rows if abs(first.value - row.value) <= reach])
        return self.among([first, *ranking.indistinguishable])

    def among_means(self, ranking: Ranking, means: Sequence[tuple[RankedTrial, float]]) -> Preference:
        """The preferred one of contenders, the best mean over further seeds first.

        As good as the first is what lies within the reach of the ranking's interval towards the worse: the same rows score, so
        they tell means no better apart than they told the trials as found.
        """
        (_, best), first = means[0], ranking.rows[0].value
        worse = 0 if ranking.objective["direction"] == "maximize" else 1
        reach = 0.0 if ranking.interval is None else abs(first - ranking.interval[worse])
        reach = self.within + ROUNDED if isinstance(self.within, float) else reach
        return self.among([row for row, mean in means if abs(best - mean) <= reach])

    def among(self, rows: Sequence[RankedTrial]) -> Preference:
        """The one that the rule prefers, the first of them where several have the least."""
        if self.rule == NEXT:
            taken = min(rows, key=self._following)
            return Preference(NEXT, taken, rows[0], len(rows), {}, self.within, self.following)
        weights = {row.key: self._weight(row) for row in rows}
        preferred = min(rows, key=lambda row: getattr(weights[row.key], RULES[self.rule]))
        return Preference(self.rule, preferred, rows[0], len(rows), weights)

    def _following(self, row: RankedTrial) -> tuple[float, ...]:
        """The objectives that decide, the lower the better; what is not known comes last."""
        known = row.ties or better_low([row.metrics.get(goal["metric"]) for goal in self.following], self.following)
        return tuple(value if ranks(value) else math.inf for value in known)

    def _weight(self, row: RankedTrial) -> Weight:
        """Of all runs of a trial together: forward passes alone, as the passes back cost each network alike."""
        from tracker.standalone.transform import blocks_of, shape_of
        from tracker.training.size import network_size

        trial = self.records.study(row).trials[row.trial]
        folder = self.models / row.study
        described = read_report(folder / "model.json", run_again(folder), model_shape)
        state = described["preprocessing"]
        shape = shape_of(state) or (len(state["features"]),)
        size = network_size(
            trial.spec.family,
            trial.spec.params,
            shape,
            len(described["labels"]),
            mask=bool(state.get("mask")),
            widths=blocks_of(state),
        )
        epochs = sum(outcome.epochs for outcome in trial.outcomes)
        return Weight(size.parameters, size.multiplications * epochs)


def with_preference(ranking: Ranking, preferring: Preferring | None) -> Ranking:
    """The ranking with the trial that the rule prefers among its first and the ties of that."""
    return ranking if preferring is None else replace(ranking, preference=preferring.among_ties(ranking))


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
