"""A project whose table grows month by month, and the stages that retune it, in this process."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from tests.studies.project import make_config
from tracker import api
from tracker.config import Config, load_config
from tracker.datasets.sealed import open_test
from tracker.datasets.training_data import read_split
from tracker.deriving.judge_project import _tells_ranking, _verify_ranking
from tracker.deriving.verdict import Verdict
from tracker.paths import Paths
from tracker.retuning.retune import Job

PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who}
split: {validation: 0.4, test: 0.2, promotion: 0.6}
training: {epochs: 6, early_stopping: {monitor: val_loss, patience: 3}}
hyperparameters: {hidden_layers: 1, units: 8, learning_rate: 3e-2, batch_size: 32}
search_space:
  units: [8, 12]
  learning_rate: {low: 1e-3, high: 1e-1, log: true}
studies:
  random: {sampler: random, trials: 4}
retune: {registered_model: spam, promote: {confidence: 0.9}}
tracking: {experiment: tests}
"""


def month(number: int, rows: int = 120, *, turned: bool = False) -> pd.DataFrame:
    """The rows of a month; after the turn another column decides the class."""
    rng = np.random.default_rng(number)
    x = rng.normal(size=(rows, 4))
    kind = np.where(x[:, 2 if turned else 0] + 0.3 * rng.normal(size=rows) > 0, "spam", "ham")
    names = [f"m{number:02d}-{place:03d}" for place in range(rows)]
    return pd.DataFrame(
        {"who": names, **{name: x[:, place].round(4) for place, name in enumerate("abcd")}, "kind": kind}
    )


def table(*months: int, turned: tuple[int, ...] = ()) -> pd.DataFrame:
    """Several months, one below the other."""
    return pd.concat([month(number, turned=number in turned) for number in months], ignore_index=True)


class Year:
    """The project, its clock, and every row that was ever a test row."""

    def __init__(self, root: Path, text: str = PARAMS) -> None:
        root.mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(text)
        self.paths = Paths.of(root, {})
        self.config = make_config(text)
        self.tested: set[str] = set()
        self._clock = map(float, itertools.count(1_767_225_600, 86_400))

    def job(self, **changes: object) -> Job:
        """What `tracker retune` would be started with."""
        given = {"pipeline": self.pipeline, **changes}
        return Job(self.config, self.paths, "tester", lambda: next(self._clock), **given)  # type: ignore[arg-type]

    @property
    def project(self) -> api.Project:
        """Its paths, and a database that nothing is delivered to."""
        return api.Project(self.paths, "sqlite:///unused.db", 1, "tester")

    def verify_ranking(self) -> Verdict | None:
        """What `tracker verify --all` finds of the ranking."""
        config = load_config(self.paths.params)
        return _verify_ranking(self.paths, config, list(config.studies), []) if _tells_ranking(self.paths) else None

    def write(self, frame: pd.DataFrame) -> None:
        """The table of the day."""
        frame.to_csv(self.paths.root / "table.csv", index=False)

    def pipeline(self, config: Config, root: Path, timeout_s: float | None) -> None:
        """Prepares, splits, tunes; remembers the test rows and holds against them what is trained on."""
        del root, timeout_s
        project = self.project
        api.prepare(config, project)
        api.split(config, project)
        self.tested |= set(open_test(self.paths.sealed).frame["who"])
        for part in ("train", "validation"):
            assert not self.tested & set(read_split(self.paths.splits, part)["who"]), (
                "a row that was a test row is trained on"
            )
        for name in config.studies:
            api.tune(config, name, project=project, deliver=False)
