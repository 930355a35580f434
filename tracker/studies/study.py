"""A finished study as notebooks see it: Optuna's names for what is best, a data frame of trials, each trial's model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from tracker.canonical import canonical_json
from tracker.errors import NotFoundError
from tracker.execution.executor import DataSource, InlineExecutor, lanes_allowed
from tracker.families.trusted_code import require_trusted
from tracker.hyperparameters import FAMILIES
from tracker.ordering import first_reason
from tracker.records import Trial
from tracker.search.export import to_optuna
from tracker.shown import counted
from tracker.standalone.load import StandaloneModel, load_model
from tracker.store.environments import earlier_environments
from tracker.store.model_folder import describe_model, write_model
from tracker.store.store import Store
from tracker.studies.audit import Audit, audit_study
from tracker.studies.derived_model import DerivedModel, rebuild
from tracker.studies.result import StudyResult
from tracker.studies.runner import regain_weights


@dataclass(frozen=True, repr=False)
class StudyTrial:
    """One trial: what it was told, what it gave, and its model.

    `source` is where rows are, for a trial whose weights did not come with its record: it is trained again when asked for.
    """

    trial: Trial
    store: Path
    serving: Mapping[str, Any]
    study_key: str = ""
    source: DataSource | None = None

    def __repr__(self) -> str:
        """Its place, state, value and params; the whole record is `trial`."""
        place = f"{self.trial.study}/{self.number}"
        return f"StudyTrial({place}, {self.state}, value={self.value}, params={dict(self.params)})"

    @property
    def number(self) -> int:
        """Its number in the study, from 0."""
        return self.trial.number

    @property
    def params(self) -> Mapping[str, Any]:
        """All hyperparameters that have an effect."""
        return self.trial.spec.params

    @property
    def seed(self) -> int:
        """The seed from which all its randomness derives."""
        return self.trial.spec.seed

    @property
    def value(self) -> float | None:
        """The objective at the kept epoch; None where the trial failed or the metric is undefined."""
        return self.trial.value

    @property
    def values(self) -> tuple[float | None, ...]:
        """The value of each objective, as `value` is the first one's."""
        return self.trial.values

    @property
    def state(self) -> str:
        """`complete`, `pruned` or `failed`."""
        return self.trial.state

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics of the kept epoch; of several runs their means."""
        return self.trial.metrics

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch; of several runs the first one's."""
        return pd.DataFrame(list(self.trial.outcome.history)).drop(columns="confusion_matrix", errors="ignore")

    @cached_property
    def model(self) -> StandaloneModel | DerivedModel:
        """The model with its preprocessing; one of the user's own code is built again by that code.

        Raises NotFoundError where the trial has none, ReplayError where training again gives other weights, CodeNotTrusted
        where its code is not that of the project's folder (`load(trust=...)`).
        """
        return self._opened(None)

    def _opened(self, trust: str | None) -> StandaloneModel | DerivedModel:
        if self.trial.spec.code:
            root = self.source.root if self.source is not None else None
            require_trusted(self.trial.spec.code, root or Path.cwd(), f"{self.trial.study}/{self.number}", trust)
        digest = self.trial.outcome.weights
        if digest is None:
            pruned = "it was pruned" if self.state == "pruned" else "its loop returned none"
            reason = self.trial.outcome.reason or pruned
            raise NotFoundError(f"{self.trial.study}/{self.number} has no model: {reason}")
        with Store.open(self.store) as store, TemporaryDirectory() as folder:
            if self.source is not None and not store.has_weights(digest):
                executor = InlineExecutor(self.source.load(), 1, self.source.root)
                regain_weights(store, self.study_key, self.trial.spec, executor, {})
            code = store.provenance(self.trial.spec.key).get("code") if self.trial.spec.code else None
            weights, serving = store.weights(digest), store.serving(self.trial.spec.data) or self.serving
            target = Path(folder) / "model"
            write_model(target, describe_model(self.trial.spec, self.trial.outcome, serving, code), weights)
            try:
                return load_model(target)
            except ValueError:
                whole = FAMILIES[self.trial.spec.family].fitted_once
                if not self.trial.spec.code or self.source is None or whole:
                    raise
                return self._rebuilt(code, weights)

    def _rebuilt(self, code: Mapping[str, str] | None, weights: bytes) -> DerivedModel:
        """Trained again, because the recorded code alone does not give this network."""
        assert self.source is not None
        description = describe_model(self.trial.spec, self.trial.outcome, self.serving, code)
        return rebuild(description, weights, self.source.splits)

    def load(self, *, trust: str | None = None) -> Any:
        """The network in evaluation mode, or the estimator; it takes preprocessed rows, float32 (rows, features).

        `trust` is the digest of code that may run though it is not that of the project's folder, as CodeNotTrusted names it.
        """
        return (self._opened(trust) if trust else self.model).module

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Raw columns in; `label` and `probability_<class>` out."""
        return self.model.predict(frame)


@dataclass(frozen=True, repr=False)
class Study:
    """A finished study."""

    result: StudyResult
    store: Path
    serving: Mapping[str, Any]
    source: DataSource | None = None

    def __repr__(self) -> str:
        """Its name, how many trials it has, the best; all of them are `trials`."""
        best = self.result.best
        told = "none best" if best is None else f"best {self.name}/{best.number}, value={best.value}"
        return f"Study({self.name}, {counted(len(self.result.trials), 'trial')}, {told})"

    @cached_property
    def trials(self) -> tuple[StudyTrial, ...]:
        """All trials in order."""
        key = self.result.spec.key
        return tuple(StudyTrial(trial, self.store, self.serving, key, self.source) for trial in self.result.trials)

    @property
    def name(self) -> str:
        """The study's name in params.yaml."""
        return self.result.spec.name

    @property
    def best_trial(self) -> StudyTrial:
        """The best complete trial. Raises NotFoundError where all failed."""
        best = self.result.best
        if best is None:
            metric = self.result.spec.objective["metric"]
            why = first_reason(trial.why_unranked(metric) for trial in self.result.trials)
            raise NotFoundError(
                f"{self.name}: no trial is best: {why}; see all reasons with `tracker runs {self.name}`"
            )
        return self.trials[best.number]

    @property
    def front(self) -> tuple[StudyTrial, ...]:
        """Of a study with several objectives the trials that no other one is better than in all; else none."""
        return tuple(self.trials[trial.number] for trial in self.result.front)

    @property
    def best_params(self) -> Mapping[str, Any]:
        """The best trial's hyperparameters."""
        return self.best_trial.params

    @property
    def best_value(self) -> float:
        """The best trial's objective."""
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def digest(self) -> str:
        """SHA-256 over everything that was proposed and came out."""
        return self.result.digest

    @property
    def mixed(self) -> tuple[str, ...]:
        """The other environments (digests) in which studies of this name ran before; nearly always none."""
        with Store.open(self.store) as store:
            return earlier_environments(store, self.result.spec)

    def trials_dataframe(self) -> pd.DataFrame:
        """One row per trial: number, state, value, params_*, metrics_*, seed, reason (why it has no value)."""
        metric = self.result.spec.objective["metric"]
        return pd.DataFrame([_row(trial) | {"reason": trial.trial.why_unranked(metric)} for trial in self.trials])

    def audit(self, count: int | None = None) -> Audit:
        """Trains `count` pruned trials (None: all) to their end: how many would have been best, and what pruning saved.

        Raises NotFoundError where none was pruned, or where there are no rows to train on.
        """
        if self.source is None:
            raise NotFoundError(f"{self.name}: the rows to train on did not come with it; tune it where they are")
        data = self.source.load()
        with Store.open(self.store) as store:
            lanes = lanes_allowed(store, self.result.spec.environment, self.result.spec.family)
            executor = InlineExecutor(data, lanes, self.source.root)
            try:
                return audit_study(self.result, store, executor, {}, count)
            finally:
                executor.close()

    def to_optuna(self, storage: str | None = None) -> Any:
        """The study as an `optuna.Study`, for Optuna's figures and dashboard, in memory or in an Optuna storage (its URL)."""
        return to_optuna(self.result.spec, self.result.trials, self.result.spec.objective["direction"], storage)


def _row(trial: StudyTrial) -> dict[str, Any]:
    row: dict[str, Any] = {"number": trial.number, "state": trial.state, "value": trial.value}
    for name, value in trial.params.items():
        row[f"params_{name}"] = canonical_json(value).decode() if isinstance(value, list | dict) else value
    row |= {f"metrics_{name}": value for name, value in trial.metrics.items()}
    return row | {"seed": trial.seed}
