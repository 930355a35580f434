"""Every configuration of a grid with its whole curve, as one file that any sampler or pruner of Optuna replays at once.

    python -m benchmarks.tabulated build FILE [--tables breast_cancer,wine,digits]
    python -m benchmarks.tabulated replay FILE [--sampler TPESampler] [--pruner NopPruner] [--trials 64] [--seeds 10]
    python -m benchmarks.tabulated derive FILE [--cells 1000] [--seed 0]

`build` trains every configuration of GRID with three seeds on each table, many networks side by side, and writes their
records to FILE (JSON, packed by gzip). `replay` says what is left to the best configuration after so many trials: median and
quartiles over seeds. `derive` trains random cells again, each alone, and compares record with record: every epoch of the
curve, the digests of weights and predictions. A cell is one configuration with one seed on one table.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from tracker.canonical import canonical_json
from tracker.config import Config, parse_config
from tracker.datasets.prepare import prepare
from tracker.datasets.split import split
from tracker.datasets.training_data import TrainingData, load_training_data
from tracker.execution.executor import InlineExecutor
from tracker.execution.trainer import Segment
from tracker.paths import Paths
from tracker.records import TrialOutcome, TrialSpec, record_from, record_json
from tracker.store.store import Store
from tracker.studies.plan import Basis, plan_study
from tracker.studies.runner import run_study
from tracker.surroundings.environment import environment

TABLES = ("breast_cancer", "wine", "digits")
GRID: dict[str, list[Any]] = {
    "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "units": [4, 16, 64],
    "hidden_layers": [1, 2, 3],
    "activation": ["relu", "tanh"],
    "dropout": [0.0, 0.25, 0.5],
}
METRIC = "val_loss"
SHOWN = (8, 16, 32, 48, 64, 96, 128)
Cell = tuple[str, Mapping[str, Any]]  # a table, and a run of it: its searched values, spec and outcome


class Tabulated:
    """The configurations of one table: their values (mean over seeds, at the kept epoch) and mean curves."""

    def __init__(self, runs: Sequence[Mapping[str, Any]]) -> None:
        outcomes: dict[str, list[Mapping[str, Any]]] = {}
        for run in runs:
            outcomes.setdefault(_name(run["searched"]), []).append(run["outcome"])
        self.values = {name: _mean([one["metrics"].get(METRIC) for one in found]) for name, found in outcomes.items()}
        self._curves = {name: [_by_epoch(one) for one in found] for name, found in outcomes.items()}
        known = [value for value in self.values.values() if value is not None]
        self.best, self.worst = min(known), max(known)

    def value(self, searched: Mapping[str, Any]) -> float:
        """The loss of a configuration; the worst of all where it has none."""
        value = self.values[_name(searched)]
        return self.worst if value is None else value

    def left(self, searched: Mapping[str, Any]) -> float:
        """How much worse than the best of all a configuration is, as a number to maximize: 0 for the best."""
        return self.best - self.value(searched)

    def curve(self, searched: Mapping[str, Any]) -> list[float]:
        """The mean loss after each epoch, as long as the shortest of its runs."""
        return [statistics.fmean(epoch) for epoch in zip(*self._curves[_name(searched)], strict=False)]


def read(file: Path) -> dict[str, Tabulated]:
    """The tables of a file by name."""
    return {name: Tabulated(runs) for name, runs in _document(file)["tables"].items()}


def divided(config: Config, folder: Path) -> TrainingData:
    """The rows of a bundled table, prepared and split in a folder."""
    paths = Paths.of(folder, {})
    prepare(config.data, config.preprocessing, paths.root, paths.prepared)
    split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts)
    return load_training_data(paths.splits, config.preprocessing)


def configuration(table: str) -> Config:
    """The grid over a bundled table, three seeds per configuration."""
    return parse_config(
        {
            "seed": 2026,
            "data": {"source": f"sklearn:{table}"},
            "training": {"epochs": 20, "early_stopping": {"monitor": "val_loss", "patience": 5}},
            "objective": {"metric": METRIC},
            "studies": {"grid": {"sampler": "grid", "search_space": GRID, "repeats": 3}},
        },
        "params.yaml",
    )


def build(file: Path, names: Sequence[str]) -> None:
    """Trains all configurations on each table and writes the file."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        started = time.process_time()
        with tempfile.TemporaryDirectory(prefix="tracker-") as folder:
            config = configuration(name)
            data = divided(config, Path(folder))
            plan = plan_study(config, "grid", Basis(data.digests, environment()[0]))
            with Store.open(Path(folder) / "store.db") as store:
                found = run_study(plan, store, InlineExecutor(data), {})
        tables[name] = [
            {"searched": dict(trial.proposal.searched), "spec": record_json(spec), "outcome": record_json(outcome)}
            for trial in found.trials
            for spec, outcome in zip(trial.proposal.runs, trial.outcomes, strict=True)
        ]
        one = Tabulated(tables[name])
        print(
            f"{name}: {len(one.values)} configurations, {len(tables[name])} cells, {METRIC} {one.best:.4f} to "
            f"{one.worst:.4f}, {time.process_time() - started:.0f} CPU seconds",
            flush=True,
        )
    document = {"format": 1, "environment": environment()[0], "grid": GRID, "tables": tables}
    file.write_bytes(gzip.compress(canonical_json(document), mtime=0))
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def replay(file: Path, sampler: str, pruner: str, trials: int, seeds: int) -> None:
    """One of Optuna's samplers, by the name of its class, told after every trial, on every table of a file."""
    document = _document(file)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"{sampler}, {pruner}: left to the best after so many trials, median (quartiles) of {seeds} seeds")
    for name, table in read(file).items():
        runs, seconds, epochs = [], 0.0, 0
        for seed in range(seeds):
            study = optuna.create_study(
                sampler=getattr(optuna.samplers, sampler)(**({} if sampler == "BruteForceSampler" else {"seed": seed})),
                pruner=getattr(optuna.pruners, pruner)(),
            )
            left, least = [], table.worst - table.best
            for _ in range(trials):
                trial = study.ask()
                searched = {key: _suggest(trial, key, values) for key, values in document["grid"].items()}
                started = time.perf_counter()
                value, trained = _told(table, searched, trial)
                seconds, epochs = seconds + time.perf_counter() - started, epochs + trained
                if value is None:
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                else:
                    study.tell(trial, value)
                    least = min(least, value - table.best)
                left.append(least)
            runs.append(left)
        shown = "; ".join(
            f"{count}: {quartiles([run[count - 1] for run in runs])}" for count in SHOWN if count <= trials
        )
        each = f"{1e3 * seconds / seeds / trials:.3f} ms and {epochs / seeds / trials:.1f} epochs per trial"
        print(f"{name}: {shown}; {each}", flush=True)


