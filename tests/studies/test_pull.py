"""An empty store is filled from MLflow: studies replay without training, nothing is doubled, nothing damaged is taken."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.studies.project import SmallProject
from tests.studies.test_runner import Forbidden
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs
from tests.tracking.test_outbox import server
from tracker import api
from tracker.canonical import canonical_json, parse_canonical
from tracker.config import BestModels
from tracker.errors import NotFoundError, StoreCorrupt, StoreError, TrackerError, TrackingError
from tracker.store.store import Store
from tracker.studies.pull import Pulled, pull_studies
from tracker.terminal.show import pull_summary
from tracker.tracking.mlflow_database import make_database
from tracker.tracking.mlflow_settings import settle
from tracker.tracking.outbox import waiting
from tracker.tracking.report import Delivered, Policy

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
settle(os.environ)
FINAL = {"study": "random", "trial": 1, "key": "4" * 64, "test_digest": "7" * 64, "looks": 1, "stale": False}


@pytest.fixture(scope="module")
def delivered(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with two studies and a final result, all in MLflow, and its store."""
    project = small_project.copy(tmp_path_factory.mktemp("delivered") / "project")
    for name in ("random", "tpe"):
        project.report(project.run(project.plan(name)))
    with Store.open(project.paths.store) as store:
        for _, spec in store.studies():
            store.put_serving(spec.data, project.serving())
        store.put_final(FINAL)
    assert Delivered(27, 0) == deliver(project)
    return project


