"""Records survive JSON, and their keys hold all that matters and nothing else."""

import dataclasses
import json
from pathlib import Path

import pytest

from tracker import canonical, records
from tracker.canonical import canonical_json, parse_canonical
from tracker.records import (
    Proposal,
    StudySpec,
    Timing,
    Trial,
    TrialOutcome,
    TrialSpec,
    record_from,
    record_json,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "records.json").read_text())
TRAINING = {
    "epochs": 30,
    "early_stopping": {"monitor": "val_loss", "patience": 10},
    "device": "cpu",
    "numerics": "native",
    "metrics": [],
    "threshold": "argmax",
    "hypergradients": [],
    "own_metrics": {},
    "robustness": None,
    "costs": [],
}
DATA = {
    "train": "a" * 64,
    "validation": "b" * 64,
    "schema": "c" * 64,
    "preprocessing": {
        "numeric": {"impute": "median", "scale": "none", "indicator": False},
        "categorical": {"impute": "none", "encode": "onehot"},
    },
}
TRIAL = TrialSpec(
    family="mlp",
    params={
        "hidden_layers": 2,
        "units": [32, 64],
        "activation": "relu",
        "dropout": 0.25,
        "batch_norm": False,
        "weight_init": "default",
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "batch_size": 32,
    },
    training=TRAINING,
    seed=1234567890,
    data=DATA,
    environment="e" * 64,
    numerics=1,
)
OUTCOME = TrialOutcome(
    key=TRIAL.key,
    state="complete",
    epochs=2,
    best_epoch=2,
    metrics={"val_loss": float("inf"), "val_f1": None},
    history=(
        {"epoch": 1, "val_loss": 0.1 + 0.2, "confusion_matrix": [[1, 2], [3, 4]]},
        {"epoch": 2, "val_loss": 1e-300},
    ),
    weights="f" * 64,
    predictions=None,
)
STUDY = StudySpec(
    name="tpe",
    family="mlp",
    sampler={"name": "tpe"},
    space={"entries": []},
    fixed={"units": 64},
    training=TRAINING,
    objective={"metric": "val_f1", "direction": "maximize"},
    generation=8,
    seed=2026,
    data=DATA,
    environment="e" * 64,
    numerics=1,
    versions={"optuna": "5.0.0"},
)
PROPOSAL = Proposal(3, 0, {"units_0": 32}, (TRIAL, dataclasses.replace(TRIAL, seed=7)))
PAUSED = dataclasses.replace(OUTCOME, state="paused", best_epoch=None, weights=None)
RECORDS = [
    TRIAL,
    OUTCOME,
    STUDY,
    PROPOSAL,
    Timing(1.5, 2.5, (2.0, 2.25)),
    Trial(STUDY.name, PROPOSAL, (OUTCOME, PAUSED), (0.75, None)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_round_trip(record):
    """A record comes back equal from canonical JSON."""
    assert record == record_from(type(record), parse_canonical(canonical_json(record_json(record))))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_fields_are_exact(record):
    """An unknown field is an error, and so is a missing one that has no default."""
    value = record_json(record)
    with pytest.raises(TypeError):
        record_from(type(record), {**value, "extra": 1})
    value.pop(dataclasses.fields(record)[0].name)
    with pytest.raises(TypeError):
        record_from(type(record), value)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_frozen(record):
    """Nothing that crosses a border can be changed on the other side."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, None)


def test_keys_are_pinned():
    """These keys are in every store; if one changes on purpose, raise FORMAT and renew tests/golden/records.json."""
    assert GOLDEN == {
        "trial": TRIAL.key,
        "candidate": TRIAL.candidate,
        "configuration": TRIAL.configuration,
        "outcome": OUTCOME.digest,
        "study": STUDY.key,
    }


def test_a_key_is_computed_once(monkeypatch):
    """However often it is asked for; a copy with a change has a key of its own."""
    calls = []
    monkeypatch.setattr(records, "digest", lambda kind, value: calls.append(kind) or canonical.digest(kind, value))
    spec = dataclasses.replace(TRIAL, seed=TRIAL.seed + 1)
    assert [spec.key for _ in range(3)] == [canonical.digest("trial", record_json(spec))] * 3
    assert dataclasses.replace(spec, seed=TRIAL.seed).key == TRIAL.key != spec.key
    assert calls.count("trial") <= 3


def test_keys_ignore_the_order_of_mappings():
    """The same entries written in another order are the same trial."""
    turned = dataclasses.replace(TRIAL, params=dict(reversed(TRIAL.params.items())))
    assert (TRIAL.key, TRIAL.candidate, TRIAL.configuration) == (turned.key, turned.candidate, turned.configuration)


CHANGES = {
    "family": "other",
    "params": {"units": 3},
    "training": {"epochs": 31},
    "seed": 1,
    "data": {"train": "0" * 64},
    "environment": "0" * 64,
    "numerics": 2,
    "code": {"entry": "loop:fit", "loop.py": "0" * 64},
    "parent": {"weights": "0" * 64, "head": "new"},
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrialSpec)])
def test_every_field_is_in_the_key(name):
    """A field makes another trial; environment and numerics no other candidate; nor they nor seed another configuration."""
    changed = dataclasses.replace(TRIAL, **{name: CHANGES[name]})
    assert TRIAL.key != changed.key
    assert (name in {"environment", "numerics"}) == (TRIAL.candidate == changed.candidate)
    assert (name in {"environment", "numerics", "seed"}) == (TRIAL.configuration == changed.configuration)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(StudySpec)])
def test_every_field_is_in_the_study_key(name):
    """A change of any field makes another study."""
    changed = dataclasses.replace(STUDY, **{name: "other" if name in {"name", "family"} else {"changed": "yes"}})
    assert STUDY.key != changed.key
