"""One sampler over all of Optuna's: it proposes over an in-memory study, seeded anew so that proposals repeat."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from tracker.errors import TrackerError
from tracker.goals import UNKNOWN
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.sampler_table import GENERATION
from tracker.search.entries import Entry
from tracker.search.optuna_border import distribution, optuna_border, suggest
from tracker.search.samplers import row_of
from tracker.search.sampling import Searched, Told, Turns
from tracker.search.space import Space
from tracker.seeds import derive_seed

Factory = Callable[[int], optuna.samplers.BaseSampler]
Seeded = Literal["trial", "generation", "study"]


def open_random(spec: StudySpec, space: Space) -> OptunaSampler:
    """Independent draws, seeded anew for every trial, so that a trial depends on its number alone."""
    return OptunaSampler(spec, space, optuna.samplers.RandomSampler, "trial")


def open_tpe(spec: StudySpec, space: Space) -> OptunaSampler:
    """TPE with Optuna's defaults, seeded anew for every generation.

    Method: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011, in its multivariate form.
    """
    return OptunaSampler(spec, space, lambda seed: optuna.samplers.TPESampler(seed=seed), "generation")


def open_nsga2(spec: StudySpec, space: Space) -> OptunaSampler:
    """A genetic algorithm: the best of the generations before cross (BLX-alpha) and mutate; seeded anew for each.

    Method: NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6, 2002) as Optuna has it; with one objective
    its selection is by value, with several by fronts and crowding. The population is a generation of the study.
    """
    size = spec.generation or GENERATION

    def factory(seed: int) -> optuna.samplers.BaseSampler:
        crossover = optuna.samplers.nsgaii.BLXAlphaCrossover()
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=size, crossover=crossover)

    return OptunaSampler(spec, space, factory, "generation", whole=True)


def open_nsga3(spec: StudySpec, space: Space) -> OptunaSampler:
    """As nsga2, but what is kept of several objectives is spread over the front by reference points, not by crowding.

    Method: NSGA-III (Deb and Jain, IEEE Transactions on Evolutionary Computation 18, 2014) as Optuna has it.
    """
    size = spec.generation or GENERATION

    def factory(seed: int) -> optuna.samplers.BaseSampler:
        crossover = optuna.samplers.nsgaii.BLXAlphaCrossover()
        return optuna.samplers.NSGAIIISampler(seed=seed, population_size=size, crossover=crossover)

    return OptunaSampler(spec, space, factory, "generation", whole=True)


class OptunaSampler:
    """A sampler of Optuna's, made anew from a seed for every trial or generation, or once for the study.

    One that learns has its generations in order, each told before the next; any other proposes any trial at any time.

    `whole`: the method wants a value for every name, so idle ones are drawn, too, and every trial: a pruned one counts with
    its last value, a failed one as the worst so far.
    """

    total = None

    def __init__(self, spec: StudySpec, space: Space, factory: Factory, seeded: Seeded, whole: bool = False) -> None:
        row = row_of(spec.sampler["name"])
        self.generation_size = (spec.generation or row.generation) if row.learns else None
        self._row, self._space, self._seed = row, space, spec.seed
        self._factory, self._seeded = factory, seeded
        self._whole = dict(space.names()) if whole else {}
        directions = [goal["direction"] for goal in spec.objectives]
        self._worst = [max if direction == "minimize" else min for direction in directions]
        self._values: list[Sequence[float]] = []  # of completed trials
        self._constraints = len(spec.constraints)
        self._turns = Turns(self.generation_size or 0)
        self._finished = 0
        self._open: list[optuna.trial.Trial | optuna.trial.FrozenTrial] = []  # asked, or taken
        with optuna_border():
            self._study = optuna.create_study(directions=directions)
            self._reseed("study", "study")

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The next generation. Raises TrackerError where one that learns is asked out of turn."""
        if self._row.learns:
            self._turns.begin(generation, count, start)
        with optuna_border():
            self._reseed("generation", "generation", generation)
            return [self._ask(number) for number in range(start, start + count)]

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """A logged generation in place of asking for it; its trials reach Optuna when they are told."""
        if not self._row.rebuilds:
            raise TrackerError(f"{self._row.name} keeps more than searched values and results; propose again instead")
        if self._row.learns:
            taken = [self._taken(values) for values in searched]
            self._turns.begin(generation, len(searched), self._finished)
            with optuna_border():
                self._reseed("generation", "generation", generation)
                self._open = list(taken)

    def tell(self, told: Sequence[Told]) -> None:
        """Learns from a generation; a trial with a value that is not finite counts as failed."""
        if not self._row.learns:
            return
        self._turns.end(told)
        with optuna_border():
            for trial, entry in zip(self._open, told, strict=True):
                self._tell(trial, entry)
        self._finished += len(told)
        self._open = []

    def _reseed(self, event: Seeded, *names: str | int) -> None:
        if event == self._seeded:
            self._study.sampler = self._factory(derive_seed(self._seed, *names))

    def _ask(self, number: int) -> Searched:
        self._reseed("trial", "trial", number)
        trial = self._study.ask()
        if self._row.learns:
            self._open.append(trial)
        if not self._whole:
            return self._space.walk(lambda name, entry: suggest(trial, name, entry))[0]
        drawn = {name: suggest(trial, name, entry) for name, entry in self._whole.items()}
        return self._space.walk(lambda name, _: drawn[name])[0]

    def _taken(self, searched: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
        """A running trial with these values, in the order in which the space would have asked for them."""
        distributions: dict[str, optuna.distributions.BaseDistribution] = {}

        def logged(name: str, entry: Entry) -> Value:
            if name not in searched:
                raise TrackerError(f"{name} is searched, yet the logged trial has no value for it: {dict(searched)}")
            distributions[name] = distribution(entry)
            value: Value = searched[name]
            return value

        params = self._space.walk(logged)[0]
        return optuna.trial.create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)

    def _tell(self, trial: optuna.trial.Trial | optuna.trial.FrozenTrial, told: Told) -> None:
        curve = told.curve if told.state == "pruned" else ()
        excess = told.excess or ((UNKNOWN,) * self._constraints if self._whole else ())
        for place, beyond in enumerate(excess):
            trial.set_constraint(str(place), beyond)
        reported = {epoch: math.nan if value is None else value for epoch, value in curve}
        if isinstance(trial, optuna.trial.Trial):
            for epoch, value in reported.items():
                trial.report(value, epoch)
        else:
            trial.intermediate_values = reported
            self._study.add_trial(trial)
        whole = told.state == "complete" and all(value is not None and math.isfinite(value) for value in told.values)
        counted = self._counted(told) if self._whole else None
        if counted is not None:
            self._study.tell(told.number, list(counted))
        elif told.state == "pruned":
            self._study.tell(told.number, state=TrialState.PRUNED)
        elif whole:
            self._study.tell(told.number, list(told.values))
        else:
            self._study.tell(told.number, state=TrialState.FAIL)

    def _counted(self, told: Told) -> Sequence[float] | None:
        """The values that a trial counts with: its own, its last where it was pruned, else the worst so far of each."""
        own = told.values if len(told.values) > 1 and told.state == "complete" else (told.counted,)
        finite = [value for value in own if value is not None and math.isfinite(value)]
        if len(finite) == len(told.values):
            self._values.append(finite)
            return finite
        return [worst(past) for worst, past in zip(self._worst, zip(*self._values, strict=True), strict=False)] or None
