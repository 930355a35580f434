"""Says how sure a choice is, in the same words wherever it is announced: the lead, the ties, the defaults' own score."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.config import Config, load_config
from tracker.errors import TrackerError
from tracker.evaluation.fronts import front_lines
from tracker.evaluation.preference import preferred_lines, preferred_words
from tracker.evaluation.ranking import Ranking, ranking_json
from tracker.ordering import has_place
from tracker.paths import Paths
from tracker.search.space import assemble, compile_space
from tracker.shown import agree, counted

Row = Mapping[str, Any]
ELSEWHERE = "; another run of it is scored: `tracker show final`"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a trial has that searches nothing, `{}` of a manual study, and the studies that may have one, manual ones first."""

    params: Mapping[str, Any]
    studies: tuple[str, ...]

    @classmethod
    def of(cls, config: Config) -> Defaults:
        """Those of a configuration; a study with a training of its own has no such trial. Raises SpaceError."""
        family = config.model.family
        names = [name for name, study in config.studies.items() if not study.training]
        names.sort(key=lambda name: config.studies[name].sampler != "manual")
        return cls(assemble(compile_space({}, config.hyperparameters, family), {}), tuple(names))

    def find(self, rows: Iterable[Row]) -> Row | None:
        """The first trial of them in the order of studies and numbers, not the best: that would be the luckiest."""
        own = [row for row in rows if row["study"] in self.studies and row["params"] == dict(self.params)]
        return min(own, key=lambda row: (self.studies.index(row["study"]), row["trial"]), default=None)


