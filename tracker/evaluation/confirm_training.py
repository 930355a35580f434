"""Trains what a confirmation lacks, as any study is trained: what the store has is taken, a kill loses nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import Config
from tracker.errors import InputError
from tracker.numerics import pin_numerics
from tracker.paths import Paths
from tracker.records import StudySpec, TrialOutcome, TrialSpec
from tracker.remedies import run_again
from tracker.store.store import Store

if TYPE_CHECKING:
    from tracker.datasets.training_data import TrainingData
    from tracker.execution.executor import Executor
    from tracker.execution.opening import Cluster
    from tracker.families.own_code import OwnCode
    from tracker.studies.plan import StudyPlan
    from tracker.studies.result import StudyResult
    from tracker.studies.runner import Progress

LOCK_S = 5.0


@dataclass(frozen=True)  # no slots: data are loaded once, and only where something is trained
class ConfirmTraining:
    """A project in which further seeds can be trained; `workers` changes no number."""

    config: Config
    paths: Paths
    workers: int = 1
    on_progress: Callable[[Progress], None] = lambda _: None
    cluster: Cluster | None = None

    def pin(self) -> None:
        """Pins the kernels of portable numerics; before torch is loaded. Raises ConfigError."""
        wanted = {self.config.training_of(name).numerics for name in self.config.studies}
        if wanted == {"portable"}:
            pin_numerics("portable", os.environ, sys.modules)

    def study(self, plan: StudyPlan) -> StudyResult:
        """The finished study of a plan; in the environment in which the store has it whole, else in this one.

        Raises InputError where the reports are of other data or code than lie here.
        """
        from tracker.studies.report import serving_of
        from tracker.studies.runner import run_study

        with Store.open(self.paths.store) as store, store.lock(f"study-{plan.spec.name}", LOCK_S):
            if found := _stored(store, plan):
                return found
            self._refuse_others(plan.spec)
            plan = replace(plan, spec=replace(plan.spec, environment=self._here(plan.spec)[0]))
            store.put_serving(plan.spec.served_data, serving_of(plan.spec.served_data, self.data))
            with self._executor(store, plan.spec) as executor:
                about = self._about(plan.spec)
                return run_study(
                    plan, store, executor, about, lambda told: self.on_progress(replace(told, change=None))
                )

    def write_model(self, folder: Path, study_key: str, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """Writes a run's model, trained again where its weights are not kept here. Raises ReplayError."""
        from tracker.store.model_folder import describe_model, write_model
        from tracker.studies.report import serving_of

        assert outcome.weights is not None
        with Store.open(self.paths.store) as store:
            self._regain(store, study_key, spec, outcome)
            code = store.provenance(spec.key).get("code")
            serving = serving_of(spec.data, self.data) if "rows" in spec.data else self._serving
            write_model(folder, describe_model(spec, outcome, serving, code), store.weights(outcome.weights))

    def _regain(self, store: Store, study_key: str, spec: TrialSpec, outcome: TrialOutcome) -> None:
        from tracker.studies.runner import regain_weights

        if outcome.weights and not store.has_weights(outcome.weights):
            with self._executor(store, spec) as executor:
                regain_weights(store, study_key, spec, executor, self._about(spec))

    @contextmanager
    def _executor(self, store: Store, spec: StudySpec | TrialSpec) -> Iterator[Executor]:
        from tracker.execution.executor import DataSource, lanes_allowed
        from tracker.execution.opening import needing, open_executor

        source = DataSource(self.paths.splits, self.config.preprocessing, self.paths.root)
        lanes = lanes_allowed(store, self._here(spec)[0], spec.family)
        cluster = needing(self.cluster, self.config.resources)
        with open_executor(self.workers, source, self.data, lanes, cluster) as executor:
            yield executor

    def _refuse_others(self, spec: StudySpec) -> None:
        code, tables = self.code, {name: value for name, value in spec.data.items() if name != "rows"}
        if tables != dict(self.data.digests) or dict(spec.code) != (dict(code.identity) if code else {}):
            raise InputError(
                "the trials to confirm are of other data, preprocessing or code than lie here now; "
                f"{run_again(self.paths.root)}"
            )

    def environment_of(self, study: str) -> str:
        """The digest of the environment in which a study trains here."""
        from tracker.surroundings.environment import asked_of, environment

        return environment(*asked_of(self.config.training_of(study).model_dump(), self.config.model.family))[0]

    def _here(self, spec: StudySpec | TrialSpec) -> tuple[str, dict[str, Any]]:
        from tracker.surroundings.environment import asked_of
        from tracker.surroundings.provenance import trained_with

        return trained_with(sys.argv, self.paths.root, *asked_of(spec.training, spec.family))

    def _about(self, spec: StudySpec | TrialSpec) -> Mapping[str, Any]:
        about = self._here(spec)[1]
        return {**about, "code": self.code.texts} if self.code else about

    @cached_property
    def data(self) -> TrainingData:
        """The arrays of train and validation, and the digests of both."""
        from tracker.datasets.training_data import load_training_data

        return load_training_data(self.paths.splits, self.config.preprocessing)

    @cached_property
    def code(self) -> OwnCode | None:
        """The user's own code, where the family has such."""
        from tracker.execution.trainer import load_own

        model = self.config.model
        return None if model.entry is None else load_own(self.paths.root, model.family, model.entry)[0]

    @cached_property
    def _serving(self) -> Mapping[str, Any]:
        from tracker.studies.report import serving_of

        return serving_of(self.data.digests, self.data)


def _stored(store: Store, plan: StudyPlan) -> StudyResult | None:
    """The planned study where the store has it whole, of whatever environment; the present one is usually the first."""
    from tracker.errors import NotFoundError
    from tracker.studies.result import study_result

    for key, spec in store.studies(plan.spec.name):
        if replace(plan.spec, environment=spec.environment) == spec:
            try:
                trials = [store.trial(key, number) for number in range(plan.trials)]
            except NotFoundError:
                continue
            return study_result(spec, [one.proposal for one in trials], [one.outcomes for one in trials])
    return None
