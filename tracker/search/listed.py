"""Samplers whose trials are a list that is known beforehand: the user's configurations, or every point of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracker.canonical import canonical_json
from tracker.errors import SpaceError, TrackerError
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.search.entries import Entry, Interval
from tracker.search.sampling import Searched, Told
from tracker.search.space import Space, assemble

GRID_LIMIT = 100_000


def open_manual(spec: StudySpec, space: Space) -> ListedSampler:
    """The user's configurations, in their order. Raises SpaceError with the faults of all of them."""
    return ListedSampler(_manual(space, spec.sampler["configurations"]))


def open_grid(spec: StudySpec, space: Space) -> ListedSampler:  # noqa: ARG001 - the same for all samplers
    """Every configuration of the space. Raises SpaceError where it has too many."""
    return ListedSampler(_grid(space))


class ListedSampler:
    """Proposes a list that is known beforehand."""

    generation_size = None

    def __init__(self, proposals: Sequence[Searched]) -> None:
        self._proposals = proposals
        self.total = len(proposals)

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:  # noqa: ARG002 - of the protocol
        """The next entries of the list, each a copy."""
        if start + count > self.total:
            raise TrackerError(f"trials {start} to {start + count - 1} were asked for; there are {self.total}")
        return [dict(proposal) for proposal in self._proposals[start : start + count]]

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is kept: a trial depends on its number alone."""

    def tell(self, told: Sequence[Told]) -> None:
        """Nothing is learnt."""


def _manual(space: Space, configurations: Sequence[Mapping[str, Any]]) -> list[Searched]:
    """The configurations as they are, all faults together."""
    faults: list[str] = []
    for index, configuration in enumerate(configurations):
        try:
            assemble(space, configuration)
        except SpaceError as error:
            faults += [f"configurations[{index}]: {fault}" for fault in error.faults]
    if faults:
        raise SpaceError(faults)
    return [dict(configuration) for configuration in configurations]


def _grid(space: Space) -> list[Searched]:
    """Every distinct configuration once; the last entry varies fastest."""
    values = _grid_values(space.entries)
    distinct: dict[bytes, Searched] = {}
    for count, searched in enumerate(_product(space, values)):
        if count == GRID_LIMIT:
            raise SpaceError(
                f"the grid has more than {GRID_LIMIT} configurations; list fewer values or sample at random"
            )
        if space.forbidding(searched) is None:
            distinct.setdefault(canonical_json(assemble(space, searched)), searched)
    if not distinct:
        raise SpaceError("search_space.forbid: no point of the grid is allowed; forbid less, or list more values")
    return list(distinct.values())


def count_configurations(space: Space, most: int) -> int | None:
    """How many distinct configurations a space has; None where it, or one of its names alone, has more than `most`."""
    sizes = [entry.domain.size for entry in space.entries]
    if not sizes or any(size is None or size > most for size in sizes):
        return None
    distinct: set[bytes] = set()
    for count, searched in enumerate(_product(space, {entry.name: entry.domain.listed() for entry in space.entries})):
        if space.forbidding(searched) is None:
            distinct.add(canonical_json(assemble(space, searched)))
        if len(distinct) > most or count == GRID_LIMIT:
            return None
    return len(distinct)


def _grid_values(entries: Sequence[Entry]) -> dict[str, list[Value]]:
    faults = [fault for entry in entries if (fault := _grid_fault(entry))]
    if faults:
        raise SpaceError(faults)
    return {entry.name: entry.domain.listed() for entry in entries}


def _grid_fault(entry: Entry) -> str | None:
    domain = entry.domain
    if domain.size is not None and domain.size <= GRID_LIMIT:
        return None
    ends = f"from {domain.low:g} to {domain.high:g}" if isinstance(domain, Interval) else ""
    if domain.size is None:
        return f"search_space.{entry.name}: a grid cannot list all numbers {ends}; give it a step or a list of values"
    return f"search_space.{entry.name}: {domain.size} values {ends} are too many for a grid; give it a larger step"


def _product(space: Space, values: Mapping[str, list[Value]]) -> Iterator[Searched]:
    """Counts up like an odometer whose digits are the entries that are active under the digits before them."""
    digits: list[int] = []
    while True:
        sizes: list[int] = []

        def choose(_: str, entry: Entry, sizes: list[int] = sizes) -> Value:
            if len(sizes) == len(digits):
                digits.append(0)
            listed = values[entry.name]
            sizes.append(len(listed))
            return listed[digits[len(sizes) - 1]]

        yield space.walk(choose)[0]
        while digits and digits[-1] + 1 == sizes[len(digits) - 1]:
            digits.pop()
        if not digits:
            return
        digits[-1] += 1