@pytest.fixture
def emptied(delivered: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy whose store, reports and models are gone; its MLflow is its own, artifacts included."""
    project = delivered.copy(tmp_path / "project")
    move_artifacts(delivered, project)
    for folder in (project.paths.store, project.paths.models, project.paths.study_reports):
        shutil.rmtree(folder)
    return project


def move_artifacts(old: SmallProject, new: SmallProject) -> None:
    """MLflow writes down absolute places; the copy's are its own."""
    with contextlib.closing(sqlite3.connect(new.paths.root / "mlflow.db")) as link:
        names = (str(old.paths.root), str(new.paths.root))
        link.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", names)
        link.execute("UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)", names)
        link.commit()


def uri(project: SmallProject) -> str:
    return f"sqlite:///{project.paths.root / 'mlflow.db'}"


def deliver(project: SmallProject, policy: Policy = "all") -> Delivered:
    return sync(project.paths.store, uri(project), "tests", policy)


def pull(project: SmallProject, *names: str) -> list[Pulled]:
    with Store.open(project.paths.store) as store:
        return pull_studies(store, uri(project), "tests", names)


def rows(store_folder: Path) -> dict[str, object]:
    """All that a store says of its studies: specs, proposals, outcomes, true times, provenance, ends, finals."""
    with Store.open(store_folder) as store:
        found: dict[str, object] = {"finals": store.finals(), "checked": store.check() > 0}
        for key, spec in store.studies():
            keys = [proposal.spec.key for proposal in store.proposals(key)]
            finish = store.finish(key)
            assert finish is not None
            found[spec.name] = (
                spec, store.proposals(key), store.outcomes(keys), [store.timing(one) for one in keys],
                [store.provenance(one) for one in [key, *keys]], round(store.created(key), 3),
                finish[0], round(finish[1], 3), store.serving(spec.data),
            )  # fmt: skip
        return found


def test_a_deleted_store_comes_back_whole(delivered: SmallProject, emptied: SmallProject) -> None:
    """Specs, proposals, outcomes, weights, true times, provenance and finals equal those of the store that was lost."""
    pulled = pull(emptied)
    assert [("random", 6, 6, 6), ("tpe", 16, 16, 16)] == sorted(
        (one.study, one.trials, one.wanted, one.weights) for one in pulled
    )
    assert rows(delivered.paths.store) == rows(emptied.paths.store)
    weights = {path.name for path in (delivered.paths.store / "weights").rglob("*.safetensors")}
    assert weights == {path.name for path in (emptied.paths.store / "weights").rglob("*.safetensors")}


def test_a_pulled_study_replays_and_nothing_is_delivered_again(delivered: SmallProject, emptied: SmallProject) -> None:
    """No trial is trained, reports and models are the same bytes, MLflow keeps the runs that it had."""
    before = [run.to_dictionary() for run in all_runs(uri(emptied), "tests")]
    pull(emptied)
    for name in ("random", "tpe"):
        emptied.report(emptied.run(emptied.plan(name), executor=Forbidden(emptied.data)))
    assert delivered.written() == emptied.written()
    assert 0 == waiting(emptied.paths.store, uri(emptied), "tests")
    assert Delivered(0, 0) == deliver(emptied)
    assert before == [run.to_dictionary() for run in all_runs(uri(emptied), "tests")]


def test_a_partial_store_is_filled_up(emptied: SmallProject) -> None:
    """One study by name, then all; a store that has everything takes nothing, and goes on beyond what it pulled."""
    assert ["random"] == [one.study for one in pull(emptied, "random")]
    assert {"random", "tpe"} == {one.study for one in pull(emptied)}
    assert {0} == {one.weights for one in pull(emptied)}
    longer = emptied.run(emptied.plan("tpe", studies__tpe__trials=20))
    assert (16, 20) == (longer.replayed, len(longer.trials))
    pull(emptied)
    with Store.open(emptied.paths.store) as store:
        finish = store.finish(longer.spec.key)
    assert finish is not None
    assert 20 == finish[0]["trials"]


def test_without_models_in_mlflow_the_best_is_derived_again(delivered: SmallProject, tmp_path: Path) -> None:
    """Under `none` records come without weights; tuning trains the best trial alone, to the bits of the report."""
    project = delivered.copy(tmp_path / "project")
    (project.paths.root / "mlflow.db").unlink()
    shutil.rmtree(project.paths.store / "delivered")
    assert Delivered(27, 0) == deliver(project, "none")
    shutil.rmtree(project.paths.store)
    assert {0} == {one.weights for one in pull(project)}
    project.report(project.run(project.plan("random")))
    assert delivered.written() == project.written()
    assert 1 == len(list((project.paths.store / "weights").rglob("*.safetensors")))
    assert Delivered(0, 0) == deliver(project, "none")


def test_some_models_come_with_their_weights(delivered: SmallProject, tmp_path: Path) -> None:
    """Under `best: 2` those of the best two of each study."""
    project = delivered.copy(tmp_path / "project")
    (project.paths.root / "mlflow.db").unlink()
    shutil.rmtree(project.paths.store / "delivered")
    assert deliver(project, BestModels(best=2)).problem is None
    shutil.rmtree(project.paths.store)
    assert {2} == {one.weights for one in pull(project)}
    assert Delivered(0, 0) == deliver(project, BestModels(best=2))


def edit_metric(path: Path) -> None:
    record = parse_canonical(path.read_bytes())
    record["runs"][0]["outcome"]["metrics"]["val_f1"] = 0.999
    path.write_bytes(canonical_json(record))


def edit_spec(path: Path) -> None:
    record = parse_canonical(path.read_bytes())
    record["runs"][0]["spec"]["seed"] = 1
    path.write_bytes(canonical_json(record))


DAMAGES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "metric": ("random/2", "record.json", edit_metric),
    "spec": ("random/2", "record.json", edit_spec),
    "torn record": ("random/2", "record.json", lambda path: path.write_bytes(path.read_bytes()[:500])),
    "no record": ("random/2", "record.json", Path.unlink),
    "weights": ("random/2", "model/data/model/weights.safetensors", lambda path: path.write_bytes(b"torn")),
    "no weights": ("random/2", "model/data/model/weights.safetensors", Path.unlink),
    "study": ("random", "record.json", lambda path: path.write_bytes(b"{}")),
    "final": ("final random/1", "final.json", lambda path: path.write_bytes(canonical_json({**FINAL, "looks": 2}))),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("tagged", [True, False], ids=["", "delivered before"])
def test_what_is_damaged_is_named_and_nothing_of_it_is_taken(emptied: SmallProject, name: str, tagged: bool) -> None:
    """The message names run, run id and file; the other study comes whole. Runs without the newest tags are checked as well."""
    run_name, file, damage = DAMAGES[name]
    run = next(one for one in all_runs(uri(emptied), "tests") if one.info.run_name == run_name)
    damage(Path(run.info.artifact_uri.removeprefix("file://")) / file)
    if not tagged:
        for one in all_runs(uri(emptied), "tests"):
            if "tracker.record" in one.data.tags:
                MlflowClient(uri(emptied)).delete_tag(one.info.run_id, "tracker.record")
    shown = run_name if name != "metric" or tagged else "random"  # without the tag the study's digest tells
    with pytest.raises(TrackingError) as told:
        pull(emptied)
    assert shown in str(told.value)
    assert (run.info.run_id in str(told.value)) or shown == "random"
    assert file in str(told.value)
    assert "taken: " + ("random (6 trials), tpe (16 trials)" if name == "final" else "tpe (16 trials)") in str(
        told.value
    )
    with Store.open(emptied.paths.store) as store:
        assert 0 < store.check()
        names = {spec.name: len(store.proposals(key)) for key, spec in store.studies()}
        assert (({"random": 6, "tpe": 16}, []) if name == "final" else ({"tpe": 16}, [FINAL])) == (
            names,
            store.finals(),
        )


def poison(*place: str | int, value: object) -> Callable[[dict], None]:
    """Puts a value in a place of a record."""

    def put(record: dict) -> None:
        inside = record
        for name in place[:-1]:
            inside = inside[name]
        inside[place[-1]] = value

    return put


POISONS: dict[str, Callable[[dict], None]] = {
    "a time that is no number": poison("runs", 0, "timing", "ended", value=float("nan")),
    "a time as text": poison("runs", 0, "timing", "started", value="now"),
    "a time beyond calendars": poison("runs", 0, "timing", "ended", value=1e300),
    "times as a text": poison("runs", 0, "timing", "epochs", value="abc"),
    "a state of its own": poison("runs", 0, "outcome", "state", value="evil"),
    "rows that are numbers": poison("runs", 0, "outcome", "history", value=[1, 2]),
    "rows without an epoch": poison("runs", 0, "outcome", "history", value=[{"val_loss": 1.0}]),
    "an epoch as text": poison("runs", 0, "outcome", "best_epoch", value="2"),
    "metrics as a list": poison("runs", 0, "outcome", "metrics", value=[1.0]),
    "a metric as text": poison("runs", 0, "outcome", "metrics", value={"val_f1": "high"}),
    "a whole number of 400 digits": poison("runs", 0, "outcome", "metrics", value={"val_f1": 10**400}),
    "weights that name a place": poison("runs", 0, "outcome", "weights", value="../../x"),
    "what was searched as a list": poison("searched", value=[1]),
    "a number as text": poison("number", value="2"),
    "half a number": poison("number", value=1.5),
    "a number of 30 digits": poison("number", value=10**30),
    "provenance as text": poison("provenance", value="me"),
    "a user as a number": poison("provenance", "user", value=7),
    "params as a list": poison("runs", 0, "spec", "params", value=[1]),
    "a seed below zero": poison("runs", 0, "spec", "seed", value=-1),
    "nested 5,000 deep": poison("provenance", "x", value="DEEP"),
    "half a character": poison("provenance", "x", value="HALF"),
}


def test_a_record_that_agrees_with_itself_poisons_nothing(emptied: SmallProject) -> None:
    """Who can write to MLflow writes record, tags and digests alike: what no run gives is refused, and its study with it."""
    run = next(one for one in all_runs(uri(emptied), "tests") if one.info.run_name == "random/2")
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "record.json"
    sound = path.read_bytes()
    for name, change in POISONS.items():
        record = parse_canonical(sound)
        change(record)
        content = canonical_json(record).replace(b'"DEEP"', b"[" * 5000 + b"]" * 5000).replace(b"HALF", b"\\ud800")
        path.write_bytes(content)
        client = MlflowClient(uri(emptied))
        client.set_tag(run.info.run_id, "tracker.record", hashlib.sha256(content).hexdigest())
        with pytest.raises(TrackingError, match=r"random/2.*record\.json: cannot be read") as told:
            pull(emptied, "random")
        assert 2 == len(str(told.value).splitlines()), name
        with Store.open(emptied.paths.store) as store:
            assert [] == store.studies(), name


def test_a_trial_that_mlflow_lost_runs_again(emptied: SmallProject, delivered: SmallProject) -> None:
    """The others come, the study goes on to the same digest, and `sync` delivers the one that was missing."""
    lost = next(one for one in all_runs(uri(emptied), "tests") if one.info.run_name == "tpe/3")
    MlflowClient(uri(emptied)).delete_run(lost.info.run_id)
    [pulled] = pull(emptied, "tpe")
    assert (15, 16) == (pulled.trials, pulled.wanted)
    again = emptied.run(emptied.plan("tpe"))
    assert 15 == again.replayed
    assert delivered.run(delivered.plan("tpe")).digest == again.digest
    report = deliver(emptied)
    assert report.problem is None
    assert 1 <= report.delivered <= 2
    assert 16 == len([one for one in all_runs(uri(emptied), "tests") if one.info.run_name.startswith("tpe/")])


def test_what_is_not_there_is_said(emptied: SmallProject) -> None:
    """Unknown studies, another experiment, no database, a server that is away: a message, and nothing is created."""
    cases: list[tuple[type[TrackerError], str, str, list[str], str]] = [
        (NotFoundError, uri(emptied), "tests", ["bayes"], r"no study bayes in experiment tests \(there: random, tpe\)"),
        (TrackingError, uri(emptied), "elsewhere", [], "has no experiment 'elsewhere'"),
        (TrackingError, f"sqlite:///{emptied.paths.root / 'none.db'}", "tests", [], "none.db: there is no such file"),
        (TrackingError, "http://ada:hunter2@127.0.0.1:9", "tests", [], r"//\*\*\*@127.0.0.1:9: could not reach"),
    ]
    for kind, address, experiment, names, message in cases:
        with Store.open(emptied.paths.store) as store, pytest.raises(kind, match=message):
            pull_studies(store, address, experiment, names)
    assert not (emptied.paths.root / "none.db").exists()


def test_a_pulled_trial_gives_its_model_in_a_notebook(delivered: SmallProject, emptied: SmallProject) -> None:
    """Where its weights did not come, it is trained again when its model is asked for, to the bits of the record."""
    pull(emptied, "random")
    study = emptied.study(emptied.run(emptied.plan("random")))
    for weights in (emptied.paths.store / "weights").rglob("*.safetensors"):
        weights.unlink()
    trial = replace(study, source=emptied.source).trials[2]
    assert trial.predict(emptied.rows()).equals(
        delivered.study(delivered.run(delivered.plan("random"))).trials[2].predict(delivered.rows())
    )
    assert [f"{trial.trial.outcome.weights}.safetensors"] == [
        path.name for path in (emptied.paths.store / "weights").rglob("*.safetensors")
    ]
    with pytest.raises(StoreError, match="the trial must run again"):
        study.trials[3].load()


def test_weights_that_were_altered_come_back_as_the_message_says(emptied: SmallProject) -> None:
    """The file is named; deleted, any comes back with a pull, and the best trial's from tuning without MLflow."""
    pull(emptied, "random")
    result = emptied.run(emptied.plan("random"))
    assert result.best is not None
    best, other = result.best.number, (result.best.number + 1) % 6
    for number, bring_back in ((other, lambda: pull(emptied)), (best, lambda: emptied.run(emptied.plan("random")))):
        name = result.trials[number].outcome.weights
        [path] = (emptied.paths.store / "weights").rglob(f"{name}.safetensors")
        whole = path.read_bytes()
        path.write_bytes(b"torn")
        with Store.open(emptied.paths.store) as store, pytest.raises(StoreCorrupt) as told:
            store.check()
        for words in (
            str(path),
            "delete the file",
            "`tracker pull` brings it back",
            "`tracker tune NAME` trains again",
        ):
            assert words in str(told.value)
        path.unlink()
        bring_back()
        assert whole == path.read_bytes()


@pytest.mark.slow
def test_records_come_from_a_server_too(delivered: SmallProject, emptied: SmallProject) -> None:
    """Over HTTP the same store comes back, and the same runs stay."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = emptied.paths.root / "server"
    folder.mkdir()
    make_database(folder / "server.db")
    with server(folder, port) as address:
        assert Delivered(27, 0) == sync(delivered.paths.store, address, "tests", "all")
        before = [run.to_dictionary() for run in all_runs(address, "tests")]
        here = api.Project(emptied.paths, address, 1, "ada")
        assert [6, 16] == sorted(one.weights for one in api.pull(emptied.config, (), here))
        assert rows(delivered.paths.store) == rows(emptied.paths.store)
        for name in ("random", "tpe"):
            emptied.report(emptied.run(emptied.plan(name), executor=Forbidden(emptied.data)))
        assert delivered.written() == emptied.written()
        assert Delivered(0, 0) == sync(emptied.paths.store, address, "tests", "all")
        assert before == [run.to_dictionary() for run in all_runs(address, "tests")]


def test_a_pull_is_told_in_a_line() -> None:
    """Trials, new weights, what is missing, what has not ended."""
    assert "tpe: 16 trials, 3 new weights (study abcdefabcdef)" == pull_summary(Pulled("tpe", "abcdef" * 9, 16, 16, 3))
    assert "15 trials, 0 new weights, 1 are not in MLflow and run again" in pull_summary(Pulled("tpe", "k", 15, 16, 0))
    assert "2 trials, 0 new weights, not ended yet" in pull_summary(Pulled("tpe", "k", 2, None, 0))
