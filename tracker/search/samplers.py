"""From a study's spec and the values of its finished generations to the searched values of its next trials.

Whatever a sampler proposes follows from the spec and from what it was told, in any process. Random proposals are seeded
per trial and TPE's per generation, and a generation is asked one trial after the other, so a longer study begins with
the proposals of a shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tracker.canonical import canonical_json
from tracker.errors import SpaceError, TrackerError
from tracker.hyperparameters import Value
from tracker.records import StudySpec
from tracker.search.entries import Entry, Interval
from tracker.search.space import Space, assemble, space_from

GENERATION = 8
GRID_LIMIT = 100_000
Searched = dict[str, Any]


class Sampler(Protocol):
    """Proposes trials, generation after generation."""

    @property
    def total(self) -> int | None:
        """How many trials there are, where the sampler decides that."""

    @property
    def generation_size(self) -> int | None:
        """How many trials are proposed before results are looked at (None: it does not learn)."""

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The searched values of trials `start` to `start + count - 1`, which make up a generation."""

    def tell(self, values: Sequence[float | None]) -> None:
        """The objective values of the generation just proposed, in trial order (None: failed)."""


def open_sampler(spec: StudySpec) -> Sampler:
    """The sampler of a study at its beginning. Raises SpaceError where the space does not suit it."""
    space = space_from(spec.space, spec.fixed, spec.family)
    match spec.sampler["name"]:
        case "manual":
            return ListedSampler(_manual(space, spec.sampler["configurations"]))
        case "grid":
            return ListedSampler(_grid(space))
        case "random":
            from tracker.search.optuna_samplers import RandomSampler

            return RandomSampler(space, spec.seed)
        case "tpe":
            from tracker.search.optuna_samplers import TpeSampler

            return TpeSampler(space, spec.seed, spec.generation or GENERATION, spec.objective["direction"])
        case name:
            raise SpaceError(f"sampler {name!r} is unknown; there are manual, grid, random and tpe")


def default_generation(sampler: str) -> int | None:
    """The generation size of a sampler where the user gives none (None: it does not learn)."""
    return GENERATION if sampler == "tpe" else None


def plan_generations(spec: StudySpec, trials: int) -> list[tuple[int, int]]:
    """Start and number of trials of each generation; all but the last are full."""
    size = spec.generation or default_generation(spec.sampler["name"]) or max(trials, 1)
    return [(start, min(size, trials - start)) for start in range(0, trials, size)]


def versions(sampler: str) -> dict[str, str]:
    """The releases that shape what a sampler proposes."""
    if sampler not in {"random", "tpe"}:
        return {}
    import optuna

    return {"optuna": str(optuna.__version__)}


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

    def tell(self, values: Sequence[float | None]) -> None:
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
        distinct.setdefault(canonical_json(assemble(space, searched)), searched)
    return list(distinct.values())


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
