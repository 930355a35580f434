"""What makes a study the same study, and a trial the same trial."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.studies.project import ENVIRONMENT, SmallProject, make_config
from tracker.errors import ConfigError, NotFoundError, SpaceError
from tracker.search.samplers import open_sampler
from tracker.seeds import derive_seed
from tracker.studies.plan import Basis, StudyPlan, plan_studies, plan_study, propose_trial, refuse_labels

DATA = {"train": "t", "validation": "v", "schema": "s", "preprocessing": "p"}


def key(name: str = "tpe", **changes: Any) -> str:
    return plan_study(make_config(**changes), name, Basis(DATA, ENVIRONMENT)).spec.key


@pytest.mark.parametrize(
    "changes",
    [
        {"studies__tpe__trials": 96},
        {"compare__test_looks": 5},
        {"tracking__experiment": "other"},
        {"tracking__models": "none"},
        {"split__test": 0.3},
        {"data__drop": ["a"]},
        {"studies__other": {"sampler": "random", "trials": 3}},
        {"studies__tpe__generation": 4},
        {"hyperparameters__learning_rate": 0.5},
    ],
    ids=str,
)
def test_a_study_stays_the_same_study(changes: dict[str, Any]) -> None:
    """Not in the key: the number of trials, looks, tracking, other studies, fixed values that are searched.

    Split and table are in it as digests of the rows that came out, which are equal here.
    """
    assert key() == key(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8},
        {"search_space__dropout": {"low": 0.0, "high": 0.4}},
        {"studies__tpe__search_space": {"units": [8, 12]}},
        {"studies__tpe": {"sampler": "random", "trials": 16}},
        {"studies__tpe__generation": 8},
        {"hyperparameters__weight_decay": 0.1},
        {"training__epochs": 5},
        {"studies__tpe__training": {"epochs": 5}},
        {"training__early_stopping": None},
        {"objective": {"metric": "val_accuracy"}},
        {"objective": {"metric": "val_f1", "direction": "minimize"}},
    ],
    ids=str,
)
def test_what_decides_a_proposal_makes_another_study(changes: dict[str, Any]) -> None:
    """In the key: seed, space, sampler and its settings, fixed values, training, objective."""
    assert key() != key(**changes)


def test_data_and_environment_make_another_study() -> None:
    """In the key: the rows, the preprocessing, what computes."""
    config = make_config()
    keys = {plan_study(config, "tpe", Basis({**DATA, name: "other"}, ENVIRONMENT)).spec.key for name in DATA}
    keys |= {key(), plan_study(config, "tpe", Basis(DATA, "another environment")).spec.key}
    assert len(DATA) + 2 == len(keys)


def test_releases_that_propose_are_in_the_key() -> None:
    """Another Optuna is another study where Optuna proposes, and matters to no other sampler."""
    config = make_config()
    for name in ("random", "tpe"):
        spec = plan_study(config, name, Basis(DATA, ENVIRONMENT)).spec
        assert ["optuna"] == list(spec.versions)
        assert spec.key != replace(spec, versions={"optuna": "4.0.0"}).key
    for name in ("manual", "grid"):
        assert {} == plan_study(config, name, Basis(DATA, ENVIRONMENT)).spec.versions


def test_equal_configurations_in_other_words_are_one_study() -> None:
    """1 for 1.0, the long form for the short one, a list for choices: the same key."""
    plain = {"units": [8, 12], "learning_rate": [1.0, 2.0]}
    wordy = {"units": {"choices": [8, 12]}, "learning_rate": {"choices": [1, 2]}}
    assert key("grid", studies__grid__search_space=plain) == key("grid", studies__grid__search_space=wordy)
    listed = {"sampler": "manual", "configurations": [{"learning_rate": 1}]}
    same = {"sampler": "manual", "configurations": [{"learning_rate": 1.0}]}
    assert key("manual", studies__manual=listed) == key("manual", studies__manual=same)


def test_studies_of_one_configuration_differ() -> None:
    """Two studies with the same settings have seeds, and trials, of their own."""
    config = make_config(
        studies__twin={"sampler": "manual", "configurations": [{}, {"units": 12}, {"learning_rate": 1e-3}]}
    )
    one, two = (plan_study(config, name, Basis(DATA, ENVIRONMENT)).spec for name in ("manual", "twin"))
    assert one.key != two.key
    assert propose_trial(one, 0, 0, {}).spec.seed != propose_trial(two, 0, 0, {}).spec.seed


def test_a_trial_knows_nothing_of_its_study_but_the_seed() -> None:
    """Trials get the study's seed and their number as a seed, and every hyperparameter that has an effect."""
    spec = plan_study(make_config(), "manual", Basis(DATA, ENVIRONMENT)).spec
    proposal = propose_trial(spec, 5, 0, {"units": 12})
    assert (5, 0, {"units": 12}) == (proposal.number, proposal.generation, proposal.searched)
    assert derive_seed(spec.seed, "training", 5) == proposal.spec.seed
    assert {"units": 12, "hidden_layers": 1, "learning_rate": 0.01, "optimizer": "adamw"}.items() <= (
        proposal.spec.params.items()
    )
    assert "momentum" not in proposal.spec.params  # adamw has none
    assert (DATA, ENVIRONMENT) == (proposal.spec.data, proposal.spec.environment)


