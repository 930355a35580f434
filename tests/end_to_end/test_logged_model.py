"""A logged model in an environment that has nothing but its logged requirements."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.end_to_end.project import Project
from tracker.canonical import digest_arrays, parse_canonical

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
PREDICT = """
import json, sys
import mlflow, numpy, pandas
frame = pandas.DataFrame(json.load(open(sys.argv[2])))
found = mlflow.pyfunc.load_model(sys.argv[1]).predict(frame)
assert "tracker" not in sys.modules
json.dump({name: [value if name == "label" else float(value) for value in found[name]] for name in found}, sys.stdout)
"""


@pytest.mark.timeout(1200)
def test_a_logged_model_predicts_what_the_trial_recorded(tmp_path: Path) -> None:
    """From a fresh environment with only its logged requirements, outside the repository, bit for bit."""
    import numpy as np
    import pandas as pd

    project = Project.new(tmp_path / "project", studies={"random": {"sampler": "random", "trials": 2}})
    project.repro("tune@random")
    run = project.runs("trial")[0]
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    requirements = artifacts / "model" / "requirements.txt"
    away = tmp_path / "away"
    away.mkdir()
    venv.create(away / "venv", symlinks=True)
    python = away / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    install = [*pip, "install", "-q", "--no-compile", "-r", str(requirements)]  # compiling is most of what it takes
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    frame = pd.read_parquet(project.folder / "data/splits/validation.parquet").drop(columns="target")
    (away / "rows.json").write_text(json.dumps(frame.to_dict("list")))
    rows = json.loads((away / "rows.json").read_text())
    pd.testing.assert_frame_equal(frame, pd.DataFrame(rows))
    environ = {"PATH": os.environ["PATH"], "HOME": str(away), "OMP_NUM_THREADS": "1"}
    command = [str(python), "-c", PREDICT, str(artifacts / "model"), str(away / "rows.json")]
    told = subprocess.run(command, capture_output=True, text=True, cwd=away, env=environ, check=False)
    assert 0 == told.returncode, told.stderr
    found = json.loads(told.stdout)
    labels = ["benign", "malignant"]
    probabilities = np.array([found[f"probability_{label}"] for label in labels], dtype=np.float32).T
    record = parse_canonical((artifacts / "record.json").read_text())
    [recorded] = record["runs"]
    assert recorded["outcome"]["predictions"] == digest_arrays({"probabilities": np.ascontiguousarray(probabilities)})
    assert [labels[k] for k in probabilities.argmax(1)] == found["label"]
