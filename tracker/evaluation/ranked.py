"""A trial with its place among all studies: what is ranked, confirmed, preferred and scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracker.canonical import canonical_json
from tracker.records import Trial, TrialOutcome, TrialSpec


@dataclass(frozen=True, slots=True)
class RankedTrial:
    """A complete trial with a finite objective value and its place among all studies.

    `metrics` are those of the kept epoch; of several runs their means, and `first_run` then has those of the first run,
    `values` the objective of each; `ties` are further objectives of its study, the lower the better. `rows` say which rows its
    model was trained and scored on: None is train and validation.
    """

    rank: int
    study: str
    trial: int
    key: str
    candidate: str
    weights: str | None
    value: float
    best_epoch: int | None
    metrics: Mapping[str, float | None]
    params: Mapping[str, Any]
    first_run: Mapping[str, float | None] | None = None
    rows: Mapping[str, Any] | None = None
    values: tuple[float | None, ...] = ()
    ties: tuple[float | None, ...] = ()

    @property
    def place(self) -> dict[str, Any]:
        """What names the trial in a report: study, trial, key, value."""
        return {"study": self.study, "trial": self.trial, "key": self.key, "value": self.value}

    @property
    def json(self) -> dict[str, Any]:
        """Its line in `reports/ranking.json`."""
        return {"rank": self.rank, **self.place, "metrics": _json(self.metrics), "params": dict(self.params)}

    @property
    def validation(self) -> dict[str, Any]:
        """What the model scores on validation, as JSON has it; of several runs, the first one's, whose model it is.

        Of a model that was trained on validation, too, the means over the folds that chose it.
        """
        unseen = self.first_run is not None and not (self.rows or {}).get("all")
        return _json(self.first_run if unseen and self.first_run is not None else self.metrics)


def rank_alone(study: str, trial: Trial) -> RankedTrial:
    """A trial that was not ranked among others, as its first run, whose model it has."""
    spec, outcome = trial.spec, trial.outcome
    return RankedTrial(
        rank=0,
        study=study,
        trial=trial.number,
        key=spec.key,
        candidate=spec.candidate,
        weights=outcome.weights,
        value=trial.value or 0.0,
        best_epoch=outcome.best_epoch,
        metrics=trial.metrics,
        params=spec.params,
        first_run=outcome.metrics,
        rows=spec.data.get("rows"),
    )


def run_row(row: RankedTrial, spec: TrialSpec, outcome: TrialOutcome) -> RankedTrial:
    """A row of the ranking with another run of the same configuration in its place."""
    return replace(
        row,
        key=spec.key,
        candidate=spec.candidate,
        weights=outcome.weights,
        best_epoch=outcome.best_epoch,
        metrics=dict(outcome.metrics),
        first_run=None,
        rows=spec.data.get("rows"),
        values=(),
    )


def _json(metrics: Mapping[str, float | None]) -> dict[str, Any]:
    """Metrics as JSON has them: infinity as `{"$float": "inf"}`."""
    value: dict[str, Any] = json.loads(canonical_json(dict(metrics)))
    return value
