"""The loop that docs/howto/own-loop.md shows works as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tracker
from tests.studies.loops import LoopProject
from tracker.config import parse_config, read_yaml
from tracker.errors import ConfigError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "howto" / "own-loop.md").read_text(encoding="utf-8")
HEAD = "seed: 1\ndata: {source: table.csv, target: kind, id: who}\n"


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LoopProject:
    """A project with the page's loop.py and params.yaml, tuned."""
    root = tmp_path_factory.mktemp("page") / "project"
    project = LoopProject.with_loop(root, block("python"), HEAD + block("yaml"))
    tracker.tune(project.config, "random", project=project.here, deliver=False)
    return project


def test_the_loop_of_the_page_trains_and_is_scored(project: LoopProject) -> None:
    """Its trials complete, early stopping keeps a best epoch, and the chosen one is scored on the test split."""
    study = tracker.tune(project.config, "random", project=project.here, deliver=False)
    assert 8 == study.result.replayed
    assert {"complete"} == {trial.state for trial in study.trials}
    for trial in study.trials:
        losses = trial.history["val_loss"]
        assert losses.idxmin() + 1 == trial.trial.outcome.best_epoch
        assert len(losses) <= 20
    final = tracker.compare(project.config, project.here).test()
    assert final.accuracy > 0.6


def test_the_loop_of_the_page_repeats_bit_for_bit(project: LoopProject, tmp_path: Path) -> None:
    """Without seeding anything but torch, with one worker and with two."""
    plan = project.plan("random")
    one = project.run(plan, tmp_path / "one", project.executor())
    two = project.run(plan, tmp_path / "two", project.executor(2))
    assert one.digest == two.digest
    assert None not in {trial.outcome.weights for trial in one.trials}


def test_the_sections_of_the_page_replace_those_of_params_yaml() -> None:
    """Put in their places they make a configuration; appended they are refused."""
    there = (ROOT / "params.yaml").read_text(encoding="utf-8")
    names = [line.partition(":")[0] for line in block("yaml").splitlines() if not line.startswith(" ")]
    assert {"model", "studies"} < set(names)
    kept, count = re.subn(rf"^(?:{'|'.join(names)}):.*\n(?:(?: .*)?\n)*", "", there, flags=re.MULTILINE)
    assert len(names) == count
    config = parse_config(read_yaml((kept + block("yaml")).encode(), "params.yaml"), "params.yaml")
    assert ("loop:fit", ["random"]) == (config.model.entry, list(config.studies))
    with pytest.raises(ConfigError, match="duplicate key"):
        read_yaml((there + block("yaml")).encode(), "params.yaml")
