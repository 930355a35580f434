"""Runs an example with five seeds, each with a split of its own: the test score of what each chose, and whether it repeats.

python benchmarks/examples.py digits-cnn [SEED ...]

Beside the examples it knows tables that come with scikit-learn: sklearn:breast_cancer, sklearn:wine.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tracker
from tracker import api
from tracker.paths import Paths

EXAMPLES = Path(__file__).parents[1] / "examples"
SEEDS = ("2026", "2027", "2028", "2029", "2030")
OF_A_TABLE = """
seed: 2026
data: {source: "SOURCE", target: target}
training: {epochs: 200, early_stopping: {monitor: val_loss, patience: 10}}
hyperparameters: {batch_size: 32}
search_space:
  hidden_layers: {low: 1, high: 3}
  units: [32, 64, 128]
  dropout: {low: 0.0, high: 0.5}
  learning_rate: {low: 1e-4, high: 3e-2, log: true}
  weight_decay: {low: 1e-6, high: 1e-2, log: true}
objective: {metric: val_f1}
studies:
  random: {sampler: random, trials: 24}
compare: {test_looks: 1}
"""


def run_once(example: str, seed: str, folder: Path) -> float:
    """Macro-F1 on test rows of what was chosen on validation, and how its derivation went; in this process, without MLflow."""
    if example.startswith("sklearn:"):
        (folder / "params.yaml").write_text(OF_A_TABLE.replace("SOURCE", example))
    else:
        shutil.copytree(EXAMPLES / example, folder, dirs_exist_ok=True)
    if (folder / "make_data.py").exists():
        subprocess.run([sys.executable, "make_data.py"], cwd=folder, check=True, capture_output=True)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("seed: 2026", f"seed: {seed}", 1))
    config, project = (
        tracker.load_config(params),
        api.Project(Paths.of(folder, {}), "sqlite:///unused.db", 1, "benchmark"),
    )
    began, before = time.monotonic(), time.process_time()
    api.prepare(config, project)
    api.split(config, project)
    for study in config.studies:
        api.tune(config, study, project=project, deliver=False)
    final = api.compare(config, project).test()
    cost = (
        f"{time.monotonic() - began:.0f} s ({time.process_time() - before:.0f} s of CPU), load {os.getloadavg()[0]:.0f}"
    )
    score, chosen = macro_f1(final.result["test"]), f"{final.result['study']}/{final.result['trial']}"
    print(f"seed {seed}: {chosen} test macro-f1 {score:.4f}, {cost}", end="; ", flush=True)
    print(f"derived again: {api.reproduce('final', project).state}", flush=True)
    return float(score)


def macro_f1(test: Mapping[str, Any]) -> float:
    """The mean over all classes, of two classes too."""
    rows = test["confusion_matrix"]
    pairs = [(row[place], sum(row) + sum(other[place] for other in rows)) for place, row in enumerate(rows)]
    return statistics.mean(2 * right / total if total else 0.0 for right, total in pairs)


def main() -> None:
    """All seeds, then the median."""
    example, *seeds = sys.argv[1:]
    found = []
    for seed in seeds or SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(run_once(example, seed, Path(folder)))
    print(f"{example}: median test macro-f1 {statistics.median(found):.4f}, lowest {min(found):.4f}")


if __name__ == "__main__":
    main()
