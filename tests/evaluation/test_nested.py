"""Nested cross-validation: a study per outer fold, scored on rows that chose nothing; kept, resumed and derived again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from tests.studies.project import SmallProject
from tracker.cli import app
from tracker.config import Config
from tracker.datasets.resampling import Resampling, held_out
from tracker.deriving.find_study import find_study
from tracker.deriving.judge_nested import outer_studies, verify_nested
from tracker.deriving.judge_project import verify_named, verify_pipeline
from tracker.deriving.judge_study import FreshProcesses, verify_study
from tracker.errors import ConfigError, DataError, NotFoundError
from tracker.evaluation.compare import compare
from tracker.evaluation.nested import Nested, nested, report_path
from tracker.fields import check_foreign
from tracker.reporting.facts import collect
from tracker.reporting.nested_words import nested as nested_words
from tracker.reporting.page import render_html, render_markdown
from tracker.store.mending import examine_store
from tracker.store.store import Store
from tracker.terminal.verdicts import verdict_lines
from tracker.tracking.project_files import ProjectFiles, data_params

PARAMS_TRAINING = {"early_stopping": {"monitor": "val_loss", "patience": 2}}
STUDY: dict[str, Any] = {"sampler": "random", "trials": 4}
PARTS: dict[str, Any] = {
    "plain": STUDY,
    "folds": {**STUDY, "trials": 2, "cross_validation": {"folds": 3}},
    "own": {**STUDY, "trials": 2, "reshuffle": "per_trial"},
}


def config_of(project: SmallProject) -> Config:
    return project.config.with_("studies", PARTS)


def score(project: SmallProject, name: str = "plain", outer: int = 3, **options: Any) -> Nested:
    return nested(config_of(project), name, outer, project.paths, lambda *_: None, **options)


@pytest.fixture(scope="module")
def base(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with the nested score of a study; only for tests that change nothing of it."""
    project = small_project.copy(tmp_path_factory.mktemp("nested") / "project")
    score(project)
    return project


def test_a_fold_is_scored_by_what_was_chosen_without_it(base: SmallProject) -> None:
    """Each row is held out once, no run of the study has it, and the score is scikit-learn's of the chosen model."""
    told = json.loads(report_path(base.paths, "plain").read_text())
    rows, scores, seen = Resampling.of(base.data), [], list[str]()
    for fold in told["folds"]:
        with Store.open(base.paths.store) as store:
            trials = [store.trial(fold["key"], number) for number in range(4)]
            weights = store.weights(fold["weights"])
        values = [trial.outcomes[0].metrics["val_f1"] for trial in trials]
        assert max(values) == fold["value"] == values[fold["trial"]]
        chosen = trials[fold["trial"]].proposal.spec
        out = held_out([base.rows("train"), base.rows()], rows.schema, chosen.data["rows"])
        for trial in trials:
            assert not {*out["who"]} & {
                who for frame in rows.frames(trial.proposal.spec.data["rows"]) for who in frame["who"]
            }
        verdict = opened(base, chosen, trials[fold["trial"]].outcomes[0], weights)
        called = verdict.predict(out)["label"]
        scores.append(f1_score(out["kind"], called, pos_label=base.data.positive))
        assert np.isclose(scores[-1], fold["scores"]["f1"])
        assert len(out) == fold["rows"]
        seen += [*out["who"]]
    assert sorted(rows.frame["who"]) == sorted(seen)
    assert np.isclose(np.mean(scores), told["mean"])
    assert told["interval"][0] < told["mean"] < told["interval"][1]


def test_mlflow_is_told_the_rows_of_a_fold_alone(base: SmallProject) -> None:
    """Rows and classes are those that its trials train on and are scored on, under a name of its own."""
    rows, files = Resampling.of(base.data), ProjectFiles("table.csv", base.paths.splits, base.paths.reports)
    with Store.open(base.paths.store) as store:
        [(_, spec)] = store.studies("nested.plain.2of3")
    told = files.seen(spec.data)
    frames = rows.frames(spec.data["rows"])
    assert [len(frame) for frame in frames] == [part.profile["rows"] for part in told]
    assert len(rows.frame) > sum(map(len, frames))
    target = rows.schema["target"]
    assert [dict(frame[target].value_counts()) for frame in frames] == [part.profile["classes"] for part in told]
    assert {"table.csv, without fold 2 of 3"} == {part.name for part in told}
    assert str(len(frames[0])) == data_params(told)["training_rows"]


