"""The frozen values that cross borders: what a trial is told, what it gives back, and what a study consists of.

Each turns into canonical JSON and back without loss (`record_json`, `record_from`); its digest is its identity. An identity
holds what differs from neutral: a field at its default, a hyperparameter or setting at its neutral value (`tracker.neutral`) is
left out, and put back when the record is read. So a release may add such without changing the key of what was computed before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

from tracker import hyperparameters, neutral
from tracker.aggregation import Aggregate, aggregate, mean_metrics, rows_of_runs, spread
from tracker.canonical import digest
from tracker.fields import check_record
from tracker.goals import broken
from tracker.ordering import Standing, better_low, objective_value, why_unranked

State = Literal["complete", "failed", "paused"]
TrialState = Literal["complete", "failed", "pruned"]
Record = TypeVar("Record")
HYPERGRADIENT = "hypergradient/"  # with a name behind it: the metric d(val_loss)/d(that hyperparameter)
THRESHOLD = "decision_threshold"  # the metric that tells a threshold which was chosen on validation


@dataclass(frozen=True)  # no slots: the key is asked for many times and computed once
class TrialSpec:
    """Everything that decides the outcome of one run of a trial, and nothing else: no worker, folder, order or time.

    `data` holds the digests `train` and `validation` (tables of raw columns) and `schema` (roles, labels, positive
    class), and the settings of `preprocessing`. `training` holds epochs, early_stopping, device. `environment` is the
    digest of the part of the environment that changes numbers; `numerics` is the version of the family's arithmetic. `code`
    says which code of the user's own trains: the `entry`, and the SHA-256 of each of its files (`loop.py`); empty: a family of
    ours. `parent` says whose weights training begins with: `weights`, the SHA-256 of the file, and `head`, whether the output
    layer is `new` or `kept`; empty: a network begins anew.
    """

    family: str
    params: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    data: Mapping[str, Any]
    environment: str
    numerics: int
    code: Mapping[str, str] = field(default_factory=dict)
    parent: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) under which the outcome is stored."""
        return digest("trial", record_json(self))

    @property
    def candidate(self) -> str:
        """SHA-256 (hex) of the run wherever it is computed; looks at the test split are counted by it."""
        return self._digest_without("candidate", "environment", "numerics")

    @property
    def configuration(self) -> str:
        """SHA-256 (hex) of the run whatever its seed is, wherever it is computed."""
        return self._digest_without("configuration", "environment", "numerics", "seed")

    @property
    def on_validation(self) -> TrialSpec:
        """The run as it is on train and validation, whatever rows it has; itself where it has these."""
        if "rows" not in self.data:
            return self
        return dataclasses.replace(self, data={name: value for name, value in self.data.items() if name != "rows"})

    def _digest_without(self, kind: str, *names: str) -> str:
        value = record_json(self)
        return digest(kind, {name: value[name] for name in value if name not in names})


@dataclass(frozen=True)  # no slots: the digest is computed once
class TrialOutcome:
    """What a run gave: state, curve, the metrics of the kept epoch, digests of weights and validation predictions.

    `history` has one mapping per epoch: `epoch` (from 1), `train_loss`, `val_loss`, `val_accuracy`, `val_precision`,
    `val_recall`, `val_f1` (float or None where undefined) and `confusion_matrix` (rows: truth, columns: prediction).
    `metrics` are the numbers of epoch `best_epoch`, whose weights are kept. `reason` says why a run failed, `labels` is the
    digest of the predicted classes, `example` has the class probabilities of the first two training rows of the user's code.
    A `paused` outcome is what is known after `epochs` epochs of a run that could go on: the last one's metrics, no model.
    """

    key: str
    state: State
    epochs: int
    best_epoch: int | None
    metrics: Mapping[str, float | None]
    history: tuple[Mapping[str, Any], ...]
    weights: str | None
    predictions: str | None
    reason: str | None = None
    labels: str | None = None
    example: tuple[tuple[float, ...], ...] | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole outcome."""
        return digest("outcome", record_json(self))


@dataclass(frozen=True, slots=True)
class Timing:
    """When a run ran (Unix seconds), kept beside the outcome and in no digest: start, end, the end of each epoch."""

    started: float
    ended: float
    epochs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class StudySpec:
    """Everything that decides a study's proposals, the number of trials apart, so that more trials extend it.

    `sampler` holds name and settings, `space` the searched names as canonical entries, `fixed` the other hyperparameters,
    `objective` metric and direction, `versions` the releases that shape proposals (`optuna`), `generation` how many trials are
    proposed before results are looked at (None: the sampler does not learn). `runs` says how the runs of a trial become its
    value (`repeats`, `aggregate`; empty: one run). `pruner` holds name and settings of what stops trials early (empty: nothing
    does). `refines` tells the study around whose best trials `space` was shrunk: its name and key, how many of its first
    `trials` counted, which share was to `keep` (empty: the space was declared). `stop` says after which generation it ends
    though it may have more trials (`plateau`, `epochs`; empty: never). `further` are the objectives behind the first, where
    there are several, `constraints` what a trial that may be chosen has: of a `metric` at `most` or at `least` so much.
    """

    name: str
    family: str
    sampler: Mapping[str, Any]
    space: Mapping[str, Any]
    fixed: Mapping[str, Any]
    training: Mapping[str, Any]
    objective: Mapping[str, str]
    generation: int | None
    seed: int
    data: Mapping[str, Any]
    environment: str
    numerics: int
    versions: Mapping[str, str]
    code: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, Any] = field(default_factory=dict)
    pruner: Mapping[str, Any] = field(default_factory=dict)
    refines: Mapping[str, Any] = field(default_factory=dict)
    stop: Mapping[str, int] = field(default_factory=dict)
    parent: Mapping[str, str] = field(default_factory=dict)
    further: tuple[Mapping[str, str], ...] = ()
    constraints: tuple[Mapping[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """SHA-256 (hex) under which proposals are stored."""
        return digest("study", record_json(self))

    @property
    def objectives(self) -> tuple[Mapping[str, str], ...]:
        """Metric and direction of each objective; nearly always one."""
        return self.objective, *self.further

    @property
    def served_data(self) -> Mapping[str, Any]:
        """The data of the first run of each trial, whose model is the trial's; not where each trial has its own rows."""
        return with_rows(self.data, next(rows_of_runs(self.runs)))