def test_the_sampler_counts_its_trials() -> None:
    """manual and grid have as many trials as configurations, random and tpe as many as asked for."""
    plans = plan_studies(make_config(), Basis(DATA, ENVIRONMENT))
    assert {"manual": 3, "grid": 4, "random": 6, "tpe": 16} == {name: plan.trials for name, plan in plans.items()}


def test_unknown_studies_and_all_faults_of_all_spaces() -> None:
    """A name that is not there lists those that are; spaces that cannot be searched are reported together."""
    with pytest.raises(NotFoundError, match="there are manual, grid, random, tpe"):
        plan_study(make_config(), "bayes", Basis(DATA, ENVIRONMENT))
    endless = {"sampler": "grid", "search_space": {"dropout": {"low": 0.0, "high": 0.5}}}
    config = make_config(studies__one=endless, studies__two=endless)
    with pytest.raises(SpaceError) as caught:
        plan_studies(config, Basis(DATA, ENVIRONMENT))
    assert ["studies.one", "studies.two"] == [fault.split(":")[0] for fault in caught.value.faults]


def test_the_plan_follows_the_splits(small_project: SmallProject) -> None:
    """The digests of the splits on disk are in every trial of the study."""
    spec = small_project.plan("random").spec
    assert small_project.data.digests == spec.data
    assert {"train", "validation", "schema", "preprocessing"} == set(spec.data)


def test_class_weights_are_searched_and_told_only_where_they_are_wanted() -> None:
    """As any choice: `none` gives the parameters, and the keys, of a trial without the entry; `balanced` gives others."""
    plan = plan_study(make_config(search_space__class_weights=["none", "balanced"]), "random", Basis(DATA, ENVIRONMENT))
    values = {"learning_rate": 0.01}
    plain, none, balanced = (
        propose_trial(plan.spec, 0, 0, {**searched_of(plan), **values, "class_weights": weights}).spec
        for weights in ("none", "none", "balanced")
    )
    assert plain == none
    assert "class_weights" not in none.params
    assert "balanced" == balanced.params["class_weights"]
    assert none.candidate != balanced.candidate


def searched_of(plan: StudyPlan) -> dict[str, Any]:
    """The values of the study's first trial."""
    return dict(open_sampler(plan.spec).propose(0, 1, 0)[0])


def test_classes_that_the_table_does_not_have_get_no_weight() -> None:
    """A name in `class_weights` that is no label is told, of fixed values and of configurations, each once."""
    config = make_config(
        hyperparameters__class_weights={"good": 1, "bda": 5},
        studies__manual={"sampler": "manual", "configurations": [{}, {"class_weights": {"worse": 2}}]},
    )
    plans = plan_studies(config, Basis(DATA, ENVIRONMENT)).values()
    with pytest.raises(ConfigError) as error:
        refuse_labels(plans, ["bad", "good"])
    assert (
        "class_weights: 'bda' is no class of the target; there are bad, good; did you mean bad?",
        "class_weights: 'worse' is no class of the target; there are bad, good",
    ) == error.value.faults
    refuse_labels(plans, ["bda", "good", "worse"])


def test_a_metric_that_is_1_for_every_model_decides_nothing() -> None:
    """The top 3 of three classes, as objective, behind it or as monitor; of four it decides, and as a column it may stand."""
    config = make_config(
        objective={"metric": "val_top_k_accuracy_3"},
        training__early_stopping={"monitor": "val_top_k_accuracy_4"},
        training__metrics=["top_k_accuracy_5"],
        studies={
            "random": {"sampler": "random", "trials": 2, "objectives": ["val_top_k_accuracy_3", "val_top_k_accuracy_2"]}
        },
    )
    plans = plan_studies(config, Basis(DATA, ENVIRONMENT)).values()
    told = "is 1 for every model of {} classes, so it decides nothing; take another metric"
    with pytest.raises(ConfigError) as error:
        refuse_labels(plans, ["a", "b"])
    assert [
        f"objective.metric: val_top_k_accuracy_3 {told.format(2)}",
        f"training.early_stopping.monitor: val_top_k_accuracy_4 {told.format(2)}",
        f"studies.random.objectives: val_top_k_accuracy_2 {told.format(2)}",
    ] == list(error.value.faults)
    with pytest.raises(ConfigError, match="val_top_k_accuracy_3 is 1 for every model of 3 classes"):
        refuse_labels(plans, ["a", "b", "c"])
    refuse_labels(plans, ["a", "b", "c", "d", "e"])
