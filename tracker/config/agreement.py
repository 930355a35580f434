"""What the parts of params.yaml must agree on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from tracker.config.base import faults_of
from tracker.config.checks import pruner_faults, space_faults, value_faults
from tracker.config.entries import Entries
from tracker.config.forms import FORBID
from tracker.config.goal_faults import goal_name_faults, prefer_faults
from tracker.config.metric_faults import metric_faults, own_metric_faults, promote_fault, robustness_faults
from tracker.config.refinements import Refinement, refinement_faults
from tracker.config.study import Study
from tracker.hyperparameters import COUNTED, DEVICES, FAMILIES, table_of
from tracker.knobs import Hyperparameter
from tracker.sampler_table import SAMPLERS
from tracker.shapes import STUDY_NAME as NAME


def disagreements(config: Entries) -> Iterator[str]:
    """What is wrong with params.yaml as a whole, one sentence each, beginning with its place."""
    names = config.hyperparameters, config.search_space
    table = table_of(config.model.family, *names)
    yield from _free_faults(config)
    yield from metric_faults(config, "objective.metric", config.objective.metric)
    yield from own_metric_faults(config)
    yield from robustness_faults(config)
    if config.retune.promote.metric and (fault := promote_fault(config)):
        yield fault
    yield from _device_faults(config)
    if FAMILIES[config.model.family].fitted_once:
        yield from _fitted_once_faults(config)
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


def _counted_faults(config: Entries) -> Iterator[str]:
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


def _free_faults(config: Entries) -> Iterator[str]:
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


def _study_faults(config: Entries, name: str, study: Study, table: Mapping[str, Hyperparameter]) -> Iterator[str]:
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


def _fitted_once_faults(config: Entries) -> Iterator[str]:
    """What a Config asks of a family without epochs that needs some, one sentence each, beginning with its place."""
    once = f"family {config.model.family} is fitted once, without epochs; take it out"
    own = {config.place(name): study for name, study in config.studies.items()}
    given = {f"{place}.training": study.training or {} for place, study in own.items()}
    common = {name: getattr(config.training, name) for name in config.training.model_fields_set}
    for place, training in {"training": common, **given}.items():
        yield from (f"{place}.{entry}: {once}" for entry in ("epochs", "early_stopping") if entry in training)
        if training.get("numerics") == "portable":
            yield f"{place}.numerics: portable pins torch and NumPy, not scikit-learn; take it out"
    yield from (f"{place}.pruner: {once}" for place, study in own.items() if study.pruner is not None)


def _device_faults(config: Entries) -> Iterator[str]:
    """What a device other than the CPU does not go with, one sentence each, beginning with its place."""
    family, common = config.model.family, {"device": config.training.device, "numerics": config.training.numerics}
    own = {f"{config.place(name)}.training": study.training or {} for name, study in config.studies.items()}
    for place, training in {
        "training": common,
        **{name: {**common, **given} for name, given in own.items() if given},
    }.items():
        device = training["device"]
        if device == "cpu" or device not in DEVICES:
            continue
        if device not in FAMILIES[family].devices:
            able = ", ".join(name for name, row in FAMILIES.items() if device in row.devices)
            yield f"{place}.device: {device}: family {family} trains on the CPU; say cpu, or take one of {able}"
        if training["numerics"] == "portable":
            yield f"{place}.numerics: portable pins the CPU, not {device}; take it out"
