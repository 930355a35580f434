"""From one study's part of the configuration, data digests and the environment to the specs of a study and its trials."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from tracker.aggregation import RULE, rows_of_runs
from tracker.canonical import canonical_json
from tracker.config import Config, Refinement, Study, pruner_settings
from tracker.config.asked import asked_metrics, costs_wanted, own_metrics
from tracker.config.study import looks_back, runs_of
from tracker.errors import ConfigError, InputError, NotFoundError, SpaceError
from tracker.hyperparameters import FAMILIES, active, numerics_of, table_of, without_neutral
from tracker.metrics import metric_of
from tracker.records import Proposal, StudySpec, TrialSpec, with_rows
from tracker.remedies import run_again
from tracker.sampler_table import GENERATION, SAMPLERS
from tracker.search.enqueued import searched_from
from tracker.search.entries import Entry, Interval
from tracker.search.gradient import moved_names
from tracker.search.listed import count_configurations
from tracker.search.samplers import default_generation, open_sampler, versions
from tracker.search.shrink import shrink
from tracker.search.space import Space, assemble, compile_space, space_from
from tracker.search.stopping import stopped
from tracker.seeds import derive_seed
from tracker.shown import there_are
from tracker.studies.finished import Find, nowhere

THRESHOLD_SCORES = ("f1", "accuracy", "balanced_accuracy")  # what a threshold can maximise with sense
MOST_CORNERS = 4096  # combinations of what shapes a network that are looked at before anything runs
WEIGHTED = {name for name, row in FAMILIES.items() if "class_weights" in row.knobs}


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study, how many trials of it are wanted, and after how many first ones that fail alike it ends (None: never).

    `timeout` is after how many seconds of wall time a command that runs it stops (None: never).
    """

    spec: StudySpec
    trials: int
    max_failed: int | None = None
    timeout: int | None = None

    @property
    def distinct(self) -> int | None:
        """How many distinct configurations its space has, where that is fewer than trials; else None."""
        if not SAMPLERS[self.spec.sampler["name"]].needs_trials:
            return None
        space = space_from(self.spec.space, self.spec.fixed, self.spec.family)
        return count_configurations(space, self.trials - 1)


@dataclass(frozen=True, slots=True)
class Basis:
    """What studies rest on beside params.yaml, by identities: the digests of the rows, the environment, and code.

    `code` is that of the user's own, where the family has such, `parent` that of the weights that networks begin with,
    `metrics` those of the user's own metrics, by name.
    """

    data: Mapping[str, Any]
    environment: str
    code: Mapping[str, str] | None = None
    parent: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def plan_study(config: Config, name: str, basis: Basis, find: Find | None = nowhere) -> StudyPlan:
    """The study of that name.

    `find` finds the trials around which the space of a refinement shrinks. With None it is planned over the whole space,
    which says about how long it takes and has not the key that it will have.

    Raises NotFoundError, also where a refinement comes before what it refines, or SpaceError with every fault of its space.
    """
    spec = study_spec(config, name, basis, find)
    try:
        total = open_sampler(spec).total
    except SpaceError as error:
        raise SpaceError(f"{config.place(name)}: {fault}" for fault in error.faults) from None
    study = config.studies[name]
    trials = study.trials if total is None else total
    assert trials is not None
    return StudyPlan(spec, trials, study.max_failed_trials, study.timeout)


def study_spec(config: Config, name: str, basis: Basis, find: Find | None = nowhere) -> StudySpec:
    """What decides the proposals of the study of that name. Raises as `plan_study` does, but for what its sampler finds."""
    if name not in config.studies:
        raise NotFoundError(f"studies.{name}: there is no such study; {there_are(name, config.studies)}")
    study = config.studies[name]
    family = config.model.family
    try:
        space, refines = compile_space(config.space_of(name), config.hyperparameters, family), dict[str, Any]()
        if isinstance(study, Refinement) and find is not None:
            base = plan_study(config, study.refine, basis, find)
            space, refines = _refined(study, base, find)
        return StudySpec(
            name=name,
            family=family,
            sampler=_sampler(config, name) | _enqueued(config, name, space),
            space=space.canonical(),
            fixed=without_neutral(family, space.fixed),
            training=_training(config, name, space, basis.metrics),
            objective=config.objective.model_dump(mode="json"),
            generation=study.generation or default_generation(study.sampler) or _decided_in(study),
            seed=derive_seed(config.seed, "study", name),
            data=dict(basis.data),
            environment=basis.environment,
            numerics=max(numerics_of(family, params) for params in _told(space, study)),
            versions=versions(
                study.sampler, study.pruner.name if study.pruner else None, config.training_of(name).numerics
            ),
            code=_code(config, basis.code),
            runs=runs_of(study, RULE),
            pruner=pruner_settings(study),
            parent=dict(basis.parent),
            refines=refines,
            stop=study.stop.model_dump(exclude_none=True) if study.stop else {},
            further=tuple(goal.model_dump(mode="json") for goal in study.objectives[1:]),
            constraints=tuple(dict(one) for one in study.constraints),
        )
    except SpaceError as error:
        raise SpaceError(f"{config.place(name)}: {fault}" for fault in error.faults) from None


