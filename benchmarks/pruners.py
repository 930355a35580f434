"""What pruners save, and which winners they stop: python -m benchmarks.pruners [--seeds 10] [--trials 64] [--epochs 27]

Random search on two tables of scikit-learn, whole and with each pruner over the very same trials (a pruned study takes the
curves of the whole one from the store). Told are medians over seeds: epochs trained, as a part of the whole study's; what the
best trial that was left has more in loss than the best of all; in how many studies the best of all was left, and after which
part of the whole study's epochs; wrong prunes (`Study.audit`: pruned trials that beat the best that was left).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gradient import TABLES, project_of
from tests.studies.project import SmallProject
from tracker.records import Trial
from tracker.studies.study import Study

SPACE = {
    "hidden_layers": {"low": 1, "high": 2},
    "units": [16, 32, 64],
    "activation": ["relu", "tanh"],
    "dropout": {"low": 0.0, "high": 0.5},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
}
PRUNERS: dict[str, dict[str, Any]] = {
    "median": {},
    "halving": {},
    "hyperband": {},
    "patient": {},
    "first_epoch": {},
}


def epochs_of(trials: tuple[Trial, ...] | list[Trial]) -> int:
    """What they took."""
    return sum(trial.outcome.epochs for trial in trials)


class Row:
    """One pruner over all seeds."""

    def __init__(self) -> None:
        self.spent, self.lost, self.reached, self.wrong, self.pruned = [], [], [], [], []  # type: ignore[var-annotated]

    def take(self, whole: Study, study: Study) -> None:
        """Notes a study beside the whole one."""
        trials, all_epochs, best = study.result.trials, epochs_of(whole.result.trials), whole.best_trial.number
        self.spent.append(epochs_of(trials) / all_epochs)
        self.lost.append(study.best_value - whole.best_value)
        if trials[best].state == "complete":
            last = trials[best].proposal.generation
            self.reached.append(epochs_of([t for t in trials if t.proposal.generation <= last]) / all_epochs)
        self.pruned.append(sum(trial.state == "pruned" for trial in trials))
        self.wrong.append(len(study.audit().wrong) if self.pruned[-1] else 0)

    def line(self, name: str, seeds: int) -> str:
        """As a row in Markdown."""
        cells = [name, f"{statistics.median(self.spent):.2f}", f"{statistics.median(self.lost):.4f}"]
        cells += [f"{len(self.reached)} of {seeds}", f"{statistics.median(self.reached):.2f}" if self.reached else ""]
        return f"| {' | '.join([*cells, str(sum(self.wrong)), str(sum(self.pruned))])} |"


def study(project: SmallProject, store: Path, seed: int, given: argparse.Namespace, pruner: str | None) -> Study:
    """A random study, whole or pruned, on one store."""
    settings: dict[str, Any] = {"sampler": "random", "trials": given.trials, "search_space": SPACE}
    if pruner is not None:
        settings |= {"pruner": {"name": pruner, **PRUNERS[pruner]}, "generation": 16}
    plan = project.plan(
        "random",
        studies__random=settings,
        seed=seed,
        training={"epochs": given.epochs, "early_stopping": {"monitor": "val_loss", "patience": given.epochs}},
        objective={"metric": "val_loss"},
    )
    return Study(project.run(plan, store), store, project.serving(), project.source)


def main() -> None:
    """Prints a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--only", default=",".join(TABLES))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only.split(","):
            project, rows = project_of(Path(folder), name), {pruner: Row() for pruner in PRUNERS}
            for seed in range(given.seeds):
                store = Path(folder) / name / str(seed)
                whole = study(project, store, seed, given, None)
                for pruner, row in rows.items():
                    row.take(whole, study(project, store, seed, given, pruner))
            heads = ("pruner", "epochs", "loss more", "best of all left", "after", "wrong prunes", "of pruned")
            print(f"\n{name}\n| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
            for pruner, row in rows.items():
                print(row.line(pruner, given.seeds), flush=True)


if __name__ == "__main__":
    main()
