"""Derives many random trials again, alone, in fresh processes, and counts how many come out the same bit for bit.

python benchmarks/reproduce.py --trials 1000

Tables have 1 to 60 features and 2 to 10 classes, networks 0 to 4 hidden layers of 1 to 200 units, with every activation,
optimizer and initialisation, dropout, batch norm, early stopping or not, batches of 1 to 200 rows. Trials train together in
cohorts; each is then derived by the machinery of `tracker reproduce` from its exact record, in shuffled order.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tracker.config import Data, Preprocessing, Split, Training
from tracker.datasets.prepare import prepare
from tracker.datasets.split import split
from tracker.datasets.training_data import load_training_data
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_trial import parse_record
from tracker.deriving.judge_trial import reproduce_record
from tracker.deriving.verdict import EXIT_CODES, Verdict
from tracker.execution.cohorts import form_cohorts
from tracker.execution.executor import InlineExecutor
from tracker.execution.trainer import Segment
from tracker.hyperparameters import FAMILIES, OPTIMIZERS, active
from tracker.network_knobs import ACTIVATIONS, WEIGHT_INITS
from tracker.paths import Paths
from tracker.records import Proposal, TrialSpec
from tracker.store.stored import StoredTrial
from tracker.surroundings.provenance import trained_with
from tracker.tracking.run_contents import trial_record

PER_TABLE = 25  # trials of one table
PER_SHAPE = 5  # trials drawn with one width and batch size, which may share a cohort
PER_PROCESS = 25  # trials that a fresh process derives before the next one is started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        records, lanes = make_records(Path(folder), options.trials, options.seed)
        trained = time.perf_counter()
        print(f"{len(records)} trials trained in {trained - started:.0f} s; lanes per cohort: {lanes:.1f}", flush=True)
        counts: Counter[str] = Counter()
        for done, found in enumerate(derive(records, options.seed), start=1):
            counts[found.state] += 1
            if found.state != "identical":
                print(found.name, found.first_difference, [cause.words for cause in found.causes], flush=True)
            if done % 100 == 0:
                print(f"{done} derived, {time.perf_counter() - trained:.0f} s", flush=True)
        seconds = time.perf_counter() - trained
    print(", ".join(f"{name} {counts[name]}" for name in EXIT_CODES) + f" in {seconds:.0f} s")
    sys.exit(counts["identical"] != len(records))


def make_records(folder: Path, trials: int, seed: int) -> tuple[list[tuple[Paths, bytes]], float]:
    """The exact records of so many random trials with the projects they belong to; the mean number of lanes."""
    rng = np.random.default_rng(seed)
    records: list[tuple[Paths, bytes]] = []
    cohorts = 0
    while len(records) < trials:
        paths = make_table(folder / f"table{len(records)}", rng)
        data = load_training_data(paths.splits, Preprocessing())
        environment, about = trained_with([], paths.root)
        count = min(PER_TABLE, trials - len(records))
        specs = [spec for _ in range(0, count, PER_SHAPE) for spec in random_specs(rng, data.digests, environment)][
            :count
        ]
        segments = [Segment(spec) for spec in specs]
        cohorts += len(form_cohorts(segments, data.x_train.shape[1], len(data.labels)))
        results = {result.spec.key: result for cohort in InlineExecutor(data).run(segments) for result in cohort}
        for number, spec in enumerate(specs):
            result, proposal = results[spec.key], Proposal(number, 0, dict(spec.params), (spec,))
            stored = StoredTrial(proposal, (result.outcome,), (result.timing,), (about,))
            records.append((paths, trial_record(paths.root.name, stored)))
    return records, len(records) / cohorts


def make_table(root: Path, rng: np.random.Generator) -> Paths:
    """A project with a split table of random size."""
    features, classes = int(rng.integers(1, 61)), int(rng.integers(2, 11))
    rows = classes * int(rng.integers(20, 40)) + int(rng.integers(0, 50))
    labels = np.append(np.arange(classes).repeat(15), rng.integers(0, classes, rows - 15 * classes))
    x = rng.normal(size=(classes, features))[labels] + rng.normal(size=(rows, features))
    x[rng.random(x.shape) < 0.02] = np.nan
    x[:2] = 0.0  # no column without numbers
    frame = pd.DataFrame(x, columns=[f"x{place}" for place in range(features)])
    frame.insert(0, "who", [f"r{row}" for row in range(rows)])
    frame["kind"] = [f"class{label}" for label in labels]
    root.mkdir(parents=True)
    frame.to_csv(root / "table.csv", index=False)
    paths = Paths.of(root, {})
    prepare(Data(source="table.csv", target="kind", id="who"), Preprocessing(), root, paths.prepared)
    split(Split(), int(rng.integers(1, 1000)), paths.prepared, paths.splits, paths.sealed, paths.salts)
    return paths


def random_specs(rng: np.random.Generator, data: dict[str, Any], environment: str) -> Iterator[TrialSpec]:
    """A few trials of about one width and one batch size, all else drawn for each."""
    widest, batch_size = int(rng.integers(1, 201)), int(rng.choice([1, 2, 3, 7, 16, 31, 32, 64, 99, 128, 200]))
    batch_norm = bool(rng.random() < 0.3) and batch_size > 1
    for _ in range(PER_SHAPE):
        depth = int(rng.integers(0, 5))
        params = {
            "hidden_layers": depth,
            "units": [int(rng.integers(max(1, widest * 3 // 4), widest + 1)) for _ in range(max(depth, 1))],
            "activation": str(rng.choice(ACTIVATIONS)),
            "dropout": float(rng.choice([0.0, 0.1, 0.5])),
            "batch_norm": batch_norm,
            "weight_init": str(rng.choice(WEIGHT_INITS)),
            "optimizer": str(rng.choice(OPTIMIZERS)),
            "momentum": float(rng.choice([0.0, 0.9])),
            "learning_rate": float(10 ** rng.uniform(-4, 0)),
            "weight_decay": float(rng.choice([0.0, 1e-3])),
            "batch_size": batch_size,
        }
        monitor = str(rng.choice(["val_loss", "val_f1"]))
        stopping = {"monitor": monitor, "patience": 2} if rng.random() < 0.7 else None
        training = Training.model_validate({"epochs": int(rng.integers(2, 6)), "early_stopping": stopping})
        yield TrialSpec(
            family="mlp",
            params=active("mlp", params),
            training=training.model_dump(mode="json"),
            seed=int(rng.integers(2**32)),
            data=data,
            environment=environment,
            numerics=FAMILIES["mlp"].numerics,
        )


def derive(records: list[tuple[Paths, bytes]], seed: int) -> Iterator[Verdict]:
    """The verdicts on all records, in shuffled order, a fresh process for every few."""
    order = np.random.default_rng([seed, 1]).permutation(len(records))
    for start in range(0, len(order), PER_PROCESS):
        with FreshProcess() as process:
            for place in order[start : start + PER_PROCESS]:
                paths, content = records[place]
                yield reproduce_record(parse_record(content, "a record", paths), paths.root, paths.splits, process)


if __name__ == "__main__":
    main()
