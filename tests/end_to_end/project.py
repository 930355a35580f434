"""A clone of this repository in a temporary folder, with few trials, on which real commands run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow

ROOT = Path(__file__).resolve().parents[2]
STUDIES = {
    "random": {"sampler": "random", "trials": 5},
    "tpe": {"sampler": "tpe", "trials": 6, "generation": 3},
}


class Project:
    """A folder with the repository's files, committed, and what the commands in it print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path, studies: dict[str, Any] | None = None, **entries: Any) -> Project:
        """Copies the files that git does not ignore, sets the studies and other entries of params.yaml, and commits."""
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            if not name.startswith(("tests/", "docs/", "benchmarks/")) and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        project = cls(folder)
        start = {"training": {"epochs": 4}, "compare": {"test_looks": 1}, **entries}
        project.set(studies=STUDIES if studies is None else studies, **start)
        project.git("init", "-q", "-b", "main")
        project.commit("start")
        return project

    def set(self, **entries: Any) -> None:
        """Replaces entries of params.yaml."""
        from ruamel.yaml import YAML

        yaml = YAML()
        path = self.folder / "params.yaml"
        tree = yaml.load(path.read_text())
        tree.update(entries)
        with path.open("w") as file:
            yaml.dump(tree, file)

    def git(self, *words: str) -> str:
        return self.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message, "--allow-empty")

    def clone(self, folder: Path) -> Project:
        """What a colleague gets: the committed files, and no cache."""
        subprocess.run(["git", "clone", "-q", str(self.folder), str(folder)], check=True)
        return Project(folder)

    def run(self, *words: str, code: int = 0, **environ: str) -> str:
        """Runs a command in the folder and gives what it prints; its exit code must be `code`."""
        done = self.start(*words, **environ)
        output, _ = done.communicate()
        assert done.returncode == code, f"{' '.join(words)} left with {done.returncode}:\n{output}"
        return output

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Starts a command in the folder, in a process group of its own; as from cron, without SHELL."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "MLFLOW_", "TRACKER_")) and name != "SHELL"
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env={**clean, "PATH": path, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def repro(self, *words: str, **environ: str) -> str:
        return self.run("dvc", "repro", *words, **environ)

    def tracker(self, *words: str, code: int = 0, **environ: str) -> str:
        return self.run(sys.executable, "-m", "tracker.cli", *words, code=code, **environ)

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def reports(self) -> dict[str, bytes]:
        """Every report's bytes, looks apart."""
        files = [path for path in (self.folder / "reports").rglob("*") if path.is_file() and "looks" not in path.parts]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    def runs(self, kind: str | None = None) -> list[mlflow.entities.Run]:
        """The runs of MLflow's default database, of one kind or all."""
        client = mlflow.MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments, max_results=5000)
        return [run for run in runs if kind is None or run.data.tags.get("tracker.kind") == kind]
