"""Runs that MLflow shows and the final result are derived again, and MLflow shows the verdict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

import tracker
from tests.studies.project import SmallProject
from tracker import api
from tracker.api import Project
from tracker.cli import app
from tracker.errors import InputError, NotFoundError, TrackingError
from tracker.terminal.verdicts import verdict_lines
from tracker.tracking.verdicts import fetch_run, find_runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own


@pytest.fixture(scope="module")
def shown(small_project: SmallProject, tmp_path_factory) -> tuple[SmallProject, Project]:
    """A project whose random study is in MLflow and whose chosen trial was scored once."""
    project = small_project.copy(tmp_path_factory.mktemp("shown") / "project")
    here = Project(project.paths, f"sqlite:///{project.paths.root / 'mlflow.db'}", 1, "ada")
    config = project.config.with_("studies", {"random": {"sampler": "random", "trials": 4}})
    project.config = config
    api.tune(config, "random", project=here)
    api.compare(config, here).test()
    api.sync(config, here)
    return project, here


def runs(here: Project, kind: str) -> list[mlflow.entities.Run]:
    client = MlflowClient(here.tracking_uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return client.search_runs(ids, f"tags.`tracker.kind` = '{kind}'")


def test_a_run_of_mlflow_is_derived_again_and_shows_it(shown) -> None:
    """By its run id alone; with the verdict recorded, the run's tags say what was found, when and where."""
    project, here = shown
    run = runs(here, "trial")[0]
    found = api.reproduce(run.info.run_id, here)
    assert ("identical", run.data.tags["tracker.weights"]) == (found.state, found.weights)
    assert 1 == api.record_verdict(project.config, found, run.info.run_id, here)
    tags = fetch_run(here.tracking_uri, run.info.run_id).tags
    assert "identical" == tags["tracker.reproduced"]
    assert tags["tracker.reproduced_at"].endswith("+00:00")
    assert tags["tracker.reproduced_on"].endswith(run.data.tags["tracker.environment"])


def test_a_verdict_finds_its_run_by_the_key(shown) -> None:
    """STUDY/NUMBER is enough to tag the run of that trial and no other."""
    project, here = shown
    found = api.reproduce("random/1", here)
    [run_id] = find_runs(here.tracking_uri, "tests", "trial", found.key)
    assert 1 == api.record_verdict(project.config, found, "random/1", here)
    tagged = [run.info.run_id for run in runs(here, "trial") if "tracker.reproduced" in run.data.tags]
    assert run_id in tagged
    with pytest.raises(TrackingError, match="tracker sync"):
        api.record_verdict(project.config.with_("tracking.experiment", "other"), found, "random/1", here)


def test_the_final_result_is_derived_again_without_a_new_look(shown) -> None:
    """The scored trial is trained again, scored again, and no look is added; its run in MLflow says so."""
    project, here = shown
    looks = sorted(path.name for path in project.paths.looks.glob("*.json"))
    report = (project.paths.reports / "final.json").read_bytes()
    found = api.reproduce("final", here)
    assert ("identical", None) == (found.state, found.first_difference)
    assert looks == sorted(path.name for path in project.paths.looks.glob("*.json"))
    assert report == (project.paths.reports / "final.json").read_bytes()
    assert 1 == api.record_verdict(project.config, found, "final", here)
    assert ["identical"] == [run.data.tags.get("tracker.reproduced") for run in runs(here, "final")]


def test_an_altered_final_result_is_found_out(shown, tmp_path: Path) -> None:
    """A better F1 in the report differs from what is derived, and is called altered."""
    copy = shown[0].copy(tmp_path / "copy")
    path = copy.paths.reports / "final.json"
    final = json.loads(path.read_text())
    final["test"]["f1"] = 0.999
    path.write_text(json.dumps(final))
    found = api.reproduce("final", Project(copy.paths, "unused", 1, "ada"))
    assert ("differs", "test.f1", 0.999) == (
        found.state,
        found.first_difference.metric,
        found.first_difference.recorded,
    )
    assert "altered" in found.causes[0].words


def test_the_final_result_needs_its_look_and_its_rows(shown, tmp_path: Path) -> None:
    """Without a recorded look the test split stays closed; other test rows cannot repeat the result."""
    copy = shown[0].copy(tmp_path / "copy")
    here = Project(copy.paths, "unused", 1, "ada")
    path = copy.paths.reports / "final.json"
    final = json.loads(path.read_text())
    path.write_text(json.dumps({**final, "test_digest": "0" * 64}))
    found = api.reproduce("final", here)
    assert "cannot" == found.state
    assert "other test rows" in found.causes[0].words
    path.write_text(json.dumps(final))
    shutil.rmtree(copy.paths.looks)
    shutil.rmtree(copy.paths.store)
    found = api.reproduce("final", here)
    assert "cannot" == found.state
    assert "no look" in found.causes[0].words


def test_what_is_no_trial_is_refused(shown) -> None:
    """A study's run, an unknown id and a database that is not there: an error each, and no verdict."""
    project, here = shown
    with pytest.raises(InputError, match="tracker verify random"):
        api.reproduce(runs(here, "study")[0].info.run_id, here)
    with pytest.raises(NotFoundError, match="no run"):
        api.reproduce("0" * 32, here)
    gone = f"sqlite:///{project.paths.root / 'none.db'}"
    with pytest.raises(NotFoundError, match="no MLflow database"):
        api.reproduce("0" * 32, Project(project.paths, gone, 1, "ada"))


def test_the_command_line_leaves_with_the_verdict(shown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """0 identical, 11 cannot; as text and as JSON."""
    copy = shown[0].copy(tmp_path / "copy")
    monkeypatch.chdir(copy.paths.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shown[1].tracking_uri)
    done = CliRunner().invoke(app, ["reproduce", "random/0", "--format", "json", "--record"])
    assert (0, "identical") == (done.exit_code, json.loads(done.stdout)["state"])
    shutil.rmtree(copy.paths.splits)
    done = CliRunner().invoke(app, ["reproduce", "random/0"])
    assert 11 == done.exit_code
    assert "random/0: cannot" in done.stdout
    assert "to do: " in done.stdout


def test_a_trial_of_a_notebook(shown) -> None:
    """`tracker.reproduce(trial)` takes the trial itself, and says `identical` with nothing else to tell."""
    project, here = shown
    study = api.tune(project.config, "random", project=here, deliver=False)
    found = tracker.reproduce(study.trials[2], here)
    assert isinstance(found, tracker.Verdict)
    assert ("identical", None, ()) == (found.state, found.first_difference, found.causes)
    assert ["random/2: identical"] == [line.partition(" (")[0] for line in verdict_lines(found)]
