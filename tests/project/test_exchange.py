"""Studies as copies in an Optuna storage, and what an Optuna study tried as configurations to try first."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from tests.studies.project import SmallProject, make_config
from tracker.cli import app
from tracker.config import Config, read_yaml
from tracker.errors import InputError, NotFoundError
from tracker.project.exchange import export_optuna, import_optuna

STUDIES = {
    "random": {"sampler": "random", "trials": 5},
    "tpe": {"sampler": "tpe", "trials": 8, "generation": 4, "pruner": {"name": "threshold", "worst": 0.99}},
}


def config_of() -> Config:
    return make_config(studies=STUDIES)


@pytest.fixture(scope="module")
def ran(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with two studies, some of whose trials were pruned, in the current folder of a user; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("exchange") / "project")
    project.config = config_of()
    for name in STUDIES:
        project.report(project.run(project.plan(name)))
    return project


def test_finished_studies_are_copied_once(ran: SmallProject, tmp_path: Path) -> None:
    """All studies without names: values, states, curves and distributions of every trial; again adds nothing."""
    target = str(tmp_path / "optuna.db")
    for _ in range(2):
        lines = list(export_optuna(ran.config, ran.paths, target, ()))
    assert ["random: 5 trials", "tpe: 8 trials"] == [line.partition(" in ")[0] for line in lines[:2]]
    for name in STUDIES:
        result = ran.run(ran.plan(name))
        copy = optuna.load_study(study_name=f"{name}-{result.spec.key[:12]}", storage=f"sqlite:///{target}")
        assert len(result.trials) == len(copy.trials)
        for trial, shown in zip(result.trials, copy.trials, strict=True):
            assert dict(trial.proposal.searched) == shown.params
            assert trial.state.upper()[:4] == shown.state.name[:4]
            assert trial.value == shown.value or trial.state == "pruned"
            assert {row["epoch"] for row in trial.outcome.history} == set(shown.intermediate_values)
        assert (
            optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
            == copy.trials[0].distributions["learning_rate"]
        )
    assert any(trial.state == "pruned" for trial in ran.run(ran.plan("tpe")).trials)


def test_what_was_tried_elsewhere_is_tried_first_here(ran: SmallProject, tmp_path: Path) -> None:
    """Best first, those in the space alone; what is printed is accepted as `enqueue` and proposed first."""
    target = str(tmp_path / "optuna.db")
    list(export_optuna(ran.config, ran.paths, target, ["random"]))
    trials = [trial for trial in ran.run(ran.plan("random")).trials if trial.value is not None]
    best = sorted(trials, key=lambda trial: (-(trial.value or 0), trial.number))
    lines, notes = import_optuna(ran.config, target, None, "tpe", 3)
    assert [] == notes
    told = read_yaml("\n".join(lines).encode(), "printed")["enqueue"]
    assert [dict(trial.proposal.searched) for trial in best[:3]] == told
    plan = ran.plan("tpe", studies__tpe={**STUDIES["random"], "enqueue": told})
    assert [dict(trial.proposal.searched) for trial in ran.run(plan).trials[:3]] == told


def foreign(path: Path, **studies: list[float]) -> str:
    """Studies as somebody else has them: a rate that may lie outside of our space, and a name that is not ours."""
    address = f"sqlite:///{path}"
    for name, rates in studies.items():
        study = optuna.create_study(study_name=name, storage=address, direction="minimize")
        for rate in rates:
            trial = study.ask()
            trial.suggest_float("learning_rate", 1e-6, 10, log=True)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            distributions = {"learning_rate": optuna.distributions.FloatDistribution(1e-6, 10, log=True)}
            params = {"learning_rate": rate}
            study.add_trial(optuna.trial.create_trial(value=rate, params=params, distributions=distributions))
    return str(path)


def test_only_what_lies_in_the_space_is_taken(ran: SmallProject, tmp_path: Path) -> None:
    """What is outside is named; equal trials come once, failed ones not; without --for all are printed as they are."""
    source = foreign(tmp_path / "other.db", theirs=[0.05, 5.0, 0.01, 0.05])
    config = ran.config.with_("search_space", {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}})
    lines, notes = import_optuna(config, source, None, "tpe", 10)
    assert ["enqueue:", '  - {"learning_rate":0.01}', '  - {"learning_rate":0.05}'] == lines[1:]
    assert len(notes) == 1
    assert 'left out {"learning_rate":5.0}: learning_rate: 5.0 is outside of the search space' in notes[0]
    assert 5 == len(import_optuna(config, source, "theirs", None, 10)[0])
    with pytest.raises(NotFoundError, match=r"nothing of theirs can be taken over; left out"):
        import_optuna(ran.config, source, None, "tpe", 10)


def test_their_names_become_ours(ran: SmallProject, tmp_path: Path) -> None:
    """A name that they call otherwise is renamed as it is read, and the beginning of a study's name is enough."""
    source = foreign(tmp_path / "other.db", **{"theirs-0123": [0.05], "others": [0.2]})
    renamed = import_optuna(ran.config, source, "theirs", None, 10, ["learning_rate=rate"])[0]
    assert ["enqueue:", '  - {"rate":0.05}'] == renamed[1:]
    with pytest.raises(NotFoundError, match="theirs-0123 has no lr; it has learning_rate"):
        import_optuna(ran.config, source, "theirs", None, 10, ["lr=rate"])
    with pytest.raises(InputError, match="theirs-0123 has learning_rate already"):
        import_optuna(ran.config, source, "theirs", None, 10, ["learning_rate=learning_rate"])
    for wrong in ("lr", "=lr", "lr=", "lr=a,b=c"):
        with pytest.raises(InputError, match="expected theirs=ours"):
            import_optuna(ran.config, source, "theirs", None, 10, [wrong])


