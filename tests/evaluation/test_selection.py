"""split.selection: validation rows that only rank trials. The others stop training; no row does both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.studies.project import PARAMS, SmallProject, make_config, make_table
from tracker.confusion import count_confusion
from tracker.datasets.training_data import read_clusters, read_ranking
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_project import verify_pipeline
from tracker.deriving.judge_study import FreshProcesses
from tracker.errors import ConfigError, DataError
from tracker.evaluation.baselines import write_baselines
from tracker.evaluation.compare import compare
from tracker.evaluation.paired_trials import compare_trials
from tracker.execution.row_sets import arrays_of
from tracker.families.family import train
from tracker.metrics import scores
from tracker.reporting.facts import collect
from tracker.reporting.sure_words import chosen_on
from tracker.standalone.load import load_model

TEXT = PARAMS.replace("hyperparameters:", "split: {selection: 0.4}\nhyperparameters:", 1)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with rows that only rank, one finished study; never touched."""
    project = SmallProject.made(tmp_path_factory.mktemp("selection") / "project", make_table(300), TEXT)
    manual = {"sampler": "manual", "configurations": [{}]}
    return project.tuned(random={"sampler": "random", "trials": 4}, manual=manual)


@pytest.fixture
def project(tuned: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy for one test."""
    return tuned.copy(tmp_path / "project")


def test_rows_that_rank_are_a_part_of_validation(
    tuned: SmallProject, small_project: SmallProject, tmp_path: Path
) -> None:
    """The files of the splits are those without; a share of the validation rows ranks, whole groups at a time."""
    other = SmallProject.made(tmp_path / "other", make_table(300), PARAMS)
    for name in ("train", "validation"):
        pd.testing.assert_frame_equal(tuned.rows(name), other.rows(name))
    assert "selection" not in other.data.digests
    assert other.data.x_selection is None
    data, (ranking, _) = tuned.data, read_ranking(tuned.paths.splits)
    assert len(ranking) == len(data.y_selection) == len(tuned.rows()) - len(data.y_validation)
    assert 0.2 < len(ranking) / len(tuned.rows()) < 0.6
    table = make_table(300).assign(house=[f"h{row // 4}" for row in range(300)])
    text = TEXT.replace("{selection: 0.4}", "{selection: 0.4, method: group, group: house}")
    grouped = SmallProject.made(tmp_path / "grouped", table, text)
    chosen = set(read_ranking(grouped.paths.splits)[0]["who"])
    clusters, who = read_clusters(grouped.paths.splits, "validation"), list(grouped.rows()["who"])
    of_cluster = {cluster: {name in chosen for name, other in zip(who, clusters, strict=True) if other == cluster}
                  for cluster in clusters}  # fmt: skip
    assert [] == [held for held in of_cluster.values() if len(held) != 1]


def test_training_never_sees_rows_that_rank(tuned: SmallProject) -> None:
    """With other labels on them weights, curve and epoch stay; the metrics that rank are theirs, from the kept model."""
    spec, data = tuned.plan("manual").spec, tuned.data
    result = tuned.run(tuned.plan("manual")).trials[0]
    flipped = arrays_of(replace(data, y_selection=1 - data.y_selection))
    again, other = train(result.spec, arrays_of(data)).outcome, train(result.spec, flipped).outcome
    assert again == result.outcome
    assert (again.weights, again.history, again.best_epoch) == (other.weights, other.history, other.best_epoch)
    assert again.metrics["val_accuracy"] == pytest.approx(1 - other.metrics["val_accuracy"])
    model = load_model(tuned.paths.models / "manual")
    frame, _ = read_ranking(tuned.paths.splits)
    called = [model.labels.index(label) for label in model.predict(frame)["label"]]
    expected = scores(count_confusion(data.y_selection, np.array(called), 2), 1)
    assert {f"val_{name}": value for name, value in expected.items()}.items() <= again.metrics.items()
    kept = again.history[again.best_epoch - 1]
    assert kept["val_loss"] == min(row["val_loss"] for row in again.history)
    assert sum(map(sum, kept["confusion_matrix"])) == len(data.y_validation)
    assert "selection" in spec.data


def test_the_choice_rests_on_rows_that_rank_and_is_derived_again(project: SmallProject) -> None:
    """Ranking, interval, look, baselines and pairs use these rows; the page and final.json say which rows chose what."""
    paths, config = project.paths, project.config
    ranking = compare(paths, config.compare, clock=lambda: 0.0, studies=config.studies)
    final = ranking.test()
    rank, all_ = len(project.data.y_selection), len(project.rows())
    assert {"configuration": f"the other {rank} rows of validation", "epoch": f"{all_ - rank} rows of validation",
            "threshold": "none: it is fixed"} == final.chosen_on  # fmt: skip
    assert rank == write_baselines(paths, config)["validation_rows"]
    assert rank == compare_trials(config, ["random/0", "manual/0"], paths).rows
    assert "identical" == reproduce_final(paths).state
    with FreshProcesses() as processes:
        found = list(verify_pipeline(paths, config, list(config.studies), processes, 1, lambda *_: None))
    assert {"identical"} == {one.state for one in found}, [one for one in found if one.state != "identical"]
    told = chosen_on(collect(paths, config))
    assert told.startswith(
        f"The kept epoch was chosen on {all_ - rank} of the {all_} validation rows, the configuration"
    )
    assert json.loads((paths.reports / "final.json").read_bytes())["details"]["validation"]["rows"] == rank


def test_what_cannot_be_scored_so_is_refused() -> None:
    """Folds have rows of their own, code of the user's own is not opened twice; both are told at once."""
    folds = {"sampler": "random", "trials": 2, "cross_validation": {"folds": 3}}
    with pytest.raises(
        ConfigError, match=r"studies\.random: is scored on rows of its own, not on those of split\.selection"
    ):
        make_config(TEXT).with_("studies", {"random": folds})
    with pytest.raises(ConfigError, match=r"split\.selection: scores networks of mlp, cnn, rnn"):
        make_config(TEXT).with_("model", {"family": "build", "entry": "net:build"})


def test_a_class_without_rows_that_rank_is_told(tmp_path: Path) -> None:
    """Each class must be among the rows that rank and among those that stop."""
    with pytest.raises(DataError, match=r"is absent from the validation rows that rank; change split\.selection"):
        SmallProject.made(tmp_path / "few", make_table(30), TEXT.replace("0.4", "0.001"))
