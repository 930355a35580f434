"""The table of hyperparameters refuses what no network can use and keeps what has an effect."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.canonical import canonical_json
from tracker.families.family import open_family
from tracker.hyperparameters import AUGMENTATION, FAMILIES, active, numerics_of, with_neutral, without_neutral

MLP = FAMILIES["mlp"].knobs


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("units", 0, "expected at least 1, found 0"),
        ("units", 64.5, "expected a whole number, found 64.5"),
        ("units", True, "expected a number, found True"),
        ("units", [], "expected at least one number"),
        ("units", [8, 0], "expected at least 1, found 0"),
        ("units", math.inf, "expected a finite number, found inf"),
        ("units", "64", "expected a number, found '64'"),
        ("batch_size", [8], "expected a number, found [8]"),
        ("batch_size", 2**17, "expected at most 65536, found 131072"),
        ("learning_rate", 0, "expected more than 0, found 0"),
        ("learning_rate", 10**400, "expected at most 1000, found " + str(10**400)),
        ("weight_decay", math.nan, "expected a finite number, found nan"),
        ("dropout", 1, "expected less than 1, found 1"),
        ("momentum", None, "expected a number, found None"),
        ("batch_norm", "yes", "expected true or false, found 'yes'"),
        ("batch_norm", 1, "expected true or false, found 1"),
        (
            "optimizer",
            "SGD",
            "expected one of sgd, adam, adamw, rmsprop, adagrad, lion, found 'SGD'; did you mean sgd?",
        ),
        ("activation", ["relu"], "expected one of sigmoid, tanh, relu, leaky_relu, gelu, found ['relu']"),
        (
            "class_weights",
            "equal",
            "expected none, balanced or a weight for each class, such as {rare: 10}, found 'equal'",
        ),
        ("class_weights", {}, "expected none, balanced or a weight for each class, such as {rare: 10}, found {}"),
        ("class_weights", {"a": 0}, "a: expected more than 0, found 0"),
        (
            "class_weights",
            {True: 1},
            "expected names of classes, in quotes if they look like something else, found True",
        ),
    ],
)
def test_faults(name, value, fault):
    """A message says what was expected and what was found."""
    assert fault == MLP[name].fault(value)


@given(st.sampled_from(sorted(MLP)), st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_sound_values_have_a_type_and_a_canonical_form(name, value):
    """Whatever is not refused becomes the type of its name, once and for all, without signed zeros."""
    if MLP[name].fault(value) is None:
        typed = MLP[name].typed(value)
        assert {"int": int, "float": float, "bool": bool}.get(MLP[name].kind, str) is type(typed)
        assert typed == MLP[name].typed(typed) == value
        assert not canonical_json(typed).startswith(b"-0")


@pytest.mark.parametrize("name", sorted(MLP))
def test_defaults_are_sound_and_typed(name):
    """Every default passes its own check, and every name says what it means."""
    entry = MLP[name]
    assert entry.usual is not None
    assert entry.meaning
    for value in {entry.usual, entry.neutral} - {None}:
        assert None is entry.fault(value)
        assert canonical_json(value) == canonical_json(entry.typed(value))


def test_neutral_values_are_fixed_for_ever():
    """What identities leave out; a name that a later release adds has such a value too, or it would change all keys."""
    augmentation = {name: entry.neutral for name, entry in AUGMENTATION.items()}
    assert {
        **augmentation,
        "gradient_clip": 0.0,
        "label_smoothing": 0.0,
        "nesterov": False,
        "schedule": "constant",
        "schedule_factor": 0.1,
        "schedule_patience": 5,
        "warmup": 0.0,
        "weight_averaging": 0.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "batch_norm": False,
        "layer_norm": False,
        "weight_init": "default",
        "class_weights": "none",
    } == {name: entry.neutral for name, entry in MLP.items() if entry.neutral is not None}
    assert {"hidden_layers", "units", "activation", "optimizer", "learning_rate", "batch_size"} == {
        name for name, entry in MLP.items() if entry.neutral is None
    }


KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "optimizer": st.sampled_from(["sgd", "adam"]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "dropout": st.sampled_from([0.0, 0.5]),
        "batch_norm": st.booleans(),
        "weight_init": st.sampled_from(["default", "orthogonal"]),
        "units": st.sampled_from([64, [8, 16]]),
    },
)


@given(KNOBS)
def test_what_is_neutral_is_left_out_and_comes_back(params):
    """Nothing neutral is in an identity, nothing else is missing from it, and all of it can be read back."""
    whole = active("mlp", params)
    identity = without_neutral("mlp", whole)
    assert identity == {name: value for name, value in whole.items() if value != MLP[name].neutral}
    assert canonical_json(whole) == canonical_json(with_neutral("mlp", identity))


def test_names_of_the_users_own_are_never_neutral():
    """Nobody knows what they mean; a family that is not known here keeps all it has."""
    assert {"dropout": 0.0, "batch_norm": False} == without_neutral("function", {"dropout": 0.0, "batch_norm": False})
    assert {"dropout": 0.0} == without_neutral("later", {"dropout": 0.0}) == with_neutral("later", {"dropout": 0.0})


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_has_its_file(name):
    """The module that a row names holds a family, and its arithmetic has a version."""
    family = open_family(name)
    assert {"shape", "start", "require", "lanes_agree"} <= set(dir(family))
    assert FAMILIES[name].numerics >= 1


def test_momentum_belongs_to_sgd():
    """Without sgd momentum has no effect, so it is not in the parameters, nor in the key."""
    assert 0.9 == active("mlp", {"optimizer": "sgd", "momentum": 0.9})["momentum"]
    assert active("mlp", {"optimizer": "adam"}) == active("mlp", {"optimizer": "adam", "momentum": 0.9})


def test_active_fills_in_defaults():
    """Every name that has an effect has a value, but for what came later and is neutral."""
    later = {name for name, entry in MLP.items() if entry.since is not None}
    assert {"class_weights", "schedule", "nesterov"} <= later
    assert set(MLP) - {"momentum"} - later == set(active("mlp", {}))
    assert set(MLP) - later == set(active("mlp", {"optimizer": "sgd"}))


def test_equal_networks_have_equal_parameters():
    """However a number is written; one width stays one width."""
    written = {"units": 64.0, "dropout": 0, "learning_rate": 1, "weight_decay": -0.0}
    meant = {"units": 64, "dropout": 0.0, "learning_rate": 1.0, "weight_decay": 0.0}
    assert canonical_json(active("mlp", meant)) == canonical_json(active("mlp", written))
    assert [64, 32] == active("mlp", {"units": [64.0, 32]})["units"]


@given(
    st.fixed_dictionaries({}, optional={"momentum": st.floats(0, 0.99), "optimizer": st.sampled_from(["sgd", "adam"])})
)
def test_active_changes_nothing_twice(params):
    """The parameters of the parameters are the parameters."""
    assert active("mlp", params) == active("mlp", active("mlp", params))


@pytest.mark.parametrize("family", ["mlp", "build"])
def test_class_weights_that_are_not_wanted_are_not_said(family):
    """They are in no parameters, as before there were any; wanted ones are, classes as texts, weights as floats."""
    assert "class_weights" not in active(family, {"class_weights": "none"})
    assert "class_weights" not in with_neutral(family, without_neutral(family, active(family, {})))
    for wanted, told in (("balanced", "balanced"), ({1: 2, "b": 3.5}, {"1": 2.0, "b": 3.5})):
        params = active(family, {"class_weights": wanted})
        assert told == params["class_weights"] == without_neutral(family, params)["class_weights"]
        assert params == with_neutral(family, without_neutral(family, params))


def test_a_knob_that_came_later_raises_the_version_where_it_is_used():
    """A `build` of the first release may have had a hyperparameter of that name: its key is no key of class weights."""
    assert [1, 1, 2] == [
        numerics_of("build", params) for params in ({}, {"class_weights": "none"}, {"class_weights": "balanced"})
    ]
    assert FAMILIES["mlp"].numerics == numerics_of("mlp", {"class_weights": "balanced"})
    assert FAMILIES["function"].numerics == numerics_of("function", {"class_weights": "balanced"})
