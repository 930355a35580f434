"""What to run when something is missing, by the commands that exist where the message is read: DVC's, or our own."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

CURRENT = Path()  # the current folder, where a message has no path of the project at hand
MARKS = ("params.yaml", "dvc.yaml")  # what lies in the folder of a project
SPLIT = (
    "data/splits/manifest.json"  # `dvc repro` leaves it beside a dvc.lock, `tracker run` and `tracker split` without
)
NO_SCM = "no_scm = True"  # DVC is told so where there is no git
SAID_SO = re.compile(r"^\s*no_scm\s*=\s*true\s*$", re.IGNORECASE | re.MULTILINE)  # as `dvc config` or people write it
OWN = {
    "": "tracker run",
    "compare": "tracker compare --test",
    "baselines": "tracker stage baselines",
    "refine": "tracker tune",
}  # the other stages are called as they are


def stage_command(near: Path = CURRENT, stage: str = "", study: str = "") -> str:
    """How a stage is run, or with no stage all of them, in backquotes: `dvc repro split`, or `tracker split` without DVC.

    `near` is any path of the project. DVC's command is named where `has_dvc`.
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
    """Whether the project around a path is run by DVC here: `dvc repro` can run, and not all that is there came without it."""
    folder = project_folder(near)
    can_run = (folder / "dvc.yaml").is_file() and not lacking_for_dvc(folder)
    return can_run and ((folder / "dvc.lock").is_file() or not (folder / SPLIT).is_file())


def lacking_for_dvc(near: Path = CURRENT) -> str:
    """What `dvc repro` lacks to run the dvc.yaml around a path, and what to do; empty where it lacks nothing."""
    near = project_folder(near)
    if find_dvc() is None:
        return "there is a dvc.yaml, but dvc is not installed: pip install 'repro-tracker[dvc]'"
    home = next((folder for folder in (near, *near.parents) if (folder / ".dvc").is_dir()), None)
    if not has_git(near) and not (home is not None and _goes_without_git(home)):
        return f"dvc wants a git repository: run `git init`{', then `dvc init`' if home is None else ''}"
    return "run `dvc init` once" if home is None else ""


def _goes_without_git(home: Path) -> bool:
    """Whether DVC was told that there is no git here, as `tracker init` does, in either of its files."""
    for name in ("config", "config.local"):
        with suppress(OSError, ValueError):
            if SAID_SO.search((home / ".dvc" / name).read_text(encoding="utf-8")):
                return True
    return False


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
