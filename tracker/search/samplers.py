"""What every sampler can do, opened by the table of samplers: a study's spec and what was told to proposals.

Whatever a sampler proposes follows from the spec and from what it was told, in any process. A generation is asked one
trial after the other, so a longer study begins with the proposals of a shorter one.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, Protocol

from tracker.errors import SpaceError, TrackerError
from tracker.pruner_table import PRUNERS
from tracker.records import StudySpec
from tracker.sampler_table import SAMPLERS, SamplerRow
from tracker.search.enqueued import EnqueuedSampler
from tracker.search.forbidden import AllowedSampler
from tracker.search.linear_algebra import blas_probe
from tracker.search.space import space_from

Searched = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a sampler hears of a finished trial.

    `values` has one entry per objective, `curve` the objective after each epoch (counted from 1); None is undefined.
    `slopes` has d(validation loss)/d(name) at the kept epoch, where training was asked for it. `excess` says of each constraint
    how far the trial breaks it (0 or less: it holds), where that is known.
    """

    number: int
    values: tuple[float | None, ...]
    curve: tuple[tuple[int, float | None], ...] = ()
    state: Literal["complete", "failed", "pruned"] = "complete"
    slopes: tuple[tuple[str, float | None], ...] = ()
    excess: tuple[float, ...] = ()

    @property
    def failing(self) -> Told:
        """The same trial, as one that failed."""
        return Told(self.number, (None,) * len(self.values), state="failed", slopes=self.slopes)

    @property
    def counted(self) -> float | None:
        """What the trial counts with where a method wants a number: its value, or the last one before it was pruned."""
        own = self.values if self.state == "complete" else [value for _, value in self.curve]
        finite = [value for value in own if value is not None and math.isfinite(value)]
        return finite[-1] if finite and self.state != "failed" else None


class Turns:
    """Generations in order, each told before the next is proposed; the last one may be the beginning of one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._finished = 0
        self._open = 0

    def begin(self, generation: int, count: int, start: int) -> None:
        """Raises TrackerError unless these trials are the next generation."""
        size = self._size or count
        if self._open or start != self._finished or start != generation * size or count > size:
            raise TrackerError(
                f"generation {generation} ({count} trials from {start}) does not follow {self._finished} told trials; "
                f"generations have {size} trials and are told before the next is proposed"
            )
        self._open = count

    def end(self, told: Sequence[Told]) -> None:
        """Raises TrackerError unless these are the trials that began, in their order."""
        expected = list(range(self._finished, self._finished + self._open))
        if expected != (numbers := [entry.number for entry in told]):
            raise TrackerError(f"trials {numbers} were told; {expected} were proposed, and are told in this order")
        self._finished += len(told)
        self._open = 0


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

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """Goes on as if it had proposed these trials, which are a whole generation as it was logged.

        Raises TrackerError where the sampler cannot be rebuilt from searched values (`SamplerRow.rebuilds`).
        """

    def tell(self, told: Sequence[Told]) -> None:
        """How the trials of the generation just proposed or taken ended, in trial order."""


def open_sampler(spec: StudySpec) -> Sampler:
    """The sampler of a study at its beginning. Raises SpaceError where the space does not suit it."""
    implementation = pkgutil.resolve_name(row_of(spec.sampler["name"]).implementation)
    space = space_from(spec.space, spec.fixed, spec.family)

    def bare() -> Sampler:
        sampler: Sampler = implementation(spec, space)
        return sampler

    def make() -> Sampler:
        row = row_of(spec.sampler["name"])
        return AllowedSampler(space, row, spec, bare) if space.clauses and row.space else bare()

    first = spec.sampler.get("enqueue")
    return EnqueuedSampler(first, make) if first else make()


def row_of(sampler: str) -> SamplerRow:
    """What the table says of a sampler. Raises SpaceError where it has none of that name."""
    if sampler not in SAMPLERS:
        raise SpaceError(f"sampler {sampler!r} is unknown; there are {', '.join(SAMPLERS)}")
    return SAMPLERS[sampler]


def default_generation(sampler: str) -> int | None:
    """The generation size of a sampler where the user gives none (None: one generation of the whole study)."""
    return row_of(sampler).generation


def plan_generations(spec: StudySpec, trials: int) -> list[tuple[int, int]]:
    """Start and number of trials of each generation; all but the last are full."""
    size = spec.generation or default_generation(spec.sampler["name"]) or max(trials, 1)
    return [(start, min(size, trials - start)) for start in range(0, trials, size)]


def versions(sampler: str, pruner: str | None = None, numerics: str = "native") -> dict[str, str]:
    """The releases that shape what a sampler proposes, and what a pruner decides.

    With portable numerics, whose environment holds no CPU, also what BLAS gives, where a sampler's proposals hang on it.
    """
    row = row_of(sampler)
    libraries = [*row.libraries, *(PRUNERS[pruner].libraries if pruner else ())]
    found = {library: version(library) for library in dict.fromkeys(libraries)}
    return found | ({"blas": blas_probe()} if row.factors and numerics == "portable" else {})
