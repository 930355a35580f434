"""A study whose trials each divide train and validation anew: every promise of studies holds, and models know their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.studies.project import Shuffled, SmallProject
from tests.studies.test_runner import Forbidden
from tracker import api
from tracker.config import Config
from tracker.datasets.resampling import Resampling
from tracker.deriving.judge_study import FreshProcesses, verify_study
from tracker.errors import ConfigError, InputError
from tracker.evaluation.paired_trials import compare_trials
from tracker.execution.executor import InlineExecutor
from tracker.execution.row_sets import arrays_of
from tracker.families.family import train
from tracker.store.store import Store
from tracker.terminal.show import study_summary

STUDY: dict[str, Any] = {"sampler": "tpe", "trials": 8, "generation": 4, "reshuffle": "per_trial"}


def config_of(project: SmallProject, **changes: Any) -> Config:
    return project.config.with_("studies", {"own": {**STUDY, **changes}})


@pytest.fixture(scope="module")
def base(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project whose study is tuned, with its ranking and the look; only for tests that write nothing into it."""
    project = small_project.copy(tmp_path_factory.mktemp("reshuffled") / "project")
    here = api.Project(project.paths, "unused", 1, "ada")
    api.tune(config_of(project), "own", project=here, deliver=False)
    api.compare(config_of(project), here).test(anyway=True)
    return project


def test_each_trial_has_rows_of_its_own_and_a_model_that_knows_them(base: SmallProject) -> None:
    """Shares stay; preprocessing is fitted on the trial's own rows, in training, in the store and in the model's folder."""
    rows, found = Resampling.of(base.data), base.run(base.plan("own", studies={"own": STUDY}))
    sizes, scored = (len(base.rows("train")), len(base.rows())), []
    for trial in found.trials:
        [run], [outcome] = trial.proposal.runs, trial.outcomes
        own, left = rows.frames(run.data["rows"])
        assert {*own["who"], *left["who"]} == {*rows.frame["who"]}  # all of train and validation, none of test
        assert np.allclose(sizes, (len(own), len(left)), atol=2)  # each class is cut where it falls
        scored.append(frozenset(left["who"]))
        data = rows.load(run.data["rows"])
        assert outcome == train(run, arrays_of(data)).outcome
        with Store.open(base.paths.store) as store:
            assert data.preprocessing == store.serving(run.data)["preprocessing"]
    assert len(found.trials) == len(set(scored))
    assert found.best is not None
    model = api.load_model(base.paths.models / "own")
    assert rows.load(found.best.spec.data["rows"]).preprocessing == model.description["preprocessing"]


def test_order_and_length_do_not_matter(base: SmallProject, tmp_path: Any) -> None:
    """Trial by trial and shuffled, or from four trials to eight, the study is the same; it is not trained again."""
    plan = base.plan("own", studies={"own": STUDY})
    truth = base.run(plan, executor=Forbidden(base.data))
    assert truth.digest == base.run(plan, tmp_path / "a", Shuffled(InlineExecutor(base.data, most_lanes=1), 3)).digest
    base.run(base.plan("own", studies={"own": {**STUDY, "trials": 4}}), tmp_path / "b")
    assert truth.digest == base.run(plan, tmp_path / "b").digest


def test_configurations_are_told_apart_by_values_and_not_by_rows(base: SmallProject, tmp_path: Any) -> None:
    """Five trials of two configurations on rows of their own are two configurations."""
    study = {"sampler": "random", "trials": 5, "reshuffle": "per_trial", "search_space": {"units": [4, 8]}}
    found = base.run(base.plan("few", studies={"few": study}), tmp_path)
    assert study_summary(base.study(found)).startswith("few: 5 trials, 2 distinct configurations, ")


def test_ranking_result_and_verification_know_the_rows(base: SmallProject) -> None:
    """The result says which rows chose; two trials are not compared on rows that one has seen; all is derived again."""
    ranking = api.compare(config_of(base), api.Project(base.paths, "unused", 1, "ada"))
    assert ["a part of train and validation that is another one for each trial"] == [*ranking.scored_on]
    assert ranking.interval is not None  # over the rows that its first was scored on
    with pytest.raises(InputError, match="own/0 was scored on other rows"):
        compare_trials(config_of(base), ["own/0", "own/1"], base.paths)
    with FreshProcesses() as processes:
        assert "identical" == verify_study("own", base.paths, processes, sample=2).state


def test_what_cannot_be_reshuffled_is_refused(small_project: SmallProject) -> None:
    """Folds are shared by all trials, repeats share their rows, and time has one order."""
    for changes, words in (
        ({"cross_validation": {"folds": 3}}, "all trials share the folds"),
        ({"repeats": 2}, "each trial has one split"),
    ):
        with pytest.raises(ConfigError, match=words):
            config_of(small_project, **changes)
    config = config_of(small_project)
    time = {"method": "time", "column": "day", "validation_from": "2024-01-01", "test_from": "2024-02-01"}
    with pytest.raises(ConfigError, match=r"studies\.own\.reshuffle: with split\.method time"):
        config.with_("split", time)
