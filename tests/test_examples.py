"""The examples in a short form: each is a project that can be checked, trains, and gives a model that opens alone."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracker import api
from tracker.config import Config, load_config
from tracker.hyperparameters import FAMILIES
from tracker.paths import Paths
from tracker.standalone.load import load_model
from tracker.studies.study import Study
from tracker.terminal.forecast import forecast

FEW_ROWS = "warning: fewer than 5 rows of a class"
FEW_MADE_UP = {"fashion-mnist", "japanese-vowels"}  # where the real files are not there
EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[1] / "examples").glob("*/params.yaml"))


def copy_of(example: Path, folder: Path) -> Path:
    """The example in a folder of its own, with its data."""
    place = folder / example.name
    left = shutil.ignore_patterns("data", "reports", "models", "*.db", ".tracker", "*.npz", "*.ts")
    shutil.copytree(example, place, ignore=left)
    if (place / "make_data.py").exists():
        subprocess.run([sys.executable, "make_data.py"], cwd=place, check=True)
    return place


def tuned_shortly(config: Config, paths: Paths) -> Study:
    """Its study `random` with one trial of two epochs."""
    config = config.with_("studies.random.trials", 1)
    if not FAMILIES[config.model.family].fitted_once:
        config = config.with_("training.epochs", 2)
    project = api.Project(paths, "sqlite:///unused.db", 1, "tests")
    api.prepare(config, project)
    api.split(config, project)
    return api.tune(config, "random", project=project, deliver=False)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """Its check says what would run; one trial of two epochs trains, and its model gives a label of the data."""
    place = copy_of(example, tmp_path)
    config, paths = load_config(place / "params.yaml"), Paths.of(place, {})
    told = list(forecast(config, paths))
    assert re.match(r"chosen by val_f1 .maximize.; looks allowed: 1", told[-1])
    assert (example.name in FEW_MADE_UP) == any(line.startswith(FEW_ROWS) for line in told)
    assert not [line for line in told if line.startswith("warning") and not line.startswith(FEW_ROWS)]
    assert "complete" == tuned_shortly(config, paths).best_trial.trial.state
    from tracker.datasets.training_data import read_split

    rows = read_split(paths.splits, "validation")
    found = load_model(paths.models / "random").predict(rows)
    assert set(found["label"]) <= set(rows[config.data.target].astype(str))
    assert f"examples/{example.name}" in (example / "README.md").read_text()


def test_digits_begin_with_clothes(tmp_path: Path) -> None:
    """The network for digits fits the one for clothes, and begins with the weights of its best trial."""
    clothes = copy_of(EXAMPLES[0].parent / "fashion-mnist", tmp_path)
    parent = tuned_shortly(load_config(clothes / "params.yaml"), Paths.of(clothes, {})).best_trial
    place = clothes / "digits"
    child = tuned_shortly(load_config(place / "params.yaml"), Paths.of(place, {})).best_trial
    assert "complete" == child.trial.state
    assert {"weights": parent.trial.outcome.weights, "head": "new"} == dict(child.trial.spec.parent)


def test_clothes_are_read_from_idx_files(tmp_path: Path) -> None:
    """Every number of a gzipped IDX file is where it belongs; 8 x 8 are means of 4 x 4 of the padded picture, up to 16."""
    place = copy_of(EXAMPLES[0].parent / "fashion-mnist", tmp_path)
    x = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    for name, array in (("images-idx3", x), ("labels-idx1", np.array([9, 0, 1, 2, 3], np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (place / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    for side, rows in (("28", 4), ("8", 5)):
        subprocess.run([sys.executable, "make_data.py", ".", str(rows), side], cwd=place, check=True)
        found = np.load(place / "clothes.npz")
        assert ["boot", "T-shirt", "trousers", "pullover", "dress"][:rows] == found["y"].tolist()
        if side == "28":
            np.testing.assert_array_equal(x[:4], found["X"])
    assert (5, 8, 8) == found["X"].shape
    assert round(x[0, 2:6, 2:6].mean() / 255 * 16) == found["X"][0, 1, 1]
