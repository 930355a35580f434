"""Opens samplers by their table, with what is tried first and what is forbidden around them; plans their generations."""

from __future__ import annotations

import pkgutil
from importlib.metadata import version

from tracker.errors import SpaceError
from tracker.pruner_table import PRUNERS
from tracker.records import StudySpec
from tracker.sampler_table import SAMPLERS, SamplerRow
from tracker.search.enqueued import EnqueuedSampler
from tracker.search.forbidden import AllowedSampler
from tracker.search.linear_algebra import blas_probe
from tracker.search.sampling import Sampler
from tracker.search.space import space_from


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
