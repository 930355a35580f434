"""The examples in a short form: each is a project that can be checked, trains, and gives a model that opens alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracker import api
from tracker.config import load_config
from tracker.hyperparameters import FAMILIES
from tracker.paths import Paths
from tracker.standalone.load import load_model
from tracker.terminal.forecast import forecast

EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[1] / "examples").glob("*/params.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """Its check says what would run; one trial of two epochs trains, and its model gives a label of the data."""
    place = tmp_path / example.name
    shutil.copytree(example, place, ignore=shutil.ignore_patterns("data", "reports", "models", "*.db", ".tracker"))
    if (place / "make_data.py").exists():
        subprocess.run([sys.executable, "make_data.py"], cwd=place, check=True)
    config, paths = load_config(place / "params.yaml"), Paths.of(place, {})
    told = list(forecast(config, paths))
    assert re.match(r"chosen by val_f1 .maximize.; looks allowed: 1", told[-1])
    assert not [line for line in told if line.startswith("warning")]
    config = config.with_("studies.random.trials", 1)
    if not FAMILIES[config.model.family].fitted_once:
        config = config.with_("training.epochs", 2)
    project = api.Project(paths, "sqlite:///unused.db", 1, "tests")
    api.prepare(config, project)
    api.split(config, project)
    study = api.tune(config, "random", project=project, deliver=False)
    assert "complete" == study.best_trial.trial.state
    from tracker.datasets.training_data import read_split

    rows = read_split(paths.splits, "validation")
    found = load_model(paths.models / "random").predict(rows)
    assert set(found["label"]) <= set(rows[config.data.target].astype(str))
    assert f"examples/{example.name}" in (example / "README.md").read_text()
