"""The one table of samplers: what each needs from the user, whether it learns, and where it is implemented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SamplerRow:
    """A sampler as the configuration and the search see it.

    `implementation` ("module:function") opens it from a study's spec and its space, and is imported only then.
    `needs_trials`: the user says how many; `configurations`: the user lists them; `space`: it searches one.
    `generation` is its default number of trials between two looks at results (None: one generation of the whole study).
    `libraries` are the PyPI names whose releases shape proposals. `rebuilds`: it goes on from searched values and
    results alone, so a finished generation need not be proposed again. `least_generation`: the
    method needs that many trials in each. `hypergradients`: it wants d(validation loss)/d(hyperparameter) from training.
    `factors`: its proposals come out of matrices that BLAS factors. `several`: it takes several objectives. `constrained`: it
    learns how far a trial breaks a constraint; any other that learns hears that such a trial has failed.
    """

    name: str
    implementation: str
    needs_trials: bool = True
    configurations: bool = False
    space: bool = True
    learns: bool = False
    generation: int | None = None
    libraries: tuple[str, ...] = ()
    rebuilds: bool = True
    least_generation: int = 1
    hypergradients: bool = False
    factors: bool = False
    several: bool = False
    constrained: bool = False


GENERATION = 8  # trials between two looks at results, where nobody says otherwise

ROWS = (
    SamplerRow(
        "manual",
        "tracker.search.listed:open_manual",
        needs_trials=False,
        configurations=True,
        space=False,
        several=True,
    ),
    SamplerRow("grid", "tracker.search.listed:open_grid", needs_trials=False, several=True),
    SamplerRow("random", "tracker.search.optuna_samplers:open_random", libraries=("optuna",), several=True),
    SamplerRow("qmc", "tracker.search.qmc:open_qmc", libraries=("scipy",), several=True),
    SamplerRow(
        "tpe",
        "tracker.search.optuna_samplers:open_tpe",
        learns=True,
        generation=GENERATION,
        libraries=("optuna",),
        several=True,
        constrained=True,
    ),
    SamplerRow(
        "gp",
        "tracker.search.gp:open_gp",
        learns=True,
        generation=GENERATION,
        libraries=("scipy",),
        factors=True,
    ),
    SamplerRow(
        "cmaes",
        "tracker.search.cmaes:open_cmaes",
        learns=True,
        generation=GENERATION,
        libraries=("cmaes", "scipy"),
        rebuilds=False,
        least_generation=4,
        factors=True,
    ),
    SamplerRow(
        "nsga2",
        "tracker.search.optuna_samplers:open_nsga2",
        learns=True,
        generation=GENERATION,
        libraries=("optuna",),
        rebuilds=False,
        least_generation=4,
        several=True,
        constrained=True,
    ),
    SamplerRow(
        "nsga3",
        "tracker.search.optuna_samplers:open_nsga3",
        learns=True,
        generation=GENERATION,
        libraries=("optuna",),
        rebuilds=False,
        least_generation=4,
        several=True,
        constrained=True,
    ),
    SamplerRow(
        "gradient",
        "tracker.search.gradient:open_gradient",
        learns=True,
        generation=GENERATION,
        libraries=("scipy",),
        hypergradients=True,
    ),
)
SAMPLERS: Mapping[str, SamplerRow] = {row.name: row for row in ROWS}
