"""The stage `compare` as DVC runs it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARAMS = """
seed: 3
data: {source: table.csv, target: kind, id: who}
hyperparameters: {hidden_layers: 0}
studies: {tpe: {sampler: manual, configurations: [{}]}}
"""


def run_stage(project) -> subprocess.CompletedProcess[str]:
    (project.paths.root / "params.yaml").write_text(PARAMS)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "USER": "ada"}
    environ.pop("DVC_ROOT", None)
    command = [sys.executable, "-m", "pipelines.compare"]
    return subprocess.run(command, cwd=project.paths.root, env=environ, capture_output=True, text=True, check=False)


def test_the_stage_writes_its_reports_and_stays_green_when_looks_are_spent(project):
    """Exit code 0 with a result, 0 with a stale one that says so, 2 where there is nothing to compare."""
    first = run_stage(project)
    assert (first.returncode, first.stderr) == (0, "")
    assert "looks at these test rows: 1 of 1" in first.stdout
    project.tune("tpe", "better")
    second = run_stage(project)
    assert (second.returncode, second.stderr) == (0, "")
    assert "not scored: tpe/0 (validation " in second.stdout
    assert "by ada" in second.stdout
    (project.paths.study_reports / "tpe.json").unlink()
    third = run_stage(project)
    assert third.returncode == 2
    assert "run `tracker run`" in third.stderr
    assert "Traceback" not in third.stderr
