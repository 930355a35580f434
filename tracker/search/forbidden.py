"""Any sampler over a space with forbidden combinations: what it proposes and may not is drawn anew, from the trial's number.

Of a sampler that learns, only the names of the combination are drawn anew, so that what it learnt stays in the others; of one
that does not, the whole trial is, so that random stays evenly spread over what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracker.errors import SpaceError
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.sampler_table import SamplerRow
from tracker.search.entries import Entry, value_at
from tracker.search.sampling import Sampler, Searched, Told
from tracker.search.space import Space
from tracker.seeds import bit_generator

FEW = 100  # draws of the names of a combination, before the whole trial is drawn
MOST = 10_000  # draws in all; a space that allows so little is a mistake


class AllowedSampler:
    """Another sampler whose forbidden proposals are replaced.

    One that goes on from searched values is given the replacement as if it had proposed it. Any other hears that the trial
    that it proposed has failed, so that it leaves that region.
    """

    def __init__(self, space: Space, row: SamplerRow, spec: StudySpec, make: Callable[[], Sampler]) -> None:
        self._space, self._row, self._spec = space, row, spec
        self._make, self._inner = make, make()
        self.generation_size, self.total = self._inner.generation_size, self._inner.total
        self._past: list[tuple[int, Sequence[Mapping[str, Any]], Sequence[Told]]] = []
        self._open: tuple[int, Sequence[Mapping[str, Any]]] = (0, ())
        self._replaced: set[int] = set()  # places in the open generation

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """See `tracker.search.sampling.Sampler`. Raises SpaceError where hardly anything is allowed."""
        proposed = self._inner.propose(generation, count, start)
        self._replaced = {place for place, one in enumerate(proposed) if self._space.forbidding(one)}
        for place in self._replaced:
            number = start + place
            try:
                proposed[place] = redrawn(self._space, proposed[place], self._spec.seed, number, self._row.learns)
            except SpaceError as error:
                raise SpaceError(f"studies.{self._spec.name}: {error}") from None
        if self._replaced and self._row.learns and self._row.rebuilds:
            self._replaced = set()
            self._inner = self._make()
            for past, searched, told in self._past:
                self._inner.take(past, searched)
                self._inner.tell(told)
            self._inner.take(generation, proposed)
        self._open = (generation, [dict(one) for one in proposed])
        return proposed

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """See `tracker.search.sampling.Sampler`."""
        self._inner.take(generation, searched)
        self._open, self._replaced = (generation, list(searched)), set()

    def tell(self, told: Sequence[Told]) -> None:
        """See `tracker.search.sampling.Sampler`."""
        heard = [one.failing if place in self._replaced else one for place, one in enumerate(told)]
        self._inner.tell(heard)
        if self._row.learns and self._row.rebuilds:
            self._past.append((*self._open, told))


def redrawn(space: Space, searched: Mapping[str, Any], seed: int, number: int, partly: bool) -> Searched:
    """An allowed configuration in place of a forbidden one, always the same for a trial's number.

    `partly`: only the names of the combinations that it meets are drawn anew, as long as that leads anywhere.
    """
    generator = bit_generator(seed, "forbidden", number)
    current, names = dict(searched), set[str]()
    for attempt in range(MOST):
        clause = space.forbidding(current)
        if clause is None:
            return current
        names |= set(clause.names)
        kept = dict(current) if partly and attempt < FEW else {}

        def choose(name: str, entry: Entry, kept: Searched = kept, anew: frozenset[str] = frozenset(names)) -> Value:
            if name in kept and entry.name not in anew:
                found: Value = kept[name]
                return found
            return value_at((int(generator.random_raw()) >> 11) * 2.0**-53, entry.domain)

        current = space.walk(choose)[0]
    raise SpaceError(
        f"search_space.forbid: {MOST:,} draws for trial {number} found nothing that is allowed; forbid less, or search more"
    )