def opened(project: SmallProject, spec: Any, outcome: Any, weights: bytes) -> Any:
    """The model of a run, written and opened by hand."""
    from tracker.standalone.load import load_model
    from tracker.store.model_folder import describe_model, write_model
    from tracker.studies.report import serving_of

    folder = project.paths.root / "by_hand" / spec.key
    write_model(folder, describe_model(spec, outcome, serving_of(spec.data, project.data), None), weights)
    return load_model(folder)


def test_it_is_resumed_and_derived_again(base: SmallProject, tmp_path: Path) -> None:
    """What is kept is not trained again and gives the same bytes; a fresh store gives them too; a study is verified."""
    report = report_path(base.paths, "plain")
    before = report.read_bytes()
    heard: list[Any] = []
    score(base, on_progress=heard.append)
    assert before == report.read_bytes()
    assert [] == heard  # nothing ran
    other = base.copy(tmp_path / "other")
    for part in sorted((other.paths.store).rglob("*"), reverse=True):
        part.unlink() if part.is_file() else part.rmdir()
    score(other)
    assert before == report_path(other.paths, "plain").read_bytes()
    with FreshProcesses() as processes:
        assert "identical" == verify_study("nested.plain.2of3", base.paths, processes, sample=1).state


def test_the_page_tells_it(base: SmallProject, tmp_path: Path) -> None:
    """Score, promise and the choice of each fold; and whether they are of the study as it is recorded now."""
    project = base.copy(tmp_path / "page")
    project.config = project.config.with_("studies", {"plain": STUDY})
    told = json.loads(report_path(project.paths, "plain").read_text())
    for epochs, is_present in ((4, True), (3, False)):
        config = project.config.with_("training.epochs", epochs)
        project.report(project.run(project.plan("plain", training={**PARAMS_TRAINING, "epochs": epochs})))
        compare(project.paths, config.compare, clock=lambda: 0.0, studies=["plain"])
        facts = collect(project.paths, config)
        [shown] = nested_words(facts)
        low, high = told["interval"]
        first = f"plain, nested over 3 outer folds: f1 {told['mean']:.3f} (95 %: {low:.3f} to {high:.3f})"
        assert shown["words"].startswith(f"{first}, on rows that chose nothing. Inside, the rows that chose promised")
        assert is_present != ("That was another study than plain as it is now" in shown["words"])
        assert [f"{fold['scores']['f1']:.3f}" for fold in told["folds"]] == [row[1] for row in shown["body"]]
        assert [f"nested.plain.{fold}of3/" in row[3] for fold, row in enumerate(shown["body"], 1)] == [True] * 3
    assert shown["words"] in render_html(facts)
    assert shown["words"] in render_markdown(facts)


def test_a_report_that_was_altered_is_found(base: SmallProject, tmp_path: Path) -> None:
    """Scored again from the recorded studies; another score, and a report that is none, are told."""
    project, config = base.copy(tmp_path / "project"), config_of(base)
    assert [f"nested.plain.{fold}of3" for fold in (1, 2, 3)] == outer_studies(project.paths)
    [found] = verify_nested(project.paths, config, [])
    assert ["nested.plain: identical (3 outer folds scored again)"] == verdict_lines(found)
    [found] = verify_nested(project.paths, config, ["nested.plain.2of3"])
    assert ("cannot", "it rests on nested.plain.2of3, see above") == (found.state, found.causes[0].words)
    report = report_path(project.paths, "plain")
    told = json.loads(report.read_text())
    report.write_text(json.dumps({**told, "mean": 0.99}))
    [found] = verify_nested(project.paths, config, [])
    assert "differs" == found.state
    assert found.first_difference.words.startswith("reports/nested/plain.json: mean is 0.99 there")
    report.write_text("[]")
    [found] = verify_nested(project.paths, config, [])
    assert "cannot" == found.state


