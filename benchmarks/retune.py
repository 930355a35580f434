"""Retuning in figures: how often an equal or worse challenger is promoted, what a warm start saves, what nothing to do costs.

    python -m benchmarks.retune promotions [--pairs 200]
    python -m benchmarks.retune warm [--seeds 10]
    python -m benchmarks.retune idle

`promotions` judges pairs of models on the same rows, as `tracker retune` does. `warm` tunes on the first rows of a table, then
on all of them (grown) or on rows of another kind (drifted), cold and warm, and counts trials until the cold
start's final validation score. `idle` times `tracker retune` with nothing to do beside `dvc status`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits

from tracker import api
from tracker.config import Config, parse_config
from tracker.config.parts import Promote
from tracker.paths import Paths
from tracker.remedies import find_dvc
from tracker.retuning.decide import Side, judge
from tracker.retuning.warm import best_configurations
from tracker.seeds import bit_generator
from tracker.store.store import Store

TRIALS = 24
SPACE = {
    "hidden_layers": {"low": 1, "high": 2},
    "units": [8, 16, 32, 64],
    "activation": ["relu", "tanh"],
    "dropout": {"low": 0.0, "high": 0.5},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
}
TREE: dict[str, Any] = {
    "data": {"source": "table.csv", "target": "target"},
    "split": {"validation": 0.25, "test": 0.2, "promotion": 0.3},
    "training": {"epochs": 15},
    "search_space": SPACE,
    "objective": {"metric": "val_loss"},
    "studies": {"study": {"sampler": "random", "trials": TRIALS}},
}


def promotions(pairs: int) -> None:
    """How many of so many challengers are promoted: equals, and such as are right on 1 and 3 rows of 100 less."""
    for rows in (100, 300):
        for worse in (0.0, 0.01, 0.03):
            for metric in ("val_f1", "val_loss"):
                promoted = sum(_pair(pair, rows, worse, metric) for pair in range(pairs))
                share = promoted / pairs
                print(f"{rows} rows, {worse:.0%} worse, {metric}: promoted {promoted} of {pairs} ({share:.1%})")


def _pair(number: int, rows: int, worse: float, metric: str) -> bool:
    rng = np.random.default_rng([number, rows, round(1000 * worse)])
    truth = rng.integers(0, 2, rows)
    hard = rng.random(rows)  # both models err on the rows that are hard

    def side(right: float) -> Side:
        call = np.where(0.7 * hard + 0.3 * rng.random(rows) < right, truth, 1 - truth)
        sure = 0.6 + 0.35 * rng.random(rows)
        probabilities = np.stack([np.where(call == place, sure, 1 - sure) for place in (0, 1)], axis=1)
        return Side(probabilities, call.astype(np.int64))

    settings = Promote()
    found = judge(truth, side(0.85), side(0.85 - worse), settings, metric, 1, None, bit_generator(number, "pair"))
    return found.promotes(settings)


def warm(seeds: int) -> None:
    """Trials of a warm start until the cold start's best, on grown and on drifted data; medians over seeds."""
    for table in (_breast_cancer, _digits):
        for kind in ("grown", "drifted"):
            told = [_warm(table, kind, seed) for seed in range(seeds)]
            trials, shares = (statistics.median(column) for column in zip(*told, strict=True))
            print(
                f"{table.__name__[1:]}, {kind}: cold reaches its best after {trials:g} of {TRIALS} trials (median of {seeds}); "
                f"warm after {shares:.2f} of that"
            )


def _warm(table: Any, kind: str, seed: int) -> tuple[float, float]:
    old, new = table(kind, seed)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        config = parse_config({**TREE, "seed": seed}, "params.yaml")
        _tune(root, config, old)
        with Store.open(root / ".tracker") as store:
            first = best_configurations(config, store, {"study": store.studies("study")[0][0]})
        cold = _tune(root, config.with_("seed", seed + 1000), new)
        begun = _tune(root, config.with_("seed", seed + 1000).with_("warm_start", first), new)
    best = min(cold)
    needed = 1 + next(place for place, value in enumerate(cold) if value <= best)
    warm_needed = 1 + next((place for place, value in enumerate(begun) if value <= best), TRIALS)
    return needed, warm_needed / needed


def _tune(root: Path, config: Config, frame: pd.DataFrame) -> list[float]:
    """The values of the study's trials in their order, on a table."""
    frame.to_csv(root / "table.csv", index=False)
    project = api.Project(Paths.of(root, {}), "sqlite:///unused.db", 1, "benchmark")
    api.prepare(config, project)
    api.split(config, project)
    study = api.tune(config, "study", project=project, deliver=False)
    return [float("inf") if trial.value is None else trial.value for trial in study.trials]


def _breast_cancer(kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _parts(load_breast_cancer(as_frame=True).frame, kind, seed)


def _digits(kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _parts(load_digits(as_frame=True).frame, kind, seed)


def _parts(frame: pd.DataFrame, kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Half of a table, and all of it; drifted: the other half, its features moved and noisy."""
    rng = np.random.default_rng(seed)
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    half = len(frame) // 2
    if kind == "grown":
        return frame.iloc[:half], frame
    features = [name for name in frame if name != "target"]
    moved = frame.iloc[half:].copy().astype(dict.fromkeys(features, float))
    spread = frame[features].std().to_numpy()
    moved[features] += spread * (
        0.5 * rng.normal(size=len(features)) + 0.5 * rng.normal(size=(len(moved), len(features)))
    )
    return frame.iloc[:half], moved


def idle() -> None:
    """Seconds of `tracker retune` with nothing to do, and of `dvc status` in the same project; medians of five, in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        frame = load_breast_cancer(as_frame=True).frame
        (root / "data" / "raw").mkdir(parents=True)
        frame.to_csv(root / "data/raw/table.csv", index=False)
        run = [sys.executable, "-m", "tracker.cli"]
        environ = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
        _call(["git", "init", "-q"], root, environ)
        _call([*run, "init", "data/raw/table.csv", "--target", "target"], root, environ)
        params = root / "params.yaml"
        params.write_text(params.read_text().replace("  validation: ", "  promotion: 0.3\n  validation: ", 1))
        dvc = find_dvc()
        _call([*run, "retune"], root, environ)
        pairs = [
            (_timed([*run, "retune"], root, environ), _timed([str(dvc), "status"], root, environ)) for _ in range(5)
        ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"nothing to do: tracker retune {ours:.2f} s, dvc status {theirs:.2f} s, ratio {ours / theirs:.2f}")


def _call(words: list[str], root: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(words, cwd=root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")


def _timed(words: list[str], root: Path, environ: dict[str, str]) -> float:
    started = time.perf_counter()
    _call(words, root, environ)
    return time.perf_counter() - started


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("promotions", "warm", "idle"))
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    {"promotions": lambda: promotions(given.pairs), "warm": lambda: warm(given.seeds), "idle": idle}[given.what]()


if __name__ == "__main__":
    main()
