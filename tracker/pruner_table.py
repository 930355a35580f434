"""The one table of pruners: which settings each has, and where it is implemented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.knobs import Hyperparameter


@dataclass(frozen=True, slots=True)
class PrunerRow:
    """A pruner as the configuration and the search see it: its settings with types, bounds and defaults.

    `implementation` ("module:function") opens it from all its settings, the direction of the objective, the study's
    name and its epochs, and is imported only then. `libraries` are the PyPI names whose releases shape decisions.
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
    PrunerRow(
        "halving",
        "tracker.search.optuna_pruners:open_halving",
        {
            "min_resource": Hyperparameter("int", "the first rung, in epochs", 1, low=1),
            "reduction_factor": Hyperparameter(
                "int", "one in so many goes on; rungs lie so many times apart", 3, low=2
            ),
        },
    ),
    PrunerRow(
        "hyperband",
        "tracker.search.optuna_pruners:open_hyperband",
        {
            "min_resource": Hyperparameter("int", "the first rung, in epochs", 1, low=1),
            "reduction_factor": Hyperparameter("int", "as for halving", 3, low=2),
        },
    ),
    PrunerRow(
        "patient",
        "tracker.search.optuna_pruners:open_patient",
        {
            "patience": Hyperparameter("int", "epochs that may pass without a better value", 5, low=0),
            "min_delta": Hyperparameter("float", "by how much worse the last epochs must be", 0.0, low=0.0),
        },
    ),
    PrunerRow(
        "threshold",
        "tracker.search.optuna_pruners:open_threshold",
        {
            "worst": Hyperparameter("float", "a value worse than this stops a trial"),
            "n_warmup_steps": Hyperparameter("int", "no trial stops before this epoch", 0, low=0),
            "interval_steps": Hyperparameter("int", "epochs from one decision to the next", 1, low=1),
        },
    ),
    PrunerRow(
        "first_epoch",
        "tracker.search.optuna_pruners:open_first_epoch",
        {
            "epoch": Hyperparameter("int", "the epoch after which trials stop", 1, low=1),
            "keep": Hyperparameter("int", "how many of the best so far go on", 3, low=1),
        },
    ),
)
PRUNERS: Mapping[str, PrunerRow] = {row.name: row for row in ROWS}
