"""Which trials get a model in MLflow, under the policy `tracking.models`, and how it is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import digest
from tracker.config import BestModels
from tracker.errors import NotFoundError, StoreError
from tracker.ordering import best_first
from tracker.records import Proposal, Trial, data_identity, standing_of
from tracker.store.model_folder import describe_model
from tracker.store.store import Store
from tracker.tracking.mlflow_model import ModelTemplate
from tracker.tracking.report import Policy


class RunModels:
    """The models of one store's trials, under one policy."""

    def __init__(self, store: Store, policy: Policy, scratch: Path) -> None:
        self._store = store
        self._policy = policy
        self._scratch = scratch
        self._templates: dict[str, ModelTemplate] = {}

    def with_run(self, study: str, number: int) -> bool:
        """Whether a trial's model goes along with its run."""
        return self._policy == "all" and self.possible(study, number)

    def at_end(self, study: str) -> list[int]:
        """The numbers of the trials whose models follow when the study has ended, best first."""
        if not isinstance(self._policy, BestModels):
            return []
        best = best_numbers(self._store, study, self._policy.best)
        return [number for number in best if self.possible(study, number)]

    def possible(self, study: str, number: int) -> bool:
        """Whether the store has all that a model needs: weights and preprocessing."""
        try:
            stored = self._store.trial(study, number)
        except NotFoundError:
            return False
        weights = stored.outcomes[0].weights
        return weights is not None and self._serving(stored.proposal) is not None and self._store.has_weights(weights)

    def possible_run(self, key: str) -> bool:
        """The same of a run by its key, such as one that confirmed a choice."""
        outcome = self._store.outcomes([key]).get(key)
        if outcome is None or outcome.weights is None or not self._store.has_weights(outcome.weights):
            return False
        try:
            return self._store.serving(self._store.spec(key).data) is not None
        except NotFoundError:
            return False

    def write(self, folder: Path, study: str, number: int, run_id: str) -> None:
        """Writes a trial's MLflow model folder. Raises StoreError, StoreCorrupt."""
        self.writer(study, number)(folder, run_id)

    def write_run(self, folder: Path, key: str, run_id: str) -> None:
        """Writes the MLflow model folder of a run by its key. Raises StoreError, StoreCorrupt."""
        self._writer(key)(folder, run_id)

    def writer(self, study: str, number: int) -> Callable[[Path, str], None]:
        """What writes a trial's model into a folder, for a run's id; it reads no store. Raises StoreError, StoreCorrupt."""
        return self._writer(self._store.proposal(study, number).spec.key)

    def _writer(self, key: str) -> Callable[[Path, str], None]:
        spec, outcome = self._store.spec(key), self._store.outcomes([key])[key]
        serving = self._store.serving(spec.data)
        if serving is None or outcome.weights is None:
            raise StoreError(f"run {key[:12]} has no model; `tracker sync` after its study was tuned again")
        weights = self._store.weights(outcome.weights)
        code = self._store.provenance(key).get("code") if spec.code else None
        name = digest("serving", [data_identity(spec.data), spec.family, dict(spec.code)])
        if name not in self._templates:
            self._templates[name] = ModelTemplate(Path(tempfile.mkdtemp(dir=self._scratch)), spec.family, serving, code)
        template, created = self._templates[name], self._store.timing(key).ended
        told = describe_model(spec, outcome, serving, code)
        return lambda folder, run_id: template.write(folder, run_id, created, told, weights)

    def _serving(self, proposal: Proposal) -> Mapping[str, Any] | None:
        return self._store.serving(proposal.spec.data)


def best_numbers(store: Store, study: str, count: int) -> list[int]:
    """The trial numbers of a study's best, best first; ties go to the lower val_loss, then to the lower number."""
    spec, proposals = store.study(study), store.proposals(study)
    outcomes = store.outcomes([key for proposal in proposals for key in proposal.keys])
    stopped = {
        number for generation in {p.generation for p in proposals} for number in store.stopped(study, generation)
    }
    whole = [p for p in proposals if p.number not in stopped and all(key in outcomes for key in p.keys)]
    trials = [Trial.of(spec, proposal, [outcomes[key] for key in proposal.keys]) for proposal in whole]
    best = best_first(trials, standing_of, spec.objective["direction"])
    return [trial.number for trial in best[:count]]
