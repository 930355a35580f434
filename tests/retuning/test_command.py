"""`tracker retune` as a scheduler starts it: real stages, a real MLflow database, and the alias that others serve from."""

from __future__ import annotations

import json
import subprocess
import sys

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.retuning.test_recipes import PAGE
from tests.retuning.year import Year, table
from tests.studies.project import command
from tests.test_docs import ROOT, blocks
from tests.test_startup import RUN

pytestmark = [  # both are MLflow's own
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]
CLI = "from tracker import cli; import sys; sys.argv = ['tracker', *sys.argv[1:]]; cli.main()"


@pytest.fixture(scope="module")
def retuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Year, str]:
    """A project that ran out of time, was retuned for the first time, and grew; and what the second retuning printed."""
    year = Year(tmp_path_factory.mktemp("command"))
    year.write(table(1, 2, 3))
    root = year.paths.root
    late = command(root, "-c", CLI, "retune", "--timeout", "0.2")
    assert (late.returncode, "the same command goes on from there" in late.stderr) == (13, True), late.stderr
    first = command(root, "-c", CLI, "retune")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-3].startswith("first: served: random/"), first.stdout
    year.write(table(1, 2, 3, 8, 9, 10, turned=(8, 9, 10)))
    second = command(root, "-c", CLI, "retune")
    assert second.returncode == 0, second.stderr
    return year, second.stdout


@pytest.mark.slow
def test_from_the_first_retuning_to_a_rollback(retuned: tuple[Year, str]) -> None:
    """What a scheduler sees in a row: the alias is served, nothing is done where nothing changed, a refusal, a rollback."""
    the_alias_is_served(retuned)
    nothing_to_do_loads_nothing(retuned)
    the_line_of_cron_runs(retuned)
    refusals_rollbacks_and_the_list(retuned)


def the_alias_is_served(retuned: tuple[Year, str]) -> None:
    """The champion's alias stands in MLflow's registry, names the trial, and the model that it names predicts raw rows."""
    year, printed = retuned
    assert "promoted: served: random/" in printed
    uri = f"sqlite:///{year.paths.root}/mlflow.db"
    client = MlflowClient(uri)
    version = client.get_model_version_by_alias("spam", "champion")
    last = json.loads(year.paths.retunes.read_text().splitlines()[-1])
    assert version.tags["tracker.key"] == last["champion"]["key"]
    assert version.tags["tracker.data"] == last["table"]
    mlflow.set_tracking_uri(uri)
    rows = table(11, turned=(11,))
    predicted = mlflow.pyfunc.load_model("models:/spam@champion").predict(rows.drop(columns="kind"))
    assert (predicted["label"].to_numpy() == rows["kind"].to_numpy()).mean() > 0.6
    [run] = client.search_runs(["1"], f"tags.tracker.retune = '{last['digest']}'")
    assert run.data.params["decision"] == "promoted"
    assert run.data.metrics["retune_lead"] > 0
    assert "mlflow.sharedViewState.tracker-retunes" in client.get_experiment("1").tags


def nothing_to_do_loads_nothing(retuned: tuple[Year, str]) -> None:
    """Where the file is the same, the command reads no table and loads no library for one; it leaves with 0."""
    year, _ = retuned
    before = year.paths.retunes.read_bytes()
    done = command(year.paths.root, "-c", RUN, "retune")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("unchanged: served: random/")
    assert done.stderr.splitlines()[-1].removeprefix("LOADED").strip() == "pydantic"
    assert before == year.paths.retunes.read_bytes()


def the_line_of_cron_runs(retuned: tuple[Year, str]) -> None:
    """The page's crontab line, run by sh with what cron gives it: it pulls, retunes, and writes its log; no mail is sent."""
    root = retuned[0].paths.root
    [line] = blocks(PAGE, "crontab")
    home, program = root.parent / "home", root / ".venv" / "bin" / "tracker"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m tracker.cli "$@"\n')
    program.chmod(0o755)
    home.mkdir()
    (home / "churn").symlink_to(root)
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(root)]
    subprocess.run(["git", "init", "-q", "--bare", str(home / "remote")], check=True, env=environ)
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "begun"],
                  ["push", "-q", "-u", str(home / "remote"), "main"], ["remote", "add", "origin", str(home / "remote")],
                  ["fetch", "-q", "origin"], ["branch", "-q", "-u", "origin/main"]):  # fmt: skip
        subprocess.run([*git, *words], check=True, env=environ, capture_output=True)
    done = subprocess.run(
        ["sh", "-c", line.split(maxsplit=5)[5]], env=environ, capture_output=True, text=True, check=False
    )
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert (root / "retune.log").read_text().startswith("unchanged: served: random/")


def refusals_rollbacks_and_the_list(retuned: tuple[Year, str]) -> None:
    """Broken data leaves with 8; a rollback moves the alias; `tracker retunes` lists it all."""
    year, _ = retuned
    root = year.paths.root
    year.write(table(1, 2, 3).drop(columns="a"))
    refused = command(root, "-c", CLI, "retune")
    assert (refused.returncode, "column 'a' is gone" in refused.stderr) == (8, True), refused.stderr
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    before = client.get_model_version_by_alias("spam", "champion").version
    back = command(root, "-c", CLI, "rollback")
    assert back.returncode == 0, back.stderr
    assert client.get_model_version_by_alias("spam", "champion").version != before
    listed = command(root, "-c", CLI, "retunes").stdout.splitlines()
    assert [line.split()[2] for line in listed[1:]] == ["first", "promoted", "refused", "rollback"]
