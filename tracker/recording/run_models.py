"""Turns the policy `tracking.models` into which trials get a model in MLflow, and writes these models."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import digest
from tracker.config import BestModels
from tracker.errors import StoreError
from tracker.hyperparameters import OWN_CODE
from tracker.recording.mlflow_model import DATA, ModelTemplate
from tracker.recording.model_folder import describe_model, fill_model
from tracker.recording.report import Policy
from tracker.recording.store import Store
from tracker.records import Proposal, StudySpec, TrialOutcome


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
        proposal = self._store.proposal(study, number)
        outcome = self._store.outcomes([proposal.spec.key]).get(proposal.spec.key)
        if outcome is None or outcome.weights is None or self._serving(proposal) is None:
            return False
        return self._store.has_weights(outcome.weights)

    def write(self, folder: Path, study: str, number: int, run_id: str) -> None:
        """Writes a trial's MLflow model folder. Raises StoreError, StoreCorrupt."""
        proposal = self._store.proposal(study, number)
        spec, serving = proposal.spec, self._serving(proposal)
        outcome = self._store.outcomes([spec.key])[spec.key]
        if serving is None or outcome.weights is None:
            raise StoreError(f"trial {number} of study {study} has no model; `tracker sync` after it was tuned again")
        weights = self._store.weights(outcome.weights)
        if spec.family in OWN_CODE:  # only its own code can open it: the same files at the same place, but no MLmodel
            code = self._store.provenance(spec.key).get("code")
            (folder / DATA).mkdir(parents=True, exist_ok=True)
            fill_model(folder / DATA, describe_model(spec, outcome, serving, code), weights)
            return
        name = digest("serving", dict(spec.data))
        if name not in self._templates:
            self._templates[name] = ModelTemplate(Path(tempfile.mkdtemp(dir=self._scratch)), serving)
        created = self._store.timing(spec.key).ended
        self._templates[name].write(folder, run_id, created, describe_model(spec, outcome, serving), weights)

    def _serving(self, proposal: Proposal) -> Mapping[str, Any] | None:
        return self._store.serving(proposal.spec.data)


def best_numbers(store: Store, study: str, count: int) -> list[int]:
    """The trial numbers of a study's best, best first; ties go to the lower val_loss, then to the lower number."""
    proposals = store.proposals(study)
    outcomes = store.outcomes([proposal.spec.key for proposal in proposals])
    ranks = [
        (*rank, proposal.number)
        for proposal in proposals
        if (rank := _rank(store.study(study), outcomes.get(proposal.spec.key))) is not None
    ]
    return [number for _, _, number in sorted(ranks)[:count]]


def _rank(study: StudySpec, outcome: TrialOutcome | None) -> tuple[float, float] | None:
    value = outcome.metrics.get(study.objective["metric"]) if outcome and outcome.state == "complete" else None
    if outcome is None or value is None or not math.isfinite(value):
        return None
    loss = outcome.metrics.get("val_loss")
    first = -value if study.objective["direction"] == "maximize" else value
    return first, math.inf if loss is None or math.isnan(loss) else loss
