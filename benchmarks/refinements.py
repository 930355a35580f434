"""From coarse to fine against one study with as many trials.

`python -m benchmarks.refinements [--seeds 10] [--table breast_cancer]`

What is left to the best value after 48 trials in all, median and quartiles over seeds: of two functions whose best value is
known, and, as the loss itself, of networks that are really trained. On the first two nothing is luck; of networks the best
of 48 is partly the luckiest of 48, alike for all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.tabulated import divided, quartiles
from tests.search.conftest import build_spec
from tests.search.toys import MIXED, SPHERE, mixed, plainly, run_study, sphere
from tracker.config import Config, parse_config
from tracker.execution.executor import InlineExecutor
from tracker.paths import Paths
from tracker.search.shrink import shrink
from tracker.store.store import Store
from tracker.studies.finished import finished_in
from tracker.studies.plan import Basis, plan_study
from tracker.studies.runner import run_study as train_study
from tracker.surroundings.environment import environment

KEEP = 0.2
PLANS: dict[str, Sequence[tuple[str, int]]] = {  # each study refines the one before
    "`random`, 48 trials": [("random", 48)],
    "`random` three times, 16 trials each": [("random", 16)] * 3,
    "`random` with 32, then `random` with 16": [("random", 32), ("random", 16)],
    "`random` with 32, then `tpe` with 16": [("random", 32), ("tpe", 16)],
    "`tpe`, 48 trials": [("tpe", 48)],
}


def on_function(
    entries: Mapping[str, Any],
    function: Callable[[Mapping[str, Any]], float],
    plan: Sequence[tuple[str, int]],
    seed: int,
) -> float:
    """What is left to the best value of a function, which is 0."""
    found, space = list[float](), None
    for place, (sampler, trials) in enumerate(plan):
        spec = build_spec(sampler, entries, seed=1000 * place + seed)
        spec = spec if space is None else replace(spec, space=space.canonical())
        proposals = run_study(spec, trials, plainly(function))
        values = [function(searched) for searched in proposals]
        found += values
        rows = [_trial(number, *row) for number, row in enumerate(zip(proposals, values, strict=True))]
        space = shrink(spec, rows, KEEP)
    return -max(found)


def _trial(number: int, searched: Mapping[str, Any], value: float) -> Any:
    proposal = SimpleNamespace(searched=searched)
    return SimpleNamespace(value=value, metrics={}, study="study", number=number, proposal=proposal)


def configuration(table: str, plan: Sequence[tuple[str, int]], seed: int) -> Config:
    """The studies of a plan over a bundled table: `s0`, and refinements `s1`, `s2` of the one before."""
    studies: dict[str, Any] = {
        f"s{place}": {"sampler": sampler, "trials": trials} for place, (sampler, trials) in enumerate(plan)
    }
    later = {
        name: {**study, "refine": f"s{int(name[1:]) - 1}", "keep": KEEP}
        for name, study in studies.items()
        if name != "s0"
    }
    return parse_config(
        {
            "seed": seed,
            "data": {"source": f"sklearn:{table}"},
            "training": {"epochs": 10},
            "objective": {"metric": "val_loss"},
            "search_space": {
                "hidden_layers": {"low": 1, "high": 3},
                "units": {"low": 8, "high": 64, "log": True},
                "activation": ["relu", "tanh"],
                "dropout": {"low": 0.0, "high": 0.5},
                "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
                "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            },
            "studies": {"s0": studies["s0"]},
            "refinements": later,
        },
        "params.yaml",
    )


def on_table(table: str, plan: Sequence[tuple[str, int]], seed: int) -> float:
    """The least validation loss of all trials of a plan."""
    with tempfile.TemporaryDirectory(prefix="tracker-") as folder:
        paths = Paths.of(Path(folder), {})
        config = configuration(table, plan, seed)
        data = divided(config, paths.root)
        values = []
        for name in config.studies:
            planned = plan_study(config, name, Basis(data.digests, environment()[0]), finished_in(paths))
            with Store.open(paths.store) as store:
                result = train_study(planned, store, InlineExecutor(data), {})
            values += [trial.value for trial in result.trials if trial.value is not None]
    return min(values)


def main() -> None:
    """Prints a table in Markdown; CPU seconds below it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--table", default="breast_cancer")
    given = parser.parse_args()
    seeds, started = range(given.seeds), time.process_time()
    print(f"| | smooth | with choices | {given.table}, loss |\n| --- | --- | --- | --- |", flush=True)
    for name, plan in PLANS.items():
        cells = [
            quartiles([on_function(entries, function, plan, seed) for seed in seeds])
            for entries, function in ((SPHERE, sphere), (MIXED, mixed))
        ]
        cells.append(quartiles([on_table(given.table, plan, seed) for seed in seeds]))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"{given.seeds} seeds, {time.process_time() - started:.0f} CPU seconds")


if __name__ == "__main__":
    main()
