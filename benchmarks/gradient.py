"""Search along hypergradients beside random search: python -m benchmarks.gradient [--seeds 10] [--budgets 48,96,192]

Learning rate and weight decay of one network on two tables of scikit-learn. A budget is counted in plain trainings: a random
trial costs 1, a trial that carries n names along 2 + 2n (its arithmetic: the step once more, and twice of it per name). The
configuration with the best validation loss is trained again with `--again` further seeds, whose mean loss is told: the best
of many trials is the luckiest, too. Also told: how many studies of random search the other one beats, seed by seed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer, load_digits

from tests.studies.project import SmallProject
from tracker.execution.executor import one_thread
from tracker.execution.row_sets import arrays_of
from tracker.families.family import train_cohort
from tracker.records import Trial
from tracker.seeds import derive_seed
from tracker.training.arrays import Arrays

SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    "weight_decay": {"low": 1e-6, "high": 10.0, "log": True},
}
NETWORK = {"hidden_layers": 1, "units": 32, "activation": "tanh", "batch_size": 32, "optimizer": "adamw"}
TABLES = {"breast cancer": load_breast_cancer, "digits": load_digits}
COST = 2 + 2 * len(SPACE)
STARTS = 4


def project_of(folder: Path, name: str) -> SmallProject:
    """One of scikit-learn's tables, divided."""
    frame = TABLES[name](as_frame=True).frame.rename(columns={"target": "kind"})
    frame["kind"] = "k" + frame["kind"].astype(str)
    frame.insert(0, "who", [f"w{row}" for row in range(len(frame))])
    return SmallProject.made(folder / name.replace(" ", "-"), frame)


def study(project: SmallProject, folder: Path, sampler: str, trials: int, seed: int, epochs: int) -> tuple[Trial, ...]:
    """The trials of one study."""
    settings: dict[str, Any] = {"sampler": sampler, "trials": trials, "search_space": SPACE}
    settings |= {"generation": STARTS} if sampler == "gradient" else {}
    plan = project.plan(
        "random",
        studies__random=settings,
        seed=seed,
        hyperparameters=NETWORK,
        training={"epochs": epochs, "early_stopping": {"monitor": "val_loss", "patience": epochs}},
        objective={"metric": "val_loss"},
    )
    return project.run(plan, folder / f"{sampler}-{seed}").trials


def again(arrays: Arrays, trials: Sequence[Trial], count: int) -> float:
    """The mean loss of the best of these trials over further seeds; a seed that diverges counts as the worst."""
    best = min((one for one in trials if one.value is not None), key=lambda one: float(one.value or 0.0))
    plain = {**best.spec.training, "hypergradients": []}
    specs = [replace(best.spec, training=plain, seed=derive_seed(best.spec.seed, "again", n)) for n in range(count)]
    losses = [result.outcome.metrics.get("val_loss") for result in train_cohort(specs, arrays)]
    return statistics.mean(10.0 if loss is None else loss for loss in losses)


def main() -> None:
    """Prints a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budgets", default="48,96,192")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--again", type=int, default=8)
    parser.add_argument("--only", default=",".join(TABLES))
    given = parser.parse_args()
    budgets = [int(budget) for budget in given.budgets.split(",")]
    wanted = {"random": [*budgets], "gradient": [budget // COST for budget in budgets]}
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for name in given.only.split(","):
            project = project_of(Path(folder), name)
            arrays, found, seconds = arrays_of(project.data), dict[tuple[str, int], list[float]](), dict[str, float]()
            for seed in range(given.seeds):
                for sampler, counts in wanted.items():
                    started = time.process_time()
                    trials = study(project, Path(folder) / name, sampler, max(counts), seed, given.epochs)
                    seconds[sampler] = seconds.get(sampler, 0.0) + time.process_time() - started
                    for count in {*counts, *wanted["gradient"]}:
                        found.setdefault((sampler, count), []).append(again(arrays, trials[:count], given.again))
            print(
                f"\n{name}\n| sampler | trials | trainings | loss, median | quarters | beats random |\n{'| --- ' * 6}|"
            )
            for (sampler, count), losses in sorted(found.items(), key=lambda item: (item[0][0], item[0][1])):
                cost = count * (COST if sampler == "gradient" else 1)
                low, middle, high = statistics.quantiles(losses, n=4)
                other = found.get(("random", cost))
                wins = "" if other is None or sampler == "random" else sum(map(float.__lt__, losses, other))
                print(f"| {sampler} | {count} | {cost} | {middle:.4f} | {low:.4f} to {high:.4f} | {wins} |")
            print(
                {
                    sampler: f"{took / max(wanted[sampler]) / given.seeds:.3f} CPU s/trial"
                    for sampler, took in seconds.items()
                }
            )


if __name__ == "__main__":
    main()
