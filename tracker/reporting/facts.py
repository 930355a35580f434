"""What the page says, read from the reports and records of a project: nothing is trained, no test row is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tracker.aggregation import resampling_words
from tracker.canonical import parse_canonical
from tracker.config import Config
from tracker.datasets.made_with import outdated
from tracker.errors import InputError, NotFoundError
from tracker.evaluation.baselines_report import read_baselines
from tracker.evaluation.files import read_report
from tracker.evaluation.final import is_of_another, was_scored
from tracker.evaluation.nested import read_nested, report_paths
from tracker.evaluation.preference import preferred_criterion
from tracker.evaluation.reports import named_params, read_study_report
from tracker.evaluation.sureness import Defaults
from tracker.fields import retune
from tracker.goals import constraint_text
from tracker.hyperparameters import with_unsaid
from tracker.paths import Paths
from tracker.records import Trial
from tracker.remedies import run_again
from tracker.shown import by_number, counted, written
from tracker.studies.adopt import read_study
from tracker.studies.superseded import superseded, superseded_note

if TYPE_CHECKING:
    from tracker.studies.result import StudyResult

CURVES_SHOWN = 5
MOST_GROUPS = 6  # rows of a table that sums up one hyperparameter


@dataclass(frozen=True, slots=True)
class Row:
    """A trial of any study, as its study's report tells it."""

    study: str
    number: int
    state: str
    value: float | None
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    epochs: int
    best_epoch: int | None
    reason: str | None

    @property
    def name(self) -> str:
        """How commands call it."""
        return f"{self.study}/{self.number}"


