"""What a declared search space becomes, and which spaces are refused with which words."""

import json

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.canonical import canonical_json, parse_canonical
from tracker.errors import SpaceError
from tracker.search.entries import Constant, Interval, Options
from tracker.search.optuna_border import suggest
from tracker.search.space import Space, assemble, space_from


def domains(space: Space) -> dict[str, object]:
    return {entry.name: entry.domain for entry in space.entries}


def first(space: Space) -> dict[str, object]:
    """The searched values where every name takes its lowest or first value."""
    return space.walk(
        lambda _, entry: entry.domain.low if isinstance(entry.domain, Interval) else entry.domain.listed()[0]
    )[0]


def refused(make_space, entries, fixed=None) -> tuple[str, ...]:
    with pytest.raises(SpaceError) as caught:
        make_space(entries, fixed)
    return caught.value.faults


def test_three_forms(make_space):
    """A list is a choice, low and high a range, a bare value is fixed; long and short forms mean the same."""
    short = make_space({"dropout": 0.1, "batch_size": [16, 32], "units": {"low": 8, "high": 64}})
    long = make_space({"dropout": {"value": 0.1}, "batch_size": {"choices": [16, 32]}, "units": {"low": 8, "high": 64}})
    assert short == long
    assert {
        "dropout": Constant(0.1),
        "batch_size": Options((16, 32)),
        "units": Interval(8, 64),
    } == domains(short)


def test_values_have_the_type_of_their_name(make_space):
    """A float name gets floats, however they are written; a whole-number name gets ints."""
    space = make_space({"learning_rate": {"low": 1, "high": 10}, "dropout": [0, 0.5], "units": [32.0, 64]})
    assert "[1.0, 10.0, [0.0, 0.5], [32, 64]]" == json.dumps(
        [
            domains(space)["learning_rate"].low,
            domains(space)["learning_rate"].high,
            domains(space)["dropout"].choices,
            domains(space)["units"].choices,
        ]
    )


def test_a_range_ends_on_a_step(make_space):
    """The upper end is the last value that steps reach, in decimal arithmetic."""
    space = make_space(
        {"dropout": {"low": 0.0, "high": 0.35, "step": 0.1}, "units": {"low": 10, "high": 64, "step": 10}}
    )
    assert {"dropout": Interval(0.0, 0.3, 0.1), "units": Interval(10, 60, 10)} == domains(space)
    assert [0.0, 0.1, 0.2, 0.3] == domains(space)["dropout"].listed()


@given(low=st.integers(1, 50), span=st.integers(0, 200), step=st.integers(1, 40))
def test_listed_values_are_the_allowed_ones(low, span, step):
    """A range lists exactly the values that it allows, and their number."""
    interval = Interval(low, low + span // step * step, step)
    assert list(range(low, low + span + 1, step)) == interval.listed()
    assert interval.size == len(interval.listed())
    assert interval.listed() == [value for value in range(low - 3, low + span + 3) if interval.allows(value)]


def test_parents_come_first_otherwise_declared_order(make_space):
    """A condition may be declared before the name it speaks of; all else stays as declared."""
    space = make_space(
        {
            "dropout": [0.1, 0.2],
            "momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": "sgd"}},
            "batch_size": [16],
            "optimizer": ["sgd", "adam"],
        }
    )
    assert ["dropout", "optimizer", "momentum", "batch_size"] == [entry.name for entry in space.entries]


def test_conditions_decide_what_is_searched(make_space):
    """A conditional name is searched only where its condition holds, one value or a list of them."""
    space = make_space(
        {
            "activation": ["relu", "tanh", "gelu"],
            "dropout": {"low": 0.1, "high": 0.5, "when": {"activation": ["relu", "gelu"]}},
        },
        {"dropout": 0.0},
    )
    seen = {
        activation: space.walk(lambda name, _, chosen=activation: chosen if name == "activation" else 0.3)[0]
        for activation in ("relu", "tanh", "gelu")
    }
    assert ["activation", "dropout"] == list(seen["relu"]) == list(seen["gelu"])
    assert ["activation"] == list(seen["tanh"])
    assert 0.0 == assemble(space, seen["tanh"])["dropout"]


