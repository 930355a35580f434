"""Untuned networks on public tables: what `tracker init` begins with, with and without `--preset strong`.

    python -m benchmarks.presets FOLDER [NAME ...]

FOLDER holds the CSV files that `benchmarks.tables` names. Each table is split by three seeds as the product splits it. On the
train rows one network of each kind is trained, with the fixed values as they are written, and scored on validation and test
rows: macro-F1 and log loss, mean over the seeds. The test rows are read from their file, so no look is recorded: nothing is
chosen by these numbers.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load
from sklearn.metrics import f1_score, log_loss

import tracker
from benchmarks.tables import TABLES
from tracker import api
from tracker.datasets.training_data import label_codes, load_training_data
from tracker.execution.executor import one_thread
from tracker.execution.row_sets import arrays_of
from tracker.families.family import train
from tracker.hyperparameters import FAMILIES, active
from tracker.paths import Paths
from tracker.project.begin import Wishes, begin
from tracker.records import TrialSpec
from tracker.standalone.transform import transform

NAMES = ("titanic", "german", "glass", "sonar", "penguins_raw", "car")
SEEDS = (2026, 2027, 2028)
KINDS: Mapping[str, str | None] = {"default": None, "strong": "strong"}
SCORES = ("val f1", "test f1", "test loss", "s")


def main() -> None:
    """A row per table: each kind's means, then how often the second beats the first on test rows, by F1 and by log loss."""
    folder, *names = sys.argv[1:]
    print(f"{'table':14} {'rows':>5}" + "".join(f"  {kind + ' ' + score:>18}" for score in SCORES for kind in KINDS))
    found = {name: scores_of(Path(folder).resolve() / f"{name}.csv", name) for name in names or NAMES}
    means = np.mean([scores for _, scores in found.values()], axis=(0, 1))
    print(line("mean", 0, means), f"load {os.getloadavg()[0]:.0f}", sep="\n")


def line(name: str, rows: int, means: np.ndarray) -> str:
    """`means` are (kinds, scores)."""
    return f"{name:14} {rows or '':>5}" + "".join(
        f"  {means[kind, score]:18.4f}" for score in range(len(SCORES)) for kind in range(len(KINDS))
    )


def scores_of(source: Path, name: str) -> tuple[int, np.ndarray]:
    """Rows, and scores (seeds, kinds, scores) of a table."""
    found = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            rows, scores = one_split(source, name, seed, Path(folder))
            found.append(scores)
    print(line(name, rows, np.mean(found, axis=0)), flush=True)
    return rows, np.array(found)


def one_split(source: Path, name: str, seed: int, root: Path) -> tuple[int, np.ndarray]:
    """Scores (kinds, scores) with the split of one seed."""
    scores, rows = [], 0
    for kind, preset in KINDS.items():
        project_root = root / kind
        project_root.mkdir()
        begin(wishes_of(source, TABLES[name].words, preset), project_root, None)
        params = project_root / "params.yaml"
        params.write_text(params.read_text().replace("seed: 2026", f"seed: {seed}", 1))
        config = tracker.load_config(params)
        project = api.Project(Paths.of(project_root, {}), "sqlite:///unused.db", 1, "benchmark")
        api.prepare(config, project)
        api.split(config, project)
        scores.append(trained_and_scored(config, project.paths, seed))
        rows = len(pd.read_parquet(project_root / "data/prepared/table.parquet"))
    return rows, np.array(scores)


def wishes_of(source: Path, words: Any, preset: str | None) -> Wishes:
    """What the words of `tracker init` say."""
    given = dict(zip(words[::2], words[1::2], strict=True))
    drop = tuple(given[word] for word in ("--drop",) if word in given)
    return Wishes(str(source), given["--target"], given.get("--id"), drop=drop, preset=preset)


def trained_and_scored(config: Any, paths: Paths, seed: int) -> list[float]:
    """Scores of one network with the fixed values of a configuration."""
    data = load_training_data(paths.splits, config.preprocessing)
    arrays, family = arrays_of(data), config.model.family
    params = active(family, dict(config.hyperparameters))
    training = config.training.model_dump(mode="json")
    spec = TrialSpec(family, params, training, seed, {}, "benchmark", FAMILIES[family].numerics)
    begun = time.process_time()
    with one_thread():
        weights = train(spec, arrays).weights
    took = time.process_time() - begun
    assert weights is not None
    description = {"params": params, "labels": list(data.labels), "preprocessing": data.preprocessing}
    network = importlib.import_module(f"tracker.standalone.{family}").open_network(description, load(weights))
    test = pd.read_parquet(paths.sealed / "test.parquet")
    said = network.probabilities(arrays.x_validation), network.probabilities(transform(data.preprocessing, test))
    truth = label_codes(test, data.schema)
    places = list(range(len(data.labels)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class without a prediction
        validation, tested = (
            f1_score(y, p.argmax(1), average="macro", labels=places)
            for y, p in zip((arrays.y_validation, truth), said, strict=True)
        )
        loss = log_loss(truth, said[1].astype(np.float64), labels=places)
    return [float(validation), float(tested), float(loss), took]


if __name__ == "__main__":
    main()
