"""A whole small project of one release, kept under tests/golden: every later release must open it, go on with it, verify it.

`python -m tests.golden_project` makes it anew, for a new format. That is a decision: write it down in docs/decisions.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from tests.studies.project import make_table

ARCHIVE = Path(__file__).parent / "golden" / "project-2.tar.xz"
EXPECTED = ARCHIVE.with_name("project-2.json")
PARAMS = """
seed: 11
data: {source: table.csv, target: kind, id: who}
training: {epochs: 5, early_stopping: {monitor: val_loss, patience: 3}}
hyperparameters: {hidden_layers: 1, units: 8, learning_rate: 3e-3, batch_size: 32}
search_space:
  units: [4, 8]
  dropout: {low: 0.0, high: 0.4}
  batch_norm: [true, false]
  learning_rate: {low: 1e-3, high: 1e-2, log: true}
  optimizer: [adamw, sgd]
  momentum: {low: 0.0, high: 0.9, when: {optimizer: sgd}}
objective: {metric: val_balanced_accuracy}
studies:
  manual: {sampler: manual, configurations: [{}, {units: 4}]}
  tpe: {sampler: tpe, trials: 6, generation: 3}
  qmc: {sampler: qmc, trials: 4}
  seeds: {sampler: random, trials: 2, repeats: 2, aggregate: mean_minus_se}
  pruned: {sampler: random, trials: 9, generation: 3, pruner: {name: median, n_startup_trials: 2, n_warmup_steps: 2}}
compare: {test_looks: 1}
tracking: {experiment: golden, models: {best: 1}}
"""
NETWORK = """
import torch


def build(hyperparameters, input_shape, classes):
    width = hyperparameters["width"]
    return torch.nn.Sequential(torch.nn.Linear(*input_shape, width), torch.nn.Tanh(), torch.nn.Linear(width, classes))
"""
OWN = """
seed: 11
data: {source: table.csv, target: kind, id: who}
model: {family: build, entry: "model:build"}
training: {epochs: 4}
search_space: {width: [3, 5], learning_rate: {low: 1e-3, high: 1e-2, log: true}}
studies: {own: {sampler: random, trials: 3}}
tracking: {experiment: golden, models: {best: 1}}
"""


def unpack(folder: Path) -> Path:
    """The project in a folder of its own."""
    with tarfile.open(ARCHIVE, "r:xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "project"


def make(root: Path) -> None:
    """Prepares, splits, tunes, compares and takes the look, in a folder."""
    from tracker import api
    from tracker.config import load_config
    from tracker.paths import Paths

    (root / "params.yaml").write_text(PARAMS)
    (root / "own.yaml").write_text(OWN)
    (root / "model.py").write_text(NETWORK)
    make_table(120).to_csv(root / "table.csv", index=False)
    here = api.Project.now(Paths.of(root, {}))
    config, own = load_config(root / "params.yaml"), load_config(root / "own.yaml")
    api.prepare(config, here)
    api.split(config, here)
    for name in config.studies:
        api.tune(config, name, project=here)
    api.tune(own, "own", project=here)
    api.compare(config, here).test()
    assert not api.sync(config, here).waiting


def told(root: Path) -> dict[str, Any]:
    """What later releases must find: identities of each study, labels that its model predicts, how many runs MLflow has."""
    import pandas as pd

    from tests.tracking.runs_in_mlflow import all_runs
    from tracker.standalone.load import load_model
    from tracker.studies.adopt import read_study

    frame = pd.read_csv(root / "table.csv").head(5)
    studies, labels = {}, {}
    for path in sorted((root / "models").glob("*/trials.jsonl")):
        result, name = read_study(path), path.parent.name
        first = result.trials[0].spec
        studies[name] = [result.spec.key, result.digest, first.key, first.candidate, first.configuration]
        labels[name] = list(load_model(path.parent).predict(frame)["label"])
    return {"studies": studies, "labels": labels, "runs": len(all_runs(f"sqlite:///{root / 'mlflow.db'}", "golden"))}


def main() -> None:
    """Writes the archive, without names of the machine that made it."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(sys, "argv", ["tracker"]):
        root = Path(folder) / "project"
        root.mkdir()
        names = (
            mock.patch.object(socket, "gethostname", return_value="golden"),
            mock.patch.object(getpass, "getuser", return_value="golden"),
        )
        with names[0], names[1]:
            make(root)
            EXPECTED.write_text(json.dumps(told(root), indent=1) + "\n")
        for place in ("locks", "delivered", "checkpoints"):
            shutil.rmtree(root / ".tracker" / place, ignore_errors=True)
        with tarfile.open(ARCHIVE, "w:xz") as archive:
            archive.add(root, "project", filter=_anonymous)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "golden"
    info.mtime = 0
    return info


if __name__ == "__main__":
    main()
