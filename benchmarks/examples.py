"""Runs an example with five seeds, each with a split of its own: the test score of what each chose, and whether it repeats.

python benchmarks/examples.py digits-cnn [SEED ...]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tracker
from tracker import api
from tracker.paths import Paths

EXAMPLES = Path(__file__).parents[1] / "examples"
SEEDS = ("2026", "2027", "2028", "2029", "2030")


def run_once(example: str, seed: str, folder: Path) -> float:
    """Macro-F1 on test rows of what was chosen on validation, and how its derivation went; in this process, without MLflow."""
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
    score, chosen = final.result["test"]["f1"], f"{final.result['study']}/{final.result['trial']}"
    print(f"seed {seed}: {chosen} test f1 {score:.4f}, {cost}", end="; ", flush=True)
    print(f"derived again: {api.reproduce('final', project).state}", flush=True)
    return float(score)


def main() -> None:
    """All seeds, then the median."""
    example, *seeds = sys.argv[1:]
    found = []
    for seed in seeds or SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(run_once(example, seed, Path(folder)))
    print(f"{example}: median test f1 {statistics.median(found):.4f}, lowest {min(found):.4f}")


if __name__ == "__main__":
    main()