def _decided_in(study: Study) -> int | None:
    """The generation of a sampler that needs none, where something else is decided after each."""
    return GENERATION if looks_back(study) else None


def _refined(study: Refinement, base: StudyPlan, find: Find) -> tuple[Space, dict[str, Any]]:
    """What is left of the space of the study that is refined, and what decided that."""
    spec = base.spec
    trials = find(spec.name, spec.key, base.trials)
    end = stopped(spec, trials)
    count = base.trials if end is None else end[0]
    if len(trials) < count:
        raise NotFoundError(
            f"refinements: {spec.name} comes first: its {base.trials} trials, as params.yaml describes them now, are not all "
            f"recorded; {run_again(stage='refine' if spec.refines else 'tune', study=spec.name)}"
        )
    return shrink(spec, trials[:count], study.keep), {
        "study": spec.name,
        "key": spec.key,
        "trials": count,
        "keep": study.keep,
    }


def plan_studies(config: Config, basis: Basis, find: Find | None = nowhere) -> dict[str, StudyPlan]:
    """All studies by name; the faults of all of them together."""
    plans: dict[str, StudyPlan] = {}
    faults: list[str] = []
    for name in config.studies:
        try:
            plans[name] = plan_study(config, name, basis, find)
        except InputError as error:
            faults += error.faults
    if faults:
        raise SpaceError(faults)
    return plans


def refuse_labels(plans: Iterable[StudyPlan], labels: Sequence[str]) -> None:
    """Raises ConfigError where studies name classes that the table does not have, or want what needs two, or more, classes."""
    faults = []
    for spec in (plan.spec for plan in plans):
        if spec.training.get("threshold", "argmax") != "argmax" and len(labels) != 2:
            faults.append(
                f"decision.threshold: is between two classes, the target has {len(labels)}; take it out, or say argmax"
            )
        faults += _blind_metrics(spec, len(labels))
        for params in (spec.fixed, *spec.sampler.get("configurations", ())):
            given = params.get("class_weights") if spec.family in WEIGHTED else None
            unknown = [label for label in given if label not in labels] if isinstance(given, Mapping) else []
            faults += [
                f"class_weights: {label!r} is no class of the target; {there_are(label, labels)}" for label in unknown
            ]
    if faults:
        raise ConfigError(dict.fromkeys(faults))


def _blind_metrics(spec: StudySpec, classes: int) -> Iterator[str]:
    """What decides in a study and is 1 for every model of so few classes."""
    stopping = spec.training.get("early_stopping") or {}
    named = {"training.early_stopping.monitor": stopping.get("monitor", "")}
    named |= {f"studies.{spec.name}.objectives": goal["metric"] for goal in spec.further}
    for place, metric in {"objective.metric": spec.objective["metric"], **named}.items():
        row = metric_of(re.sub("^val_(robust_)?", "", metric))
        if row is not None and classes < row.least_classes:
            yield (
                f"{place}: {metric} is 1 for every model of {classes} classes, so it decides nothing; take another metric"
            )


def refuse_shape(plans: Iterable[StudyPlan], shape: Sequence[int]) -> None:
    """Raises ConfigError where a study has a configuration whose network could not read rows of that shape.

    Of a range both ends are looked at, of a list every value: what does not fit at one of them fits nowhere beyond it.
    """
    from tracker.families.family import open_family

    faults = []
    for spec in (plan.spec for plan in plans):
        family = open_family(spec.family)
        found = (family.input_fault(params, shape) for params in corners(spec))
        if fault := next((fault for fault in found if fault), None):
            faults.append(fault if not shape else f"studies.{spec.name}: {fault}")
    if faults:
        raise ConfigError(dict.fromkeys(faults))


def corners(spec: StudySpec) -> Iterator[Mapping[str, Any]]:
    """Configurations of a study: those that are listed, or the ends and choices of what shapes its network, combined."""
    space = space_from(spec.space, spec.fixed, spec.family)
    for configuration in spec.sampler.get("configurations", ()):
        yield assemble(space, configuration)
    if "configurations" in spec.sampler:
        return
    sizes = {entry.name: ends(entry) for entry in space.entries if entry.name in FAMILIES[spec.family].sizes}
    for values in islice(product(*sizes.values()), MOST_CORNERS):
        chosen = dict(zip(sizes, values, strict=True))

        def choose(name: str, entry: Entry, chosen: Mapping[str, Any] = chosen) -> Any:
            return chosen.get(name, greatest(ends(entry)))

        searched, made = space.walk(choose)
        if space.forbidding(searched) is None:
            yield active(spec.family, {**space.fixed, **made})


