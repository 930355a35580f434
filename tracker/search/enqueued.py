"""Any sampler, with configurations that are tried first: `studies.NAME.enqueue`, and those of a retuning's warm start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracker.errors import SpaceError
from tracker.knobs import Value
from tracker.search.entries import Entry
from tracker.search.sampling import Sampler, Searched, Told
from tracker.search.space import Space


class EnqueuedSampler:
    """The first trials are given, the others those of a sampler that is told of all.

    One that lists its trials goes on behind the given ones; a random one keeps the trial that a number has; one that learns
    goes on from what it was told, as if it had proposed the given trials itself.
    """

    def __init__(self, first: Sequence[Searched], make: Callable[[], Sampler]) -> None:
        self._first, self._make, self._inner = first, make, make()
        self.generation_size = self._inner.generation_size
        self.total = None if self._inner.total is None else self._inner.total + len(first)
        self._past: list[tuple[int, list[Mapping[str, Any]], Sequence[Told]]] = []
        self._open: tuple[int, list[Mapping[str, Any]]] | None = None

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """See `tracker.search.sampling.Sampler`."""
        given = [dict(values) for values in self._first[start : start + count]]
        if self.generation_size is None:
            behind = max(start, len(self._first)) - (0 if self.total is None else len(self._first))
            left = count - len(given)
            return given + (self._inner.propose(generation, left, behind) if left else [])
        proposed = given
        if not given:
            proposed = self._inner.propose(generation, count, start)
        elif len(given) < count:
            proposed = given + self._replayed().propose(generation, count, start)[len(given) :]
        if given:
            self._inner.take(generation, proposed)
        self._open = (generation, list(proposed))
        return proposed

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """See `tracker.search.sampling.Sampler`."""
        self._inner.take(generation, searched)
        self._open = (generation, list(searched))

    def tell(self, told: Sequence[Told]) -> None:
        """See `tracker.search.sampling.Sampler`."""
        self._inner.tell(told)
        if self._open is not None and len(self._past) * (self.generation_size or 1) <= len(self._first):
            self._past.append((*self._open, told))

    def _replayed(self) -> Sampler:
        """A sampler that was told what this one was told, to be asked without this one noticing."""
        other = self._make()
        for generation, searched, told in self._past:
            other.take(generation, searched)
            other.tell(told)
        return other


def searched_from(space: Space, given: Mapping[str, Any]) -> Searched:
    """The searched values of a configuration: hyperparameters as people write them, or the names that a space searches.

    Raises SpaceError where one is missing, outside of the space, or unknown to it.
    """

    def value_of(name: str, entry: Entry) -> Value:
        value = given.get(name)
        if value is None and entry.per is not None and isinstance(given.get(entry.name), list | tuple):
            value = dict(enumerate(given[entry.name])).get(int(name.rpartition("_")[2]))
        if value is None:
            raise SpaceError(f"{name} is missing; a configuration has a value for every searched name that is active")
        if not entry.domain.allows(value):
            raise SpaceError(f"{name}: {value!r} is outside of the search space")
        found: Value = value
        return found

    searched, chosen = space.walk(value_of)
    others = [
        name
        for name, value in given.items()
        if name not in searched and name not in chosen and space.fixed.get(name) != value
    ]
    if others:
        raise SpaceError(f"{others[0]}: {given[others[0]]!r}: the space does not search it, and it is fixed otherwise")
    if clause := space.forbidding(searched):
        raise SpaceError(f"forbidden by search_space.forbid, which names {', '.join(clause.names)}")
    return searched
