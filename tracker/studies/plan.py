"""Turns one study's part of the configuration, data digests and the environment into the spec of a study and its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.config import Config
from tracker.errors import InputError, NotFoundError, SpaceError
from tracker.hyperparameters import table_of
from tracker.records import Proposal, StudySpec, TrialSpec
from tracker.search.samplers import default_generation, open_sampler, versions
from tracker.search.space import assemble, compile_space, space_from
from tracker.seeds import derive_seed
from tracker.training.cohort import TRAINING_VERSION


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study and how many trials of it are wanted."""

    spec: StudySpec
    trials: int


def plan_study(
    config: Config, name: str, data: Mapping[str, str], environment: str, code: Mapping[str, str] | None = None
) -> StudyPlan:
    """The study of that name; `code` is the identity of the user's own code, where the family has such.

    Raises NotFoundError, or SpaceError with every fault of its search space.
    """
    if name not in config.studies:
        raise NotFoundError(f"studies.{name}: there is no such study; there are {', '.join(config.studies)}")
    study = config.studies[name]
    family = config.model.family
    try:
        space = compile_space(config.space_of(name), config.hyperparameters, family)
        spec = StudySpec(
            name=name,
            family=family,
            sampler=_sampler(config, name),
            space=space.canonical(),
            fixed=dict(space.fixed),
            training=config.training_of(name).model_dump(mode="json"),
            objective=config.objective.model_dump(mode="json"),
            generation=study.generation or default_generation(study.sampler),
            seed=derive_seed(config.seed, "study", name),
            data=dict(data),
            environment=environment,
            numerics=TRAINING_VERSION,
            versions=versions(study.sampler),
            code=_code(config, code),
        )
        total = open_sampler(spec).total
    except SpaceError as error:
        raise SpaceError(f"studies.{name}: {fault}" for fault in error.faults) from None
    trials = study.trials if total is None else total
    assert trials is not None
    return StudyPlan(spec, trials)


def plan_studies(
    config: Config, data: Mapping[str, str], environment: str, code: Mapping[str, str] | None = None
) -> dict[str, StudyPlan]:
    """All studies by name; the faults of all of them together."""
    plans: dict[str, StudyPlan] = {}
    faults: list[str] = []
    for name in config.studies:
        try:
            plans[name] = plan_study(config, name, data, environment, code)
        except InputError as error:
            faults += error.faults
    if faults:
        raise SpaceError(faults)
    return plans


def propose_trial(spec: StudySpec, number: int, generation: int, searched: Mapping[str, Any]) -> Proposal:
    """Trial `number` with the searched values in their place and a seed that follows from the study's seed and number."""
    trial = TrialSpec(
        family=spec.family,
        params=assemble(space_from(spec.space, spec.fixed, spec.family), searched),
        training=spec.training,
        seed=derive_seed(spec.seed, "training", number),
        data=spec.data,
        environment=spec.environment,
        numerics=spec.numerics,
        code=spec.code,
    )
    return Proposal(number, generation, dict(searched), trial)


def _sampler(config: Config, name: str) -> dict[str, Any]:
    study = config.studies[name]
    sampler: dict[str, Any] = {"name": study.sampler}
    if study.configurations is not None:
        table = table_of(config.model.family, *study.configurations)
        sampler["configurations"] = [
            {key: table[key].typed(value) for key, value in configuration.items()}
            for configuration in study.configurations
        ]
    return sampler


def _code(config: Config, code: Mapping[str, str] | None) -> dict[str, str]:
    """A key without the user's code would be the same for any code."""
    if (config.model.entry is None) == bool(code):
        raise ValueError(f"family {config.model.family}, entry {config.model.entry}, but the code's identity is {code}")
    return dict(code or {})
