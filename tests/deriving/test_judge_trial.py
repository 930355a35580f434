"""Any recorded trial is derived again in a fresh process, and compared bit for bit."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.studies.loops import NETWORK, SMALL, LoopProject
from tests.studies.project import SmallProject, surroundings
from tracker.canonical import canonical_json
from tracker.deriving.compare_outcomes import first_difference
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_rows import Missing, find_rows
from tracker.deriving.find_trial import Recorded, find_recorded, parse_record, recorded_trial
from tracker.deriving.judge_target import reproduce_target
from tracker.deriving.judge_trial import judge, reproduce_record
from tracker.deriving.verdict import EXIT_CODES, Verdict, verdict_json
from tracker.errors import InputError, NotFoundError
from tracker.paths import Paths
from tracker.records import TrialSpec, record_from, record_json
from tracker.store.store import Store
from tracker.studies.result import StudyResult
from tracker.tracking.run_contents import trial_record

EPOCH = "val_loss"


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory) -> tuple[SmallProject, StudyResult]:
    """A project with a finished random study, whose reports are written; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("tuned") / "project")
    result = project.run(project.plan("random"))
    project.report(result)
    return project, result


@pytest.fixture(scope="module")
def fresh():
    """One process for all tests of this file: each trial is derived by itself in it."""
    with FreshProcess() as process:
        yield process


def again(project: SmallProject, recorded: Recorded, fresh: FreshProcess | None = None) -> Verdict:
    return reproduce_record(recorded, project.paths.root, project.paths.splits, fresh)


def test_every_trial_is_identical_in_a_process_of_its_own(tuned, fresh) -> None:
    """Trials that trained together come out of solo training in another process with every bit the same."""
    project, result = tuned
    for trial in reversed(result.trials):
        found = again(project, find_recorded(f"random/{trial.number}", project.paths), fresh)
        assert ("identical", None, ()) == (found.state, found.first_difference, found.causes)
        assert (trial.outcome.weights, trial.outcome.epochs) == (found.weights, found.epochs)
        assert 0 == found.exit_code


def test_a_trial_without_a_process_gets_one(tuned) -> None:
    """Without a process at hand one is started, and it is gone afterwards."""
    project, result = tuned
    assert "identical" == again(project, recorded_trial(result.trials[1], project.paths)).state


def test_a_record_json_is_enough(tuned, fresh, tmp_path: Path) -> None:
    """The artifact that lies in MLflow is derived again, wherever the file lies."""
    project, result = tuned
    with Store.open(project.paths.store) as store:
        content = trial_record(result.spec.key, store.trial(result.spec.key, 2))
    (tmp_path / "record.json").write_bytes(content)
    recorded = find_recorded(str(tmp_path / "record.json"), project.paths)
    assert (result.trials[2].spec, result.trials[2].outcome) == (recorded.spec, recorded.outcome)
    assert "identical" == again(project, recorded, fresh).state


def test_records_beside_the_model_are_enough(tuned, fresh, tmp_path: Path) -> None:
    """A clone that pulled reports and models, without a store, derives the same trial again."""
    project = tuned[0].copy(tmp_path / "clone")
    for file in project.paths.store.rglob("*"):
        if file.is_file():
            file.unlink()
    assert "identical" == again(project, find_recorded("random/3", project.paths), fresh).state


def test_the_first_difference_and_the_largest_are_told(tuned, fresh) -> None:
    """Another number in epoch 2 is found there, with the largest difference of any metric."""
    project, result = tuned
    recorded = recorded_trial(result.trials[0], project.paths)
    true = recorded.outcome.history
    history = [dict(entry) for entry in true]
    history[1]["val_loss"] += 2**-20
    history[2]["train_loss"] += 0.5
    altered = dataclasses.replace(recorded, outcome=dataclasses.replace(recorded.outcome, history=tuple(history)))
    found = again(project, altered, fresh)
    difference = found.first_difference
    assert ("differs", 10, 2, "val_loss") == (found.state, found.exit_code, difference.epoch, difference.metric)
    assert (history[1]["val_loss"], true[1]["val_loss"]) == (difference.recorded, difference.derived)
    assert history[2]["train_loss"] - true[2]["train_loss"] == difference.largest
    assert {"outcome.epoch 2.val_loss", "outcome.epoch 3.train_loss"} == {cause.name for cause in found.causes}


@pytest.mark.parametrize("name", ["state", "epochs", "best_epoch", "weights", "predictions", "labels", "reason"])
def test_everything_of_an_outcome_is_compared(tuned, name: str) -> None:
    """A difference of the whole trial is found as well, after those of epochs."""
    outcome = tuned[1].trials[0].outcome
    other = {"state": "failed", "epochs": 99, "best_epoch": 99, "reason": "why"}.get(name, "0" * 64)
    difference = first_difference(outcome, dataclasses.replace(outcome, **{name: other}))
    assert difference is not None
    assert (name, None, other) == (difference.metric, difference.epoch, difference.derived)
    assert first_difference(outcome, outcome) is None