@dataclass(frozen=True, slots=True)
class Sureness:
    """What `reports/ranking.json` says about the choice; `defaults` is the row of the untouched defaults, if one ranks.

    `ties` are the places (study, trial) of the trials inside the first one's interval; None where it has no interval.
    """

    metric: str
    rows: Sequence[Row]
    interval: tuple[float, float] | None
    ties: frozenset[tuple[str, int]] | None
    defaults: Row | None
    confirmation: Mapping[str, Any] | None = None
    scored_on: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refit: Mapping[str, Any] | None = None
    preferred: Mapping[str, Any] | None = None
    fronts: Sequence[str] = ()  # in words

    @classmethod
    def of(cls, ranking: Mapping[str, Any], defaults: Defaults | None) -> Sureness:
        """From the content of `ranking.json` and what the defaults are."""
        rows, alike = ranking["rows"], ranking["indistinguishable"]
        own = defaults.find(rows) if defaults else None
        ties = None if alike is None else frozenset((row["study"], row["trial"]) for row in alike["trials"])
        interval = None if alike is None else (alike["interval"][0], alike["interval"][1])
        told = ranking.get("confirmation"), ranking.get("scored_on", {}), ranking.get("refit"), ranking.get("preferred")
        return cls(ranking["objective"]["metric"], rows, interval, ties, own, *told, front_lines(ranking))

    def lines(self) -> list[str]:
        """The lead, the ties, the defaults, a line each; more where the choice was confirmed."""
        first, *others = self.rows
        lines = [f"how sure: {place(first)} has {self.metric} {_digits(first)}, the best of {len(self.rows)}"]
        if others:
            second = f"lead over the second, {place(others[0])}: {self.lead}"
            lines[0] += f"; {second}" if self.leads else f"; the second, {place(others[0])}, has the same value"
            lines.append(f"          {self._ties()}")
        if self.defaults is not None:
            lines.append(f"          {self._defaults()}")
        if other := self.other_rows():
            lines.append(f"          {other}")
        lines += self.fronts
        if self.preferred is not None:
            lines += preferred_lines(self.preferred, self.metric, confirmed=self.confirmation is not None)
        if (told := self.confirmation) is not None:
            lines += [*self._confirmed(told), *([] if self.refit else [self._served(told)])]
        if (told := self.refit) is not None:
            lines.append(
                f"refit:    trained on train and validation for {counted(told['epochs'], 'epoch')}, the median of its folds"
            )
            lines.append("          it is what a look scores and serves: reports/confirm/model")
        return lines

    def _confirmed(self, told: Mapping[str, Any]) -> list[str]:
        seeds, best, measured = told["seeds"], told["contenders"][0], told["measured"]
        of, found = len(told["contenders"]), f"{best['mean']:.4f}; as found {best['found']:.4f}"
        mean = f"the best mean of {counted(of, 'configuration')} over the {seeds} seeds that choose"
        lines = [f"confirmed: {place(best)} has {mean}: {found}"]
        for who, broke in told.get("breaks", {}).items():
            whose = f"the mean of {seeds} more seeds" if who == "mean" else "the run that is served"
            lines.append(f"           {whose} breaks {'; '.join(broke)}")
        choice, defaults, probability = measured["choice"], measured["defaults"], measured["probability"]
        words = f"           over {seeds} more seeds, that chose nothing: {place(choice)} {_spread(choice)}"
        if defaults is None:
            study = "{sampler: manual, configurations: [{}]}"
            return [*lines, f"{words}; no trial has the defaults, to compare with: add a study {study}"]
        if place(defaults) == place(choice):
            why = "no other configuration has a better mean" if place(best) == place(choice) else "the preferred ones"
            return [*lines, f"{words}; it has the defaults, unchanged: {why}"]
        lines.append(f"{words}, the defaults {place(defaults)} {_spread(defaults)} (mean ± sd)")
        if probability is None:
            return [*lines, "           which is better is not known: a seed failed"]
        return [
            *lines,
            f"           better than the defaults with probability {percent(probability)} (over seeds, on the same rows)",
            *(f"           warning: {told}" for told in [worse_words(told, self.preferred)] if told),
        ]

    def _served(self, told: Mapping[str, Any]) -> str:
        """Which of the runs a look scores and serves, and where its model lies: not the run that was found."""
        served = f"seed {told['served']['seed']}, {self.metric} {told['served']['value']:.4f}"
        return f"           of these the median is what a look scores and serves ({served}): reports/confirm/model"

    def line(self) -> str:
        """The same, shorter, for below a table."""
        first, *others = self.rows
        if not others:
            return f"{place(first)} is the only trial with a value"
        ties = "ties are not known" if self.ties is None else _ties_of(len(self.ties), len(others), "")
        told = f"; {self._defaults()}" if self.defaults is not None else ""
        lead = f"leads by {self.lead}" if self.leads else f"has the same value as {place(others[0])}"
        return f"{place(first)} {lead}; {ties}{told}{self._chosen()}"

    def _chosen(self) -> str:
        """What the confirmation chose, in short, or else what was preferred."""
        if self.confirmation is None:
            return "" if self.preferred is None else f"; {preferred_words(self.preferred)}"
        choice = self.confirmation["measured"]["choice"]
        worse = worse_words(self.confirmation, self.preferred)
        told = f"; confirmed: {place(choice)} {_spread(choice)} over {self.confirmation['seeds']} more seeds"
        return f"{told}; {worse}" if worse else told

    @property
    def choice(self) -> tuple[str, float | None, str]:
        """The chosen trial, what it has, and what that is: its mean over the seeds that chose nothing, else as found."""
        if self.confirmation is not None:
            told = self.confirmation["measured"]["choice"]
            return place(told), told["mean"], f"mean of {self.confirmation['seeds']} more seeds"
        row = self.rows[0] if self.preferred is None else self.preferred["row"]
        return place(row), row["value"], f"{self.metric} as found"

    def about(self, study: str, trial: int) -> str | None:
        """Of one trial: its place, and whether it is a tie of the first; None where it has no place."""
        row = next((row for row in self.rows if (row["study"], row["trial"]) == (study, trial)), None)
        if row is None:
            return None
        words = f"{row['rank']} of {len(self.rows)}"
        if row is not self.rows[0]:
            words += (
                f", {self._tied(row)} of the first, {place(self.rows[0])}{self._chosen() if self._took(row) else ''}"
            )
        elif len(self.rows) > 1:
            words = self.line()
        return f"{words}{ELSEWHERE}" if self._chose(row) else words

    def _chose(self, row: Row) -> bool:
        """Whether a confirmation chose this trial."""
        return self.confirmation is not None and place(self.confirmation["measured"]["choice"]) == place(row)

    def _took(self, row: Row) -> bool:
        """Whether a confirmation or a rule chose this trial."""
        return self._chose(row) or (self.preferred is not None and place(self.preferred["row"]) == place(row))

    @property
    def lead(self) -> str:
        """By how much the first is better than the second."""
        first, second = self.rows[0]["value"], self.rows[1]["value"]
        return f"{abs(first - second):.4f}" if first != second else "none, the same value"

    @property
    def leads(self) -> bool:
        """Whether its value is better than that of the second."""
        return bool(self.rows[0]["value"] != self.rows[1]["value"])

    def _ties(self) -> str:
        if self.ties is None or self.interval is None:
            return f"ties are not known: {self.metric} of {place(self.rows[0])} has no interval here"
        ends = f"{self.interval[0]:.4f} to {self.interval[1]:.4f}"
        others = len(self.rows) - 1
        where = "inside" if self.ties or others > 1 else "outside of"
        return f"{_ties_of(len(self.ties), others)}: {where} its 95 % interval, {ends}"

    def _defaults(self) -> str:
        row = self.defaults
        assert row is not None
        if row is self.rows[0]:
            return f"{place(row)} has the defaults, unchanged"
        tied = "" if self.ties is None else f", {self._tied(row)}"
        return f"the defaults, {place(row)}: {_digits(row)}, place {row['rank']}{tied}"

    @property
    def on_validation(self) -> bool:
        """Whether the first was scored on validation, and not on folds."""
        return not self.scored_on or self.rows[0]["study"] in self.scored_on.get("validation", ())

    def other_rows(self) -> str:
        """Which studies were scored on which rows; empty where all were scored on the same."""
        if len(self.scored_on) < 2:
            return ""
        told = "; ".join(f"{', '.join(names)} on {rows}" for rows, names in self.scored_on.items())
        same = "" if self.confirmation else "; compare.confirm trains the best of all of them alike"
        return f"their values are of other rows: {told}{same}"

    def _tied(self, row: Row) -> str:
        return "a tie" if (row["study"], row["trial"]) in (self.ties or ()) else "no tie"


