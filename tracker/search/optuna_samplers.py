"""One sampler over all of Optuna's: it proposes over an in-memory study, seeded anew so that proposals repeat."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from tracker.errors import TrackerError
from tracker.hyperparameters import Value
from tracker.records import StudySpec
from tracker.search.entries import Entry
from tracker.search.optuna_border import distribution, optuna_border, suggest
from tracker.search.samplers import Searched, Told, row_of
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


class OptunaSampler:
    """A sampler of Optuna's, made anew from a seed for every trial or generation, or once for the study.

    One that learns has its generations in order, each told before the next; any other proposes any trial at any time.
    """

    total = None

    def __init__(self, spec: StudySpec, space: Space, factory: Factory, seeded: Seeded) -> None:
        row = row_of(spec.sampler["name"])
        self.generation_size = (spec.generation or row.generation) if row.learns else None
        self._row, self._space, self._seed = row, space, spec.seed
        self._factory, self._seeded = factory, seeded
        self._finished = 0
        self._open: list[optuna.trial.Trial | optuna.trial.FrozenTrial] = []  # asked, or taken
        with optuna_border():
            self._study = optuna.create_study(direction=spec.objective["direction"])
            self._reseed("study", "study")

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The next generation. Raises TrackerError where one that learns is asked out of turn."""
        if self._row.learns:
            self._require_next(generation, count, start)
        with optuna_border():
            self._reseed("generation", "generation", generation)
            return [self._ask(number) for number in range(start, start + count)]

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """A logged generation in place of asking for it; its trials reach Optuna when they are told."""
        if not self._row.rebuilds:
            raise TrackerError(f"{self._row.name} keeps more than searched values and results; propose again instead")
        if self._row.learns:
            self._require_next(generation, len(searched), self._finished)
            with optuna_border():
                self._reseed("generation", "generation", generation)
                self._open = [self._taken(values) for values in searched]

    def tell(self, told: Sequence[Told]) -> None:
        """Learns from a generation; a trial with a value that is not finite counts as failed."""
        if not self._row.learns:
            return
        expected = list(range(self._finished, self._finished + len(self._open)))
        if expected != (numbers := [entry.number for entry in told]):
            raise TrackerError(f"trials {numbers} were told; {expected} were proposed, and are told in this order")
        with optuna_border():
            for trial, entry in zip(self._open, told, strict=True):
                self._tell(trial, entry)
        self._finished += len(told)
        self._open = []

    def _require_next(self, generation: int, count: int, start: int) -> None:
        size = self.generation_size or count
        if self._open or start != self._finished or start != generation * size or count > size:
            raise TrackerError(
                f"generation {generation} ({count} trials from {start}) does not follow {self._finished} told trials; "
                f"generations have {size} trials and are told before the next is proposed"
            )

    def _reseed(self, event: Seeded, *names: str | int) -> None:
        if event == self._seeded:
            self._study.sampler = self._factory(derive_seed(self._seed, *names))

    def _ask(self, number: int) -> Searched:
        self._reseed("trial", "trial", number)
        trial = self._study.ask()
        if self._row.learns:
            self._open.append(trial)
        return self._space.walk(lambda name, entry: suggest(trial, name, entry))[0]

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
        reported = {epoch: math.nan if value is None else value for epoch, value in curve}
        if isinstance(trial, optuna.trial.Trial):
            for epoch, value in reported.items():
                trial.report(value, epoch)
        else:
            trial.intermediate_values = reported
            self._study.add_trial(trial)
        if told.state == "pruned":
            self._study.tell(told.number, state=TrialState.PRUNED)
        elif told.state == "complete" and all(value is not None and math.isfinite(value) for value in told.values):
            self._study.tell(told.number, list(told.values))
        else:
            self._study.tell(told.number, state=TrialState.FAIL)
