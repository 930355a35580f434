"""Compares two trials on the validation rows, with the further seeds that a confirmation has trained of both, if it has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config
from tracker.datasets.storage import read_document
from tracker.datasets.training_data import read_ranking
from tracker.errors import InputError, NotFoundError
from tracker.evaluation.chosen_model import ChosenModel, load_chosen
from tracker.evaluation.confirm import CHOOSE, MEASURE, Trains
from tracker.evaluation.confirm_training import ConfirmTraining
from tracker.evaluation.paired import EQUIVALENT, UNKNOWN, Answer, Question, compare_pair, sizes_of
from tracker.evaluation.ranked import RankedTrial, run_row
from tracker.evaluation.scoring import index_labels
from tracker.evaluation.sureness import percent
from tracker.paths import Paths, project_paths
from tracker.records import Trial
from tracker.remedies import run_again
from tracker.seeds import derive_seed
from tracker.shown import counted
from tracker.studies.adopt import read_study
from tracker.studies.result import StudyResult


@dataclass(frozen=True, slots=True)
class Pair:
    """Two trials and what was found; `answer` is None where a score is undefined.

    `instead_of` is the objective, where that does not follow from called classes and another metric is compared.
    """

    names: tuple[str, str]
    metric: str
    rows: int
    clusters: int | None
    seeds: int
    margin: float | None
    answer: Answer | None
    instead_of: str | None = None

    def lines(self) -> list[str]:
        """For people."""
        one, other = self.names
        groups = "" if self.clusters is None else f" in {counted(self.clusters, 'group')}"
        drawn = f"{counted(self.rows, 'row')}{groups}"
        about = f"{one} and {other} on the same {drawn} of validation"
        about += f", {self.seeds} further seeds each" if self.seeds > 1 else ", one seed each"
        if self.instead_of is not None:
            about += (
                f"\n{self.instead_of} does not follow from called classes alone: they are compared by val_{self.metric}"
            )
        found = self.answer
        if found is None:
            return [about, f"val_{self.metric} is undefined (0/0), so they cannot be compared by it"]
        low, high = found.interval
        also = " and seeds" if self.seeds > 1 else "; another seed may say otherwise"
        words = {EQUIVALENT: f"equivalent: they differ by less than {self.margin}", UNKNOWN: UNKNOWN}
        gap = f"difference {found.difference:+.4f}, 95 % {low:+.4f} to {high:+.4f}"
        return [
            about,
            f"val_{self.metric} {found.ours:.4f} and {found.theirs:.4f}: {gap}",
            f"{one} is better with probability {percent(found.probability)} (bootstrap over rows{also})",
            f"verdict: {words.get(found.verdict, f'{one} is {found.verdict}')}",
        ]


def compare_trials(
    config: Config, names: Sequence[str], paths: Paths | None = None, *, trust: str | None = None
) -> Pair:
    """Says which of two trials (`STUDY/NUMBER`) is better on the same validation rows, or that it cannot be told.

    Where a confirmation has trained further seeds of both, it compares these. Models that are not kept are trained again; no
    test row is read. `trust` is the digest of code that may run though it is not that of this folder.
    Raises InputError where there are not two, NotFoundError for one that is not there.
    """
    paths = paths or project_paths()
    trains = ConfirmTraining(config, paths)
    trains.pin()
    if len(names) != 2 or names[0] == names[1]:
        raise InputError(f"expected two trials to compare, such as tpe/4 manual/0; found {' '.join(names)}")
    found = _further_seeds(paths, [_find(paths, name) for name in names])
    for one, name in zip(found, names, strict=True):
        if one.row.rows is not None:
            raise InputError(
                f"{name} was scored on other rows, so its models have seen validation rows; with compare.confirm in "
                "params.yaml `tracker compare` trains the best configurations of all studies alike, and these can be compared"
            )
    frame, clusters = read_ranking(paths.splits)
    schema = read_document(paths.splits / "schema.json", "schema", run_again(paths.splits, "split"))
    called: list[NDArray[np.int64]] = []
    model = None
    for one, name in zip(found, names, strict=True):
        runs = []
        for model in _models(paths, one, trains, trust or os.environ.get("TRACKER_TRUST")):
            runs.append(index_labels(model.predict(frame), model.labels))
        if not runs:
            raise InputError(f"{name} has no model to compare: it failed, was pruned, or its loop returned none")
        called.append(np.array(runs))
    assert model is not None
    truth = index_labels([str(label) for label in frame[schema["target"]]], model.labels)
    metric, instead_of = _compared(config.objective.metric)
    question = Question(
        metric,
        len(model.labels),
        model.place,
        config.compare.margin,
        derive_seed(config.seed, "paired", *(one.trial.spec.key for one in found)),
    )
    answer = compare_pair(question, truth, called[0], called[1], clusters)
    groups = None if clusters is None else len(set(clusters))
    seeds = min(len(runs) for runs in called)
    return Pair((names[0], names[1]), metric, len(truth), groups, seeds, config.compare.margin, answer, instead_of)


def _compared(objective: str) -> tuple[str, str | None]:
    """The score by which two are compared, and the objective where that is none of labels."""
    metric = objective.removeprefix("val_")
    try:
        sizes_of(metric)
    except InputError:
        return "f1", objective
    return metric, None


@dataclass(frozen=True, slots=True)
class _Found:
    study_key: str
    trial: Trial
    row: RankedTrial


def _find(paths: Paths, name: str) -> _Found:
    study, _, number = name.rpartition("/")
    path = paths.records(study)
    if not study or not number.isdecimal() or not path.is_file():
        raise NotFoundError(f"no trial {name} in {path.parent}; `tracker runs` lists the trials, such as tpe/4")
    return _of(read_study(path), study, int(number))


def _of(result: StudyResult, study: str, number: int) -> _Found:
    if number >= len(result.trials):
        raise NotFoundError(f"no trial {study}/{number}: {study} has {len(result.trials)}; see `tracker runs {study}`")
    trial = result.trials[number]
    row: dict[str, Any] = {
        "rank": 0,
        "study": study,
        "trial": number,
        "key": trial.spec.key,
        "params": trial.spec.params,
    }
    row |= {"rows": trial.spec.data.get("rows")}
    row |= {"candidate": trial.spec.candidate, "weights": trial.outcome.weights, "metrics": trial.metrics}
    return _Found(
        result.spec.key, trial, RankedTrial(**row, value=trial.value or 0.0, best_epoch=trial.outcome.best_epoch)
    )


def _further_seeds(paths: Paths, found: list[_Found]) -> list[_Found]:
    """Both configurations in the latest round of a confirmation that has both, on the same data; else as they are."""
    for round_ in (MEASURE, CHOOSE):
        known: dict[tuple[str, str], _Found] = {}
        for path in sorted(paths.confirmed.glob(f"{round_}*/trials.jsonl")):
            result = read_study(path)
            known |= {_what(trial): _of(result, path.parent.name, trial.number) for trial in result.trials}
        if all(_what(one.trial) in known for one in found):
            return [known[_what(one.trial)] for one in found]
    return found


def _what(trial: Trial) -> tuple[str, str]:
    spec = trial.spec.on_validation
    return spec.configuration, repr(sorted(spec.data.items()))


def _models(paths: Paths, found: _Found, trains: Trains, trust: str | None) -> Iterator[ChosenModel]:
    for spec, outcome in zip(found.trial.proposal.runs, found.trial.outcomes, strict=True):
        if outcome.weights is not None:
            with TemporaryDirectory(prefix="tracker-") as scratch:
                folder = Path(scratch) / "model"
                trains.write_model(folder, found.study_key, spec, outcome)
                yield load_chosen(folder, run_row(found.row, spec, outcome), paths, trust)
