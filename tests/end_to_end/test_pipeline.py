"""Whole pipelines with real DVC, git and MLflow, as a user runs them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A pipeline that ran once with one worker; tests read it and clone it, but leave it as it is."""
    project = Project.new(tmp_path_factory.mktemp("ran") / "project")
    project.repro()
    project.commit("ran")
    return project


def test_one_command_tunes_records_and_tests(ran: Project) -> None:
    """`dvc repro` leaves one finished MLflow run per trial, one per study, a final one, and the final report."""
    assert {"FINISHED"} == {run.info.status for run in ran.runs()}
    trials = [(run.data.tags["tracker.study"], int(run.data.tags["tracker.trial"])) for run in ran.runs("trial")]
    assert sorted([("random", n) for n in range(5)] + [("tpe", n) for n in range(6)]) == sorted(trials)
    assert {"random", "tpe"} == {run.data.tags["tracker.study"] for run in ran.runs("study")}
    assert len(ran.runs("final")) == 1
    final = ran.json("reports/final.json")
    assert 1 == final["looks"]
    assert final["stale"] is False
    assert 115 == sum(map(sum, final["test"]["confusion_matrix"]))
    ranking = ran.json("reports/ranking.json")
    assert ranking["chosen"]["key"] == final["key"] == ranking["rows"][0]["key"]


def test_a_second_repro_runs_nothing(ran: Project) -> None:
    """Nothing changed, so nothing runs."""
    output = ran.repro()
    assert "Running stage" not in output
    assert "up to date" in output


def test_a_clone_without_the_cache_tunes_with_two_workers_and_fills_mlflow(ran: Project, tmp_path: Path) -> None:
    """A clone without a cache computes everything again, on two workers, to the same lock and reports, and records it."""
    clone = ran.clone(tmp_path / "clone")
    output = clone.repro(TRACKER_WORKERS="2")
    assert "Running stage 'tune@tpe'" in output
    assert ran.reports() == clone.reports()
    assert 11 == len(clone.runs("trial"))
    assert "" == clone.git("status", "--porcelain", "dvc.lock", "data/salts.json")


def test_a_clone_with_the_cache_compares_and_syncs_without_tuning(ran: Project, tmp_path: Path) -> None:
    """`dvc pull`, then compare and sync: no trial is trained, MLflow is full, the look of the origin counts."""
    remote = tmp_path / "remote"
    ran.run("dvc", "remote", "add", "-f", "--local", "here", str(remote))
    ran.run("dvc", "push", "-r", "here")
    clone = ran.clone(tmp_path / "clone")
    clone.run("dvc", "remote", "add", "--local", "here", str(remote))
    clone.run("dvc", "pull", "-r", "here")
    assert "Running stage" not in clone.repro()
    clone.tracker("compare", "--test")
    clone.tracker("sync")
    assert 11 == len(clone.runs("trial"))
    assert 2 == len(clone.runs("study"))
    final = clone.json("reports/final.json")
    assert 1 == final["looks"]
    assert ran.json("reports/final.json")["test"] == final["test"]


def test_a_teammate_goes_on_from_mlflow(ran: Project, tmp_path: Path) -> None:
    """A clone without cache or store pulls from the common MLflow: nothing is trained, reports are equal, no run is added."""
    uri = f"sqlite:///{ran.folder / 'mlflow.db'}"
    before = sorted(run.info.run_id for run in ran.runs())
    clone = ran.clone(tmp_path / "clone")
    assert "tpe: 6 trials, 6 new weights" in clone.tracker("pull", MLFLOW_TRACKING_URI=uri)
    output = clone.repro(MLFLOW_TRACKING_URI=uri)
    assert "random: 5 trials, 5 of them from the store" in output
    assert "tpe: 6 trials, 6 of them from the store" in output
    assert ran.reports() == clone.reports()
    assert "nothing to deliver" in clone.tracker("sync", MLFLOW_TRACKING_URI=uri)
    assert before == sorted(run.info.run_id for run in ran.runs())


def test_more_trials_extend_and_equal_a_fresh_longer_study(ran: Project, tmp_path: Path) -> None:
    """6 -> 9 trials trains 3 and gives the report of a fresh study of 9."""
    longer = {"tpe": {"sampler": "tpe", "trials": 9, "generation": 3}}
    clone = Project.new(tmp_path / "extended", studies={"tpe": {"sampler": "tpe", "trials": 6, "generation": 3}})
    clone.repro("tune@tpe")
    clone.set(studies=longer)
    assert "tpe: 9 trials, 6 of them from the store" in clone.repro("tune@tpe")
    fresh = Project.new(tmp_path / "fresh", studies=longer)
    fresh.repro("tune@tpe")
    assert fresh.json("reports/studies/tpe.json") == clone.json("reports/studies/tpe.json")


def test_dvc_shows_metrics_plots_and_params(ran: Project) -> None:
    """metrics show, plots show and params diff say something useful."""
    metrics = json.loads(ran.run("dvc", "metrics", "show", "--json"))
    assert "f1" in json.dumps(metrics)
    assert max(map(len, ran.run("dvc", "metrics", "show").splitlines())) <= 100
    assert "index.html" in ran.run("dvc", "plots", "show", "-o", "plots")
    page = (ran.folder / "plots/index.html").read_text()
    assert "Best value so far, by study" in page
    assert [] == re.findall(r"""(?:src|href)\s*=\s*["'][^"']*""", page)  # nothing comes from elsewhere
    ran.set(seed=7)
    assert "seed" in ran.run("dvc", "params", "diff")
    ran.git("checkout", "-q", "params.yaml")


def test_own_table_with_text_target_categories_and_gaps(tmp_path: Path) -> None:
    """A CSV outside of the repository works after editing data.source and data.target alone."""
    rng = np.random.default_rng(3)
    lines = ["customer,age,plan,active,spend,churn"]
    for row in range(240):
        plan, leaves = rng.choice(["basic", "plus", "pro", ""]), rng.random() < 0.4
        age = "" if rng.random() < 0.1 else str(rng.integers(18, 80))
        spend = f"{rng.normal(20 if leaves else 60, 15):.2f}"
        churn = "leaves" if leaves else "stays"
        lines.append(f"C{row:05d},{age},{plan},{'true' if leaves else 'false'},{spend},{churn}")
    table = tmp_path / "customers.csv"
    table.write_text("\n".join(lines) + "\n")
    data = {"source": str(table), "target": "churn", "drop": ["active"]}
    project = Project.new(tmp_path / "project", data=data, training={"epochs": 30})
    output = project.repro()
    assert "customer" in output
    final = project.json("reports/final.json")
    assert ("stays", "binary") == (final["test"]["positive"], final["test"]["average"])
    assert final["test"]["accuracy"] > 0.7
    assert 11 == len(project.runs("trial"))


def test_bad_input_is_told_in_full_and_leaves_with_2(tmp_path: Path) -> None:
    """Every fault of a table is named with its place, without a traceback; nothing is written."""
    table = tmp_path / "bad.csv"
    table.write_text("a,b,y\n" + "1,x,\n2,,p\n3,z,p\ninf,z,p\n" * 5)
    project = Project.new(tmp_path / "project", data={"source": str(table), "target": "y"})
    output = project.run("python", "-m", "pipelines.prepare", code=2)
    assert "Traceback" not in output
    assert "row" in output
    assert not (project.folder / "data/prepared").exists()
