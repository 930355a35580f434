"""Runs an example with five seeds, each with a split of its own: the test score of what each chose, and whether it repeats.

python benchmarks/examples.py digits-cnn [SEED ...]
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
SEEDS = ("2026", "2027", "2028", "2029", "2030")


def run_once(example: str, seed: str) -> float:
    """Macro-F1 on test rows, after `tracker run` and `tracker reproduce final` in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / example
        shutil.copytree(
            EXAMPLES / example, place, ignore=shutil.ignore_patterns(".tracker", "data", "reports", "models")
        )
        if (place / "make_data.py").exists():
            subprocess.run([sys.executable, "make_data.py"], cwd=place, check=True, capture_output=True)
        params = place / "params.yaml"
        params.write_text(params.read_text().replace("seed: 2026", f"seed: {seed}", 1))
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["tracker", "run"], cwd=place, check=True, capture_output=True)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        again = subprocess.run(
            ["tracker", "reproduce", "final"], cwd=place, check=False, capture_output=True, text=True
        )
        final = json.loads((place / "reports/final.json").read_text())
        score, trial = final["test"]["f1"], f"{final['study']}/{final['trial']}"
        told = again.stdout.splitlines()[0] if again.stdout else again.stderr
        cost = f"{wall:.0f} s ({cpu:.0f} s of CPU), load {os.getloadavg()[0]:.1f}"
        print(f"seed {seed}: {trial} test f1 {score:.4f}, {cost}; {told}")
        sys.stdout.flush()
        return float(score)


def main() -> None:
    """All seeds, then the median."""
    example, *seeds = sys.argv[1:]
    found = [run_once(example, seed) for seed in seeds or SEEDS]
    print(f"{example}: median test f1 {statistics.median(found):.4f}, lowest {min(found):.4f}")


if __name__ == "__main__":
    main()
