"""Which libraries each command loads: they are most of what a short command takes, so a new one must be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.project import SmallProject, command

LIBRARIES = (
    "mlflow",
    "numpy",
    "optuna",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
)
RUN = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write("LOADED " + " ".join(name for name in {LIBRARIES!r} if name in sys.modules)))
from tracker import cli
sys.argv = ["tracker", *sys.argv[1:]]
cli.main()
"""
LOADED = {
    "--help": "",
    "runs": "pydantic",
    "show tpe/1": "pydantic",
    "prepare": "numpy pandas pyarrow pydantic",
    "split": "numpy pandas pyarrow pydantic",
    "check": "numpy optuna pandas pyarrow pydantic safetensors torch",
    "compare": "numpy pandas pyarrow pydantic safetensors torch",
    "tune tpe": "numpy optuna pandas pyarrow pydantic safetensors torch",
    "sync": "numpy pydantic",
}


@pytest.fixture(scope="module")
def finished(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose study `tpe` is finished and has its report."""
    project = small_project.copy(tmp_path_factory.mktemp("startup") / "project")
    project.report(project.run(project.plan("tpe")))
    return project.paths.root


@pytest.mark.parametrize("words", LOADED)
def test_a_command_loads_what_it_needs(finished: Path, words: str) -> None:
    """Of the libraries that take their time, a command has loaded those of the table when it ends, and no other."""
    done = command(finished, "-c", RUN, *words.split())
    assert 0 == done.returncode, done.stderr
    assert LOADED[words] == done.stderr.splitlines()[-1].removeprefix("LOADED").strip()
