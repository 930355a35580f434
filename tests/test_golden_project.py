"""A project that an earlier release left opens, goes on, grows and verifies: store, reports, looks, models, MLflow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.golden_project import EXPECTED, OWN, PARAMS, unpack
from tests.tracking.runs_in_mlflow import all_runs
from tracker import api
from tracker.config import Config, parse_config, read_yaml
from tracker.errors import TestLooksSpent
from tracker.evaluation.compare import known_looks
from tracker.paths import Paths
from tracker.standalone.load import load_model
from tracker.store.store import Store
from tracker.studies.adopt import read_study
from tracker.surroundings import environment as surroundings

TOLD = json.loads(EXPECTED.read_text())


@pytest.fixture
def here(tmp_path: Path) -> api.Project:
    """The project, unpacked."""
    return api.Project.now(Paths.of(unpack(tmp_path), {}))


@pytest.fixture
def config() -> Config:
    return parse_config(read_yaml(PARAMS.encode(), "params.yaml"), "params.yaml")


@pytest.fixture
def as_recorded(here: api.Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lets this machine pass for the one that made the project: what is replayed trains nothing, so no bit is claimed."""
    with Store.open(here.paths.store) as store:
        [digest] = {spec.environment for _, spec in store.studies()}
    real = surroundings.environment

    def same(*asked: str) -> tuple[str, dict]:
        return digest, real(*asked)[1]

    for module in ("surroundings.environment", "surroundings.provenance", "execution.trainer"):
        monkeypatch.setattr(f"tracker.{module}.environment", same)
    return digest


def test_every_record_is_read_under_the_key_that_it_had(here: api.Project) -> None:
    """Keys, candidates, configurations and digests are what they were: no release changes an identity."""
    with Store.open(here.paths.store) as store:
        assert store.check() > 0
        for key, spec in store.studies():
            assert key == spec.key
            for proposal in store.proposals(key):
                stored = store.trial(key, proposal.number)
                assert proposal.keys == tuple(outcome.key for outcome in stored.outcomes)
    found = {}
    for path in sorted(here.paths.models.glob("*/trials.jsonl")):
        result = read_study(path)
        first = result.trials[0].spec
        found[result.spec.name] = [result.spec.key, result.digest, first.key, first.candidate, first.configuration]
    assert TOLD["studies"] == found


def test_it_goes_on_without_training(here: api.Project, config: Config, as_recorded: str) -> None:
    """Every study is replayed from the store, and its reports come out in the bytes that were there."""
    files = [*here.paths.study_reports.glob("*.json"), *here.paths.models.glob("*/*")]
    before = {path: path.read_bytes() for path in files}
    for name in config.studies:
        study = api.tune(config, name, project=here, deliver=False)
        assert len(study.trials) == study.result.replayed
    assert before == {path: path.read_bytes() for path in files}


def test_it_grows(here: api.Project, config: Config, as_recorded: str) -> None:
    """More trials extend each study; those that were there stay, pruned ones and several seeds included."""
    for name, trials in (("tpe", 9), ("qmc", 6), ("seeds", 3), ("pruned", 12)):
        before = read_study(here.paths.models / name / "trials.jsonl")
        grown = api.tune(config.with_(f"studies.{name}.trials", trials), name, project=here, deliver=False)
        assert trials == len(grown.trials)
        assert list(before.trials) == [trial.trial for trial in grown.trials[: len(before.trials)]]


def test_looks_count_and_the_ranking_is_the_same(here: api.Project, config: Config) -> None:
    """The look that was taken counts; the same trial is chosen and scored without another, a second candidate is refused."""
    ranking = api.compare(config, here)
    final = json.loads((here.paths.reports / "final.json").read_text())
    assert (final["study"], final["trial"]) == (ranking.chosen.study, ranking.chosen.trial)
    assert 1 == len(known_looks(here.paths).looks)
    again = ranking.test()
    assert final["test"] == dict(again.result["test"])
    assert (1, False) == (again.looks, again.stale)
    other = api.compare(
        config.with_("studies", {"manual": config.studies["manual"].model_dump(exclude_unset=True)}), here
    )
    with pytest.raises(TestLooksSpent):
        other.test()


def test_models_open(here: api.Project) -> None:
    """Each study's model opens and predicts, the user's own network too."""
    import pandas as pd

    frame = pd.read_csv(here.paths.root / "table.csv").head(5)
    for name in sorted(TOLD["studies"]):
        found = load_model(here.paths.models / name).predict(frame)
        assert TOLD["labels"][name] == list(found["label"])


def test_it_verifies(here: api.Project, config: Config) -> None:
    """All of it is derived again: to the bit where the environment is the recorded one, else within the tolerance."""
    found = list(api.verify(config, pipeline=True, project=here))
    assert {"identical"} == {verdict.state for verdict in found if verdict.kind in {"store", "looks"}}
    assert all(verdict.is_sound for verdict in found if verdict.kind in {"study", "final"}), found
    own = parse_config(read_yaml(OWN.encode(), "own.yaml"), "own.yaml")
    [verdict] = api.verify(own, "own", project=here)
    assert verdict.is_sound


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_its_runs_are_known_again_in_mlflow(here: api.Project, config: Config) -> None:
    """The database opens, and nothing is delivered twice."""
    uri = f"sqlite:///{here.paths.root / 'mlflow.db'}"
    before = all_runs(uri, "golden")
    delivered = api.sync(config, here)
    assert (0, None) == (delivered.waiting, delivered.problem)
    assert TOLD["runs"] == len(before) == len(all_runs(uri, "golden"))
    assert not os.environ.get("MLFLOW_TRACKING_URI")
