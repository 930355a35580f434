"""Several runs per trial: what params.yaml says of folds and repeats, and which of its entries cannot go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from tracker.config.base import Part


class CrossValidation(Part):
    """Each configuration is trained once per fold of train and validation, on all other folds; `repeats` deal them anew.

    `prune` says after how bad a start it is not trained on the other folds (`tracker.studies.fold_rungs`).
    """

    folds: int = Field(default=5, ge=2, le=100)
    repeats: int = Field(default=1, ge=1, le=100)
    prune: Literal["never", "forgiving", "aggressive"] = "never"

    @property
    def prunes(self) -> bool:
        """Whether hopeless configurations stop after few folds."""
        return self.prune != "never"


def run_faults(study: Any) -> Mapping[str, bool]:
    """What cannot be said together of the runs of a study's trials."""
    folds = study.cross_validation is not None
    several = folds or study.repeats > 1
    return {
        "aggregate says how the runs of a trial become its value; give repeats: 2 or more": (
            not several and "aggregate" in study.model_fields_set
        ),
        "pruner and repeats cannot go together: a trial of several runs has no curve of its own": (
            study.repeats > 1 and study.pruner is not None
        ),
        "pruner and cross_validation cannot go together: a trial of several runs has no curve of its own": (
            folds and study.pruner is not None
        ),
        "refit trains once more after folds; give cross_validation": study.refit and not folds,
        "reshuffle and cross_validation cannot go together: all trials share the folds": (
            folds and study.reshuffle is not None
        ),
        "reshuffle and repeats cannot go together: each trial has one split; give cross_validation": (
            study.repeats > 1 and study.reshuffle is not None
        ),
        "repeats and cross_validation cannot go together; say cross_validation.repeats, which deals the folds anew": (
            folds and study.repeats > 1
        ),
    }


def runs_of(study: Any, rule: int) -> dict[str, Any]:
    """What a study's spec says of the runs of its trials; nothing where each has one. `rule` says how rows become folds."""
    if study.cross_validation is None:
        if study.reshuffle is not None:
            return {"reshuffle": study.reshuffle, "rule": rule}
        return {} if study.repeats == 1 else {"repeats": study.repeats, "aggregate": study.aggregate}
    folds = study.cross_validation
    told = {"folds": folds.folds, "repeats": folds.repeats, "rule": rule, "aggregate": study.aggregate}
    return told | ({"refit": True} if study.refit else {}) | ({"prune": folds.prune} if folds.prunes else {})


def looks_back(study: Any) -> bool:
    """Whether something is decided after each generation of a study, whatever its sampler."""
    folds = study.cross_validation
    return study.pruner is not None or study.stop is not None or (folds is not None and folds.prunes)