def _ties_of(ties: int, others: int, the: str = "the ") -> str:
    """How many of the others are ties."""
    if others == 1:
        return f"the only other one is {agree(ties, 'a tie', 'no tie')}"
    return f"{ties} of {the}{others} others {agree(ties, 'is a tie', 'are ties')}"


def _spread(told: Mapping[str, Any]) -> str:
    """Mean and standard deviation over seeds."""
    if told["mean"] is None:
        return f"failed with {counted(told['failed'], 'seed')}"
    return f"{told['mean']:.4f} ± {told['sd']:.4f}"


def worse_words(confirmation: Mapping[str, Any], preferred: Mapping[str, Any] | None) -> str:
    """That the choice is rather worse than the defaults, and what to do; empty where it is not, or where it is not known."""
    measured, best = confirmation["measured"], confirmation["contenders"][0]
    probability, choice = measured["probability"], place(measured["choice"])
    if probability is None or probability >= 0.5:
        return ""
    worse = f"{choice} is worse than the defaults, {place(measured['defaults'])}, with probability {percent(1 - probability)}"
    if preferred is None or place(best) == choice:
        return f"{worse}: its lead was the luck of the seeds that chose it"
    return (
        f"{worse}: compare.prefer: {preferred['rule']} took it; compare.prefer: best takes {place(best)}, the best mean"
    )


def percent(probability: float) -> str:
    """A probability as people read it; never quite certain."""
    return f"{min(max(100 * probability, 0.1), 99.9):.1f} %"


def place(row: Row) -> str:
    """What people call a trial."""
    return f"{row['study']}/{row['trial']}"


def _digits(row: Row) -> str:
    return f"{row['value']:.4f}"


def sureness(ranking: Ranking, config: Config) -> Sureness:
    """Of a ranking that has just been made."""
    return Sureness.of(ranking_json(ranking), Defaults.of(config))


def read_sureness(paths: Paths, reports: Iterable[Mapping[str, Any]] = ()) -> Sureness | None:
    """What `ranking.json` says; None where there is none, or where it is not the ranking of these study reports."""
    try:
        ranking = json.loads((paths.reports / "ranking.json").read_text(encoding="utf-8"))
        if any(not _ranks(ranking, report) for report in reports):
            return None
        return Sureness.of(ranking, read_defaults(paths.params))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def read_defaults(params: Path) -> Defaults | None:
    """The defaults that params.yaml gives; None where it cannot be read, or searches what nothing fixes."""
    try:
        return Defaults.of(load_config(params))
    except TrackerError:
        return None


def _ranks(ranking: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    """Whether a ranking has the trials that this report has."""
    there = {trial["number"]: (trial.get("key"), trial["value"]) for trial in report["trials"]}
    rows = [row for row in ranking["rows"] if row["study"] == report["study"]]
    complete = sum(map(has_place, report["trials"]))
    return len(rows) == complete and all(there.get(row["trial"]) == (row["key"], row["value"]) for row in rows)
