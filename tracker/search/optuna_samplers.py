"""From a space, a seed and told values to proposals of Optuna's samplers, reseeded so that they can be repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna

from tracker.errors import TrackerError
from tracker.search.optuna_border import optuna_border, suggest
from tracker.search.space import Space
from tracker.seeds import derive_seed

Searched = dict[str, Any]


class RandomSampler:
    """Optuna's random sampler, seeded anew for every trial, so that a trial depends on its number alone."""

    generation_size = None
    total = None

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:  # noqa: ARG002 - of the protocol
        """Independent draws."""
        return [self._draw(number) for number in range(start, start + count)]

    def tell(self, values: Sequence[float | None]) -> None:
        """Nothing is learnt."""

    def _draw(self, number: int) -> Searched:
        with optuna_border():
            sampler = optuna.samplers.RandomSampler(derive_seed(self._seed, "trial", number))
            trial = optuna.create_study(sampler=sampler).ask()
            return self._space.walk(lambda name, entry: suggest(trial, name, entry))[0]


class TpeSampler:
    """Optuna's TPE with its defaults, seeded anew for every generation, over an in-memory study of all generations.

    Method: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011, in its multivariate form.
    """

    total = None

    def __init__(self, space: Space, seed: int, generation_size: int, direction: str) -> None:
        self.generation_size = generation_size
        self._space = space
        self._seed = seed
        self._finished = 0
        self._running: list[optuna.trial.Trial] = []
        with optuna_border():
            self._study = optuna.create_study(direction=direction)

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The next generation. Raises TrackerError unless all before it are full and were told."""
        size = self.generation_size
        if self._running or start != self._finished or start != generation * size or count > size:
            raise TrackerError(
                f"generation {generation} ({count} trials from {start}) does not follow {self._finished} told trials; "
                f"generations have {size} trials and are told before the next is proposed"
            )
        with optuna_border():
            self._study.sampler = optuna.samplers.TPESampler(seed=derive_seed(self._seed, "generation", generation))
            return [self._ask() for _ in range(count)]

    def tell(self, values: Sequence[float | None]) -> None:
        """Learns from a generation; a value that is not finite counts as failed."""
        if len(values) != len(self._running):
            raise TrackerError(f"{len(values)} values were told for {len(self._running)} proposed trials")
        with optuna_border():
            for trial, value in zip(self._running, values, strict=True):
                if value is None or not math.isfinite(value):
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    self._study.tell(trial, value)
        self._finished += len(values)
        self._running = []

    def _ask(self) -> Searched:
        trial = self._study.ask()
        self._running.append(trial)
        return self._space.walk(lambda name, entry: suggest(trial, name, entry))[0]
