"""A team's server: MLflow with PostgreSQL behind it, its artifact proxy in front of a bucket, and a password."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.studies.project import SmallProject
from tests.studies.test_runner import Forbidden
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs, artifact
from tests.tracking.servers import Bucket, MlflowServer, Postgres, counted_requests
from tests.tracking.studies import EXPERIMENT, begin, end_study, run_trials
from tracker.store.store import Store
from tracker.studies.pull import pull_studies
from tracker.tracking.report import Delivered, Policy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow's own
]
USER = ("ada", "correct-horse-battery")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this module's own."""
    made = Postgres()
    yield made
    made.close()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket of this module's own."""
    made = Bucket(tmp_path_factory.mktemp("s3"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(postgres: Postgres, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow before both, which asks who is there."""
    made = MlflowServer(tmp_path_factory.mktemp("server"), postgres.uri, USER, bucket)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def project(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with a finished study."""
    project = small_project.copy(tmp_path_factory.mktemp("team") / "project")
    project.report(project.run(project.plan("random")))
    with Store.open(project.paths.store) as store:
        for _, spec in store.studies():
            store.put_serving(spec.data, project.serving())
    return project


def test_a_study_is_there_once_and_comes_back(
    project: SmallProject, server: MlflowServer, bucket: Bucket, tmp_path: Path
) -> None:
    """Six trials, their study, and models through the proxy in the bucket; a colleague's store is filled and trains nothing."""
    before = bucket.names()  # of other tests
    assert Delivered(8, 0) == sync(project.paths.store, server.uri, "tests")
    assert Delivered(0, 0) == sync(project.paths.store, server.uri, "tests")
    runs = all_runs(server.uri, "tests")
    assert ["random", *(f"random/{number}" for number in range(6))] == [run.info.run_name for run in runs]
    assert {"FINISHED"} == {run.info.status for run in runs}
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:") for run in runs)
    assert artifact(server.uri, runs[1], "model/MLmodel", tmp_path / "down").is_file()
    models = {name for name in bucket.names() if name.endswith("/MLmodel")} - set(before)
    assert 7 == len(models)  # the best is also the study's
    colleague = project.copy(tmp_path / "colleague")
    for folder in (colleague.paths.store, colleague.paths.models, colleague.paths.study_reports):
        shutil.rmtree(folder)
    with Store.open(colleague.paths.store) as store:
        pull_studies(store, server.uri, "tests", ())
    colleague.report(colleague.run(colleague.plan("random"), executor=Forbidden(colleague.data)))
    assert project.written() == colleague.written()


@pytest.mark.parametrize(("policy", "files"), [("none", 1), ("all", 10)])
def test_a_trial_costs_the_server_three_requests_and_one_for_each_file(
    server: MlflowServer, tmp_path: Path, policy: Policy, files: int
) -> None:
    """Its run is created with all tags, filled in one request, and ended; its record is a file, and a model nine more."""
    trials = 5
    store, key = begin(tmp_path / ".tracker")
    with store:
        assert Delivered(1, 0) == sync(tmp_path / ".tracker", server.uri, f"counted {policy}")
        run_trials(store, key, range(trials))
        with counted_requests() as counted:
            assert Delivered(trials, 0) == sync(tmp_path / ".tracker", server.uri, f"counted {policy}", policy)
    api = {f"POST mlflow/runs/{name}": trials for name in ("create", "log-batch", "update")}
    once = {"GET mlflow/experiments/get-by-name": 1, "GET mlflow/experiments/get": 1, "POST mlflow/runs/search": 3}
    assert {**api, **once, "PUT mlflow-artifacts": files * trials} == counted


def test_a_wrong_password_is_said_and_not_shown(project: SmallProject, server: MlflowServer) -> None:
    """Nothing is delivered, everything waits, and the message names the server without name and password."""
    wrong = server.bare.replace("//", "//ada:hunter2@")
    found = sync(project.paths.store, wrong, "tests")
    assert (0, 8) == (found.delivered, found.waiting)
    assert found.problem is not None
    assert re.search("401|password|authenticat", found.problem, re.IGNORECASE)
    assert "hunter2" not in found.problem


def test_a_crash_of_postgresql_loses_and_doubles_nothing(
    postgres: Postgres, server: MlflowServer, tmp_path: Path
) -> None:
    """It crashes in the middle of a study and comes back; MLflow was not told, and each record is there once."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(3))
        assert 0 == sync(tmp_path / ".tracker", server.uri, EXPERIMENT).waiting
        run_trials(store, key, range(3, 6))
        end_study(store, key, 6, 3)
    postgres.stop()
    assert 4 == sync(tmp_path / ".tracker", server.uri, EXPERIMENT).waiting
    postgres.start()
    assert Delivered(4, 0) == sync(tmp_path / ".tracker", server.uri, EXPERIMENT)
    runs = [(run.info.run_name, run.info.status) for run in all_runs(server.uri)]
    assert [("tpe", "FINISHED"), *((f"tpe/{number}", "FINISHED") for number in range(6))] == runs
