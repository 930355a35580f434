"""The whole of params.yaml as one Config, and what its parts must agree on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from tracker.config.base import Part, faults_of
from tracker.config.checks import pruner_faults, space_faults, space_warnings, value_faults, value_warnings
from tracker.config.forms import FORBID, Entry, Forbid, Form
from tracker.config.goals import goal_name_faults, prefer_faults
from tracker.config.idle import idle
from tracker.config.metrics import (
    direction_warnings,
    metric_faults,
    own_metric_faults,
    promote_fault,
    robustness_faults,
)
from tracker.config.model import Model, device_faults, fitted_once_faults
from tracker.config.parts import (
    Compare,
    Data,
    Decision,
    Objective,
    Preprocessing,
    Retune,
    Split,
    Study,
    Tracking,
    Training,
)
from tracker.config.refinements import Refinement, in_chain_order, refinement_faults
from tracker.config.resources import Resources
from tracker.errors import ConfigError
from tracker.hyperparameters import COUNTED, FAMILIES, table_of
from tracker.knobs import Hyperparameter
from tracker.sampler_table import SAMPLERS
from tracker.shapes import STUDY_NAME as NAME

MOST_FAULTS = 50  # that are told at once
LONGEST = 1000  # characters of one
BY_FAMILY = {"training", "hyperparameters", "search_space", "objective", "studies", "refinements", "warm_start"}


class Config(Part):
    """The whole of params.yaml, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)

    seed: int = Field(ge=0, lt=2**63)
    data: Data = Data()
    split: Split = Split()
    preprocessing: Preprocessing = Preprocessing()
    model: Model = Model()
    training: Training = Training()
    hyperparameters: Mapping[str, Any] = {}
    search_space: Mapping[str, Entry] = {}
    objective: Objective = Objective()
    decision: Decision = Decision()
    declared: Mapping[str, Study] = Field(alias="studies")
    refinements: Mapping[str, Refinement] = {}
    compare: Compare = Compare()
    tracking: Tracking = Tracking()
    retune: Retune = Retune()
    resources: Resources = Resources()
    warm_start: Mapping[str, Annotated[tuple[Mapping[str, Any], ...], Field(strict=False)]] = {}

    @model_validator(mode="after")
    def _names_known(self) -> Config:
        faults = list(_name_faults(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @cached_property
    def studies(self) -> Mapping[str, Study]:
        """Every study by name: those under `studies`, and the refinements, each behind what it refines."""
        return in_chain_order(self.declared, self.refinements)

    def place(self, study: str) -> str:
        """Where a study stands in params.yaml: `studies.tpe`, `refinements.fine`."""
        return f"{'refinements' if study in self.refinements else 'studies'}.{study}"

    def with_(self, path: str, value: Any) -> Config:
        """A copy with one entry replaced: `config.with_("studies.tpe.trials", 96)`. Raises ConfigError."""
        tree = self.model_dump(exclude_unset=True)
        *parents, last = path.split(".")
        place = tree
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{path}: {name} holds a value, not entries")
        place[last] = value
        return parse_config(tree, "params.yaml")

    def training_of(self, study: str) -> Training:
        """The training settings of a study: the common ones with the study's own entries in their place.

        What is fitted once has one epoch, and nothing that stops it.
        """
        own, training = self.studies[study].training, self.training
        if own:
            training = type(training).model_validate({**training.model_dump(exclude_unset=True), **own})
        if FAMILIES[self.model.family].fitted_once:
            training = training.model_copy(update={"epochs": 1, "early_stopping": None})
        return training

    def space_of(self, study: str) -> Mapping[str, Form | Forbid]:
        """The search space of a study: its own, else the common one; nothing where its sampler searches none.

        Of a refinement it is the space that shrinks.
        """
        entry = self.studies[study]
        if isinstance(entry, Refinement):
            return self.space_of(entry.refine)
        if not SAMPLERS[entry.sampler].space:
            return {}
        return self.search_space if entry.search_space is None else entry.search_space


def parse_config(tree: Any, name: str) -> Config:
    """A Config from plain values. Raises ConfigError with one sentence per fault."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected entries such as `seed: 2026`, found {type(tree).__name__}")
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = list(dict.fromkeys([*faults_of(error), *_hidden_faults(tree, error)]))
        more = [f"and {len(faults) - MOST_FAULTS} more faults"] if len(faults) > MOST_FAULTS else []
        raise ConfigError(f"{name}: {fault[:LONGEST]}" for fault in [*faults[:MOST_FAULTS], *more]) from None


def _hidden_faults(tree: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    """Faults of names, which pydantic looks for only where every part is sound: so check the sound parts alone."""
    broken = [item["loc"] for item in error.errors(include_url=False) if item["loc"]]
    if not broken:
        return
    sound = {key: dict(value) if isinstance(value, dict) else value for key, value in tree.items()}
    if any(section == "model" for section, *_ in broken):  # which names there are follows from the family
        sound = {key: value for key, value in sound.items() if key not in BY_FAMILY}
    for section, *rest in broken:
        if section == "studies":
            sound.pop("refinements", None)  # one may refine what is left out
        if rest and section in {"studies", "refinements", "search_space"} and isinstance(sound.get(str(section)), dict):
            sound[str(section)].pop(rest[0], None)
        else:
            sound.pop(str(section), None)
    spare = {"spare": {"sampler": "manual", "configurations": [{}]}}
    try:
        Config.model_validate({"seed": 0, **sound, "studies": sound.get("studies") or spare})
    except ValidationError as second:
        lost_space = any(section == "search_space" for section, *_ in broken)
        yield from (fault for fault in faults_of(second) if not (lost_space and "nothing to search" in fault))


def unusual(config: Config) -> Iterator[str]:
    """What is allowed and worth a word: hyperparameters outside of what published work tries, entries without any effect."""
    knobs = FAMILIES[config.model.family].knobs
    yield from value_warnings("hyperparameters", knobs, config.hyperparameters)
    yield from space_warnings("search_space", knobs, config.search_space)
    for name, study in config.studies.items():
        yield from space_warnings(f"studies.{name}.search_space", knobs, study.search_space or {})
        for index, configuration in enumerate(study.configurations or ()):
            yield from value_warnings(f"studies.{name}.configurations[{index}]", knobs, configuration)
    yield from idle(config)
    yield from direction_warnings(config)


def _name_faults(config: Config) -> Iterator[str]:
    names = config.hyperparameters, config.search_space
    table = table_of(config.model.family, *names)
    yield from _free_faults(config)
    yield from metric_faults(config, "objective.metric", config.objective.metric)
    yield from own_metric_faults(config)
    yield from robustness_faults(config)
    if config.retune.promote.metric and (fault := promote_fault(config)):
        yield fault
    yield from device_faults(config)
    if FAMILIES[config.model.family].fitted_once:
        yield from fitted_once_faults(config)
    elif stopping := config.training.early_stopping:
        yield from metric_faults(config, "training.early_stopping.monitor", stopping.monitor)
    yield from _counted_faults(config)
    if not config.declared:
        yield "studies: nothing to run; give it a study such as `random: {sampler: random, trials: 48}`"
    if config.model.transfer is None and "freeze" in FAMILIES[config.model.family].knobs:
        searched = [study.search_space or {} for study in config.studies.values()]
        if any("freeze" in entries for entries in (config.hyperparameters, config.search_space, *searched)):
            yield "hyperparameters.freeze: has an effect only with a parent; say model.transfer.from, or take it out"
    yield from value_faults("hyperparameters", table, config.hyperparameters)
    yield from space_faults("search_space", table, config.search_space)
    refining = list(refinement_faults(config.declared, config.refinements))
    yield from refining or goal_name_faults(config)
    yield from prefer_faults(config)
    folded: dict[str, str] = {}
    for name, study in config.studies.items():
        if folded.setdefault(name.casefold(), name) != name:
            yield f"{config.place(name)}: differs from {folded[name.casefold()]} in case alone, so their files would collide"
        if not re.fullmatch(NAME, name):
            section = config.place(name).partition(".")[0]
            yield f"{section}: {name!r} is no name; it starts with a letter and has letters, digits, _ and - (at most 64)"
        else:
            own = table_of(config.model.family, *names, study.search_space or {}, *(study.configurations or ()))
            yield from (f"{config.place(name)}{fault}" for fault in _study_faults(config, name, study, own))


def _counted_faults(config: Config) -> Iterator[str]:
    """What only networks of ours allow, whose size and predictions follow from records alone."""
    share, family = config.split.selection, config.model.family
    if share and family not in COUNTED:
        yield (
            f"split.selection: scores networks of {', '.join(COUNTED)} on rows that only rank, and none of family {family}; "
            "take it out"
        )
    for name, study in config.studies.items():
        if share and (study.cross_validation is not None or study.reshuffle is not None):
            yield f"{config.place(name)}: is scored on rows of its own, not on those of split.selection; take one of them out"


def _free_faults(config: Config) -> Iterator[str]:
    """Names of the user's own hyperparameters that could not be shown or passed on."""
    if FAMILIES[config.model.family].entry is None:
        return
    own = [names for study in config.studies.values() for names in (study.search_space, *(study.configurations or ()))]
    for name in dict.fromkeys(
        name for names in (config.hyperparameters, config.search_space, *own) for name in names or ()
    ):
        if name == "seed":
            yield "hyperparameters: seed is no hyperparameter; each trial gets a seed of its own as an argument"
        elif not re.fullmatch(NAME, name):
            yield f"hyperparameters: {name!r} is no name; it starts with a letter and has letters, digits, _ and -"


def _study_faults(config: Config, name: str, study: Study, table: Mapping[str, Hyperparameter]) -> Iterator[str]:
    yield from space_faults(".search_space", table, study.search_space or {})
    for index, configuration in enumerate(study.configurations or ()):
        yield from value_faults(f".configurations[{index}]", table, configuration, config.hyperparameters)
    if study.reshuffle is not None and config.split.method == "time":
        yield ".reshuffle: with split.method time validation comes after train; take it out, or give cross_validation"
    if study.pruner is not None:
        yield from pruner_faults(".pruner", study.pruner)
    if (
        SAMPLERS[study.sampler].space
        and not config.space_of(name).keys() - {FORBID}
        and not isinstance(study, Refinement)
    ):
        yield ": nothing to search; give it a search_space"
    try:
        stopping = config.training_of(name).early_stopping
    except ValidationError as error:
        yield from (f".training.{fault}" for fault in faults_of(error))
    else:
        if study.training and stopping:
            yield from metric_faults(config, ".training.early_stopping.monitor", stopping.monitor)
