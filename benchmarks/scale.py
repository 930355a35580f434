"""A study of thousands of trials, seconds and memory of each command: python -m benchmarks.scale [--trials 300 3000]

The trials are a loop without a model, so that what is measured is everything around training. The second tune finds all done;
`pull` fills a store from MLflow after .tracker was moved away. CPU is that of the command and all it started; memory is that
of the largest of these processes.

`--studies 20 200` measures projects of so many studies of ten trials each, and `--rows 100000 5000000` tables of so many rows,
ten numbers each, on which a network is trained (two trials of one epoch). `--trials` alone leaves studies of many trials out.
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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
MANY = 10  # trials of each of many studies
NETWORK = """
seed: 7
data: {source: table.parquet, target: kind, id: who}
training: {epochs: 1, early_stopping: null}
hyperparameters: {hidden_layers: 1, units: 32, batch_size: 4096}
search_space: {learning_rate: {low: 1e-3, high: 1e-1, log: true}}
studies: {random: {sampler: random, trials: 2}}
compare: {test_looks: 1}
tracking: {experiment: scale}
"""
EVERY = ("sync", "check", "runs", "compare", "report", "verify", "pull")  # commands that look at every study
OF_ROWS = (("check",), ("prepare",), ("split",), ("tune", "random"), ("compare",), ("compare", "--test"), ("report",))


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


def commands_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """What is asked of many studies."""
    every = [(word, "--all", "--sample", "10") if word == "verify" else (word,) for word in EVERY]
    return [("tune", *names), ("tune", *names), *every]


def large_table(root: Path, rows: int) -> None:
    """A project whose table has so many rows of ten numbers and three kinds, in blocks of a million."""
    root.mkdir()
    (root / "params.yaml").write_text(NETWORK)
    draw, block, writer = np.random.default_rng(5), 10**6, None
    for start in range(0, rows, block):
        x = draw.normal(size=(min(block, rows - start), 10)).round(4)
        names = {f"x{place}": x[:, place] for place in range(10)}
        kind = np.array(["low", "middle", "high"])[np.digitize(x[:, 0] + x[:, 1], [-0.6, 0.6])]
        table = pa.table({"who": np.arange(start, start + len(x)), **names, "kind": kind})
        writer = writer or pq.ParquetWriter(root / "table.parquet", table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def tell(root: Path, label: str, commands: Sequence[tuple[str, ...]]) -> None:
    """Runs the commands in turn, and prints what each took."""
    for words in commands:
        if words == ("pull",):
            shutil.move(root / ".tracker", root.parent / "store")
        code, took, cpu, memory = measured(root, words)
        what = f"{label}  {' '.join(words)[:26]:26s} exit {code}"
        print(f"{what}  {took:6.1f} s  CPU {cpu:6.1f} s  {memory:5.0f} MB  load {os.getloadavg()[0]:.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="*", default=[300, 3000])
    parser.add_argument("--studies", type=int, nargs="+", default=[])
    parser.add_argument("--rows", type=int, nargs="+", default=[])
    wanted = parser.parse_args()
    for count, each in [*((1, trials) for trials in wanted.trials), *((count, MANY) for count in wanted.studies)]:
        with tempfile.TemporaryDirectory() as folder:
            names = ["random"] if count == 1 else [f"study-{place}" for place in range(count)]
            studies = {name: {"sampler": "random", "trials": each} for name in names}
            root = Path(folder) / "project"
            LoopProject.with_loop(root, LOOP, f"{PARAMS}studies: {json.dumps(studies)}\n")
            tell(root, f"{count:3d} x {each:5d}", COMMANDS if count == 1 else commands_of(names))
    for rows in wanted.rows:
        with tempfile.TemporaryDirectory() as folder:
            large_table(Path(folder) / "project", rows)
            tell(Path(folder) / "project", f"{rows:9d} rows", OF_ROWS)


if __name__ == "__main__":
    main()
