"""Whole projects on another device than the CPU: do the same trials have the same bits, however they are run?

    python -m benchmarks.device cuda [--families NAME ...] [--keep FOLDER]

For each family that trains there, on scikit-learn's digits: a study in one process, the same in three workers, and the same
killed by SIGKILL after its second trial and gone on with, each in a project of its own; then the look at the test split, every
number derived again, and the final result's bundle, which is copied to `--keep`. A digest covers what was searched and each
outcome: every metric of every epoch, weights and predictions. Families take turns side by side, so no time here is a figure;
`python benchmarks/per_trial.py --device cuda` has those.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

OWN = """
import torch


def build(hyperparameters, input_shape, classes):
    width = hyperparameters["units"]
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.GELU(), torch.nn.Flatten(),
        torch.nn.Linear(288, width), torch.nn.Dropout(hyperparameters["dropout"]), torch.nn.Linear(width, classes),
    )
"""
IMAGES = "shape: [1, 8, 8]"
FAMILIES = {
    "cnn": (
        IMAGES,
        "{family: cnn}",
        "{blocks: 2, batch_norm: true, augment_rotate: 10, augment_shift: 1}",
        "filters: [8, 16]",
    ),
    "lstm": (
        "shape: [8, 8]",
        "{family: rnn}",
        "{cell: lstm, bidirectional: true, layers: 2, augment_mask: 0.2, augment_noise: 0.1}",
        "units: [16, 32]",
    ),
    "gru": ("shape: [8, 8]", "{family: rnn}", "{cell: gru}", "units: [16, 32]"),
    "tabular": ("", "{family: tabular}", "{batch_norm: true}", "number_embedding: [none, piecewise, periodic]"),
    "build": (IMAGES, "{family: build, entry: own:build}", "{}", "units: [16, 32]"),
}
PROGRAM = """
import json, sys
from pathlib import Path
import tracker
from tracker.canonical import digest
from tracker.deriving.find_study import find_study
from tracker.paths import Paths
from tracker.records import record_json
for name in tracker.load_config(Path("params.yaml")).studies:
    found = find_study(name, Paths.of(Path.cwd(), {})).result
    told = [
        [dict(trial.proposal.searched), [{**record_json(end), "key": ""} for end in trial.outcomes]] for trial in found.trials
    ]
    print(json.dumps([name, len(told), digest("device", told)[:16]]))
"""


def make(root: Path, family: str, device: str) -> Path:
    """A project of one study, with its own code where the family wants some."""
    shape, model, fixed, searched = FAMILIES[family]
    root.mkdir(parents=True)
    (root / "own.py").write_text(OWN)
    (root / "params.yaml").write_text(f"""seed: 7
data: {{source: "sklearn:digits", target: target{", " if shape else ""}{shape}}}
model: {model}
training: {{epochs: 4, device: {device}}}
hyperparameters: {fixed}
search_space:
  {searched}
  dropout: {{low: 0.0, high: 0.5}}
  learning_rate: {{low: 1e-3, high: 1e-2, log: true}}
  optimizer: [adamw, sgd, rmsprop]
studies:
  tpe: {{sampler: tpe, trials: 12, generation: 6}}
objective: {{metric: val_loss, direction: minimize}}
compare: {{test_looks: 1}}
tracking: {{experiment: device}}
""")
    return root


def tracker(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of tracker in a project; its text is kept."""
    return subprocess.run(
        [sys.executable, "-m", "tracker.cli", *words],
        cwd=root,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )


def environ() -> dict[str, str]:
    """This package is found from any folder; what is sent to MLflow goes into the project."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}


def must(root: Path, *words: str) -> str:
    """What a command printed; SystemExit with it where it failed."""
    done = tracker(root, *words)
    if done.returncode:
        raise SystemExit(
            f"{root.name}: tracker {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def stored(root: Path) -> int:
    """Trials in a project's store."""
    found = list((root / ".tracker").glob("*.db"))
    if not found:
        return 0
    with closing(sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True)) as link:
        try:
            return int(link.execute("SELECT count(*) FROM outcomes").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0


def killed_once(root: Path) -> None:
    """Begins the study, kills it when two trials are stored, and goes on."""
    words = [sys.executable, "-m", "tracker.cli", "tune", "tpe"]
    begun = subprocess.Popen(words, cwd=root, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while begun.poll() is None and stored(root) < 2:
        time.sleep(0.02)
    begun.send_signal(signal.SIGKILL)
    if begun.wait() == 0:
        raise SystemExit(f"{root}: the study ended before it was killed")
    must(root, "tune", "tpe")


def digests(root: Path) -> str:
    """What a project's study came to."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=environ(), capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr.strip()


def try_family(folder: Path, family: str, device: str, keep: Path | None) -> list[str]:
    """Lines about one family."""
    ways = {}
    for way in ("one", "workers", "killed"):
        root = make(folder / family / way, family, device)
        must(root, "prepare")
        must(root, "split")
        if way == "killed":
            killed_once(root)
        else:
            must(root, "tune", "tpe", *(["--workers", "3"] if way == "workers" else []))
        ways[way] = digests(root)
    root = folder / family / "one"
    must(root, "compare", "--test")
    told = [f"{family}: {way} {found}" for way, found in ways.items()]
    told.append(f"{family}: {'the same bits' if len(set(ways.values())) == 1 else 'DIFFERENT BITS'}")
    for words in (("verify", "--all"), ("reproduce", "final"), ("bundle", "final")):
        done = tracker(root, *words)
        told.append(
            f"{family}: {' '.join(words)} -> {done.returncode}: {(done.stdout + done.stderr).strip().splitlines()[-1:]}"
        )
    if keep:
        for found in root.glob("**/final.zip"):
            shutil.copy(found, keep / f"{family}-{found.name}")
        shutil.copy(root / "reports/final.json", keep / f"{family}-final.json")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--keep", type=Path)
    wanted = parser.parse_args()
    families: Sequence[str] = wanted.families
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(families)) as side_by_side:
        begun = [side_by_side.submit(try_family, Path(folder), name, wanted.device, wanted.keep) for name in families]
        for one in begun:
            try:
                print("\n".join(one.result()), flush=True)
            except SystemExit as error:
                print(error, flush=True)


if __name__ == "__main__":
    main()