def test_a_project_that_was_nested_alone_is_shown_and_verified(
    base: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--all` asks for no study that never ran by itself and for no ranking; `nested.plain` is a name for both commands."""
    config = config_of(base)
    with FreshProcesses() as processes:
        everything = list(verify_pipeline(base.paths, config, ["plain"], processes, 1, lambda *_: None))
        named = list(verify_named(base.paths, config, ["nested.plain"], processes, 1, lambda *_: None))
    names = [*(f"nested.plain.{fold}of3" for fold in (1, 2, 3)), "nested.plain"]
    assert [(name, "identical") for name in names] == [(one.name, one.state) for one in everything]
    assert everything == named
    monkeypatch.chdir(base.paths.root)
    shown = CliRunner().invoke(app, ["show", "nested.plain"])
    assert (0, "nested: plain over 3 outer folds: f1") == (shown.exit_code, shown.stdout[:36])
    with pytest.raises(
        NotFoundError, match=r"no study plane in the store, nor models/plane/trials\.jsonl; (?!.*nested)"
    ):
        find_study("plane", base.paths)


def test_the_store_of_a_nested_study_is_sound(base: SmallProject) -> None:
    """`doctor` takes the studies of its folds as they are, and MLflow's records of them could be pulled."""
    assert not examine_store(base.paths.store).bad
    with Store.open(base.paths.store) as store:
        for fold in (1, 2, 3):
            [(_, spec)] = store.studies(f"nested.plain.{fold}of3")
            check_foreign(spec.name, spec.family, spec.sampler["name"])


def test_studies_of_folds_and_of_reshuffled_rows_are_nested_too(base: SmallProject, tmp_path: Path) -> None:
    """Their runs divide the rows outside of the outer fold; what was chosen is told line by line."""
    project = base.copy(tmp_path / "project")
    for name, own in (("folds", {"fold", "folds", "repeat"}), ("own", {"reshuffle"})):
        found = score(project, name, 2)
        with Store.open(project.paths.store) as store:
            runs = [run for proposal in store.proposals(found.content["folds"][0]["key"]) for run in proposal.runs]
        assert {"outer", "outers", "rule", *own} == {*runs[0].data["rows"]}
        lines = found.lines()
        assert lines[0].startswith(f"nested: {name} over 2 outer folds: f1 0.")
        assert f"nested.{name}.1of2/" in lines[2]


def test_another_metric_than_the_objective_is_said(base: SmallProject) -> None:
    """Where the objective is not computed on the fold, the line says what is told instead."""
    told = json.loads(report_path(base.paths, "plain").read_text())
    assert not any("is known while training alone" in line for line in Nested(told).lines())
    told["objective"]["metric"] = "val_gain"
    assert "val_gain is known while training alone; so f1 is told" in Nested(told).lines()[1]


def test_what_cannot_be_nested_is_refused(base: SmallProject) -> None:
    """A name that is no study, a refinement, rows in time, one fold."""
    with pytest.raises(NotFoundError, match=r"studies\.none"):
        score(base, "none")
    with pytest.raises(
        DataError, match=r"outer fold \d+ of 120 has \d rows? and none of class .*; take fewer folds: --outer"
    ):
        score(base, outer=120)
    with pytest.raises(ConfigError, match="expected 2 folds or more"):
        score(base, outer=1)
    config = config_of(base)
    fine = config.with_("refinements", {"fine": {"refine": "plain", "sampler": "random", "trials": 2}})
    with pytest.raises(ConfigError, match="nest the study that it refines"):
        nested(fine, "fine", 3, base.paths, lambda *_: None)
    time = {"method": "time", "column": "day", "validation_from": "2024-01-01", "test_from": "2024-02-01"}
    plain = config.with_("studies", {"plain": STUDY}).with_("split", time)
    with pytest.raises(ConfigError, match="forward in time"):
        nested(plain, "plain", 3, base.paths, lambda *_: None)


def test_the_command_says_the_score(base: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tracker nested plain --outer 3` prints the report's lines from what is kept."""
    import yaml

    monkeypatch.chdir(base.paths.root)
    told = config_of(base).model_dump(mode="json", exclude_unset=True)
    base.paths.params.write_text(yaml.safe_dump(told, sort_keys=False))  # the order of names is part of a space
    before = report_path(base.paths, "plain").read_bytes()
    monkeypatch.setattr("tracker.terminal.show.deliver_waiting", lambda _: None)
    found = CliRunner().invoke(app, ["nested", "plain", "--outer", "3", "--quiet"])
    assert 0 == found.exit_code, found.output
    found = CliRunner().invoke(app, ["nested", "plain", "--outer", "3"])
    assert found.output.startswith("nested: plain over 3 outer folds: f1 0.")
    assert before == report_path(base.paths, "plain").read_bytes()
