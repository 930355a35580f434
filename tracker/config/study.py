"""One study of params.yaml, sound by itself: its sampler, its runs, its pruner, its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from tracker.aggregation import Aggregate
from tracker.config.base import Part, one_of, raise_faults
from tracker.config.forms import Entry
from tracker.config.goals import Constraints, Objectives
from tracker.goals import constraint_text
from tracker.pruner_table import PRUNERS
from tracker.sampler_table import SAMPLERS


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


class Stop(Part):
    """After so many generations without a better value, or after the generation in which so many epochs were reached."""

    plateau: int | None = Field(default=None, ge=1, le=100_000)
    epochs: int | None = Field(default=None, ge=1, le=10**12)

    @model_validator(mode="after")
    def _says_something(self) -> Stop:
        raise_faults(
            {
                "expected plateau: generations without improvement, or epochs: a budget, or both": (
                    self.plateau is None and self.epochs is None
                )
            }
        )
        return self


class Pruner(Part):
    """A rule that stops weak trials early; the settings beside its name are held against the table of pruners."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: Annotated[str, BeforeValidator(partial(one_of, PRUNERS))]

    @property
    def given(self) -> Mapping[str, Any]:
        """The settings that are written down."""
        return self.model_extra or {}


def _named(value: Any) -> Any:
    """A pruner's name alone stands for all its defaults."""
    return {"name": value} if isinstance(value, str) else value


class Study(Part):
    """One study: a sampler over the common search space or its own."""

    sampler: Annotated[str, BeforeValidator(partial(one_of, SAMPLERS))]
    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    generation: int | None = Field(default=None, ge=1, le=100_000)
    configurations: tuple[Mapping[str, Any], ...] | None = Field(default=None, strict=False)
    search_space: Mapping[str, Entry] | None = None
    enqueue: tuple[Mapping[str, Any], ...] = Field(default=(), strict=False)
    objectives: Objectives = ()
    constraints: Constraints = ()
    training: Mapping[str, Any] | None = None
    repeats: int = Field(default=1, ge=1, le=1000)
    aggregate: Aggregate = "mean"
    cross_validation: CrossValidation | None = None
    reshuffle: Literal["per_trial"] | None = None
    refit: bool = False
    pruner: Annotated[Pruner | None, BeforeValidator(_named)] = None
    stop: Stop | None = None
    timeout: int | None = Field(default=None, ge=1, le=10**9)
    max_failed_trials: int | None = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _fits_runs(self) -> Study:
        raise_faults({**_run_faults(self), **_stop_faults(self), **_goal_faults(self)})
        return self

    @model_validator(mode="after")
    def _fits_sampler(self) -> Study:
        row = SAMPLERS[self.sampler]
        name, listing = row.name, " or ".join(other.name for other in SAMPLERS.values() if other.configurations)
        faults = {
            f"sampler {name} needs configurations: a list of hyperparameters, {{}} for the fixed ones": (
                row.configurations and not self.configurations
            ),
            f"configurations belong to sampler {listing}, not to {name}": (
                not row.configurations and self.configurations is not None
            ),
            f"enqueue belongs to samplers that search; {name} has configurations": row.configurations
            and bool(self.enqueue),
            f"sampler {name} cannot go on from trials that are given; take enqueue out": (
                not row.rebuilds and bool(self.enqueue)
            ),
            f"sampler {name} needs trials: how many to run": row.needs_trials and self.trials is None,
            f"sampler {name} has as many trials as configurations; take trials out": (
                not row.needs_trials and self.trials is not None
            ),
            f"generation belongs to samplers that learn, to pruners and to stop; {name} does not learn": (
                not row.learns and not looks_back(self) and self.generation is not None
            ),
            f"sampler {name} needs generations of {row.least_generation} trials or more": (
                self.generation is not None and self.generation < row.least_generation
            ),
        }
        raise_faults(faults)
        return self


def looks_back(study: Study) -> bool:
    """Whether something is decided after each generation of a study, whatever its sampler."""
    folds = study.cross_validation
    return study.pruner is not None or study.stop is not None or (folds is not None and folds.prunes)


def runs_of(study: Study, rule: int) -> dict[str, Any]:
    """What a study's spec says of the runs of its trials; nothing where each has one. `rule` says how rows become folds."""
    if study.cross_validation is None:
        if study.reshuffle is not None:
            return {"reshuffle": study.reshuffle, "rule": rule}
        return {} if study.repeats == 1 else {"repeats": study.repeats, "aggregate": study.aggregate}
    folds = study.cross_validation
    told = {"folds": folds.folds, "repeats": folds.repeats, "rule": rule, "aggregate": study.aggregate}
    return told | ({"refit": True} if study.refit else {}) | ({"prune": folds.prune} if folds.prunes else {})


def _run_faults(study: Study) -> Mapping[str, bool]:
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


def _stop_faults(study: Study) -> dict[str, bool]:
    """What a study says of its end that does not fit its sampler."""
    row = SAMPLERS[study.sampler]
    return {
        f"stop belongs to samplers that are asked for trials; {row.name} has a list": (
            study.stop is not None and not row.needs_trials
        )
    }


def _goal_faults(study: Study) -> dict[str, bool]:
    """What cannot be said together of the objectives of a study."""
    several, row = bool(study.objectives), SAMPLERS[study.sampler]
    able = ", ".join(other.name for other in SAMPLERS.values() if other.several)
    metrics = [goal.metric for goal in study.objectives]
    folds = study.cross_validation
    return {
        "objectives: give two or more; one alone is the project's objective": several and len(metrics) < 2,
        f"objectives: {', '.join(metrics)}: each metric once": len(set(metrics)) < len(metrics),
        f"sampler {row.name} takes one objective; several are for {able}": several and not row.several,
        "pruner and objectives cannot go together: a rung compares one value": several and study.pruner is not None,
        "cross_validation.prune and objectives cannot go together: it compares one value": (
            several and folds is not None and folds.prunes
        ),
        **dict.fromkeys(_contradictions(study), True),
    }


def _contradictions(study: Study) -> Iterator[str]:
    for most in (one for one in study.constraints if "most" in one):
        for least in (one for one in study.constraints if "least" in one and one["metric"] == most["metric"]):
            if least["least"] > most["most"]:
                texts = f"{constraint_text(most)} and {constraint_text(least)}"
                yield f"constraints: {texts} cannot both hold; change one"
