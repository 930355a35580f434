"""`tracker show STUDY`: the study in words, and importances that are the same on every call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.studies.project import SmallProject
from tracker.cli import app
from tracker.errors import NotFoundError
from tracker.records import Trial
from tracker.search.importance import EVALUATORS, FEWEST_TRIALS, MOST_TRIALS, importances
from tracker.search.samplers import open_sampler
from tracker.studies.result import StudyResult
from tracker.terminal.show_study import describe_study, read_study_shown


@pytest.fixture(scope="module")
def ran(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, StudyResult]:
    """A project with a finished study of 16 trials; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("shown") / "project")
    result = project.run(project.plan("tpe"))
    project.report(result)
    return project, result


def many(result: StudyResult, value: Callable[[Trial], float]) -> list[Trial]:
    """64 random configurations of the study's space with values of our own."""
    spec = replace(result.spec, sampler={"name": "random"}, generation=None)
    one, trials = result.trials[0], []
    for number, searched in enumerate(open_sampler(spec).propose(0, 64, 0)):
        trial = replace(one, proposal=replace(one.proposal, number=number, searched=searched))
        trials.append(replace(trial, values=(value(trial),)))
    return trials


def by_units(trial: Trial) -> float:
    return float(trial.proposal.searched["units"]) + trial.number / 1000


@pytest.mark.parametrize("method", EVALUATORS)
def test_importances_are_the_same_on_every_call(ran: tuple[SmallProject, StudyResult], method: str) -> None:
    """Again, and in another order of trials: bit for bit; the shares add up to 1, of too few trials there are none."""
    result = ran[1]
    trials = many(result, by_units)
    first = importances(result.spec, trials, "maximize", method)
    assert list(first.items()) == list(importances(result.spec, trials, "maximize", method).items())
    assert list(first.items()) == list(importances(result.spec, trials[::-1], "maximize", method).items())
    assert sum(first.values()) == pytest.approx(1)
    assert {} == importances(result.spec, trials[: FEWEST_TRIALS[method] - 1], "maximize", method)


def test_of_many_trials_some_are_seen(ran: tuple[SmallProject, StudyResult], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more trials than a forest is grown for, so many, evenly spread; the shares are those of these alone."""
    result = ran[1]
    trials = many(result, by_units)
    whole = importances(result.spec, trials, "maximize")
    monkeypatch.setitem(MOST_TRIALS, "fanova", 16)
    found = importances(result.spec, trials[::-1], "maximize")
    assert found == importances(result.spec, trials[::4], "maximize") != whole
    assert "units" == next(iter(found))


@pytest.mark.parametrize("method", EVALUATORS)
def test_what_decides_the_score_has_the_largest_share(ran: tuple[SmallProject, StudyResult], method: str) -> None:
    """Values that are made of the number of units alone: it has most of the importance."""
    shares = importances(ran[1].spec, many(ran[1], by_units), "maximize", method)
    assert "units" == next(iter(shares))
    assert shares["units"] > 0.5


def test_a_study_in_words_and_as_json(ran: tuple[SmallProject, StudyResult], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked, what came out, each searched name with its values and both shares; json has every digit."""
    project, result = ran
    monkeypatch.chdir(project.paths.root)
    done = CliRunner().invoke(app, ["show", "tpe"])
    assert 0 == done.exit_code, done.output
    lines = done.output.splitlines()
    assert result.best is not None
    assert lines[0].startswith("tpe  maximize val_f1, tpe: 16 complete; best tpe/")
    assert ["searched", "values", "fanova"] == lines[1].split()  # too few trials for the other one
    [rate] = [line for line in lines if line.startswith("learning_rate")]
    assert "0.001 to 0.1, log" in rate
    assert 1 == rate.count("%")
    done = CliRunner().invoke(app, ["show", "tpe", "--format", "json"])
    found = json.loads(done.output)
    assert result.digest == found["digest"]
    assert dict(importances(result.spec, result.trials, "maximize")) == found["importance"]["fanova"]


def test_a_study_that_is_not_there_or_short(ran: tuple[SmallProject, StudyResult], tmp_path: Path) -> None:
    """Nothing is recorded: said; fewer than ten trials: no importances, and why."""
    project = ran[0].copy(tmp_path / "short")
    with pytest.raises(NotFoundError, match="no study grid"):
        read_study_shown(project.paths, "grid")
    project.report(project.run(project.plan("random")))
    found = read_study_shown(project.paths, "random")
    found["search_space"]["forbid"] = [{"optimizer": ["sgd", "adam"], "learning_rate": {"above": 0.1, "below": 1}}]
    lines = list(describe_study(found))
    assert "forbidden optimizer sgd or adam with learning_rate above 0.1 and below 1" in lines
    assert "importances need ten trials with different values" in lines
    assert not [line for line in lines if line.startswith(("cut off", "parent"))]
    found["parent"] = {"weights": "ab" * 32, "head": "new"}
    assert "parent    weights abababababab, new head (model.transfer)" in describe_study(found)
    report = project.paths.study_reports / "random.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "cut_off": "timeout of 60 s"}))
    cut = describe_study(read_study_shown(project.paths, "random"))
    assert "cut off   by its timeout of 60 s; `tracker tune random` goes on" in cut
    assert ["searched", "values"] == lines[1].split()
