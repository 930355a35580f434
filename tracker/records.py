"""The frozen values that cross borders: what a trial is told, what it gives back, and what a study consists of.

Each turns into canonical JSON and back without loss (`record_json`, `record_from`); its digest is its identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from tracker.canonical import digest

State = Literal["complete", "failed", "pruned"]
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """Everything that decides the outcome of one trial, and nothing else: no worker, folder, order or time.

    `data` holds the digests `train` and `validation` (tables of raw columns), `schema` (roles, labels, positive class)
    and `preprocessing` (settings). `training` holds epochs, early_stopping, device. `environment` is the digest of the
    part of the environment that changes numbers; `numerics` is the version of our training arithmetic. `code` says
    which code of the user's own trains: the `entry`, and the SHA-256 of each of its files (`loop.py`); it is empty where
    the family is one of ours.
    """

    family: str
    params: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    data: Mapping[str, str]
    environment: str
    numerics: int
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """SHA-256 (hex) under which the outcome is stored."""
        return digest("trial", record_json(self))

    @property
    def configuration(self) -> str:
        """SHA-256 (hex) of the trial wherever it is computed; looks at the test split are counted by it."""
        value = record_json(self)
        return digest("configuration", {name: value[name] for name in value if name not in {"environment", "numerics"}})


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What a trial gave: state, curve, the metrics of the kept epoch, digests of weights and validation predictions.

    `history` has one mapping per epoch: `epoch` (from 1), `train_loss`, `val_loss`, `val_accuracy`, `val_precision`,
    `val_recall`, `val_f1` (float or None where undefined) and `confusion_matrix` (rows: truth, columns: prediction).
    `metrics` are the numbers of epoch `best_epoch`, whose weights are kept. `reason` says why a trial failed. `labels` is
    the digest of the classes (int64 places) that the kept epoch predicts on validation; None also in older records.
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

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole outcome."""
        return digest("outcome", record_json(self))


@dataclass(frozen=True, slots=True)
class Timing:
    """When a trial ran (Unix seconds), kept beside the outcome and in no digest: start, end, the end of each epoch."""

    started: float
    ended: float
    epochs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class StudySpec:
    """Everything that decides a study's proposals, the number of trials apart, so that more trials extend it.

    `sampler` holds name and settings, `space` the searched names as canonical entries, `fixed` the other
    hyperparameters, `objective` metric and direction, `versions` the releases that shape proposals (`optuna`),
    `generation` how many trials are proposed before results are looked at (None: the sampler does not learn).
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
    data: Mapping[str, str]
    environment: str
    numerics: int
    versions: Mapping[str, str]
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """SHA-256 (hex) under which proposals are stored."""
        return digest("study", record_json(self))


@dataclass(frozen=True, slots=True)
class Proposal:
    """One planned trial of a study: its number, generation, the searched values alone, and its full spec."""

    number: int
    generation: int
    searched: Mapping[str, Any]
    spec: TrialSpec


@dataclass(frozen=True, slots=True)
class Trial:
    """A proposal with its outcome and objective value (None unless complete and finite)."""

    study: str
    proposal: Proposal
    outcome: TrialOutcome
    value: float | None

    @property
    def number(self) -> int:
        """Its place in the study, from 0."""
        return self.proposal.number

    @property
    def spec(self) -> TrialSpec:
        """What decides its outcome."""
        return self.proposal.spec


NESTED: Mapping[type, Mapping[str, type]] = {
    Proposal: {"spec": TrialSpec},
    Trial: {"proposal": Proposal, "outcome": TrialOutcome},
}


def record_json(record: Any) -> dict[str, Any]:
    """A record as plain mappings and lists, ready for `canonical_json`."""
    return {entry.name: _plain(getattr(record, entry.name)) for entry in dataclasses.fields(record)}


def record_from(kind: type[Record], value: Mapping[str, Any]) -> Record:
    """The record that `record_json` turned into `value`. Raises TypeError where fields are missing or unknown."""
    fields = dict(value)
    if kind is TrialOutcome:
        fields["history"] = tuple(fields["history"])
    if kind is Timing:
        fields["epochs"] = tuple(fields["epochs"])
    for name, nested in NESTED.get(kind, {}).items():
        fields[name] = record_from(nested, fields[name])
    return kind(**fields)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return record_json(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
