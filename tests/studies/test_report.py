"""What a study leaves on disk: its report, its curve, its best model; equal studies leave equal bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.studies.project import SmallProject
from tests.studies.test_runner import WILD
from tracker.canonical import digest_arrays, digest_bytes, parse_canonical
from tracker.execution.processes import ProcessExecutor
from tracker.metrics import ASKED, CURVES
from tracker.records import Proposal, StudySpec, TrialOutcome, record_from
from tracker.standalone.load import load_model

REPORT = {"format", "study", "key", "digest", "environment", "sampler", "objective", "best", "trials"}
TOLD = [name for name in CURVES if name.removeprefix("val_") not in ASKED]  # of a study that asks for nothing more
TRIAL = {
    "number",
    "key",
    "state",
    "params",
    "seed",
    "value",
    "best_epoch",
    "epochs",
    "metrics",
    "weights",
}


@pytest.fixture
def told(fresh: SmallProject) -> tuple[SmallProject, dict]:
    """A project with a report of `random`, and that report."""
    fresh.report(fresh.run(fresh.plan("random")))
    return fresh, json.loads((fresh.paths.study_reports / "random.json").read_text())


def test_the_report_has_its_fixed_names(told: tuple[SmallProject, dict]) -> None:
    """Tools rely on these names; more may come, none may go."""
    report = told[1]
    assert REPORT <= set(report)
    assert {"best_value", "states"} == set(report) - REPORT
    for trial in report["trials"]:
        assert TRIAL <= set(trial)
        assert {"candidate", "configuration"} == set(trial) - TRIAL
        assert set(trial["metrics"]) == set(TOLD)


def test_the_report_says_what_the_study_found(told: tuple[SmallProject, dict]) -> None:
    """Name, sampler, objective, the best number, and the trials in order with key, params, seed and weights."""
    project, report = told
    result = project.run(project.plan("random"))
    assert ("random", "random", result.spec.key, result.digest) == tuple(
        report[name] for name in ("study", "sampler", "key", "digest")
    )
    assert {"metric": "val_f1", "direction": "maximize"} == report["objective"]
    assert (result.best.number, result.best.value) == (report["best"], report["best_value"])
    assert {"complete": 6, "failed": 0} == report["states"]
    for trial, row in zip(result.trials, report["trials"], strict=True):
        outcome = trial.outcome
        assert (trial.number, trial.spec.key, trial.spec.seed) == (row["number"], row["key"], row["seed"])
        assert (outcome.weights, outcome.metrics, outcome.epochs) == (row["weights"], row["metrics"], row["epochs"])
        assert trial.value == row["value"] == row["metrics"]["val_f1"]
        assert dict(trial.spec.params) == row["params"]


def test_failed_trials_are_listed_with_their_reason(fresh: SmallProject) -> None:
    """A failed trial has no value, no weights, and says why."""
    fresh.report(fresh.run(fresh.plan("tpe", **WILD)))
    report = json.loads((fresh.paths.study_reports / "tpe.json").read_text())
    failed = [row for row in report["trials"] if row["state"] == "failed"]
    assert report["states"]["failed"] == len(failed) > 0
    for row in failed:
        assert (None, None, {}) == (row["value"], row["weights"], row["metrics"])
        assert "diverged" in row["reason"]


def test_equal_studies_leave_equal_bytes(fresh: SmallProject, small_project: SmallProject, tmp_path: Path) -> None:
    """Two fresh runs, with one worker and with two, write the same files, byte for byte; a replay as well."""
    other = small_project.copy(tmp_path / "other")
    for name in ("manual", "random"):
        fresh.report(fresh.run(fresh.plan(name)))
        other.report(other.run(other.plan(name), executor=ProcessExecutor(other.data, 2)))
    first = fresh.written()
    assert first == other.written()
    fresh.report(fresh.run(fresh.plan("random")))
    assert first == fresh.written()
    assert {
        "models/random/model.json",
        "models/random/trials.jsonl",
        "models/random/weights.safetensors",
        "reports/curves/random.csv",
        "reports/studies/random.json",
    } == {name for name in first if "random" in name}


def test_nothing_of_the_moment_is_in_the_files(told: tuple[SmallProject, dict]) -> None:
    """No path, no host, no user, no time."""
    project = told[0]
    text = b"".join(content for name, content in project.written().items() if not name.endswith("safetensors"))
    for word in (str(project.paths.root), str(Path.home()), "started", "ended", "host", "tests"):
        assert word.encode() not in text


def test_the_best_model_predicts_what_the_trial_recorded(told: tuple[SmallProject, dict]) -> None:
    """models/NAME opens without the rest of the project and gives the recorded predictions from raw rows, bit for bit."""
    project = told[0]
    best = project.run(project.plan("random")).best
    model = load_model(project.paths.models / "random")
    probabilities = model.predict_proba(project.rows("validation"))
    assert best.outcome.predictions == digest_arrays({"probabilities": probabilities})
    assert best.outcome.weights == model.description["weights"]
    weights = (project.paths.models / "random" / "weights.safetensors").read_bytes()
    assert best.outcome.weights == digest_bytes(weights)


def test_every_exact_record_travels_with_the_model(told: tuple[SmallProject, dict]) -> None:
    """trials.jsonl holds the study and each trial so exactly that their keys and digests follow from it again."""
    project, report = told
    lines = (project.paths.models / "random" / "trials.jsonl").read_text().splitlines()
    study, *trials = [parse_canonical(line) for line in lines]
    assert report["key"] == record_from(StudySpec, study["study"]).key
    outcomes = {row.number: row.outcome for row in project.run(project.plan("random")).trials}
    for line, row in zip(trials, report["trials"], strict=True):
        assert row["key"] == record_from(Proposal, line["proposal"]).spec.key
        assert outcomes[row["number"]].digest == record_from(TrialOutcome, line["outcomes"][0]).digest


def test_the_curve_is_the_best_trials(told: tuple[SmallProject, dict]) -> None:
    """reports/curves/NAME.csv has a row per epoch of the best trial, with floats that read back exactly."""
    project, report = told
    header, *rows = (project.paths.reports / "curves" / "random.csv").read_text().splitlines()
    assert ["epoch", *TOLD] == header.split(",")
    history = project.run(project.plan("random")).trials[report["best"]].outcome.history
    assert [entry["val_loss"] for entry in history] == [float(row.split(",")[2]) for row in rows]


def test_a_study_without_a_best_leaves_a_folder_all_the_same(fresh: SmallProject) -> None:
    """DVC expects the output: no model in it, but the records, and no model of an earlier study."""
    fresh.report(fresh.run(fresh.plan("random")))
    wild = {**WILD, "search_space": {"learning_rate": [1000.0], "dropout": {"low": 0.0, "high": 0.5}}}
    fresh.report(fresh.run(fresh.plan("random", **wild)))
    report = json.loads((fresh.paths.study_reports / "random.json").read_text())
    assert (None, None) == (report["best"], report["best_value"])
    assert ["trials.jsonl"] == [path.name for path in (fresh.paths.models / "random").iterdir()]
    assert "epoch,train_loss,val_loss\n" == (fresh.paths.reports / "curves" / "random.csv").read_text()


def test_what_models_need_to_read_raw_rows(small_project: SmallProject) -> None:
    """Labels, feature columns and a raw example; neither the id nor the target."""
    serving = small_project.serving()
    assert (["ham", "spam"], "spam") == (serving["labels"], serving["positive"])
    assert [*"abcd", "city"] == [column["name"] for column in serving["columns"]]
    rows = small_project.rows("train").head(2)
    assert [*"abcd", "city"] == list(serving["example"][0])
    np.testing.assert_equal([row["a"] for row in serving["example"]], rows["a"].to_list())