@dataclass(frozen=True, slots=True)
class Proposal:
    """One planned trial of a study: its number, generation, the searched values alone, and the specs of its runs."""

    number: int
    generation: int
    searched: Mapping[str, Any]
    runs: tuple[TrialSpec, ...]

    @property
    def spec(self) -> TrialSpec:
        """The first run's: its model is the trial's model."""
        return self.runs[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its runs."""
        return tuple(run.key for run in self.runs)


@dataclass(frozen=True, slots=True)
class Trial:
    """A proposal with the outcomes of its runs, and one value per objective (None unless complete and finite).

    `ties` are the values behind the first, the lower the better; `breaks` says which constraints it breaks.
    """

    study: str
    proposal: Proposal
    outcomes: tuple[TrialOutcome, ...]
    values: tuple[float | None, ...]
    ties: tuple[float | None, ...] = ()
    breaks: tuple[str, ...] = ()

    @classmethod
    def of(cls, study: StudySpec, proposal: Proposal, outcomes: Sequence[TrialOutcome]) -> Trial:
        """The trial of a study whose runs came to these outcomes."""
        how = study.runs.get("aggregate", "mean")
        return cls.told(study.name, proposal, outcomes, study.objectives, study.constraints, how)

    @classmethod
    def told(
        cls, study: str, proposal: Proposal, outcomes: Sequence[TrialOutcome],
        objectives: Sequence[Mapping[str, str]], constraints: Sequence[Mapping[str, Any]], how: Aggregate,
    ) -> Trial:  # fmt: skip
        """The trial of a study of that name, objectives and constraints, and how runs become a value."""
        runs = [[objective_value(run.state, run.metrics, goal["metric"]) for run in outcomes] for goal in objectives]
        values = tuple(aggregate(own, how, goal["direction"]) for own, goal in zip(runs, objectives, strict=True))
        trial = cls(study, proposal, tuple(outcomes), values, better_low(values[1:], objectives[1:]))
        whole = constraints and trial.state == "complete"
        return dataclasses.replace(trial, breaks=broken(constraints, trial.metrics)) if whole else trial

    @property
    def number(self) -> int:
        """Its place in the study, from 0."""
        return self.proposal.number

    @property
    def spec(self) -> TrialSpec:
        """What decides the outcome of its first run."""
        return self.proposal.spec

    @property
    def outcome(self) -> TrialOutcome:
        """The outcome of its first run."""
        return self.outcomes[0]

    @property
    def value(self) -> float | None:
        """The value of the first objective."""
        return self.values[0]

    @property
    def metrics(self) -> dict[str, float | None]:
        """The numbers of the kept epoch; of several runs their means."""
        return mean_metrics([outcome.metrics for outcome in self.outcomes])

    @property
    def reason(self) -> str | None:
        """Why it failed: the first run's reason that did."""
        return next((outcome.reason for outcome in self.outcomes if outcome.reason is not None), None)

    def why_unranked(self, metric: str) -> str | None:
        """Why it has no place among the trials that are ranked; None where it has one, or was pruned."""
        named = metric if self.value is None else "a further objective"
        return why_unranked(self.state, self.ranked, named, self.reason, self.breaks)

    @property
    def ranked(self) -> float | None:
        """What it is ranked by, its value; None where it breaks a constraint or one of its objectives is undefined."""
        return None if self.breaks or None in self.values else self.value

    @property
    def state(self) -> TrialState:
        """Failed where a run failed, pruned where it was stopped at a rung."""
        states = {outcome.state for outcome in self.outcomes}
        return "failed" if "failed" in states else "pruned" if "paused" in states else "complete"


def with_rows(data: Mapping[str, Any], rows: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The data of a study with what a run says of its rows; of rows of both, such as those outside of an outer fold."""
    return data if rows is None else {**data, "rows": {**data.get("rows", {}), **rows}}


def untrained(key: str) -> TrialOutcome:
    """The outcome of a run that was not begun, because its trial was stopped after the runs before it."""
    return TrialOutcome(key, "paused", 0, None, {}, (), None, None)


def trained_runs(outcomes: Sequence[TrialOutcome]) -> int:
    """How many runs of a trial were begun."""
    return sum(outcome.state != "paused" or outcome.epochs > 0 for outcome in outcomes)


def run_value(study: StudySpec, outcome: TrialOutcome) -> float | None:
    """The objective of one run at its kept epoch; None where it has not run to its end, or the metric is undefined."""
    return objective_value(outcome.state, outcome.metrics, study.objective["metric"])


def threshold_of(spec: TrialSpec, metrics: Mapping[str, float | None]) -> float | None:
    """The probability from which on a run's model calls a row positive; None: it calls the most probable class.

    It is given, or was chosen on validation in the kept epoch, whose `metrics` then tell it.
    """
    rule = spec.training.get("threshold", "argmax")
    return None if rule == "argmax" else metrics.get(THRESHOLD) if isinstance(rule, str) else float(rule)


def standing_of(trial: Trial) -> Standing:
    """What decides a trial's place among others (`tracker.ordering`)."""
    return Standing(trial.ranked, trial.metrics.get("val_loss"), trial.study, trial.number, trial.ties)


def run_spread(study: StudySpec, trial: Trial) -> float | None:
    """The standard deviation of the objective over a trial's runs; None where there is one run."""
    return spread([run_value(study, outcome) for outcome in trial.outcomes])


Entries = Mapping[str, Any]
Shorten = Callable[[str, Entries], dict[str, Any]]  # family, entries


def _of_data(change: Callable[[Entries, Entries], dict[str, Any]]) -> Shorten:
    """The same of the preprocessing settings among the digests of data."""

    def changed(_: str, data: Entries) -> dict[str, Any]:
        settings = data.get("preprocessing")
        if not isinstance(settings, Mapping):
            return dict(data)
        return {**data, "preprocessing": change(settings, neutral.PREPROCESSING)}

    return changed


# How a field of TrialSpec and StudySpec loses what is neutral, and gets it back.
SHORTENED: Mapping[str, tuple[Shorten, Shorten]] = {
    "params": (hyperparameters.without_neutral, hyperparameters.with_neutral),
    "fixed": (hyperparameters.without_neutral, lambda _, fixed: dict(fixed)),  # what a space searches is left out too
    "training": (
        lambda _, training: neutral.without_neutral(training, neutral.TRAINING),
        lambda _, training: neutral.with_neutral(training, neutral.TRAINING),
    ),
    "data": (_of_data(neutral.without_neutral), _of_data(neutral.with_neutral)),
}


def data_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` of a spec without what is neutral: what digests of it are made from."""
    return SHORTENED["data"][0]("", data)


def record_json(record: Any) -> dict[str, Any]:
    """A record as plain mappings and lists, ready for `canonical_json`, without what is neutral."""
    value = {}
    for entry in dataclasses.fields(record):
        item = getattr(record, entry.name)
        if entry.name in SHORTENED and isinstance(record, TrialSpec | StudySpec):
            item = SHORTENED[entry.name][0](record.family, item)
        if not _is_default(entry, item):
            value[entry.name] = _plain(item)
    return value


def record_from(kind: type[Record], value: Mapping[str, Any]) -> Record:
    """What `record_json` turned into `value`. Raises TypeError for missing or unknown fields, ValueError for other shapes."""
    check_record(kind.__name__, value)
    fields = dict(value)
    if kind in {TrialSpec, StudySpec}:
        for name in SHORTENED.keys() & fields.keys():
            fields[name] = SHORTENED[name][1](str(fields.get("family")), fields[name])
    for name, item in fields.items():
        if (nested := NESTED.get((kind, name))) is not None:
            fields[name] = nested(item)
    return kind(**fields)


def records_from(kind: type[Record], values: Any) -> tuple[Record, ...]:
    """Several records."""
    return tuple(record_from(kind, value) for value in values)


NESTED: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (TrialOutcome, "history"): tuple,
    (TrialOutcome, "example"): lambda rows: None if rows is None else tuple(map(tuple, rows)),
    (Timing, "epochs"): tuple,
    (Proposal, "runs"): lambda runs: records_from(TrialSpec, runs),
    (Trial, "proposal"): lambda proposal: record_from(Proposal, proposal),
    (Trial, "outcomes"): lambda outcomes: records_from(TrialOutcome, outcomes),
    (Trial, "values"): tuple,
    (Trial, "ties"): tuple,
    (Trial, "breaks"): tuple,
    (StudySpec, "further"): tuple,
    (StudySpec, "constraints"): tuple,
}


def _is_default(entry: dataclasses.Field[Any], item: Any) -> bool:
    if entry.default_factory is not dataclasses.MISSING:
        return bool(item == entry.default_factory())
    return entry.default is not dataclasses.MISSING and neutral.is_same(item, entry.default)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return record_json(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
