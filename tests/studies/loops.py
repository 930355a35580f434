"""Projects whose trials are training loops of the user's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.studies.project import ENVIRONMENT, SmallProject, make_table
from tracker.api import Project
from tracker.execution.executor import DataSource, Executor, InlineExecutor
from tracker.execution.processes import ProcessExecutor
from tracker.execution.trainer import load_own
from tracker.studies.plan import Basis, StudyPlan, plan_study

PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who}
model: {family: function, entry: loop:fit}
training: {epochs: 3, early_stopping: {monitor: val_loss, patience: 2}}
hyperparameters: {width: 4, name: plain}
search_space:
  width: [4, 8]
  rate: {low: 0, high: 0.5}
  depth: {low: 1, high: 3, when: {width: 8}}
objective: {metric: cost, direction: minimize}
studies:
  manual: {sampler: manual, configurations: [{rate: 0.25}, {rate: 0.5, extra: 3}]}
  random: {sampler: random, trials: 12}
  tpe: {sampler: tpe, trials: 12, generation: 4}
compare: {test_looks: 1}
"""
COST = """
import random

import numpy
import torch

def fit(hyperparameters, train, validation, seed):
    noise = random.random() + numpy.random.rand() + torch.rand(()).item()
    yield {"cost": (hyperparameters.get("rate", 0.0) - 0.3) ** 2 + 1e-6 * noise}
"""
NETWORK = """
import torch

from nets.small import make


def fit(hyperparameters, train, validation, seed):
    net = make(train.x.shape[1], hyperparameters["width"], len(train.labels))
    optimizer = torch.optim.SGD(net.parameters(), lr=hyperparameters["rate"] + 0.01)
    for _ in range(hyperparameters["epochs"]):
        for rows in torch.randperm(len(train.x)).split(32):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(train.x[rows]), train.y[rows])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            cost = torch.nn.functional.cross_entropy(net(validation.x), validation.y)
        yield {"train_loss": loss, "val_loss": cost, "cost": cost.item()}
    return net
"""
SMALL = """
import torch


def make(inputs, width, classes):
    return torch.nn.Sequential(torch.nn.Linear(inputs, width), torch.nn.ReLU(), torch.nn.Linear(width, classes))
"""


class LoopProject(SmallProject):
    """A project with a `loop.py` beside its params.yaml."""

    @classmethod
    def with_loop(cls, root: Path, loop: str, text: str = PARAMS, **modules: str) -> LoopProject:
        """A new project; `modules` are further files, `nets__small` for nets/small.py."""
        root.mkdir(parents=True)
        (root / "loop.py").write_text(loop)
        for name, content in modules.items():
            path = root / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            (path.parent / "__init__.py").touch()
        (root / "params.yaml").write_text(text)
        project = cls(root, text)
        project.divide(make_table())
        return project

    def copy(self, root: Path) -> LoopProject:
        """The same project elsewhere."""
        shutil.copytree(self.paths.root, root)
        return LoopProject(root, (root / "params.yaml").read_text())

    @property
    def source(self) -> DataSource:
        """What workers load."""
        return DataSource(self.paths.splits, self.config.preprocessing, self.paths.root)

    def plan(self, study: str, **changes: Any) -> StudyPlan:
        """A study's plan with the loop as it is now."""
        config = self.config
        for path, value in changes.items():
            config = config.with_(path.replace("__", "."), value)
        code = load_own(self.paths.root, config.model.family, config.model.entry or "")[0]
        return plan_study(config, study, Basis(self.data.digests, ENVIRONMENT, code.identity))

    def executor(self, workers: int = 1) -> Executor:
        """An executor that knows where the loop is."""
        if workers > 1:
            return ProcessExecutor(self.data, workers, root=self.paths.root)
        return InlineExecutor(self.data, root=self.paths.root)

    @property
    def here(self) -> Project:
        """What `tracker.tune` and `tracker.compare` need of the world."""
        return Project(self.paths, self.paths.tracking_uri({}), 1, "ada")
