"""The exported Optuna study shows what the trials hold, once."""

import math

import optuna
import pytest

from tracker.errors import InputError
from tracker.records import Proposal, Trial, TrialOutcome, TrialSpec
from tracker.search.export import to_optuna
from tracker.search.samplers import open_sampler
from tracker.search.space import assemble, space_from

SPACE = {
    "hidden_layers": {"low": 1, "high": 2},
    "units": {"choices": [8, 16], "per": "hidden_layers"},
    "optimizer": ["sgd", "adam"],
    "momentum": {"low": 0.5, "high": 0.9},
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
}


def make_trials(spec, count):
    space = space_from(spec.space, spec.fixed, spec.family)
    searched = open_sampler(spec).propose(0, count, 0)
    return [make_trial(spec, space, number, values) for number, values in enumerate(searched)]


def make_trial(spec, space, number, searched):
    """Every third trial fails after one epoch."""
    trial = TrialSpec("mlp", assemble(space, searched), {}, 1000 + number, {}, "environment", 1)
    failed = number % 3 == 2
    curve = [0.5, None, 0.6 + number / 100][: 1 if failed else 3]
    outcome = TrialOutcome(
        key=trial.key,
        state="failed" if failed else "complete",
        epochs=len(curve),
        best_epoch=None if failed else 3,
        metrics={} if failed else {"val_f1": curve[-1]},
        history=tuple({"epoch": index + 1, "val_f1": value} for index, value in enumerate(curve)),
        weights=None,
        predictions=None,
    )
    return Trial.of(spec, Proposal(number, 0, searched, (trial,)), [outcome])


@pytest.fixture
def spec(make_spec):
    """A random study."""
    return make_spec("random", SPACE)


@pytest.mark.parametrize("stored", [False, True])
def test_export_shows_every_trial(spec, stored, tmp_path):
    """Parameters, values, states, seeds, keys and curves are those of the trials; in memory and in SQLite."""
    trials = make_trials(spec, 6)
    study = to_optuna(spec, trials[::-1], "maximize", f"sqlite:///{tmp_path}/optuna.db" if stored else None)
    assert [dict(trial.proposal.searched) for trial in trials] == [shown.params for shown in study.trials]
    assert [trial.value for trial in trials] == [shown.value for shown in study.trials]
    assert ["COMPLETE", "COMPLETE", "FAIL"] * 2 == [shown.state.name for shown in study.trials]
    assert [{"number": trial.number, "key": trial.spec.key, "seed": trial.spec.seed} for trial in trials] == [
        shown.user_attrs for shown in study.trials
    ]
    assert {1: 0.5, 3: 0.6} == study.trials[0].intermediate_values
    assert (4, "MAXIMIZE", ["val_f1"]) == (study.best_trial.number, study.direction.name, study.metric_names)


def test_a_second_export_adds_what_is_missing(spec, tmp_path):
    """The same storage never holds a trial twice, and other studies in it stay."""
    storage = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(study_name="study", storage=storage)
    trials = make_trials(spec, 6)
    to_optuna(spec, trials[:4], "maximize", storage)
    assert list(range(6)) == [shown.number for shown in to_optuna(spec, trials, "maximize", storage).trials]
    assert 6 == len(to_optuna(spec, trials, "maximize", storage).trials)
    assert {"study", f"study-{spec.key[:12]}"} == set(optuna.get_all_study_names(storage))


def test_manual_and_grid_studies_export_too(make_spec):
    """Configurations span the ranges that the figures show."""
    configurations = [{}, {"dropout": 0.5}, {"dropout": 0, "batch_norm": True}, {"hidden_layers": 2, "units": [8, 16]}]
    manual = make_spec("manual", {}, configurations=configurations)
    shown = to_optuna(manual, make_trials(manual, 4), "maximize", None).trials
    assert [{}, {"dropout": 0.5}, {"dropout": 0, "batch_norm": True}] == [trial.params for trial in shown[:3]]
    assert {"hidden_layers": 2, "units_0": 8, "units_1": 16} == shown[3].params
    grid = make_spec("grid", {"dropout": {"low": 0.0, "high": 0.3, "step": 0.1}})
    assert [0.0, 0.1, 0.2, 0.3] == [
        trial.params["dropout"] for trial in to_optuna(grid, make_trials(grid, 4), "maximize", None).trials
    ]


def test_a_value_that_is_not_finite_shows_as_failed(spec):
    """A complete trial without objective value has nothing to rank by."""
    trial = make_trials(spec, 1)[0]
    without = Trial(trial.study, trial.proposal, trial.outcomes, (None,))
    assert "FAIL" == to_optuna(spec, [without], "maximize", None).trials[0].state.name
    assert not math.isnan(trial.value)


@pytest.mark.parametrize("storage", ["nonsense", "sqlite:////nowhere/at/all/optuna.db", "mysql://user@host/base"])
def test_a_storage_that_cannot_be_opened_is_the_users_to_mend(spec, storage):
    """No exception of Optuna or SQLAlchemy leaves the room."""
    with pytest.raises(InputError, match="Optuna cannot open this storage"):
        to_optuna(spec, [], "maximize", storage)
