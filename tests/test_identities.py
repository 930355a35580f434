"""A release may add knobs, settings and fields: whatever is neutral in what was computed before keeps every key of it.

The neutral values are fixed for ever: with another one, records that left the old one out would be read as other trials.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.studies.project import ENVIRONMENT, SmallProject, make_config
from tracker import hyperparameters, neutral, records
from tracker.canonical import canonical_json, parse_canonical
from tracker.config import Config, Preprocessing, Training
from tracker.config.base import Part
from tracker.config.parts import Decision
from tracker.execution.trainer import Segment
from tracker.hyperparameters import FAMILIES, active
from tracker.knobs import Hyperparameter
from tracker.records import Proposal, StudySpec, TrialSpec, record_from, record_json
from tracker.search.samplers import open_sampler
from tracker.studies.plan import Basis, Planner, StudyPlan, plan_study
from tracker.training.loop import Result

# What is neutral, for ever. Add to these lists; never change or take out what is in them.
NEUTRAL_OF_TRAINING = {
    "augment_drop": 0.0,
    "augment_erase": 0.0,
    "augment_flip": False,
    "augment_mask": 0.0,
    "augment_mixup": 0.0,
    "augment_noise": 0.0,
    "augment_rotate": 0.0,
    "augment_scale": 0.0,
    "augment_shift": 0,
    "gradient_clip": 0.0,
    "label_smoothing": 0.0,
    "nesterov": False,
    "schedule": "constant",
    "schedule_factor": 0.1,
    "schedule_patience": 5,
    "warmup": 0.0,
    "weight_averaging": 0.0,
}
NEUTRAL_OF_TRANSFER = {"freeze": 0, "head_learning_rate": 0.0}
NEUTRAL_KNOBS = {
    "mlp": {
        "dropout": 0.0,
        "batch_norm": False,
        "layer_norm": False,
        "weight_init": "default",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "class_weights": "none",
        **NEUTRAL_OF_TRAINING,
    },
    "cnn": {
        "stride": 1,
        "batch_norm": False,
        "layer_norm": False,
        "residual": False,
        "readout": "flatten",
        "dropout": 0.0,
        "weight_init": "default",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "class_weights": "none",
        **NEUTRAL_OF_TRAINING,
        **NEUTRAL_OF_TRANSFER,
    },
    "rnn": {
        "bidirectional": False,
        "layer_norm": False,
        "readout": "last",
        "dropout": 0.0,
        "weight_init": "default",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "class_weights": "none",
        **NEUTRAL_OF_TRAINING,
        **NEUTRAL_OF_TRANSFER,
    },
    "tabular": {
        "number_embedding": "none",
        "category_width": 0,
        "dropout": 0.0,
        "residual_dropout": 0.0,
        "batch_norm": False,
        "layer_norm": False,
        "weight_init": "default",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "class_weights": "none",
        **NEUTRAL_OF_TRAINING,
    },
    "build": {
        "momentum": 0.0,
        "weight_decay": 0.0,
        "class_weights": "none",
        **NEUTRAL_OF_TRAINING,
        **NEUTRAL_OF_TRANSFER,
    },
    "function": {},
    "estimator": {},
}
NEUTRAL_TRAINING = {
    "early_stopping": None,
    "device": "cpu",
    "numerics": "native",
    "metrics": [],
    "own_metrics": {},
    "robustness": None,
    "costs": [],
    "threshold": "argmax",
    "hypergradients": [],
}
NEUTRAL_PREPROCESSING = {
    "numeric": {"impute": "none", "scale": "none", "indicator": False},
    "categorical": {"impute": "none", "encode": "onehot"},
}
# Knobs that a family began with and cannot train without. No knob joins them later: it would be in every key.
WITHOUT_NEUTRAL = {
    "mlp": {"hidden_layers", "units", "activation", "optimizer", "learning_rate", "batch_size"},
    "cnn": {
        *("blocks", "filters", "kernel_size", "padding", "pooling", "pool_size", "head_units", "activation"),
        *("optimizer", "learning_rate", "batch_size"),
    },
    "rnn": {"cell", "layers", "units", "head_units", "activation", "optimizer", "learning_rate", "batch_size"},
    "tabular": {
        *("blocks", "units", "hidden_factor", "embedding_width", "bins", "frequencies", "frequency_scale"),
        *("activation", "optimizer", "learning_rate", "batch_size"),
    },
    "build": {"optimizer", "learning_rate", "batch_size"},
    "function": set(),
    "estimator": set(),
}


def test_neutral_values_are_fixed_for_ever() -> None:
    """Every one that was ever released is what it was, in value and type."""
    found = {
        family: {name: knob.neutral for name, knob in row.knobs.items() if knob.neutral is not None}
        for family, row in FAMILIES.items()
    }
    assert spelled(NEUTRAL_KNOBS) == spelled(found)
    assert spelled(NEUTRAL_TRAINING) == spelled(neutral.TRAINING)
    assert spelled(NEUTRAL_PREPROCESSING) == spelled(neutral.PREPROCESSING)


def test_no_knob_is_added_without_a_neutral_value() -> None:
    """A knob without one would be in the key of every trial, so that all that was computed before would be lost."""
    found = {
        family: {name for name, knob in row.knobs.items() if knob.neutral is None} for family, row in FAMILIES.items()
    }
    assert found == WITHOUT_NEUTRAL


def test_every_training_entry_but_epochs_has_a_neutral_value() -> None:
    """Those of params.yaml, with what `decision`, a sampler and own metrics add, and those of the table are the same."""
    assert {*Training.model_fields, *Decision.model_fields, "hypergradients", "own_metrics", "costs"} == {
        "epochs",
        *neutral.TRAINING,
    }


def test_every_preprocessing_setting_has_a_neutral_value() -> None:
    """In each section."""
    assert {*Preprocessing.model_fields} == {*neutral.PREPROCESSING}
    for name, section in Preprocessing():
        assert {*type(section).model_fields} == {*neutral.PREPROCESSING[name]}


def test_neutral_values_are_values_that_can_be_given() -> None:
    """Whoever writes a neutral value into params.yaml is understood."""
    for row in FAMILIES.values():
        for knob in row.knobs.values():
            assert knob.neutral is None or (knob.fault(knob.neutral), knob.typed(knob.neutral)) == (None, knob.neutral)
    entries = {name: value for name, value in neutral.TRAINING.items() if name in Training.model_fields}
    rule = Decision(threshold=neutral.TRAINING["threshold"]).model_dump(mode="json")
    asked = {name: neutral.TRAINING[name] for name in ("hypergradients", "own_metrics", "costs")}
    assert neutral.TRAINING == Training(**entries).model_dump(mode="json", exclude={"epochs"}) | rule | asked
    assert neutral.PREPROCESSING == Preprocessing(**neutral.PREPROCESSING).model_dump(mode="json")


def spelled(value: Any) -> bytes:
    """Equal exactly where values and types are."""
    return canonical_json(value)


# A later release: one knob, one training entry, two preprocessing settings, one field of each spec more.


class LaterTraining(Training):
    """Training as a later release has it."""

    clip_gradients: float | None = None


class Images(Part):
    """A section of preprocessing that there is not yet."""

    crop: int = 0


class LaterPreprocessing(Preprocessing):
    """Preprocessing as a later release has it."""

    images: Images = Images()
    order: str = "as given"


class LaterConfig(Config):
    """The configuration of a later release."""

    training: LaterTraining = LaterTraining()
    preprocessing: LaterPreprocessing = LaterPreprocessing()


@dataclass(frozen=True, slots=True)
class LaterTrialSpec(TrialSpec):
    """A trial's spec with one field more."""

    teachers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaterStudySpec(StudySpec):
    """A study's spec with one field more."""

    budgets: dict[str, Any] = field(default_factory=dict)


