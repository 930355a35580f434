"""Lines about progress, studies and deliveries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tracker
from tests.studies.loops import COST, LoopProject
from tests.studies.project import SmallProject
from tests.studies.test_runner import WILD
from tracker.errors import NotFoundError, StudyFailed
from tracker.terminal.leaderboard import leaderboard
from tracker.terminal.show import (
    Capped,
    epochs_advice,
    epochs_note,
    refuse_failed,
    say_delivered,
    study_summary,
    sync_summary,
)
from tracker.tracking.report import Delivered


def test_a_study_is_summed_up_in_a_line(fresh: SmallProject) -> None:
    """Trials, how many of them from the store, how many failed, the best."""
    first = fresh.study(fresh.run(fresh.plan("random")))
    best = first.best_trial
    told = study_summary(first).splitlines()[0]  # a second line may ask for more epochs
    assert f"random: 6 trials, best val_f1 {best.value:.4f} (trial {best.number})" == told
    again = fresh.study(fresh.run(fresh.plan("random")))
    assert study_summary(again).startswith("random: 6 trials, 6 of them from the store, best val_f1 ")
    wild = {**WILD, "search_space": {"learning_rate": [1000.0], "dropout": {"low": 0.0, "high": 0.5}}}
    failed = fresh.study(fresh.run(fresh.plan("random", **wild)))
    told, why = study_summary(failed).splitlines()
    assert "random: 6 trials, 6 failed, none best" == told
    assert re.fullmatch(r"  why: diverged: the loss was not finite in epoch \d \(\d of 6 alike\)", why)


def test_trials_that_the_cap_ended_are_counted(fresh: SmallProject) -> None:
    """Best at their last epoch with early stopping on; not where it ended them, nor where there is none."""
    capped = fresh.run(fresh.plan("random", training__epochs=2, hyperparameters__learning_rate=1e-3))
    count = sum(trial.outcome.best_epoch == 2 for trial in capped.trials)
    assert count > 1
    note = f"random: {count} of 6 trials were best at their last epoch; raise training.epochs"
    assert note == study_summary(fresh.study(capped)).splitlines()[-1].strip()
    one = {"training__epochs": 2, "hyperparameters__learning_rate": 1e-3, "studies__random__trials": 1}
    told = study_summary(fresh.study(fresh.run(fresh.plan("random", **one)))).splitlines()
    assert told[0].startswith("random: 1 trial, ")
    assert "random: 1 of 1 trial was best at its last epoch; raise training.epochs" == told[-1].strip()
    assert [] == epochs_note(fresh.run(fresh.plan("random", training__epochs=2, training__early_stopping=None)))
    assert [] == epochs_note(fresh.run(fresh.plan("manual", training__epochs=300)))


def test_equal_advice_of_several_studies_is_one_line() -> None:
    """Each study is named with its count; that of one study stays a sentence about it."""
    found = [Capped("random", 4, 6), Capped("tpe", 16, 48)]
    told = "raise training.epochs: in 2 studies many trials were best at their last epoch: random 4 of 6, tpe 16 of 48"
    assert [told] == epochs_advice(found)
    assert ["random: 4 of 6 trials were best at their last epoch; raise training.epochs"] == epochs_advice(found[:1])
    assert [] == epochs_advice([])


def test_a_study_whose_objective_is_undefined_says_so(tmp_path: Path) -> None:
    """Complete trials without a value are counted, and named as what they are."""
    project = LoopProject.with_loop(tmp_path / "project", COST.replace('{"cost": ', '{"other": 1.0, "cost": None and '))
    study = tracker.tune(project.config, "random", project=project.here, deliver=False)
    expected = (
        "random: 12 trials, 12 without cost, none best\n  why: cost is undefined in its kept epoch (12 of 12 alike)"
    )
    assert expected == study_summary(study)
    told = r"study random: none of 12 trials has a value: cost is undefined in its kept epoch \(12 of 12 alike\)"
    with pytest.raises(StudyFailed, match=told):
        refuse_failed(study)
    with pytest.raises(
        NotFoundError, match=r"random: no trial is best: cost is undefined in its kept epoch \(12 of 12"
    ):
        _ = study.best_value
    assert ["cost is undefined in its kept epoch"] == list(study.trials_dataframe()["reason"].unique())
    with pytest.raises(NotFoundError, match="none of 12 trials can be chosen: cost is undefined in its kept epoch"):
        tracker.compare(project.config, project.here)
    assert {"cost is undefined in its kept epoch"} == {
        row["reason"] for row in leaderboard(project.paths.study_reports, None, "value")
    }


def test_what_waits_for_mlflow_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing when all was taken; else how many, why, and what to do."""
    say_delivered(Delivered(delivered=3, waiting=0, problem=None))
    assert "" == capsys.readouterr().err
    say_delivered(Delivered(delivered=0, waiting=2, problem="no answer"))
    assert "2 records wait for MLflow: no answer\nnothing is lost: `tracker sync` delivers later\n" == (
        capsys.readouterr().err
    )
    say_delivered(Delivered(delivered=0, waiting=0, problem="no answer"))
    assert (
        "nobody knows whether MLflow has every record: no answer\nnothing is lost: `tracker sync` compares again\n"
        == (capsys.readouterr().err)
    )


def test_a_sync_is_summed_up_in_a_line() -> None:
    """How much went where; that nothing was missing, or nothing recorded; nothing where the reason is said elsewhere."""
    assert "1 record delivered to there" == sync_summary(Delivered(1, 0), "there")
    assert "3 records delivered to there" == sync_summary(Delivered(3, 2, "no answer"), "there")
    assert "nothing to deliver: there has every record" == sync_summary(Delivered(0, 0), "there")
    assert "" == sync_summary(Delivered(0, 2, "no answer"), "there")
    assert "" == sync_summary(Delivered(0, 0, "no answer"), "there")
    assert sync_summary(Delivered(0, 0, empty=True), "there").startswith("nothing is recorded here yet")
