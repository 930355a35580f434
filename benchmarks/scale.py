"""A study of thousands of trials, seconds and memory of each command: python -m benchmarks.scale [--trials 300 3000]

The trials are a loop without a model, so that what is measured is everything around training. The second tune finds all done;
`pull` fills a store from MLflow after .tracker was moved away. CPU is that of the command and all it started; memory is that
of the largest of these processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.studies.loops import LoopProject

LOOP = """
def fit(hyperparameters, train, validation, seed):
    for epoch in range(3):
        yield {"cost": (hyperparameters["rate"] - 0.3) ** 2 + 1 / (epoch + 1)}
"""
PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who}
model: {family: function, entry: loop:fit}
training: {epochs: 3}
search_space: {rate: {low: 0, high: 0.5}}
objective: {metric: cost, direction: minimize}
compare: {test_looks: 1}
tracking: {experiment: scale}
"""
COMMANDS = (
    ("tune", "random"), ("tune", "random"), ("sync",), ("check",), ("runs",), ("show", "random/7"), ("compare",), ("report",),
    ("verify", "random", "--sample", "10"), ("verify", "random"), ("pull",),
)  # fmt: skip


def measured(root: Path, words: tuple[str, ...]) -> tuple[int, float, float, float]:
    """Exit code, seconds, seconds of CPU, megabytes of a command."""
    script = (
        "import json, resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=2).returncode; "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, sys.executable, "-m", "tracker.cli", *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    code, cpu, memory = json.loads(done.stdout)
    return code, time.monotonic() - started, cpu, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[300, 3000])
    for trials in parser.parse_args().trials:
        with tempfile.TemporaryDirectory() as folder:
            studies = {"random": {"sampler": "random", "trials": trials}}
            root = Path(folder) / "project"
            LoopProject.with_loop(root, LOOP, f"{PARAMS}studies: {json.dumps(studies)}\n")
            for words in COMMANDS:
                if words == ("pull",):
                    shutil.move(root / ".tracker", Path(folder) / "store")
                code, took, cpu, memory = measured(root, words)
                what = f"{trials:5d}  {' '.join(words):26s} exit {code}"
                used = f"{took:6.1f} s  CPU {cpu:6.1f} s  {memory:5.0f} MB"
                print(f"{what}  {used}  load {os.getloadavg()[0]:.0f}", flush=True)


if __name__ == "__main__":
    main()