def quartiles(values: Sequence[float]) -> str:
    """The median with the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def derive(file: Path, count: int, seed: int) -> int:
    """Trains random cells again, alone, and says how many have the same record; 1 where one differs."""
    document = _document(file)
    if document["environment"] != environment()[0]:
        print("built in another environment (machine, torch, NumPy): bits may differ")
    cells: list[Cell] = [(name, run) for name, runs in document["tables"].items() for run in runs]
    chosen = random.Random(seed).sample(cells, min(count, len(cells)))
    started, differing = time.process_time(), 0
    for name in document["tables"]:
        wanted = [run for table, run in chosen if table == name]
        with tempfile.TemporaryDirectory(prefix="tracker-") as folder:
            executor = InlineExecutor(divided(configuration(name), Path(folder)), most_lanes=1)
            differing += sum(not _same(executor, run) for run in wanted)
        print(f"{name}: {len(wanted)} cells derived", flush=True)
    seconds = time.process_time() - started
    print(
        f"identical {len(chosen) - differing:,}, differs {differing:,}, of {len(cells):,} cells ({seconds:.0f} CPU s)"
    )
    return min(differing, 1)


def _same(executor: InlineExecutor, run: Mapping[str, Any]) -> bool:
    spec, recorded = record_from(TrialSpec, run["spec"]), record_from(TrialOutcome, run["outcome"])
    ((result,),) = list(executor.run([Segment(spec)]))
    if result.outcome.digest == recorded.digest:
        return True
    print(f"differs: {spec.params}, seed {spec.seed}")
    return False


def _told(table: Tabulated, searched: Mapping[str, Any], trial: optuna.trial.Trial) -> tuple[float | None, int]:
    """The value of a configuration, None where the pruner stops it, and after how many epochs."""
    curve = table.curve(searched)
    for epoch, value in enumerate(curve, 1):
        trial.report(value, epoch)
        if trial.should_prune():
            return None, epoch
    return table.value(searched), len(curve)


def _suggest(trial: optuna.trial.Trial, name: str, values: Sequence[Any]) -> Any:
    """Numbers by their place in the list, so that a sampler knows their order."""
    if isinstance(values[0], str):
        return trial.suggest_categorical(name, values)
    return values[trial.suggest_int(name, 0, len(values) - 1)]


def _document(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return document


def _by_epoch(outcome: Mapping[str, Any]) -> list[float]:
    return [float("inf") if epoch[METRIC] is None else epoch[METRIC] for epoch in outcome["history"]]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _name(searched: Mapping[str, Any]) -> str:
    return canonical_json(dict(searched)).decode()


def main() -> int:
    """Builds, replays or derives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["build", "replay", "derive"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--sampler", default="TPESampler")
    parser.add_argument("--pruner", default="NopPruner")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what == "build":
        build(given.file, given.tables.split(","))
    elif given.what == "replay":
        replay(given.file, given.sampler, given.pruner, given.trials, given.seeds)
    else:
        return derive(given.file, given.cells, given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
