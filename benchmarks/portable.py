"""Whole studies of portable numerics on this machine and on emulated CPUs.

    python -m benchmarks.portable [CPU ...] [--samplers NAME ...] [--families NAME ...]

Every sampler with every family that has portable numerics (`estimator` has not), training included. CPUs are names of
`qemu-x86_64 -cpu` (Debian: `apt-get install qemu-user`); without any: Haswell, Nehalem, EPYC. A digest covers the values that
were searched and each outcome: every metric of every epoch, weights and predictions; not the environment, which is another
one on a CPU without FMA.
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
import pandas as pd

from tracker.numerics import PINS

CPUS = ("Haswell", "Nehalem", "EPYC")
SAMPLERS = {
    "manual": {"sampler": "manual", "configurations": [{}, {"dropout": 0.25}, {"learning_rate": 0.003}]},
    "grid": {"sampler": "grid", "search_space": {"units": [8, 12], "batch_size": [16, 32]}},
    "random": {"sampler": "random", "trials": 4},
    "qmc": {"sampler": "qmc", "trials": 4},
    "tpe": {"sampler": "tpe", "trials": 16, "generation": 12},
    "median": {"sampler": "tpe", "trials": 16, "generation": 12, "pruner": {"name": "median"}},
    "gp": {"sampler": "gp", "trials": 16, "generation": 12},
    "cmaes": {"sampler": "cmaes", "trials": 12, "generation": 4},
    "nsga2": {"sampler": "nsga2", "trials": 12, "generation": 4},
    "gradient": {"sampler": "gradient", "trials": 6, "generation": 2},
    "folds": {"sampler": "random", "trials": 3, "cross_validation": {"folds": 3}},
}
SHAPES = {"cnn": [1, 6, 4], "rnn": [6, 4]}  # of families that take no table
ONLY = {"gradient": ("mlp",)}  # samplers that some families cannot have
SEARCHED = """
  units: [8, 12, 20]
  dropout: {low: 0.0, high: 0.5}
  learning_rate: {low: 1e-3, high: 1e-1, log: true}
  batch_size: [16, 32]
"""
NETWORK_KNOBS = """
  hidden_layers: {low: 1, high: 2}
  activation: [relu, tanh, gelu]
  optimizer: [sgd, adam, adamw, rmsprop]
  batch_norm: [false, true]
"""
FAMILIES = {
    "mlp": ("{}", NETWORK_KNOBS),
    "tabular": ("{family: tabular}", "\n  blocks: [1, 2]\n  number_embedding: [none, piecewise, periodic]\n"),
    "build": ("{family: build, entry: own:build}", "\n  optimizer: [sgd, adam, adamw, rmsprop]\n"),
    "cnn": ("{family: cnn}", "\n  pooling: [max, average]\n  batch_norm: [false, true]\n"),
    "rnn": ("{family: rnn}", "\n  cell: [lstm, gru]\n  bidirectional: [false, true]\n"),
    "function": ("{family: function, entry: own:fit}", "\n"),
    "function, Adam": ("{family: function, entry: own:fit_adam}", "\n"),
}
OWN = """
import torch


def build(hyperparameters, input_shape, classes):
    features, width = input_shape[0], hyperparameters["units"]
    drop = torch.nn.Dropout(hyperparameters["dropout"])
    return torch.nn.Sequential(torch.nn.Linear(features, width), torch.nn.GELU(), drop, torch.nn.Linear(width, classes))


def fit(hyperparameters, train, validation, seed, optimizer=torch.optim.SGD):
    net = build(hyperparameters, (train.x.shape[1],), len(train.labels))
    optimizer = optimizer(net.parameters(), lr=hyperparameters["learning_rate"])
    for _ in range(hyperparameters["epochs"]):
        for rows in torch.randperm(len(train.x)).split(hyperparameters["batch_size"]):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(train.x[rows]), train.y[rows])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            cost = torch.nn.functional.cross_entropy(net(validation.x), validation.y)
        yield {"train_loss": loss.item(), "val_loss": cost.item()}
    return net


def fit_adam(hyperparameters, train, validation, seed):
    return (yield from fit(hyperparameters, train, validation, seed, torch.optim.Adam))
