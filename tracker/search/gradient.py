"""Search along hypergradients: several starts, each of which steps down the validation loss, one step per generation.

Training tells d(validation loss)/d(name) at the kept epoch for the continuous names of its family (Franceschi et al., ICML
2017). A step follows the signs alone, with a size per name that grows while the sign stays and halves when it turns: Rprop
(Riedmiller and Braun, ICNN 1993) without backtracking (Rprop-, Igel and Huesken, Neurocomputing 50, 2003). How large a
hypergradient is says little: over many steps of training it goes through orders of magnitude. All else, choices and whole
numbers, stays as it was at the start, a point of a Sobol sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.errors import SpaceError
from tracker.hyperparameters import FAMILIES
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.search.entries import Entry, Interval, place_of, value_at
from tracker.search.qmc import QmcSampler
from tracker.search.samplers import row_of
from tracker.search.sampling import Searched, Told, Turns
from tracker.search.space import Space
from tracker.seeds import bit_generator, derive_seed

FIRST, MOST, SETTLED = 0.1, 0.3, 0.01  # sizes of a step, as parts of a range: at first, at most, too small to go on
LEAST = 1e-9  # less than this is rounding, not a step
GROWS, SHRINKS = 1.2, 0.5  # Riedmiller and Braun's
TESTED = 2  # trials of a start, before it may be the one that is given up
WEEDED = 4  # starts, from which on the worst is given up after each generation


def open_gradient(spec: StudySpec, space: Space) -> GradientSampler:
    """A generation is one step of each start."""
    size = spec.generation or row_of("gradient").generation
    assert size is not None  # the table has one
    return GradientSampler(space, size, spec.objective["direction"], spec.seed)


def moved_names(space: Space) -> list[str]:
    """The names that training is differentiated by, where a study searches along gradients.

    Raises SpaceError where the family has none, the space searches none of them, or an optimizer has no derivative.
    """
    able = FAMILIES[space.family].hypergradients
    if not able:
        others = ", ".join(family for family, row in FAMILIES.items() if row.hypergradients)
        raise SpaceError(
            f"sampler gradient cannot differentiate the training of family {space.family}; it can of {others}"
        )
    domains = {entry.name: entry.domain for entry in space.entries}
    names = [name for name, domain in domains.items() if name in able and _moves(domain)]
    if not names:
        raise SpaceError(f"sampler gradient needs a range without steps of one of {', '.join(able)}; there is none")
    optimizers = domains["optimizer"].listed() if "optimizer" in domains else [space.fixed.get("optimizer")]
    if "lion" in optimizers:
        raise SpaceError("sampler gradient: the steps of optimizer lion are signs, without a derivative; take it out")
    return sorted(names)


def _moves(domain: Any) -> bool:
    return isinstance(domain, Interval) and not domain.whole and domain.size is None


@dataclass(slots=True)
class Start:
    """Where one start stands: its trial now and the one before, how far each name steps, and how it did (more is better)."""

    now: Searched
    before: Searched | None = None
    steps: dict[str, float] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)
    best: float = -math.inf
    trials: int = 0


class GradientSampler:
    """Follows from searched values and results alone, so a logged generation is taken, not proposed again."""

    total = None

    def __init__(self, space: Space, size: int, direction: str, seed: int) -> None:
        self.generation_size = size
        self._space, self._seed = space, seed
        self._best: tuple[float, Searched] = -math.inf, {}
        self._domains = {name: entry.domain for name, entry in space.names()}
        self._sequence = QmcSampler(space, list(self._domains), derive_seed(seed, "starts"))
        self._sign = -1.0 if direction == "minimize" else 1.0
        self._turns, self._finished, self._drawn = Turns(size), 0, 0
        self._starts = [self._fresh() for _ in range(size)]

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The next generation, or the beginning of one. Raises TrackerError where it is asked out of turn."""
        self._turns.begin(generation, count, start)
        return [dict(one.now) for one in self._starts[:count]]

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """A logged or given generation in place of asking for it: starts go on from there."""
        self._turns.begin(generation, len(searched), self._finished)
        for one, values in zip(self._starts, searched, strict=False):
            one.now = dict(values)

    def tell(self, told: Sequence[Told]) -> None:
        """Each start steps on; one that cannot, and the worst one, begin anew elsewhere."""
        self._turns.end(told)
        self._finished += len(told)
        for one, entry in zip(self._starts, told, strict=False):
            one.trials += 1
            value = -math.inf if entry.counted is None else self._sign * entry.counted
            one.best = max(one.best, value)
            self._best = (value, one.now) if value > self._best[0] else self._best
        worst = self._worst()
        for place, entry in enumerate(told):
            if place == worst or not self._step(self._starts[place], dict(entry.slopes)):
                self._starts[place] = self._fresh()

    def _fresh(self) -> Start:
        """A new start: a point of the sequence; as soon as one trial has a value, half of its names as in the best one."""
        point = dict(zip(self._domains, self._sequence.points(self._drawn, 1)[0], strict=True))
        words = bit_generator(self._seed, "start", self._drawn).random_raw(len(self._domains)).tolist()
        kept = {name for name, word in zip(self._domains, words, strict=True) if name in self._best[1] and word % 2}
        self._drawn += 1

        def choose(name: str, entry: Entry) -> Value:
            known: Value = self._best[1][name] if name in kept else value_at(point[name], entry.domain)
            return known

        return Start(self._space.walk(choose)[0])

    def _worst(self) -> int | None:
        """The start that is given up; of equal ones the last."""
        tested = [place for place, one in enumerate(self._starts) if one.trials >= TESTED]
        if len(self._starts) < WEEDED or len(tested) < 2:
            return None
        return min(tested, key=lambda place: (self._starts[place].best, -place))

    def _step(self, one: Start, told: Mapping[str, float | None]) -> bool:
        """Moves a start on; False where it has nowhere to go."""
        slopes = {
            name: slope
            for name, slope in told.items()
            if slope and math.isfinite(slope) and name in one.now and _moves(self._domains[name])
        }
        moved = {**one.now, **dict(self._halved(one) if not slopes else self._descended(one, slopes))}
        if moved == one.now or all(step < SETTLED for step in one.steps.values()):
            return False
        if slopes:
            one.before, one.slopes = one.now, slopes
        one.now = moved
        return True

    def _descended(self, one: Start, slopes: Mapping[str, float]) -> Iterator[tuple[str, Any]]:
        for name, slope in slopes.items():
            turned = one.slopes.get(name, 0.0) * slope
            factor = GROWS if turned > 0 else SHRINKS if turned < 0 else 1.0
            one.steps[name] = min(one.steps.get(name, FIRST) * factor, MOST)
            here = self._place(name, one.now)
            there = min(max(here - math.copysign(one.steps[name], slope), 0.0), 1.0 - 2**-53)
            if abs(there - here) > LEAST:
                yield name, value_at(there, self._domains[name])

    def _halved(self, one: Start) -> Iterator[tuple[str, Any]]:
        """Half of the way back: the last step led where training fails, or has no finite hypergradient."""
        if one.before is None:
            return
        for name in one.steps:
            one.steps[name] *= SHRINKS
            middle = (self._place(name, one.now) + self._place(name, one.before)) / 2
            yield name, value_at(middle, self._domains[name])

    def _place(self, name: str, searched: Searched) -> float:
        return place_of(searched[name], self._domains[name])