def test_what_is_no_storage_is_told_and_left_alone(ran: SmallProject, tmp_path: Path) -> None:
    """A file that is not there is not made; a database of something else gets no table; several studies are named."""
    absent = tmp_path / "absent.db"
    with pytest.raises(NotFoundError, match="there is no such file"):
        import_optuna(ran.config, str(absent), None, None, 10)
    assert not absent.exists()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(InputError, match="holds no Optuna studies: it has no table"):
        import_optuna(ran.config, str(other), None, None, 10)
    assert before == other.read_bytes()
    absent.write_text("seed: 1")
    with pytest.raises(InputError, match="expected an Optuna storage in SQLite"):
        import_optuna(ran.config, str(absent), None, None, 10)
    two = foreign(tmp_path / "two.db", a=[0.1], b=[0.2])
    with pytest.raises(NotFoundError, match="2 studies; say which: a, b"):
        import_optuna(ran.config, two, None, None, 10)
    with pytest.raises(NotFoundError, match="no study c; say which: a, b"):
        import_optuna(ran.config, two, "c", None, 10)
    with pytest.raises(NotFoundError, match=r"no study grid in params.yaml"):
        import_optuna(ran.config, two, "a", "grid", 10)


def test_the_commands(ran: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tracker export optuna FILE STUDY` says what it wrote, `tracker import optuna FILE` prints YAML alone."""
    monkeypatch.chdir(ran.paths.root)
    target = str(tmp_path / "optuna.db")
    done = CliRunner().invoke(app, ["export", "optuna", target, "random"])
    assert 0 == done.exit_code, done.output
    assert done.output.startswith("random: 5 trials in ")
    done = CliRunner().invoke(app, ["import", "optuna", target, "--limit", "2"])
    assert 0 == done.exit_code, done.output
    assert 2 == len(read_yaml(done.stdout.encode(), "printed")["enqueue"])
    meant = CliRunner().invoke(app, ["import", "mlflow", target]).exception
    assert (
        "expected optuna, found 'mlflow'; what MLflow has of this project's studies comes with `tracker pull`"
        in str(meant)
    )


def test_a_place_that_holds_no_file_is_said(ran: SmallProject, tmp_path: Path) -> None:
    """A folder, and a file in a folder that is not there, before the database has words for it; nothing is made."""
    with pytest.raises(InputError, match=r"is a folder; name a file, such as .*optuna\.db"):
        list(export_optuna(ran.config, ran.paths, str(tmp_path), ()))
    with pytest.raises(InputError, match=r"optuna\.db: there is no folder .*none; make it first"):
        list(export_optuna(ran.config, ran.paths, str(tmp_path / "none" / "optuna.db"), ()))
    assert [] == list(tmp_path.iterdir())
