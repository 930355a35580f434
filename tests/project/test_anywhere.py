"""From a wheel, in an empty folder with somebody's table: with git and DVC, and without either."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.studies.project import make_table

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "tracker")
FEWER = {
    "  tpe: {sampler: tpe, trials: 48, generation: 8}   # learns from each 8 trials\n": "",
    "trials: 24": "trials: 3",
    "epochs: 200": "epochs: 3",
}


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel; its libraries are those of this one, and `dvc` is not beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        origin = ROOT / name
        shutil.copytree(origin, folder / name) if origin.is_dir() else shutil.copy2(origin, folder / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--quiet", "--no-deps", "--no-index"]
    wheel = [*pip, "wheel", *offline, "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(wheel, cwd=folder, env=clean_environ(), check=True)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    [found] = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", *offline, str(found)], env=clean_environ(), check=True)
    [site] = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def clean_environ(**more: str) -> dict[str, str]:
    names = ("DVC_", "MLFLOW_", "TRACKER_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)} | more


def run(folder: Path, path: str, *words: str) -> str:
    command = shutil.which(words[0], path=path)
    assert command, words
    done = subprocess.run(
        [command, *words[1:]],
        cwd=folder,
        env=clean_environ(PATH=path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def begin(folder: Path, path: str) -> str:
    """A project from a table, with fewer studies and trials than init writes."""
    folder.mkdir(exist_ok=True)
    make_table().to_csv(folder / "mail.csv", index=False)
    text = run(folder, path, "tracker", "init", "mail.csv", "--target", "kind", "--id", "who")
    params = (folder / "params.yaml").read_text()
    for words, fewer in FEWER.items():
        assert words in params
        params = params.replace(words, fewer)
    (folder / "params.yaml").write_text(params)
    return text


def test_with_git_and_dvc(programs: Path, tmp_path: Path) -> None:
    """init and `dvc repro` end in a final result; a second repro runs nothing, and git sees what people commit."""
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    run(tmp_path, path, "git", "init", "-q")
    assert "ran `dvc init`" in begin(tmp_path, path)
    run(tmp_path, path, "dvc", "repro")
    final = json.loads((tmp_path / "reports" / "final.json").read_text())
    assert (1, False) == (final["looks"], final["stale"])
    assert "Running stage" not in run(tmp_path, path, "dvc", "repro")
    seen = run(tmp_path, path, "git", "status", "--porcelain", "--untracked-files=all")
    assert "data/salts.json" in seen
    assert not any(name in seen for name in (".tracker/", "mlflow.db", "train.parquet", "weights.safetensors"))


def test_without_git_and_dvc(programs: Path, tmp_path: Path) -> None:
    """`tracker run` does all of it, and again from the store; no message names a command that is not there."""
    path = str(programs)
    text = begin(tmp_path, path) + run(tmp_path, path, "tracker", "check") + run(tmp_path, path, "tracker", "run")
    final = (tmp_path / "reports" / "final.json").read_bytes()
    assert "random: 3 trials" in text
    again = run(tmp_path.parent, path, "tracker", "-C", str(tmp_path), "run")
    assert "3 of them from the store" in again
    assert final == (tmp_path / "reports" / "final.json").read_bytes()
    assert not [name for name in ("dvc repro", "dvc pull", "make ") if name in text + again]
    assert not (tmp_path / ".dvc").exists()