def test_other_rows_cannot_be_derived_and_say_how_to_get_the_right_ones(tuned, tmp_path: Path) -> None:
    """Where the splits hold other rows than the record names, nothing is trained; both digests and a way are told."""
    project = tuned[0].copy(tmp_path / "other")
    recorded = find_recorded("random/0", project.paths)
    table = project.paths.root / "table.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:1], *lines[3:]]) + "\n")
    import pandas as pd

    project.divide(pd.read_csv(table))
    found = again(project, recorded)
    assert ("cannot", 11) == (found.state, found.exit_code)
    assert {cause.name for cause in found.causes} <= {"data.train", "data.validation", "data.schema"}
    assert any(cause.recorded == recorded.spec.data["train"] for cause in found.causes)
    assert "`tracker split`" in found.remedy


def test_missing_rows_cannot_be_derived(tuned, tmp_path: Path) -> None:
    """Without splits the verdict is `cannot` and the message names the folder."""
    project = tuned[0]
    rows = find_rows(project.specs()[0], project.paths.root, tmp_path / "none", {"commit": "abc"})
    assert isinstance(rows, Missing)
    assert "none" in rows.causes[0].words
    assert "`tracker split` writes data/splits again" == rows.remedy


def test_settings_come_from_the_record(tuned) -> None:
    """The record holds the preprocessing settings themselves, whatever params.yaml says now."""
    project = tuned[0]
    spec = project.specs()[0]
    for changes in ({}, {"numeric": {"impute": "mean", "scale": "robust"}, "categorical": {"impute": "missing"}}):
        settings = project.config.with_("preprocessing", changes).preprocessing
        told = dataclasses.replace(spec, data={**spec.data, "preprocessing": settings.model_dump(mode="json")})
        read = record_from(TrialSpec, json.loads(canonical_json(record_json(told))))
        rows = find_rows(read, project.paths.root, project.paths.splits, {})
        assert not isinstance(rows, Missing)
        assert settings == rows.preprocessing


@pytest.mark.parametrize("settings", ["0" * 64, None, {"numeric": {"impute": "oracle"}}, {"images": {"crop": 3}}])
def test_settings_that_are_not_known_cannot_be_derived(tuned, settings) -> None:
    """Of a newer release, or altered: nothing is trained, and the entry is named."""
    project = tuned[0]
    spec = project.specs()[0]
    other = dataclasses.replace(spec, data={**spec.data, "preprocessing": settings})
    rows = find_rows(other, project.paths.root, project.paths.splits, {})
    assert isinstance(rows, Missing)
    assert ["data.preprocessing"] == [cause.name for cause in rows.causes]


def test_a_diverged_trial_diverges_again(fresh, tmp_path: Path, small_project: SmallProject) -> None:
    """A failed trial is derived as well: the same epochs, the same reason."""
    project = small_project.copy(tmp_path / "wild")
    wild = {"studies__random__search_space": {"learning_rate": [1000.0]}}
    wild |= {"hyperparameters": {"optimizer": "sgd", "weight_decay": 1000.0, "hidden_layers": 2, "activation": "relu"}}
    result = project.run(project.plan("random", studies__random__trials=1, **wild))
    assert "failed" == result.trials[0].outcome.state
    assert "identical" == again(project, recorded_trial(result.trials[0], project.paths), fresh).state


def test_names_that_mean_nothing_are_refused(tuned, tmp_path: Path) -> None:
    """A wrong target, an unknown study or number, a file that is no record: each is an error that says so."""
    paths = tuned[0].paths
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="STUDY/NUMBER"):
        find_recorded("random", paths)
    with pytest.raises(NotFoundError, match="no study nosuch"):
        find_recorded("nosuch/1", paths)
    with pytest.raises(NotFoundError, match="no trial 99"):
        find_recorded("random/99", paths)
    with pytest.raises(InputError, match="not the record of a trial"):
        find_recorded(str(tmp_path / "x.json"), paths)
    with pytest.raises(NotFoundError, match="cannot be read"):
        find_recorded(str(tmp_path / "gone.json"), paths)


def test_a_verdict_as_json(tuned, fresh) -> None:
    """`--format json` holds the verdict, the difference and the causes, and is JSON."""
    project, result = tuned
    recorded = recorded_trial(result.trials[0], project.paths)
    wrong = dataclasses.replace(recorded, outcome=dataclasses.replace(recorded.outcome, best_epoch=99))
    found = verdict_json(again(project, wrong, fresh))
    assert ("differs", "best_epoch", 99) == (
        found["state"],
        found["first_difference"]["metric"],
        found["first_difference"]["recorded"],
    )
    assert json.loads(canonical_json(found))
    assert {"identical": 0, "differs": 10, "cannot": 11, "equivalent": 12} == EXIT_CODES


def test_parse_record_names_the_trial(tuned, tmp_path: Path) -> None:
    """A record from MLflow is named by its study and its number; by the study's key where the store does not know it."""
    project, result = tuned
    with Store.open(project.paths.store) as store:
        content = trial_record(result.spec.key, store.trial(result.spec.key, 4))
    assert "random/4" == parse_record(content, "a run", project.paths).name
    assert f"{result.spec.key[:12]}/4" == parse_record(content, "a run", Paths.of(tmp_path, {})).name


