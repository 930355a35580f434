"""Which search for which budget: python -m benchmarks.search [--seeds 10] [--trials 64] [--only sphere,mixed,table,sizes]

What is left to the best value after so many trials, median over seeds: on two functions whose best value is known, and on a
table of real scores (every configuration of a grid, trained once by our engine), of which a search reads one row a trial.
`sizes`: TPE in generations of 1, 8 and 16, beside Optuna's TPE told after every trial.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from sklearn.datasets import load_breast_cancer

from tests.search.conftest import build_spec
from tests.search.toys import MIXED, SPHERE, mixed, plainly, run_study, sphere
from tests.studies.project import SmallProject
from tracker.canonical import canonical_json
from tracker.sampler_table import SAMPLERS
from tracker.search.optuna_border import optuna_border, suggest
from tracker.search.space import space_from

Objective = Callable[[Mapping[str, Any]], float]
SHOWN = (8, 16, 32, 48, 64, 96, 128)
GRID = {
    "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "units": [4, 16, 64],
    "hidden_layers": [1, 2, 3],
    "activation": ["relu", "tanh"],
    "dropout": [0.0, 0.25, 0.5],
}


def tabulated(folder: Path) -> Objective:
    """The loss that is left to the best configuration of the grid, from one training of each."""
    frame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "kind"})
    frame["kind"] = frame["kind"].map({0: "malignant", 1: "benign"})
    frame.insert(0, "who", [f"w{row}" for row in range(len(frame))])
    project = SmallProject.made(folder / "project", frame)
    early = {"monitor": "val_loss", "patience": 5}
    changes: dict[str, Any] = {
        "studies__grid": {"sampler": "grid", "search_space": GRID},
        "training": {"epochs": 20, "early_stopping": early},
        "objective": {"metric": "val_loss"},
    }
    found = project.run(project.plan("grid", **changes), folder / "store")
    scores = {canonical_json(dict(trial.proposal.searched)): trial.value for trial in found.trials}
    known = [value for value in scores.values() if value is not None]
    best, worst = min(known), max(known)
    print(f"table: {len(scores)} configurations, loss {best:.4f} to {worst:.4f}", flush=True)

    def left(searched: Mapping[str, Any]) -> float:
        value = scores[canonical_json(dict(searched))]
        return best - (worst if value is None else value)

    return left


def best_so_far(objective: Objective, proposals: list[dict[str, Any]]) -> list[float]:
    """What is left after each trial."""
    left, least = [], float("inf")
    for searched in proposals:
        least = min(least, -objective(searched))
        left.append(least)
    return left


def one_by_one(entries: Mapping[str, Any], objective: Objective, trials: int, seed: int) -> list[dict[str, Any]]:
    """Optuna's TPE with its defaults, told after every trial."""
    spec = build_spec("tpe", entries, seed=seed)
    space, proposals = space_from(spec.space, spec.fixed, spec.family), []
    with optuna_border():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        for _ in range(trials):
            trial = study.ask()
            proposals.append(space.walk(lambda name, entry, trial=trial: suggest(trial, name, entry))[0])
            study.tell(trial, objective(proposals[-1]))
    return proposals


def show(name: str, objective: Objective, seeds: int, search: Callable[[int], list[dict[str, Any]]]) -> None:
    """A row: medians over seeds, CPU seconds of one study."""
    started = time.process_time()
    runs = [best_so_far(objective, search(seed)) for seed in range(seeds)]
    seconds = (time.process_time() - started) / seeds
    shown = [count for count in SHOWN if count <= len(runs[0])]
    medians = " | ".join(f"{statistics.median(run[count - 1] for run in runs):.4f}" for count in shown)
    print(f"| {name} | {medians} | {seconds:.2f} |", flush=True)


def header(title: str, trials: int) -> None:
    """Of a table in Markdown."""
    shown = [count for count in SHOWN if count <= trials]
    print(f"\n{title}\n| sampler | {' | '.join(map(str, shown))} | CPU s |\n{'| --- ' * (len(shown) + 2)}|", flush=True)


def main() -> None:
    """Prints the tables one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--only", default="sphere,mixed,table,sizes")
    given = parser.parse_args()
    only, trials = given.only.split(","), given.trials
    cases: dict[str, tuple[Mapping[str, Any], Objective]] = {"sphere": (SPHERE, sphere), "mixed": (MIXED, mixed)}
    with tempfile.TemporaryDirectory() as folder:
        if "table" in only:
            cases["table"] = GRID, tabulated(Path(folder))
        for title, (entries, objective) in cases.items():
            if title not in only:
                continue
            header(title, trials)
            for name in (row.name for row in SAMPLERS.values() if row.needs_trials):

                def search(
                    seed: int, name: str = name, entries: Any = entries, objective: Any = objective
                ) -> list[dict[str, Any]]:
                    return run_study(build_spec(name, entries, seed=seed), trials, plainly(objective))

                show(name, objective, given.seeds, search)
        if "sizes" in only:
            header("TPE on mixed, by generation", trials)
            show("Optuna, one by one", mixed, given.seeds, lambda seed: one_by_one(MIXED, mixed, trials, seed))
            for size in (1, 8, 16):
                show(
                    f"generations of {size}",
                    mixed,
                    given.seeds,
                    lambda seed, size=size: run_study(
                        build_spec("tpe", MIXED, seed=seed, generation=size), trials, plainly(mixed)
                    ),
                )


if __name__ == "__main__":
    main()