def ends(entry: Entry) -> Sequence[Any]:
    """Both ends of a range, or every choice."""
    return (entry.domain.low, entry.domain.high) if isinstance(entry.domain, Interval) else entry.domain.listed()


def greatest(values: Sequence[Any]) -> Any:
    """Of numbers and truth values the greatest: what is neutral, 0 or false, fits everywhere. Else the first."""
    return max(values) if all(isinstance(value, int | float) for value in values) else values[0]


def least(values: Sequence[Any]) -> Any:
    """Of numbers and truth values the least, else the first."""
    return min(values) if all(isinstance(value, int | float) for value in values) else values[0]


class Planner:
    """Turns searched values into the trials of one study; its space is compiled once."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._space = space_from(spec.space, spec.fixed, spec.family)

    def propose(self, number: int, generation: int, searched: Mapping[str, Any]) -> Proposal:
        """Trial `number`; seeds follow from the study's seed, the number and, from the second run on, the run.

        With `seeds: common` among the study's `runs` they follow from seed and run: every trial has the same.
        """
        spec, rows = self._spec, list(rows_of_runs(self._spec.runs))
        if spec.runs.get("seeds") == "common":
            seeds = [derive_seed(spec.seed, "training", "run", run) for run in range(len(rows))]
        else:
            seeds = [derive_seed(spec.seed, "training", number)]
            seeds += [derive_seed(spec.seed, "training", number, "repeat", run) for run in range(1, len(rows))]
        params = assemble(self._space, searched)
        if "reshuffle" in spec.runs:
            shuffle = derive_seed(spec.seed, "reshuffle", number) % 2**32  # short, because people read it
            rows = [own and {**own, "reshuffle": shuffle} for own in rows]
        runs = tuple(self.run(params, seed, own) for seed, own in zip(seeds, rows, strict=True))
        return Proposal(number, generation, dict(searched), runs)

    def run(self, params: Mapping[str, Any], seed: int, rows: Mapping[str, Any] | None = None) -> TrialSpec:
        """The run of these hyperparameters, as `assemble` gives them, from that seed; `rows` says which rows are its own."""
        spec = self._spec
        return TrialSpec(
            family=spec.family,
            params=params,
            training=spec.training,
            seed=seed,
            data=with_rows(spec.data, rows),
            environment=spec.environment,
            numerics=max(spec.numerics, numerics_of(spec.family, params)),
            code=spec.code,
            parent=spec.parent,
        )


def propose_trial(spec: StudySpec, number: int, generation: int, searched: Mapping[str, Any]) -> Proposal:
    """One trial of a study; for many, a `Planner` is quicker."""
    return Planner(spec).propose(number, generation, searched)


def _training(config: Config, name: str, space: Space, metrics: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """What decides training, with the metrics that somebody asks for, and the rule of deciding between two classes."""
    training, threshold = config.training_of(name), config.decision.threshold
    scored = config.objective.metric.removeprefix("val_")
    if threshold == "validation":
        threshold = f"max_{scored if scored in THRESHOLD_SCORES else 'f1'}"
    slopes = moved_names(space) if SAMPLERS[config.studies[name].sampler].hypergradients else []
    own = {
        one: dict(metrics[one]) for one in own_metrics(config, name)
    }  # KeyError: a key without code would be of any code
    told = {
        "metrics": asked_metrics(config, name),
        "own_metrics": own,
        "threshold": threshold,
        "hypergradients": slopes,
        "costs": costs_wanted(config, name),
    }
    return {**training.model_dump(mode="json"), **told}


def _told(space: Space, study: Study) -> Iterator[Mapping[str, Any]]:
    """All hyperparameters that some trial may have: those that are fixed, searched, listed."""
    yield space.fixed
    yield dict.fromkeys(entry.name for entry in space.entries)
    yield from study.configurations or ()


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


def _enqueued(config: Config, name: str, space: Space) -> dict[str, Any]:
    """The searched values that a study tries first; of a warm start, those that fit the space as it is now."""
    study, first = config.studies[name], list[dict[str, Any]]()
    row, faults = SAMPLERS[study.sampler], list[str]()
    for given in config.warm_start.get(name, ()) if row.rebuilds and not row.configurations else ():
        with contextlib.suppress(SpaceError):
            first.append(searched_from(space, given))
    for index, given in enumerate(study.enqueue):
        try:
            first.append(searched_from(space, given))
        except SpaceError as error:
            faults += [f"enqueue[{index}]: {fault}" for fault in error.faults]
    if faults:
        raise SpaceError(faults)
    distinct = {canonical_json(searched): searched for searched in first}
    return {"enqueue": list(distinct.values())} if distinct else {}


def _code(config: Config, code: Mapping[str, str] | None) -> dict[str, str]:
    """A key without the user's code would be the same for any code."""
    if (config.model.entry is None) == bool(code):
        raise ValueError(f"family {config.model.family}, entry {config.model.entry}, but the code's identity is {code}")
    return dict(code or {})