@dataclass(frozen=True, slots=True)
class Group:
    """Trials with one value of a hyperparameter, or in one range of it."""

    label: str
    trials: int
    median: float
    best: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the page is made of.

    `ranking` and `final` are those reports (`final` None where the test rows were not scored, and `withheld` why no look
    was spent), `results` the exact records of the studies that have them, `splits` rows and classes of train and validation,
    `baselines` that report (None where it is not there, or of other rows), `nested` those of studies that were nested.
    `outdated` says which of them, and of the rows, `params.yaml` and the table describe no longer.
    """

    config: Config
    studies: Mapping[str, Mapping[str, Any]]
    rows: Sequence[Row]
    ranking: Mapping[str, Any]
    final: Mapping[str, Any] | None
    results: Mapping[str, StudyResult]
    splits: Mapping[str, Any]
    withheld: str = ""
    retunes: Sequence[Mapping[str, Any]] = ()
    baselines: Mapping[str, Any] | None = None
    nested: Sequence[Mapping[str, Any]] = ()
    outdated: Sequence[str] = ()
    ranked: Sequence[Row] = field(init=False)

    def __post_init__(self) -> None:
        """`ranked` are the trials that have a place, best first, as `compare` ranked them."""
        known = {(row.study, row.number): row for row in self.rows}
        places = [(place["study"], place["trial"]) for place in self.ranking["rows"]]
        object.__setattr__(self, "ranked", [known[place] for place in places if place in known])

    @property
    def metric(self) -> str:
        """The objective's metric."""
        return str(self.ranking["objective"]["metric"])

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`."""
        return str(self.ranking["objective"]["direction"])

    @property
    def chosen(self) -> Row:
        """The first of the ranking, or what its confirmation or its preference chose."""
        told = self.ranking["chosen"]
        return next(row for row in self.ranked if (row.study, row.number) == (told["study"], told["trial"]))

    @property
    def scored_on(self) -> str:
        """The rows that chose: `validation`, or folds, of the trials of the study that has the choice."""
        return self.scored_on_of(self.chosen.study)

    def scored_on_of(self, study: str) -> str:
        """The same of a study."""
        return resampling_words(self.studies[study].get("runs") or {})

    @property
    def kept(self) -> str:
        """How long the choice was trained, as found: its epochs, those of each fold, or what its refit has."""
        if (refit := self.ranking.get("refit")) is not None:
            return f"trained once more on train and validation for {counted(refit['epochs'], 'epoch')}, the median of its folds"
        if self.scored_on != "validation":
            return "a training per fold; the model is that of the first"
        best = "?" if self.chosen.best_epoch is None else self.chosen.best_epoch
        told = f"kept at epoch {best} of {self.chosen.epochs}"
        if (confirmed := self.ranking.get("confirmation")) is None:
            return told
        return f"{told} as found; the run that a look scores and serves has another seed, {confirmed['served']['seed']}"

    @property
    def criterion(self) -> str:
        """By what the choice was chosen."""
        direction = "highest" if self.direction == "maximize" else "lowest"
        told, preferred = self.ranking.get("confirmation"), self.ranking.get("preferred")
        if told is None:
            best = f"the {direction} {self.metric} on {self.scored_on}"
        else:
            best = (
                f"the {direction} mean {self.metric} on validation over {told['seeds']} further seeds, of "
                f"{counted(len(told['contenders']), 'configuration')}"
            )
        if limits := self.studies[self.chosen.study].get("constraints"):
            best = f"{best}, of trials with {' and '.join(map(constraint_text, limits))}"
        if preferred is None:
            return best
        return preferred_criterion(preferred, self.metric, best)

    @property
    def ties(self) -> Sequence[str] | None:
        """The trials that the validation rows cannot tell from the first one; None where there is no interval."""
        found = self.ranking["indistinguishable"]
        return None if found is None else [f"{one['study']}/{one['trial']}" for one in found["trials"]]

    @property
    def defaults(self) -> Row | None:
        """The trial that searches nothing, as `compare` names it, if one is ranked."""
        found = Defaults.of(self.config).find(self.ranking["rows"])
        return next((row for row in self.ranked if found and row.name == f"{found['study']}/{found['trial']}"), None)

    def record(self, row: Row) -> Trial | None:
        """The exact record of a trial, with its curve; None where the records of its study are not here."""
        result = self.results.get(row.study)
        return None if result is None else next((one for one in result.trials if one.number == row.number), None)

    def is_logged(self, name: str) -> bool:
        """Whether a study searches a hyperparameter on a log scale."""
        spaces = (self.config.space_of(study) for study in self.studies)
        return any(bool(getattr(space.get(name), "log", False)) for space in spaces)

    def searched(self) -> Sequence[str]:
        """The hyperparameters that take more than one value among the ranked trials, in the order of the reports."""
        names = dict.fromkeys(name for row in self.ranked for name in row.params)
        return [
            name
            for name in names
            if len({written(row.params.get(name)) for row in self.ranked if name in row.params}) > 1
        ]


def collect(paths: Paths, config: Config) -> Facts:
    """Reads reports and records. Raises NotFoundError where there is no ranking yet, InputError where a report is damaged."""
    path = paths.reports / "ranking.json"
    if not path.is_file():
        raise NotFoundError(f"{path}: not there yet; {run_again(paths.root, 'compare')}")
    ranking = read_report(path, run_again(paths.root, "compare"))
    names = [name for name in config.studies if (paths.study_reports / f"{name}.json").is_file()]
    studies = {name: read_study_report(paths.study_reports / f"{name}.json", paths.models) for name in names}
    params = named_params(studies.values())
    rows = [_row(name, trial, params) for name, report in studies.items() for trial in report["trials"]]
    records = {name: paths.models / name / "trials.jsonl" for name in names}
    results = {name: read_study(path) for name, path in records.items() if path.is_file()}
    final, withheld = _final(paths, ranking)
    splits, retunes, baselines = _splits(paths.splits), _retunes(paths.retunes), read_baselines(paths)
    nested = [read_nested(one) for one in report_paths(paths) if one.stem in config.studies]
    old = _outdated(paths, config)
    return Facts(config, studies, rows, ranking, final, results, splits, withheld, retunes, baselines, nested, old)


def _outdated(paths: Paths, config: Config) -> list[str]:
    shown = {name: why for name, why in superseded(config, paths).items() if name in config.studies}
    rows = [f"the rows shown were {found}"] if (found := outdated(config, paths)) else []
    return [*rows, *superseded_note(shown, paths.root, "shown as before")]


def _retunes(path: Path) -> list[Mapping[str, Any]]:
    """The decisions of `tracker retune`, oldest first."""
    try:
        told = [parse_canonical(line) for line in path.read_bytes().splitlines()]
        for one in told:
            retune({name: value for name, value in one.items() if name != "digest"})
    except FileNotFoundError:
        return []
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); bring it back from git") from None
    return told


def group_by(rows: Sequence[Row], name: str, direction: str) -> Sequence[Group]:
    """What one hyperparameter did: trials, median and best value for each of its values, or for ranges of equal size."""
    told = [(row.params[name], row.value) for row in rows if name in row.params and row.value is not None]
    kinds = sorted({written(value) for value, _ in told}, key=by_number)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in told)
    if len(kinds) <= MOST_GROUPS or not numbers:
        parts = [(kind, [score for value, score in told if written(value) == kind]) for kind in kinds]
    else:
        parts = _ranges(sorted(told, key=lambda pair: pair[0]))
    best = max if direction == "maximize" else min
    return [Group(label, len(scores), median(scores), best(scores)) for label, scores in parts]


def _ranges(told: Sequence[tuple[float, float]]) -> list[tuple[str, list[float]]]:
    count = min(5, len(told))
    edges = [len(told) * place // count for place in range(count + 1)]
    parts = [told[start:end] for start, end in pairwise(edges)]
    return [(f"{part[0][0]:.3g} to {part[-1][0]:.3g}", [score for _, score in part]) for part in parts]


def _row(study: str, trial: Mapping[str, Any], names: Sequence[str]) -> Row:
    named = {name: trial[name] for name in ("number", "state", "value", "metrics", "epochs")}
    named["params"] = with_unsaid(trial["params"], names)
    return Row(study=study, best_epoch=trial.get("best_epoch"), reason=trial.get("reason"), **named)


def _final(paths: Paths, ranking: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The result, where one is told, and else why no look was spent; stale where the ranking chooses another run by now."""
    path = paths.reports / "final.json"
    found = read_report(path, run_again(path, "compare")) if path.is_file() else None
    if found is None:
        return None, ""
    if was_scored(found):
        return {**found, "stale": is_of_another(found, ranking, paths)}, ""
    return None, str(found["because"])


def _splits(folder: Path) -> Mapping[str, Any]:
    """Rows and classes of train and validation, where the splits are here."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {name: manifest["splits"][name] for name in ("train", "validation")}
    except (OSError, ValueError, KeyError):
        return {}