def test_conditions_nest(make_space):
    """A name that is not searched does not meet a condition on it; its fixed value may."""
    space = make_space(
        {
            "dropout": {"choices": [0.1], "when": {"momentum": 0.9}},
            "momentum": [0.5, 0.9],
            "optimizer": ["sgd", "adam"],
        }
    )
    assert ["optimizer", "momentum", "dropout"] == [entry.name for entry in space.entries]
    picks = {"optimizer": "sgd", "momentum": 0.9, "dropout": 0.1}
    assert picks == space.walk(lambda name, _: picks[name])[0]
    assert {"optimizer": "adam"} == space.walk(lambda name, _: {**picks, "optimizer": "adam"}[name])[0]


def test_momentum_needs_no_condition_of_its_own(make_space):
    """The table ties momentum to sgd, so a space without `when` is the same space."""
    entries = {"optimizer": ["sgd", "adam"], "momentum": [0.5, 0.9]}
    tied = {"optimizer": ["sgd", "adam"], "momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "sgd"}}}
    assert make_space(tied) == make_space(entries)


def test_one_value_per_layer(make_space):
    """`per` searches one value per layer and the trial gets them as a list; without layers it has the fixed width."""
    space = make_space(
        {"units": {"low": 16, "high": 64, "step": 16, "per": "hidden_layers"}, "hidden_layers": {"low": 0, "high": 3}}
    )
    picks = {"hidden_layers": 3, "units_0": 16, "units_1": 48, "units_2": 64}
    assert picks == space.walk(lambda name, _: picks[name])[0]
    assert [16, 48, 64] == assemble(space, picks)["units"]
    assert {"hidden_layers": 0} == first(space)
    assert 64 == assemble(space, {"hidden_layers": 0})["units"]


def test_per_layer_over_a_fixed_depth(make_space):
    """The number of layers may be fixed."""
    space = make_space({"units": {"choices": [8, 16], "per": "hidden_layers"}}, {"hidden_layers": 2})
    assert {"units_0": 8, "units_1": 8} == first(space)


def test_a_fixed_entry_with_a_condition_is_applied_but_not_searched(make_space):
    """`{value, when}` sets a hyperparameter where the condition holds."""
    space = make_space(
        {"optimizer": ["sgd", "adam"], "learning_rate": {"value": 0.5, "when": {"optimizer": "sgd"}}},
        {"learning_rate": 1e-3},
    )
    assert {"optimizer": "sgd"} == first(space)
    assert 0.5 == assemble(space, {"optimizer": "sgd"})["learning_rate"]
    assert 1e-3 == assemble(space, {"optimizer": "adam"})["learning_rate"]


def test_assembled_parameters_are_complete_and_effective(make_space):
    """All names of the family, defaults filled in, those without effect dropped."""
    space = make_space({"optimizer": ["sgd", "adam"]}, {"momentum": 0.9, "units": 8})
    sgd, adam = assemble(space, {"optimizer": "sgd"}), assemble(space, {"optimizer": "adam"})
    assert (0.9, 8, "relu") == (sgd["momentum"], sgd["units"], sgd["activation"])
    assert {"momentum"} == sgd.keys() - adam.keys()


def test_fixed_values_of_searched_names_do_not_matter(make_space):
    """Changing the fixed value of a name that is always searched changes no study; a fallback does."""
    searched = {"learning_rate": [0.1, 0.2]}
    assert make_space(searched, {"learning_rate": 0.3}) == make_space(searched, {"learning_rate": 0.4})
    conditional = {"optimizer": ["sgd", "adam"], "dropout": {"choices": [0.1], "when": {"optimizer": "sgd"}}}
    assert make_space(conditional, {"dropout": 0.3}) != make_space(conditional, {"dropout": 0.4})


def test_canonical_round_trip(make_space):
    """A space survives canonical JSON, order included, although JSON sorts keys."""
    space = make_space(
        {
            "units": {"low": 16, "high": 128, "log": True, "per": "hidden_layers"},
            "hidden_layers": {"low": 1, "high": 3},
            "optimizer": ["sgd", "adamw"],
            "momentum": {"low": 0.5, "high": 0.99},
            "batch_norm": [True, False],
            "dropout": {"value": 0.25, "when": {"batch_norm": False}},
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        },
        {"activation": "tanh"},
    )
    read = parse_canonical(canonical_json(space.canonical()))
    assert space == space_from(read, parse_canonical(canonical_json(dict(space.fixed))), "mlp")
    assert canonical_json(space.canonical()) == canonical_json(space_from(read, space.fixed, "mlp").canonical())


def test_canonical_form_is_pinned(make_space):
    """The form in which spaces enter study keys."""
    space = make_space({"momentum": {"low": 0, "high": 0.9, "step": 0.3}, "optimizer": ["sgd", "adam"]})
    assert (
        '{"entries":[{"choices":["sgd","adam"],"kind":"choice","name":"optimizer","per":null,"when":{}},'
        '{"high":0.9,"kind":"range","log":false,"low":0.0,"name":"momentum","per":null,"step":0.3,'
        '"when":{"optimizer":["sgd"]}}]}'
    ) == canonical_json(space.canonical()).decode()


@pytest.mark.parametrize(
    ("entries", "fixed", "fault"),
    [
        (
            {"dropout": {"choices": [0.1], "when": {"optimizer": "sgd"}}},
            {},
            "search_space.dropout.when.optimizer: neither searched nor fixed; give optimizer a value under hyperparameters",
        ),
        (
            {"dropout": {"choices": [0.1], "when": {"optimizer": "sgd"}}},
            {"optimizer": "adam"},
            "search_space.dropout.when.optimizer: 'sgd' can never occur; optimizer is fixed at 'adam'",
        ),
        (
            {"optimizer": ["adam", "adamw"], "dropout": {"choices": [0.1], "when": {"optimizer": ["adam", "sgd"]}}},
            {},
            "search_space.dropout.when.optimizer: 'sgd' can never occur; optimizer is one of adam, adamw",
        ),
        (
            {"units": {"low": 8, "high": 64, "step": 8}, "dropout": {"choices": [0.1], "when": {"units": 12}}},
            {},
            "search_space.dropout.when.units: 12 can never occur; units goes from 8 to 64",
        ),
        (
            {"dropout": {"low": 0.0, "high": 0.5}, "batch_norm": {"choices": [True], "when": {"dropout": 0.3}}},
            {},
            (
                "search_space.batch_norm.when.dropout: 0.3 can never occur; dropout goes from 0 to 0.5 without steps; "
                "give it a step or a list of values"
            ),
        ),
        (
            {"dropout": {"choices": [0.1], "when": {"optimizer": "sdg"}}, "optimizer": ["sgd"]},
            {},
            "search_space.dropout.when.optimizer: expected one of sgd, adam, adamw, rmsprop, adagrad, lion, found 'sdg'",
        ),
        (
            {"momentum": [0.5, 0.9]},
            {"optimizer": "adam"},
            (
                "search_space.momentum: has an effect only with optimizer sgd, which never occurs with it; search sgd too "
                "or take momentum out"
            ),
        ),
        (
            {"optimizer": ["sgd", "adam"], "momentum": {"choices": [0.9], "when": {"optimizer": "adam"}}},
            {},
            (
                "search_space.momentum: has an effect only with optimizer sgd, which never occurs with it; search sgd too "
                "or take momentum out"
            ),
        ),
        (
            {"units": {"choices": [8], "per": "hidden_layers"}},
            {},
            "search_space.units.per: hidden_layers is neither searched nor fixed; fix it under hyperparameters",
        ),
        (
            {"units": {"choices": [8], "per": "batch_size"}},
            {"batch_size": 2},
            "search_space.units.per: expected hidden_layers, found batch_size",
        ),
        (
            {"dropout": {"choices": [0.1], "per": "hidden_layers"}},
            {"hidden_layers": 2},
            "search_space.dropout.per: expected no such entry for this name, found hidden_layers",
        ),
        (
            {
                "dropout": {"choices": [0.1], "when": {"activation": "relu"}},
                "activation": {"choices": ["relu"], "when": {"dropout": 0.1}},
            },
            {},
            "search_space: dropout waits for activation waits for dropout; take one condition out",
        ),
        (
            {
                "units": {"choices": [8], "per": "hidden_layers"},
                "dropout": {"choices": [0.1], "when": {"units": 8}},
            },
            {"hidden_layers": 2},
            "search_space.dropout.when.units: has one value per hidden_layers; a condition needs a name with one value",
        ),
        (
            {"hidden_layers": [1, 2]},
            {"units": [8, 16]},
            (
                "hyperparameters.units: 2 values, yet hidden_layers is searched; give one value, or search units with "
                "per: hidden_layers"
            ),
        ),
        ({"width": [1, 2]}, {}, "search_space.width: unknown; this family knows hidden_layers, units"),
        (
            {"activation": {"low": 1, "high": 2}},
            {},
            "search_space.activation: has no numbers; list its choices instead",
        ),
        (
            {"units": {"low": 1.5, "high": 2}},
            {},
            "search_space.units: whole numbers only; low, high and step must be whole",
        ),
        ({"dropout": {"low": 0.0, "high": 1.0}}, {}, "search_space.dropout.high: expected less than 1, found 1.0"),
        ({"batch_size": [32]}, {"dropout": 2}, "hyperparameters.dropout: expected less than 1, found 2"),
    ],
)
def test_faults_say_where_what_and_the_remedy(make_space, entries, fixed, fault):
    """Every space that cannot be searched is refused with its place, what was found and what to do."""
    assert any(found.startswith(fault) for found in refused(make_space, entries, fixed)), refused(
        make_space, entries, fixed
    )


def test_all_faults_together(make_space):
    """One attempt shows every fault."""
    faults = refused(
        make_space,
        {
            "dropout": {"choices": [0.1], "when": {"optimizer": "sgd"}},
            "units": {"choices": [8], "per": "hidden_layers"},
            "batch_size": {"choices": [8], "when": {"activation": "relu"}},
        },
    )
    assert ["dropout.when.optimizer", "batch_size.when.activation", "units.per"] == [
        fault.removeprefix("search_space.").split(":")[0] for fault in faults
    ]


@pytest.mark.parametrize(
    ("searched", "fault"),
    [
        ({}, "batch_size: the space searches it, yet there is no value for it"),
        ({"batch_size": 8, "units_0": 3}, "units_0: unknown"),
        ({"batch_size": 8, "units": [8, 8, 8]}, "units: 3 values for 2 hidden_layers"),
    ],
)
def test_assemble_refuses_what_does_not_fit(make_space, searched, fault):
    """A missing name, an unknown one, or more widths than layers."""
    with pytest.raises(SpaceError) as caught:
        assemble(make_space({"batch_size": [8]}, {"hidden_layers": 2}), searched)
    assert caught.value.faults[0].startswith(fault)


class AtTheEdge(optuna.samplers.RandomSampler):
    """Draws what Optuna's own crossover gives where it meets the upper end of a range: a number of NumPy."""

    def sample_independent(self, *_: object) -> np.float64:
        return np.nextafter(np.float64(0.5), 0.0)


def test_a_number_of_numpy_becomes_a_plain_one(make_space) -> None:
    """NSGA-II's crossover gives one at the end of a range, which no record could hold."""
    [entry] = [one for one in make_space({"dropout": {"low": 0.0, "high": 0.5}}).entries if one.name == "dropout"]
    drawn = suggest(optuna.create_study(sampler=AtTheEdge()).ask(), "dropout", entry)
    assert float is type(drawn)
    assert 0.5 > drawn > 0.4999