def test_judge_needs_no_process(tuned, fresh) -> None:
    """A verdict follows from the record and what was derived, whoever derived it."""
    project, result = tuned
    recorded = recorded_trial(result.trials[5], project.paths)
    rows = find_rows(recorded.spec, project.paths.root, project.paths.splits, {})
    assert not isinstance(rows, Missing)
    assert "identical" == judge(recorded, fresh.derive(recorded.spec, rows)).state


def test_a_loop_of_the_users_own_is_derived_again(tmp_path: Path, fresh) -> None:
    """Its trials come out identical in another process; a changed byte of its code is named and stops the attempt."""
    project = LoopProject.with_loop(tmp_path / "own", NETWORK, nets__small=SMALL)
    result = project.run(project.plan("random", studies__random__trials=2), executor=project.executor())
    for trial in result.trials:
        assert "identical" == again(project, recorded_trial(trial, project.paths), fresh).state
    path = project.paths.root / "nets" / "small.py"
    path.write_text(path.read_text().replace("ReLU", "Tanh"))
    found = again(project, recorded_trial(result.trials[0], project.paths), fresh)
    assert ("cannot", ["code.nets/small.py"]) == (found.state, [cause.name for cause in found.causes])


def test_an_altered_report_of_the_trial_is_a_difference(tuned, fresh, tmp_path: Path) -> None:
    """The report is what `tracker show` and the ranking read: another value in it is found, with the way back."""
    project = tuned[0].copy(tmp_path / "altered")
    path = project.paths.study_reports / "random.json"
    report = json.loads(path.read_text())
    assert "identical" == reproduce_target("random/2", project.paths, "unused", fresh).state
    was, report["trials"][2]["metrics"]["val_f1"] = report["trials"][2]["metrics"]["val_f1"], 0.999
    path.write_text(json.dumps(report))
    found = reproduce_target("random/2", project.paths, "unused", fresh)
    difference = found.first_difference
    assert ("differs", "reports/studies/random.json, metrics.val_f1") == (found.state, difference.metric)
    assert (0.999, was) == (difference.recorded, difference.derived)
    assert "tracker tune random" in found.remedy
    assert "identical" == reproduce_target("random/1", project.paths, "unused", fresh).state


def test_a_number_beyond_the_last_trial_says_which_there_are(tuned) -> None:
    """Counted from 0, as everywhere."""
    with pytest.raises(NotFoundError, match=r"^random has no trial 99; it has 0 to \d+$"):
        find_recorded("random/99", tuned[0].paths)


def test_what_brings_back_what_is_missing(tuned, tmp_path: Path) -> None:
    """Damage is written again by the stage; other rows need what they were made of, as it was, committed or not."""
    project = tuned[0].copy(tmp_path / "damaged")
    spec = tuned[1].trials[0].spec
    path = project.paths.splits / "train.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    rows = find_rows(spec, project.paths.root, project.paths.splits, {"commit": "abc", "dirty": False})
    assert isinstance(rows, Missing)
    assert "`tracker split` writes data/splits again" == rows.remedy
    other = dataclasses.replace(spec, data={**spec.data, "train": "0" * 64})
    for provenance, words in (
        (
            {"commit": "abc", "dirty": False},
            "`git checkout abc -- params.yaml`, the raw table as it was then too, `tracker split`. `git",
        ),
        ({"commit": "abc", "dirty": True}, "`tracker split`; there were changes besides that were not committed"),
        ({}, "as they were when it was tuned; then `tracker split`"),
    ):
        rows = find_rows(other, project.paths.root, tuned[0].paths.splits, provenance)
        assert isinstance(rows, Missing)
        assert words in rows.remedy


def test_nobody_trains_on_when_the_command_was_killed(small_project: SmallProject, tmp_path: Path) -> None:
    """`kill -9` of the command: the process that derives a long trial ends too, and says nothing."""
    program = """
import sys
from pathlib import Path
from tests.studies.project import SmallProject, surroundings
from tracker.deriving.derive import FreshProcess, Rows

project = SmallProject(Path(sys.argv[1]))
[spec, *_] = project.specs("manual", training={"epochs": 1_000_000, "early_stopping": None})
with FreshProcess() as fresh:
    print(fresh._start().pid, flush=True)
    fresh.derive(spec, Rows(project.paths.root, project.paths.splits, project.config.preprocessing))
"""
    (tmp_path / "command.py").write_text(program)
    arguments = [sys.executable, str(tmp_path / "command.py"), str(small_project.paths.root)]
    with subprocess.Popen(
        arguments, env=surroundings(tmp_path, {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        child = psutil.Process(int(command.stdout.readline()))
        while child.num_threads() < 2 or sum(child.cpu_times()[:2]) < 3:  # it trains
            time.sleep(0.05)
        command.kill()
        _, alive = psutil.wait_procs([child], timeout=10)
        assert [] == alive
        assert command.stderr is not None
        assert command.stderr.read() == ""
