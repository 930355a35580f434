"""The one table of pruners: which settings each has, and where it is implemented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.hyperparameters import Hyperparameter


@dataclass(frozen=True, slots=True)
class PrunerRow:
    """A pruner as the configuration and the search see it: its settings with types, bounds and defaults.

    `implementation` ("module:function") opens it from all its settings, the direction of the objective and the study's
    name, and is imported only then. `libraries` are the PyPI names whose releases shape decisions.
    """

    name: str
    implementation: str
    settings: Mapping[str, Hyperparameter]
    libraries: tuple[str, ...] = ("optuna",)


ROWS = (
    PrunerRow(
        "median",
        "tracker.search.optuna_pruners:open_median",
        {
            "n_startup_trials": Hyperparameter("int", "completed trials before any trial stops", 5, low=0),
            "n_warmup_steps": Hyperparameter("int", "no trial stops before this epoch", 0, low=0),
            "interval_steps": Hyperparameter("int", "epochs from one decision to the next", 1, low=1),
            "n_min_trials": Hyperparameter("int", "completed trials that reached the epoch", 1, low=1),
        },
    ),
)
PRUNERS: Mapping[str, PrunerRow] = {row.name: row for row in ROWS}
