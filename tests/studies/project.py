"""A small project on disk for tests: a real table, prepared and split, studies that take a moment, a real store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tracker.config import Config, parse_config, read_yaml
from tracker.datasets.prepare import prepare
from tracker.datasets.split import split
from tracker.datasets.training_data import TrainingData, load_training_data, read_split
from tracker.execution.executor import DataSource, Executor, InlineExecutor
from tracker.execution.trainer import Segment
from tracker.paths import Paths
from tracker.records import TrialSpec
from tracker.search.samplers import open_sampler
from tracker.store.store import Store
from tracker.studies.plan import Basis, StudyPlan, plan_study, propose_trial
from tracker.studies.report import describe_serving, write_reports
from tracker.studies.result import StudyResult
from tracker.studies.runner import Progress, run_study
from tracker.studies.study import Study
from tracker.surroundings.environment import environment
from tracker.training.loop import Result

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = environment()[0]
PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who}
training: {epochs: 4, early_stopping: {monitor: val_loss, patience: 2}}
hyperparameters: {hidden_layers: 1, units: 8, learning_rate: 1e-2, batch_size: 32}
search_space:
  hidden_layers: {low: 1, high: 2}
  units: [8, 12, 20]
  activation: [relu, tanh]
  dropout: {low: 0.0, high: 0.5}
  learning_rate: {low: 1e-3, high: 1e-1, log: true}
  batch_size: [16, 32]
studies:
  manual: {sampler: manual, configurations: [{}, {units: 12}, {learning_rate: 1e-3}]}
  grid: {sampler: grid, search_space: {units: [8, 20], batch_size: [16, 32]}}
  random: {sampler: random, trials: 6}
  tpe: {sampler: tpe, trials: 16, generation: 4}
compare: {test_looks: 1}
tracking: {experiment: tests}
"""


def make_table(rows: int = 160, seed: int = 5) -> pd.DataFrame:
    """Numbers with gaps, a category and a text target that can mostly be told from them; `who` names the row."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    city = rng.choice(["Bern", "Ulm"], rows)
    kind = np.where(x[:, 0] + x[:, 1] * (city == "Bern") + 0.5 * rng.normal(size=rows) > 0, "spam", "ham")
    x[rng.random(rows) < 0.1, 2] = np.nan
    columns = {name: x[:, place].round(4) for place, name in enumerate("abcd")}
    return pd.DataFrame({"who": [f"w{row:04d}" for row in range(rows)], **columns, "city": city, "kind": kind})


def make_config(text: str = PARAMS, **changes: Any) -> Config:
    """The configuration of these tests; `studies__tpe__trials=8` replaces an entry."""
    config = parse_config(read_yaml(text.encode(), "params.yaml"), "params.yaml")
    for path, value in changes.items():
        config = config.with_(path.replace("__", "."), value)
    return config


class SmallProject:
    """A project folder and the steps of the stages on it, without MLflow."""

    def __init__(self, root: Path, text: str = PARAMS) -> None:
        self.paths = Paths.of(root, {})
        self.config = make_config(text)

    @classmethod
    def made(cls, root: Path, table: pd.DataFrame, text: str = PARAMS) -> SmallProject:
        """A new project whose table is prepared and split."""
        root.mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(text)
        project = cls(root, text)
        project.divide(table)
        return project

    def divide(self, table: pd.DataFrame) -> None:
        """Writes, prepares and splits a table."""
        paths = self.paths
        table.to_csv(paths.root / "table.csv", index=False)
        prepare(self.config.data, self.config.preprocessing, paths.root, paths.prepared)
        split(self.config.split, self.config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts)

    def copy(self, root: Path) -> SmallProject:
        """The same project elsewhere, with the configuration that it has by now."""
        shutil.copytree(self.paths.root, root)
        there = SmallProject(root)
        there.config = self.config
        return there

    def tuned(self, **studies: Mapping[str, Any]) -> SmallProject:
        """The project with these studies alone, all of them finished and reported."""
        self.config = self.config.with_("studies", studies)
        for name in studies:
            self.report(self.run(self.plan(name)))
        return self

    @property
    def source(self) -> DataSource:
        """What workers load."""
        return DataSource(self.paths.splits, self.config.preprocessing)

    @property
    def data(self) -> TrainingData:
        """The arrays of the splits."""
        return load_training_data(self.paths.splits, self.config.preprocessing)

    def rows(self, name: str = "validation") -> pd.DataFrame:
        """The raw rows of a split."""
        return read_split(self.paths.splits, name)

    def plan(self, study: str, **changes: Any) -> StudyPlan:
        """A study's plan; `changes` replace entries of the configuration."""
        config = self.config
        for path, value in changes.items():
            config = config.with_(path.replace("__", "."), value)
        return plan_study(config, study, Basis(self.data.digests, ENVIRONMENT))

    def specs(self, study: str = "random", **changes: Any) -> list[TrialSpec]:
        """The specs of a study's first generation."""
        plan = self.plan(study, **changes)
        count = min(plan.trials, plan.spec.generation or plan.trials)
        proposed = open_sampler(plan.spec).propose(0, count, 0)
        return [propose_trial(plan.spec, number, 0, values).spec for number, values in enumerate(proposed)]

    def run(
        self,
        plan: StudyPlan,
        store: Path | None = None,
        executor: Executor | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> StudyResult:
        """Runs a study on the store of the project, or on another one, and closes both executor and store."""
        executor = executor or InlineExecutor(self.data)
        try:
            with Store.open(store or self.paths.store) as opened:
                return run_study(plan, opened, executor, {"who": "tests"}, on_progress)
        finally:
            executor.close()

    def serving(self) -> dict[str, Any]:
        """What models of this data need to read raw rows."""
        return describe_serving(self.data, self.rows("train").head(2))

    def study(self, result: StudyResult) -> Study:
        """A result as notebooks see it."""
        return Study(result, self.paths.store, self.serving())

    def report(self, result: StudyResult) -> None:
        """Writes the reports and the best model of a study."""
        with Store.open(self.paths.store) as store:
            write_reports(result, self.serving(), store, self.paths.reports, self.paths.models)

    def written(self) -> dict[str, bytes]:
        """Every file under reports/ and models/, by its place in the project."""
        folders = (self.paths.reports, self.paths.models)
        files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
        return {str(file.relative_to(self.paths.root)): file.read_bytes() for file in files}


class Shuffled:
    """An executor that hands on what another one yields in another order, trial by trial."""

    def __init__(self, inner: Executor, seed: int) -> None:
        self.inner, self.rng = inner, np.random.default_rng(seed)

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        """All results, each alone, shuffled."""
        results = [result for cohort in self.inner.run(segments) for result in cohort]
        for place in self.rng.permutation(len(results)):
            yield [results[place]]

    def forget(self) -> None:
        """As the inner one."""
        self.inner.forget()

    def close(self) -> None:
        """Ends the inner one."""
        self.inner.close()


def command(root: Path, *words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS` in a folder, in a process that knows the packages of this repository."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env=surroundings(root, environ),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def surroundings(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for a process: those of this one, without what DVC, MLflow or the user may have set."""
    foreign = ("DVC_", "MLFLOW_", "TRACKER_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**own, "PYTHONPATH": str(REPOSITORY), "HOME": str(root), **environ}