"""
PROGRAM = """
import json, sys
from pathlib import Path
import tracker
from tracker.api import Project
from tracker.canonical import digest
from tracker.deriving.find_study import find_study
from tracker.paths import Paths
from tracker.records import record_json
from tracker.surroundings.environment import environment
root = Path.cwd()
for family in sorted(path for path in root.iterdir() if path.is_dir()):
    project = Project.now(Paths.of(family, {}), 1)
    config = tracker.load_config(family / "params.yaml")
    for name in config.studies:
        tracker.tune(config, name, project=project, deliver=False)
        found = find_study(name, project.paths).result
        told = [
            [dict(trial.proposal.searched), [{**record_json(end), "key": ""} for end in trial.outcomes]]
            for trial in found.trials
        ]
        print(json.dumps([family.name, name, digest("portable", told)[:16], environment("portable")[0][:12]]), flush=True)
"""


def pictures(rows: int = 160) -> pd.DataFrame:
    """24 pixels a row, brighter in another quarter for each of three kinds."""
    draw = np.random.default_rng(5)
    kinds = np.arange(rows) % 3
    x = draw.normal(size=(rows, 24)) + 1.5 * (np.arange(24) // 6 == kinds[:, None])
    columns = {f"x{place}": x[:, place] for place in range(24)}
    return pd.DataFrame({"who": np.arange(rows), **columns, "kind": kinds})


def make(root: Path, samplers: Sequence[str], families: Sequence[str]) -> None:
    """A project for each family, prepared and split."""
    from tests.studies.project import SmallProject, make_table

    for family in families:
        model, knobs = FAMILIES[family]
        shape = f", shape: {SHAPES[family]}" if family in SHAPES else ""
        own = [name for name in samplers if family in ONLY.get(name, FAMILIES)]
        text = f"""seed: 7
data: {{source: table.csv, target: kind, id: who{shape}}}
training: {{epochs: 3, numerics: portable}}
hyperparameters: {{units: 8, dropout: 0.0, learning_rate: 1e-2, batch_size: 32}}
search_space:{SEARCHED.rstrip()}{knobs.rstrip()}
studies: {json.dumps({name: SAMPLERS[name] for name in own})}
objective: {{metric: val_loss, direction: minimize}}
"""
        text += "" if model == "{}" else f"model: {model}\n"
        text = text.replace("units", "filters") if family == "cnn" else text
        SmallProject.made(root / family, pictures() if shape else make_table(), text)
        (root / family / "own.py").write_text(OWN)


def run(root: Path, before: Sequence[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """The digest and the environment of each study, computed behind a command such as an emulator."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    command = [*before, str(Path(sys.executable).resolve()), "-c", PROGRAM]
    environ = {**os.environ, **PINS, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=root, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    rows = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return {(family, name): (digest, environment) for family, name, digest, environment in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cpus", nargs="*", default=CPUS)
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    wanted = parser.parse_args()
    cpus = wanted.cpus
    with tempfile.TemporaryDirectory() as folder:
        origin = Path(folder) / "origin"
        make(origin, wanted.samplers, wanted.families)
        found = {}
        for cpu in ("this machine", *cpus):
            root = Path(shutil.copytree(origin, Path(folder) / cpu.replace(" ", "-")))
            started = time.monotonic()
            found[cpu] = run(root, () if cpu == "this machine" else ("qemu-x86_64", "-cpu", cpu))
            environments = ", ".join({environment for _, environment in found[cpu].values()})
            print(f"{cpu}: environment {environments} ({time.monotonic() - started:.0f} s)", flush=True)
    here = found["this machine"]
    print("| family | sampler | this machine |", " | ".join(cpus), "|")
    print("| --- | --- | --- |", " | ".join("---" for _ in cpus), "|")
    for (family, name), (digest, _) in here.items():
        others = [found[cpu].get((family, name), ("-",))[0] for cpu in cpus]
        print(
            f"| {family} | {name} | `{digest}` |",
            " | ".join("same" if one == digest else f"`{one}`" for one in others),
            "|",
        )


if __name__ == "__main__":
    main()