KNOB = Hyperparameter("float", "how much of a label goes to the others", low=0.0, below=1.0, neutral=0.0)


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turns this release into the later one, wherever its tables and its specs are looked up."""

    def turn() -> None:
        row = FAMILIES["mlp"]
        monkeypatch.setitem(FAMILIES, "mlp", dataclasses.replace(row, knobs={"smoothing": KNOB, **row.knobs}))
        monkeypatch.setitem(neutral.TRAINING, "clip_gradients", None)
        monkeypatch.setitem(neutral.PREPROCESSING, "images", {"crop": 0})
        monkeypatch.setitem(neutral.PREPROCESSING, "order", "as given")
        for kind, later in ((TrialSpec, LaterTrialSpec), (StudySpec, LaterStudySpec)):
            for module in [module for name, module in sys.modules.items() if name.startswith("tracker.")]:
                if vars(module).get(kind.__name__) is kind:
                    monkeypatch.setattr(module, kind.__name__, later)
        assert (records.TrialSpec, records.StudySpec) == (LaterTrialSpec, LaterStudySpec)

    return turn


def plan_of(project: SmallProject, kind: type[Config] = Config, **changes: Any) -> StudyPlan:
    """The plan of the random study in this release or, with its configuration, in the later one."""
    config = make_config()
    tree = config.model_dump(exclude_unset=True)
    for path, value in changes.items():
        section, _, name = path.partition("__")
        tree[section] = {**tree.get(section, {}), name: value}
    config = kind.model_validate(tree)
    data = {**project.data.digests, "preprocessing": config.preprocessing.model_dump(mode="json")}
    return plan_study(config, "random", Basis(data, ENVIRONMENT))


def first_trial(plan: StudyPlan) -> Any:
    """The spec of its trial 0."""
    [values] = open_sampler(plan.spec).propose(0, 1, 0)
    return Planner(plan.spec).propose(0, 0, values).spec


def identities(plan: StudyPlan) -> dict[str, str]:
    """All that something is found by: study, trial, candidate, configuration."""
    spec = first_trial(plan)
    return {
        "study": plan.spec.key,
        "trial": spec.key,
        "candidate": spec.candidate,
        "configuration": spec.configuration,
    }


def test_what_a_release_adds_changes_no_key(small_project: SmallProject, release: Callable[[], None]) -> None:
    """All that is new at its neutral value: study, trial, candidate and configuration have the keys they had."""
    before = identities(plan_of(small_project))
    release()
    plan = plan_of(small_project, LaterConfig)
    spec = first_trial(plan)
    assert (LaterStudySpec, LaterTrialSpec) == (type(plan.spec), type(spec))
    assert (0.0, None) == (spec.params["smoothing"], spec.training["clip_gradients"])
    assert ({"crop": 0}, "as given") == tuple(spec.data["preprocessing"][name] for name in ("images", "order"))
    assert before == identities(plan)


def test_old_records_are_read_with_the_neutral_values(small_project: SmallProject, release: Callable[[], None]) -> None:
    """What an earlier release wrote is, for the later one, what it would write itself."""
    plan = plan_of(small_project)
    written = [canonical_json(record_json(spec)) for spec in (first_trial(plan), plan.spec)]
    release()
    later = plan_of(small_project, LaterConfig)
    trial, study = (
        record_from(kind, parse_canonical(text))
        for kind, text in zip((LaterTrialSpec, LaterStudySpec), written, strict=True)
    )
    assert (first_trial(later), later.spec) == (trial, study)
    assert (0.0, (), {}) == (trial.params["smoothing"], trial.teachers, study.budgets)
    assert written == [canonical_json(record_json(spec)) for spec in (trial, study)]


def test_a_stored_study_is_complete_for_the_later_release(fresh: SmallProject, release: Callable[[], None]) -> None:
    """It finds every outcome in the store and trains nothing; result, digest and reports are the same."""
    before = fresh.run(plan_of(fresh)).digest  # here: a result of the earlier release is none of the later one's
    kept = fresh.paths.store.joinpath("store.db").read_bytes()
    release()
    after = fresh.run(plan_of(fresh, LaterConfig), executor=Untouched())
    assert before == after.digest
    assert kept == fresh.paths.store.joinpath("store.db").read_bytes()
    assert {LaterTrialSpec} == {type(trial.spec) for trial in after.trials}


class Untouched:
    """An executor that must not be asked to train."""

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        """Refuses any work."""
        assert not segments, f"{len(segments)} runs would be trained again"
        return iter(())

    def forget(self) -> None:
        """Holds nothing."""

    def close(self) -> None:
        """Holds nothing."""


@pytest.mark.parametrize(
    "changes",
    [
        {"hyperparameters__smoothing": 0.1},
        {"training__clip_gradients": 1.0},
        {"preprocessing__images": {"crop": 3}},
        {"preprocessing__order": "shuffled"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_neutral_is_in_every_key(
    small_project: SmallProject, release: Callable[[], None], changes: dict[str, Any]
) -> None:
    """Study, trial, candidate and configuration are others; read again they keep the value."""
    before = identities(plan_of(small_project))
    release()
    plan = plan_of(small_project, LaterConfig, **changes)
    found = identities(plan)
    assert [] == [name for name in before if before[name] == found[name]]
    spec = first_trial(plan)
    assert spec == record_from(LaterTrialSpec, parse_canonical(canonical_json(record_json(spec))))
    assert plan.spec == record_from(LaterStudySpec, parse_canonical(canonical_json(record_json(plan.spec))))


def test_a_field_that_is_not_at_its_default_is_in_the_keys(
    small_project: SmallProject, release: Callable[[], None]
) -> None:
    """Of a trial in its three; of a study in that of the study."""
    release()
    plan = plan_of(small_project, LaterConfig)
    spec = first_trial(plan)
    taught = dataclasses.replace(spec, teachers=("a" * 64,))
    for name in ("key", "candidate", "configuration"):
        assert getattr(spec, name) != getattr(taught, name)
    assert plan.spec.key != dataclasses.replace(plan.spec, budgets={"seconds": 3.0}).key


def test_a_neutral_value_that_is_searched_is_the_trial_without_it(
    small_project: SmallProject, release: Callable[[], None]
) -> None:
    """Two studies that come to the same network come to the same trial, whether the knob was searched or not there."""
    [early] = small_project.specs("manual", studies__manual__configurations=[{}])
    before = (early.configuration, early.candidate, early.key)
    release()
    tree = make_config().model_dump(exclude_unset=True)
    tree["studies"] = {"manual": {"sampler": "manual", "configurations": [{"smoothing": 0.0}, {"smoothing": 0.5}]}}
    plan = plan_study(LaterConfig.model_validate(tree), "manual", Basis(small_project.data.digests, ENVIRONMENT))
    values = open_sampler(plan.spec).propose(0, 2, 0)
    same, other = (Planner(plan.spec).propose(0, 0, searched).spec for searched in values)
    assert before == (same.configuration, same.candidate, same.key)
    assert same.configuration != other.configuration


# Any spec, with each of its entries at its neutral value or not.


def knob_values(knob: Hyperparameter) -> st.SearchStrategy[Any]:
    """Values of a hyperparameter, the neutral one among the likely ones."""
    if knob.kind == "bool":
        return st.booleans()
    if knob.kind == "choice":
        return st.sampled_from(knob.choices)
    if knob.kind == "int":
        whole = st.integers(int(knob.low or 0), int(knob.high or 100))
        return whole | st.lists(whole, min_size=1, max_size=3) if knob.per else whole
    wide = st.floats(
        knob.low if knob.above is None else knob.above,
        knob.high if knob.below is None else knob.below,
        exclude_min=knob.above is not None,
        exclude_max=knob.below is not None,
        allow_nan=False,
    )
    return wide if knob.neutral is None else st.just(knob.neutral) | wide


PARAMS = st.fixed_dictionaries(
    {},
    optional={name: knob_values(knob) for name, knob in FAMILIES["mlp"].knobs.items()},
).map(lambda params: active("mlp", params))
OWN = st.dictionaries(st.sampled_from(["width", "rate", "dropout"]), st.integers() | st.floats(allow_nan=False))
TRAININGS = st.builds(
    Training,
    epochs=st.integers(1, 1000),
    early_stopping=st.none() | st.builds(dict, patience=st.integers(1, 9), monitor=st.sampled_from(["val_loss"])),
    numerics=st.sampled_from(["native", "portable"]),
    metrics=st.sampled_from([(), ("roc_auc",)]),
)
RULES = st.sampled_from(["argmax", "max_f1", 0.25]).map(lambda rule: {"threshold": rule})
OWN_METRICS = [{}, {"gain": {"entry": "costs:gain", "costs.py": "a" * 64}}]
ASKED = st.fixed_dictionaries(
    {
        "hypergradients": st.sampled_from([[], ["learning_rate"]]),
        "own_metrics": st.sampled_from(OWN_METRICS),
        "costs": st.sampled_from([[], ["parameters"], ["parameters", "training_flops"]]),
    }
)
TRAININGS = st.tuples(TRAININGS.map(lambda training: training.model_dump(mode="json")), RULES, ASKED).map(
    lambda parts: parts[0] | parts[1] | parts[2]
)
SETTINGS = st.builds(
    Preprocessing,
    numeric=st.builds(
        dict,
        impute=st.sampled_from(["median", "mean", "most_frequent", "none"]),
        scale=st.sampled_from(["standard", "none"]),
    ),
    categorical=st.builds(dict, impute=st.sampled_from(["most_frequent", "missing", "none"])),
).map(lambda settings: settings.model_dump(mode="json"))
DATA = st.builds(lambda settings: {"train": "a" * 64, "schema": "b" * 64, "preprocessing": settings}, SETTINGS)
CODE = st.just({}) | st.just({"entry": "loop:fit", "loop.py": "c" * 64})
FAMILY_AND_PARAMS = st.tuples(st.just("mlp"), PARAMS) | st.tuples(st.just("function"), OWN)


@st.composite
def trial_specs(draw: st.DrawFn) -> TrialSpec:
    family, params = draw(FAMILY_AND_PARAMS)
    return TrialSpec(
        family, params, draw(TRAININGS), draw(st.integers(0, 2**32 - 1)), draw(DATA), "e" * 64, 2, draw(CODE)
    )


FOLDED = {"folds": 5, "repeats": 1, "rule": 1, "aggregate": "mean"}


@st.composite
def study_specs(draw: st.DrawFn) -> StudySpec:
    family, params = draw(FAMILY_AND_PARAMS)
    return StudySpec(
        name="study",
        family=family,
        sampler={"name": "random"},
        space={"entries": []},
        fixed=hyperparameters.without_neutral(family, params),  # as plans hold them
        training=draw(TRAININGS),
        objective={"metric": "val_f1", "direction": "maximize"},
        generation=draw(st.none() | st.integers(1, 8)),
        seed=draw(st.integers(0, 2**32 - 1)),
        data=draw(DATA),
        environment="e" * 64,
        numerics=2,
        versions={},
        code=draw(CODE),
        runs=draw(st.just({}) | st.just({"repeats": 3, "aggregate": "mean_minus_se"}) | st.just(FOLDED)),
        pruner=draw(st.just({}) | st.just({"name": "median"})),
    )


@given(trial_specs() | study_specs())
def test_any_spec_comes_back_with_its_key(spec: Any) -> None:
    """Written and read it is equal, neutral values and all; what is read is written alike and has the same key."""
    text = canonical_json(record_json(spec))
    found = record_from(type(spec), parse_canonical(text))
    assert spec == found
    assert spelled(dataclasses.asdict(spec)) == spelled(dataclasses.asdict(found))
    assert (spec.key, text) == (found.key, canonical_json(record_json(found)))


@given(trial_specs())
def test_no_record_holds_what_is_neutral(spec: TrialSpec) -> None:
    """Neither knob nor setting nor field: else a release that had not known it could not have written the same."""
    record = record_json(spec)
    knobs = FAMILIES[spec.family].knobs
    held = {name for name, value in record["params"].items() if name in knobs and knobs[name].neutral is not None}
    assert held == {name for name in held if not neutral.is_same(spec.params[name], knobs[name].neutral)}
    assert record["training"] == neutral.without_neutral(spec.training, NEUTRAL_TRAINING)
    assert record["data"]["preprocessing"] == neutral.without_neutral(spec.data["preprocessing"], NEUTRAL_PREPROCESSING)
    assert ("code" in record) == bool(spec.code)


@given(trial_specs(), trial_specs())
def test_specs_that_differ_have_other_keys(one: TrialSpec, other: TrialSpec) -> None:
    """What is left out is never what tells two trials apart."""
    same = spelled(dataclasses.asdict(one)) == spelled(dataclasses.asdict(other))
    assert same == (one.key == other.key)


@given(trial_specs(), st.sampled_from(["params", "training", "preprocessing"]))
def test_one_changed_entry_is_another_key(spec: TrialSpec, part: str) -> None:
    """From neutral to not neutral or back: trial, candidate and configuration are others."""
    entries = spec.data["preprocessing"]["numeric"] if part == "preprocessing" else getattr(spec, part)
    name, value = {
        "params": ("weight_decay", 0.5 if entries.get("weight_decay") != 0.5 else 0.0),
        "training": ("numerics", "native" if spec.training["numerics"] == "portable" else "portable"),
        "preprocessing": ("scale", "none" if entries.get("scale") == "standard" else "standard"),
    }[part]
    changed = {**entries, name: value}
    if part == "preprocessing":
        settings = {**spec.data["preprocessing"], "numeric": changed}
        other = dataclasses.replace(spec, data={**spec.data, "preprocessing": settings})
    else:
        other = dataclasses.replace(spec, **{part: changed})
    for identity in ("key", "candidate", "configuration"):
        assert getattr(spec, identity) != getattr(other, identity)


def test_proposals_hold_their_runs_as_records_do(small_project: SmallProject) -> None:
    """The specs inside a proposal lose and get back what is neutral as well."""
    specs = tuple(small_project.specs("manual"))
    proposal = Proposal(0, 0, {}, specs)
    record = record_json(proposal)
    assert [record_json(spec) for spec in specs] == record["runs"]
    assert proposal == record_from(Proposal, parse_canonical(canonical_json(record)))
