"""The stages as `tracker stage` runs them, and dvc.yaml as this repository and every other project have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies.project import SmallProject
from tracker.durable import lock_file
from tracker.project.files import fill

ROOT = Path(__file__).parents[2]
WATCHED = "    deps: [data/raw]               # a table elsewhere is read too, but not watched: dvc repro -f prepare\n"


def tracker(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ.pop("DVC_ROOT", None)
    command = [sys.executable, "-m", "tracker.cli", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def test_the_dvc_yaml_of_this_repository_is_the_template_but_for_the_commands() -> None:
    """Stages, dependencies, params, outputs and comments are equal; here a folder is watched and not one table."""
    template = fill("dvc.yaml", {"table": WATCHED, "code": ""})
    assert (ROOT / "dvc.yaml").read_text() == template.replace("exec tracker stage ", "exec python -m pipelines.")


def test_a_stage_in_another_folder(fresh: SmallProject) -> None:
    """`tracker -C FOLDER stage split` works as if started there, and prints what the stage prints."""
    done = tracker(fresh.paths.root.parent, "-C", str(fresh.paths.root), "stage", "split")
    assert (0, "") == (done.returncode, done.stderr)
    assert "validation" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bake"], "expected a stage, prepare, split, baselines, tune, compare, report; found 'bake'"),
        (["tune"], "stage tune: expected one study: tune NAME; found tune"),
        (["split", "tpe"], "stage split: expected split alone; found split tpe"),
    ],
)
def test_wrong_words_are_refused(fresh: SmallProject, words: list[str], message: str) -> None:
    """A stage has its own words and no others."""
    done = tracker(fresh.paths.root, "stage", *words)
    assert (2, "", f"{message}\n") == (done.returncode, done.stdout, done.stderr)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """-C to nowhere is a message and exit code 2."""
    done = tracker(tmp_path, "-C", "nowhere", "check")
    assert (2, "") == (done.returncode, done.stdout)
    assert "-C nowhere: cannot work there (No such file or directory)\n" == done.stderr


@pytest.mark.slow
def test_a_stage_waits_for_the_same_stage_and_says_who_holds_it(fresh: SmallProject) -> None:
    """While another command is in the stage, a second one gives up with the name of the holder and exit code 4."""
    with lock_file(fresh.paths.root / ".tracker" / "locks", "stage split", 0.0):
        done = tracker(fresh.paths.root, "stage", "split")
    assert 4 == done.returncode
    assert f"stage split is held by another command (process {os.getpid()})" in done.stderr


def test_dvc_takes_no_template_for_stages() -> None:
    """DVC reads every file called dvc.yaml of a repository, so that this one has a single such file."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*dvc.yaml"]
    found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert ["dvc.yaml"] == found
