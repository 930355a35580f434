"""Evolution strategy: a distribution over the whole space moves to the better half of each generation, and takes its shape.

Method: CatCMA with margin (Hamano et al., GECCO 2025, arXiv 2504.07884), which is CMA-ES (Hansen and Ostermeier,
Evolutionary Computation 9, 2001) with choices and whole numbers beside fractions. A generation of the study is one of
the method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cmaes
import numpy as np

from tracker.errors import TrackerError
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.search.entries import Domain, Interval, value_at
from tracker.search.samplers import row_of
from tracker.search.sampling import Searched, Told, Turns
from tracker.search.space import Space
from tracker.seeds import derive_seed

MOST_STEPS = 32  # a list of more numbers is searched as if it were a continuum
SPREAD = 3.0  # times what the package begins with (a twelfth of a range): a quarter of it, as budgets here are small


def open_cmaes(spec: StudySpec, space: Space) -> CmaesSampler:
    """One strategy for the whole study, seeded from it."""
    size = spec.generation or row_of("cmaes").generation
    assert size is not None  # the table has one
    return CmaesSampler(space, size, spec.objective["direction"], derive_seed(spec.seed, "cmaes"))


class CmaesSampler:
    """Reads trials off a strategy's solutions; a solution has a place for every name, and idle ones are not read.

    It ranks: completed trials by value, then pruned ones by their last value, then failed ones, ties by number.
    """

    total = None

    def __init__(self, space: Space, size: int, direction: str, seed: int) -> None:
        self.generation_size = size
        self._space, self._sign = space, -1.0 if direction == "maximize" else 1.0
        domains = {name: entry.domain for name, entry in space.names() if (entry.domain.size or 2) > 1}
        self._choices = [name for name, domain in domains.items() if _is_choice(domain)]
        self._steps = [name for name in domains if name not in self._choices and _is_stepped(domains[name])]
        self._fractions = [name for name in domains if name not in {*self._choices, *self._steps}]
        self._strategy = (
            cmaes.CatCMAwM(
                x_space=[[0.0, 1.0] for _ in self._fractions] or None,
                z_space=[_places(domains[name]) for name in self._steps] or None,
                c_space=[domains[name].size for name in self._choices] or None,
                population_size=size,
                sigma=SPREAD,
                seed=seed,
            )
            if domains
            else None
        )
        self._turns = Turns(size)
        self._open: list[Any] = []

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The next generation, or the beginning of one. Raises TrackerError where it is asked out of turn."""
        self._turns.begin(generation, count, start)
        self._open = [self._strategy.ask() if self._strategy else None for _ in range(count)]
        return [self._read(solution) for solution in self._open]

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002 - of the protocol
        """Raises TrackerError: a strategy is more than searched values and results."""
        raise TrackerError("cmaes keeps more than searched values and results; propose again instead")

    def tell(self, told: Sequence[Told]) -> None:
        """Learns from a whole generation; the beginning of one is the end of a study."""
        self._turns.end(told)
        if len(told) == self.generation_size and self._strategy:
            order = sorted(range(len(told)), key=lambda place: (*self._standing(told[place]), place))
            self._strategy.tell([(self._open[place], float(rank)) for rank, place in enumerate(order)])

    def _standing(self, told: Told) -> tuple[int, float]:
        """What trials are ranked by, lowest first."""
        if told.counted is None:
            return 2, 0.0
        return (0 if told.state == "complete" else 1), self._sign * told.counted

    def _read(self, solution: Any) -> Searched:
        values: dict[str, float | int] = {}
        if solution is not None:
            values |= dict(zip(self._fractions, solution.x.tolist() if self._fractions else [], strict=True))
            values |= dict(zip(self._steps, solution.z.tolist() if self._steps else [], strict=True))
            rows = np.argmax(solution.c, axis=1).tolist() if self._choices else []
            values |= dict(zip(self._choices, rows, strict=True))

        def value(name: str, domain: Domain) -> Value:
            if domain.size == 1:
                return domain.at(0)
            if name in self._choices:
                return domain.at(int(values[name]))
            if name in self._steps:
                return domain.at(_places(domain).index(values[name]))
            return value_at(min(values[name], 1 - 2**-53), domain)

        return self._space.walk(lambda name, entry: value(name, entry.domain))[0]


def _is_choice(domain: Domain) -> bool:
    """Whether values have no order, or are two."""
    return not isinstance(domain, Interval) or domain.size == 2


def _is_stepped(domain: Domain) -> bool:
    return domain.size is not None and domain.size <= MOST_STEPS


def _places(domain: Domain) -> list[float]:
    """Where the values of a stepped range lie between its ends, 0 and 1."""
    listed = [float(value) for value in domain.listed() if isinstance(value, int | float)]
    if isinstance(domain, Interval) and domain.log:
        listed = [math.log(value) for value in listed]
    return [(value - listed[0]) / (listed[-1] - listed[0]) for value in listed]
