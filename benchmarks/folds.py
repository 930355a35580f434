"""How many fold trainings early-stopped cross-validation saves, and how often it finds the same winner.

`python -m benchmarks.folds --folds 5` runs random studies over bundled tables, each once in full; with `prune` the same
trials take their folds from the store, so that it says exactly which trainings each rule would have left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tracker.config import Config, parse_config
from tracker.datasets.prepare import prepare
from tracker.datasets.split import split
from tracker.datasets.training_data import load_training_data
from tracker.execution.executor import InlineExecutor
from tracker.paths import Paths
from tracker.records import trained_runs
from tracker.store.store import Store
from tracker.studies.plan import Basis, plan_study
from tracker.studies.result import StudyResult
from tracker.studies.runner import run_study
from tracker.surroundings.environment import environment

TABLES = ("wine", "breast_cancer", "digits")
SEEDS = (1, 2, 3, 4)
RULES = ("never", "forgiving", "aggressive")
TRIALS = 48


def configuration(table: str, seed: int, folds: int, generation: int, rule: str) -> Config:
    """A random study over a wide space, in generations."""
    study = {"sampler": "random", "trials": TRIALS, "cross_validation": {"folds": folds, "prune": rule}}
    if rule != "never":
        study["generation"] = generation
    return parse_config(
        {
            "seed": seed,
            "data": {"source": f"sklearn:{table}"},
            "training": {"epochs": 15},
            "hyperparameters": {"batch_size": 32},
            "search_space": {
                "hidden_layers": {"low": 1, "high": 2},
                "units": [8, 16, 32],
                "activation": ["relu", "tanh"],
                "optimizer": ["adamw", "sgd"],
                "dropout": {"low": 0.0, "high": 0.5},
                "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
            },
            "studies": {"folds": study},
        },
        "params.yaml",
    )


def studies(folds: int, generation: int) -> Iterator[tuple[str, dict[str, StudyResult]]]:
    """Each table and seed with the result under each rule."""
    for table in TABLES:
        for seed in SEEDS:
            with tempfile.TemporaryDirectory(prefix="tracker-") as folder:
                paths = Paths.of(Path(folder), {})
                config = configuration(table, seed, folds, generation, "never")
                prepare(config.data, config.preprocessing, paths.root, paths.prepared)
                split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts)
                data = load_training_data(paths.splits, config.preprocessing)
                found = {}
                for rule in RULES:
                    config = configuration(table, seed, folds, generation, rule)
                    plan = plan_study(config, "folds", Basis(data.digests, environment()[0]))
                    with Store.open(paths.store) as store:
                        found[rule] = run_study(plan, store, InlineExecutor(data), {})
                yield f"{table}/{seed}", found


def main() -> None:
    """Prints a line per study, and what holds over all."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--folds", type=int, default=5)
    options.add_argument("--generation", type=int, default=8)
    asked = options.parse_args()
    folds, generation = asked.folds, asked.generation
    saved: dict[str, list[float]] = {rule: [] for rule in RULES}
    same: dict[str, list[bool]] = {rule: [] for rule in RULES}
    lost: dict[str, list[float]] = {rule: [] for rule in RULES}
    for name, found in studies(folds, generation):
        whole = found["never"]
        total, best = TRIALS * folds, whole.best
        assert best is not None
        assert best.value is not None
        words = []
        for rule in RULES[1:]:
            trained = sum(trained_runs(trial.outcomes) for trial in found[rule].trials)
            winner = found[rule].best
            assert winner is not None
            assert winner.value is not None
            saved[rule].append(total / trained)
            same[rule].append(winner.number == best.number)
            lost[rule].append(best.value - winner.value)
            which = "same winner" if same[rule][-1] else "other winner"
            words.append(f"{rule} {total} to {trained} ({total / trained:.2f}x), {which}")
        print(f"{name}: {'; '.join(words)}", flush=True)
    for rule in RULES[1:]:
        print(
            f"{rule}, {folds} folds, generations of {generation}: {statistics.median(saved[rule]):.2f}x fewer (median; "
            f"{min(saved[rule]):.2f} to {max(saved[rule]):.2f}), same winner in {sum(same[rule])} of {len(same[rule])}, "
            f"most lost {max(lost[rule]):.4f}"
        )


if __name__ == "__main__":
    main()
