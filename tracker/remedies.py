"""What to run when something is missing, by the commands that exist where the message is read: DVC's, or our own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

CURRENT = Path()  # the current folder, where a message has no path of the project at hand
MARKS = ("params.yaml", "dvc.yaml")  # what lies in the folder of a project
OWN = {
    "": "tracker run",
    "compare": "tracker compare --test",
    "baselines": "tracker stage baselines",
    "refine": "tracker tune",
}  # the other stages are called as they are


def stage_command(near: Path = CURRENT, stage: str = "", study: str = "") -> str:
    """How a stage is run, or with no stage all of them, in backquotes: `dvc repro split`, or `tracker split` without DVC.

    `near` is any path of the project. DVC's command is named where the project has a dvc.yaml and `dvc` is installed.
    """
    if has_dvc(near):
        return f"`dvc repro{stage and ' ' + stage}{study and '@' + study}`"
    return f"`{OWN.get(stage, f'tracker {stage}')}{study and ' ' + study}`"


def run_again(near: Path = CURRENT, stage: str = "", study: str = "") -> str:
    """The end of a message about what a stage has to write again: run `dvc repro split`."""
    return f"run {stage_command(near, stage, study)}"


def fetch_again(near: Path) -> str:
    """How results come back that were there once: from DVC's cache where there is one, else computed."""
    fetch = "fetch it again with `dvc pull`, or " if has_dvc(near) else ""
    return f"{fetch}{run_again(near)}"


def has_dvc(near: Path = CURRENT) -> bool:
    """Whether the project around a path is run by DVC here: it has a dvc.yaml, and `dvc` is installed."""
    return (project_folder(near) / "dvc.yaml").is_file() and find_dvc() is not None


def has_git(near: Path = CURRENT) -> bool:
    """Whether a path lies in a git checkout."""
    near = near.absolute()
    return any((folder / ".git").exists() for folder in (near, *near.parents))


def project_folder(near: Path) -> Path:
    """The nearest folder from a path upwards that holds params.yaml or dvc.yaml; the path itself where none does."""
    near = near.absolute()
    return next((one for one in (near, *near.parents) if any((one / mark).is_file() for mark in MARKS)), near)


def find_dvc() -> str | None:
    """The program `dvc`: the one on the path, else the one beside this Python; None where DVC is not installed."""
    return shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))
