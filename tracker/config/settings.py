"""The whole of params.yaml as one Config; what is wrong is told together, what is odd is told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from tracker.config.agreement import disagreements
from tracker.config.base import faults_of
from tracker.config.checks import space_warnings, value_warnings
from tracker.config.entries import Entries
from tracker.config.idle import idle
from tracker.config.metric_faults import direction_warnings
from tracker.errors import ConfigError
from tracker.hyperparameters import FAMILIES

MOST_FAULTS = 50  # that are told at once
LONGEST = 1000  # characters of one
BY_FAMILY = {"training", "hyperparameters", "search_space", "objective", "studies", "refinements", "warm_start"}


class Config(Entries):
    """The whole of params.yaml, checked."""

    @model_validator(mode="after")
    def _names_known(self) -> Config:
        faults = list(disagreements(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self

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
