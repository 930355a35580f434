"""Ours, recorded in MLflow, against the hand-written loop, untracked: python benchmarks/tuning.py [--trials 48] [--rounds 3]

Both tune the default search space on the default data, from a fresh process, in turn. Ours: the clock stops when the study
is finished, its reports are written and the outbox is empty. The loop in two processes shares one Optuna storage. Run
`dvc repro split` first. Imports are counted and also shown apart: `tuning` starts when everything is imported and read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def hand_written(folder: Path, sampler: str, trials: int, processes: int, seed: int) -> dict[str, float]:
    """The loop, its trials shared by one or two processes."""
    storage = f"sqlite:///{folder / 'hand.db'}"
    share = trials // processes
    commands = [
        [sys.executable, str(ROOT / "benchmarks/hand_written.py"), str(ROOT / "data/splits"), storage,
         "--sampler", sampler, "--trials", str(share), "--seed", str(seed + number)]
        for number in range(processes)
    ]  # fmt: skip
    subprocess.run([*commands[0][:-3], "0", *commands[0][-2:]], check=True, capture_output=True)  # makes the tables
    started = time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for command in commands]
    tuning = max(json.loads(process.communicate()[0])["tuning_s"] for process in running)
    return {"whole": time.perf_counter() - started, "tuning": tuning}


def ours(folder: Path, sampler: str, trials: int, workers: int, seed: int, recorded: bool) -> dict[str, float]:
    """A study through the public API, with delivery to MLflow or to the store alone."""
    command = [sys.executable, str(ROOT / "benchmarks/ours.py")]
    command += [str(folder), sampler, str(trials), str(workers), str(seed)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    environment.pop("DVC_ROOT", None)
    if recorded:  # the database exists before the clock starts, as the loop's does
        prepare = [sys.executable, "-c", "import mlflow, sys; mlflow.create_experiment('warm', sys.argv[1])",
                   str(folder / "artifacts")]  # fmt: skip
        subprocess.run(prepare, check=True, capture_output=True, env=environment)
    subprocess.run([*command, "split"], check=True, env=environment, cwd=folder)
    command += [str(int(recorded))]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, cwd=folder)
    return {"whole": time.perf_counter() - started, "tuning": json.loads(done.stdout)["tuning_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sampler", choices=["tpe", "random"], default="tpe")
    arguments = parser.parse_args()
    sampler, trials = arguments.sampler, arguments.trials
    cases = {
        "loop, 1 process": lambda f, s: hand_written(f, sampler, trials, 1, s),
        "loop, 2 processes": lambda f, s: hand_written(f, sampler, trials, 2, s),
        "ours, recorded, 1 worker": lambda f, s: ours(f, sampler, trials, 1, s, True),
        "ours, recorded, 2 workers": lambda f, s: ours(f, sampler, trials, 2, s, True),
        "ours, not recorded, 1 worker": lambda f, s: ours(f, sampler, trials, 1, s, False),
    }
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(arguments.rounds):
        rounds.append({})
        for name, case in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                rounds[-1][name] = case(Path(folder), 100 + 10 * number)
    report(rounds, sampler, trials)


def report(rounds: list[dict[str, dict[str, float]]], sampler: str, trials: int) -> None:
    """Medians in seconds per trial, and medians of the ratios within each round."""
    print(f"{sampler}, {trials} trials, {len(rounds)} rounds in turn; medians\n")
    print("| | whole process, s | tuning, s per trial |\n| --- | --- | --- |")
    for name in rounds[0]:
        whole, tuning = (statistics.median(r[name][part] for r in rounds) for part in ("whole", "tuning"))
        print(f"| {name} | {whole:.1f} | {tuning / trials:.3f} |")
    print("\n| ratio | whole process | tuning |\n| --- | --- | --- |")
    pairs = [
        ("loop, 1 process", "ours, recorded, 1 worker"),
        ("loop, 2 processes", "ours, recorded, 1 worker"),
        ("loop, 2 processes", "ours, recorded, 2 workers"),
        ("ours, recorded, 1 worker", "ours, not recorded, 1 worker"),
    ]
    for above, below in pairs:
        whole, tuning = (statistics.median(r[above][p] / r[below][p] for r in rounds) for p in ("whole", "tuning"))
        print(f"| {above} / {below} | {whole:.2f} | {tuning:.2f} |")


if __name__ == "__main__":
    main()
