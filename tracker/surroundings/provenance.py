"""What is recorded beside each trial: the process, its user, its machine and the git checkout.

None of it is in a key; what changes numbers is told apart in `tracker.surroundings.environment`.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.surroundings.environment import PACKAGE, PRIVATE, environment, libraries, machine

GIT_TIMEOUT_S = 5.0
HIDDEN = "***"


def provenance(argv: Sequence[str], root: Path) -> dict[str, Any]:
    """Who computed it, with what, from which commit: user, source, commit, dirty, host, python, packages, cpu, sources.

    In `dvc exp run` also the name of the experiment and its baseline.

    `argv` is the command line of the process, `root` the folder of the project. Costs some 10 ms; call it once per run.
    """
    return {
        "user": user_name(),
        "source": argv[0] if argv else "",
        "command": safe_command(argv, root),
        **_git(root),
        **_experiment(os.environ),
        "host": socket.gethostname(),
        **machine(),
    }


def _experiment(environ: Mapping[str, str]) -> dict[str, str]:
    """Which experiment of DVC this is part of, and the commit that it began with; nothing outside of `dvc exp run`."""
    named = {"dvc_experiment": environ.get("DVC_EXP_NAME"), "dvc_baseline": environ.get("DVC_EXP_BASELINE_REV")}
    return {name: value for name, value in named.items() if value}


def trained_with(
    argv: Sequence[str], root: Path, numerics: str = "native", family: str = "", device: str = "cpu"
) -> tuple[str, dict[str, Any]]:
    """The digest of the environment, and the provenance of what this process trains, environment and libraries with it."""
    name, parts = environment(numerics, family, device)
    return name, {**provenance(argv, root), "environment": parts, "libraries": libraries()}


def safe_command(argv: Sequence[str], root: Path) -> list[str]:
    """The command line without values that may be secret.

    Of our own commands, whose words are names of studies and options, those after a name that sounds secret are hidden, and
    addresses; of every other program all values are: of its words only the program and the names of options stay.
    """
    own = bool(argv) and _is_own(Path(argv[0]), root)
    words, hides = list(argv[:1]), False
    for word in argv[1:]:
        name, given, value = word.partition("=")
        option = name.startswith("-") and not _is_number(name)
        private = bool(PRIVATE.search(name.upper())) or "://" in word
        if option and given:
            words.append(f"{name}={HIDDEN if private or not own else value}")
        else:
            words.append(word if option or (own and not private and not hides) else HIDDEN)
        hides = option and not given and private
    return words


def _is_own(program: Path, root: Path) -> bool:
    """Whether a program is the command `tracker`, one of its modules, or a stage of the project."""
    folder = program.absolute().parent
    return program.name == "tracker" or folder.is_relative_to(PACKAGE) or folder == root / "pipelines"


def _is_number(word: str) -> bool:
    return word[1:2].isdigit() or word[1:2] == "."


def user_name() -> str:
    """Who runs this: the login name, or the number of the user where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _git(root: Path) -> dict[str, Any]:
    """Commit, whether tracked files differ from it, and the digest of that difference; None outside of a checkout."""
    commit = _ask_git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None, "diff": None}
    changes = _ask_git(root, "diff", "HEAD", "--no-ext-diff", "--no-color", "--", ".") or b""
    difference = hashlib.sha256(changes).hexdigest() if changes else None
    return {"commit": commit.decode().strip(), "dirty": bool(changes), "diff": difference}


def _ask_git(root: Path, *words: str) -> bytes | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603  a fixed program with fixed words
            [program, "-C", str(root), *words], capture_output=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
