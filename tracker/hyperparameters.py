"""The tables of hyperparameters and of model families: what each name means, its type, bounds and neutral value.

A family is one row here and one file in `tracker.families`; this module is light, so that the configuration can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tracker.knobs import Hyperparameter, Value
from tracker.network_knobs import CNN, CNN_SIZES, MLP, RNN, RNN_SIZES, TABULAR
from tracker.neutral import is_same

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "lion")
SCHEDULES = ("constant", "step", "exponential", "cosine", "one_cycle", "plateau")


TRAINING: Mapping[str, Hyperparameter] = {
    "optimizer": Hyperparameter("choice", "how gradients become steps", "adamw", choices=OPTIMIZERS),
    "learning_rate": Hyperparameter(
        "float", "step size", 1e-3, above=0.0, high=1e3, tried=(1e-6, 1.0), source="Bengio 2012, arXiv 1206.5533, 3.1.1"
    ),
    "momentum": Hyperparameter(
        "float",
        "of sgd",
        low=0.0,
        below=1.0,
        when=("optimizer", ("sgd",)),
        neutral=0.0,
        tried=(0.0, 0.999),
        source="Sutskever et al. 2013, ICML",
    ),
    "weight_decay": Hyperparameter("float", "decoupled for adamw and lion, else L2", low=0.0, high=1e3, neutral=0.0),
    "batch_size": Hyperparameter("int", "rows per step", 32, low=1, high=65536),
    "class_weights": Hyperparameter(
        "weights",
        "how much a row of each class counts in the gradients; balanced: classes count alike",
        choices=("none", "balanced"),
        neutral="none",
        since=2,
    ),
    "nesterov": Hyperparameter(
        "bool", "Nesterov's momentum, of sgd", when=("optimizer", ("sgd",)), neutral=False, since=3
    ),
    "schedule": Hyperparameter(
        "choice", "how the learning rate goes over the epochs", choices=SCHEDULES, neutral="constant", since=3
    ),
    "schedule_factor": Hyperparameter(
        "float",
        "what it is multiplied by: at each step, in the end, or on a plateau",
        above=0.0,
        high=1.0,
        neutral=0.1,
        since=3,
        when=("schedule", ("step", "exponential", "plateau")),
    ),
    "schedule_patience": Hyperparameter(
        "int",
        "epochs without a lower val_loss after which a plateau is one",
        low=0,
        high=10_000,
        neutral=5,
        since=4,
        when=("schedule", ("plateau",)),
    ),
    "warmup": Hyperparameter(
        "float",
        "share of the steps over which the learning rate rises from near 0",
        low=0.0,
        high=0.5,
        neutral=0.0,
        since=3,
    ),
    "gradient_clip": Hyperparameter(
        "float",
        "greatest length of the gradient of all parameters; 0: as it is",
        low=0.0,
        high=1e6,
        neutral=0.0,
        since=3,
    ),
    "weight_averaging": Hyperparameter(
        "float",
        "decay of the moving average of weights, which is scored and kept; 0: the weights themselves",
        low=0.0,
        below=1.0,
        neutral=0.0,
        since=4,
        tried=(0.9, 0.9999),
        source="Morales-Brotons et al. 2024, TMLR, arXiv 2411.18704",
    ),
    "label_smoothing": Hyperparameter(
        "float", "share of the truth that is spread over all classes", low=0.0, below=1.0, neutral=0.0, since=3
    ),
}
# How training rows are varied anew in each epoch: `tracker.training.augment`. What fits which rows is checked there.
AUGMENTATION: Mapping[str, Hyperparameter] = {
    "augment_shift": Hyperparameter(
        "int", "images: moved by up to so many pixels each way", low=0, high=1024, neutral=0, since=4
    ),
    "augment_rotate": Hyperparameter(
        "float", "images: turned by up to so many degrees", low=0.0, high=180.0, neutral=0.0, since=4
    ),
    "augment_flip": Hyperparameter("bool", "images: mirrored left to right, every other one", neutral=False, since=4),
    "augment_erase": Hyperparameter(
        "float",
        "images: sides of a rectangle that becomes 0, up to this share of the image's",
        low=0.0,
        high=1.0,
        neutral=0.0,
        since=4,
    ),
    "augment_scale": Hyperparameter(
        "float",
        "sequences: each channel times 1 + noise of this standard deviation",
        low=0.0,
        high=1.0,
        neutral=0.0,
        since=4,
    ),
    "augment_mask": Hyperparameter(
        "float",
        "sequences: up to this share of the steps, in a row, becomes 0",
        low=0.0,
        high=1.0,
        neutral=0.0,
        since=4,
    ),
    "augment_drop": Hyperparameter(
        "float",
        "tables: probability with which a feature of a row becomes 0",
        low=0.0,
        below=1.0,
        neutral=0.0,
        since=4,
    ),
    "augment_noise": Hyperparameter(
        "float",
        "standard deviation of noise on every feature, after scaling",
        low=0.0,
        high=100.0,
        neutral=0.0,
        since=4,
    ),
    "augment_mixup": Hyperparameter(
        "float",
        "alpha of mixup: rows and their truth are mixed with those of another row",
        low=0.0,
        high=100.0,
        neutral=0.0,
        since=4,
        tried=(0.1, 2.0),
        source="Zhang et al. 2018, arXiv 1710.09412, 3",
    ),
}
TRANSFER: Mapping[str, Hyperparameter] = {
    "freeze": Hyperparameter(
        "int",
        "the first layers that stay as the parent has them (model.transfer)",
        low=0,
        high=1000,
        neutral=0,
        since=4,
    ),
    "head_learning_rate": Hyperparameter(
        "float", "learning rate of the output layer; 0: as of the others", low=0.0, high=1e3, neutral=0.0, since=4
    ),
}
OURS: Mapping[str, Hyperparameter] = {**TRAINING, **AUGMENTATION}  # of all that our loop trains
DIFFERENTIABLE = ("learning_rate", "weight_decay", "momentum", "label_smoothing")
COUNTED = ("mlp", "cnn", "rnn", "tabular")  # families whose networks are ours: counted and opened from records alone
BUILT = (*COUNTED, "build")  # whose runs have a torch module, the parameters of which are counted where it was trained
DEVICES = ("cpu", "cuda", "mps")
ESTIMATOR = ("scikit-learn", "scipy", "skops")
FREE = Hyperparameter("free", "whatever the user's own code makes of it")


@dataclass(frozen=True, slots=True)
class FamilyRow:
    """What the configuration and identities need to know of a model family.

    `implementation` is the module that holds its `FAMILY` (`tracker.families.family.Family`). `numerics` is the version
    of its arithmetic: raise it when any number changes. `entry` says what the user's own code must be (None: there is
    none of it); hyperparameters are then the user's to name, beside `knobs`. `metrics` are ours, or whatever the code yields.
    """

    implementation: str
    numerics: int
    knobs: Mapping[str, Hyperparameter]
    entry: Literal["generator", "function"] | None = None
    metrics: Literal["ours", "any"] = "ours"
    sizes: tuple[str, ...] = ()  # knobs that decide whether a network fits its input
    hypergradients: tuple[str, ...] = ()  # knobs by which its training can be differentiated
    fitted_once: bool = False  # a run is one fit without epochs, kept whole: no code builds it again to open it
    packages: tuple[str, ...] = ()  # further packages whose versions decide its numbers: part of its environment
    devices: tuple[str, ...] = ("cpu",)


FAMILIES: Mapping[str, FamilyRow] = {
    "mlp": FamilyRow("tracker.families.mlp", 2, {**MLP, **OURS}, hypergradients=DIFFERENTIABLE),
    "cnn": FamilyRow("tracker.families.cnn", 1, {**CNN, **OURS, **TRANSFER}, sizes=CNN_SIZES, devices=DEVICES),
    "rnn": FamilyRow("tracker.families.rnn", 1, {**RNN, **OURS, **TRANSFER}, sizes=RNN_SIZES, devices=DEVICES),
    "tabular": FamilyRow("tracker.families.tabular", 1, {**TABULAR, **OURS}, devices=DEVICES),
    "build": FamilyRow("tracker.families.build", 1, {**OURS, **TRANSFER}, entry="function", devices=DEVICES),
    "function": FamilyRow("tracker.families.loop", 1, {}, entry="generator", metrics="any"),
    "estimator": FamilyRow("tracker.families.estimator", 1, {}, entry="function", fitted_once=True, packages=ESTIMATOR),
}


def table_of(family: str, *named: Iterable[str]) -> Mapping[str, Hyperparameter]:
    """The names that a family knows; one with the user's own code also knows those that are `named` somewhere."""
    row = FAMILIES[family]
    if row.entry is None:
        return row.knobs
    return {**{name: FREE for names in named for name in names}, **row.knobs}


def active(family: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """The parameters that have an effect, typed, defaults filled in: no momentum without sgd, one width as it is given.

    Equal networks get equal parameters, so equal keys, in the order in which a record gives them back: names of the user's
    own sorted, then the table. The user's code sees that order.
    """
    table, knobs = table_of(family, params), _knobs(family)
    filled = {name: params.get(name, entry.usual) for name, entry in table.items()}
    ordered = (*sorted(name for name in table if name not in knobs), *knobs)
    return {
        name: table[name].typed(filled[name])
        for name in ordered
        if filled[name] is not None and _has_effect(table[name], filled) and not _goes_unsaid(table[name], filled[name])
    }


def without_neutral(family: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """The parameters that are not at their neutral value: what an identity holds."""
    knobs = _knobs(family)
    return {
        name: value
        for name, value in params.items()
        if name not in knobs or knobs[name].neutral is None or not is_same(value, knobs[name].neutral)
    }


def with_neutral(family: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """What `without_neutral` left out is put back, where it has an effect; in the order of the table, then as given."""
    knobs = _knobs(family)
    whole = {name: params.get(name, entry.neutral) for name, entry in knobs.items()}
    present = {
        name: value
        for name, value in whole.items()
        if value is not None and (name in params or (_has_effect(knobs[name], whole) and knobs[name].since is None))
    }
    return {**{name: value for name, value in params.items() if name not in knobs}, **present}


def with_unsaid(params: Mapping[str, Value], names: Iterable[str]) -> dict[str, Value]:
    """The parameters of a trial as people read them: those of `names` that go unsaid at their neutral value are put back.

    A study that searches `augment_shift` from 0 has trials whose records do not name it; a table shows a 0 there, no gap.
    """
    later = {name: knob for row in FAMILIES.values() for name, knob in row.knobs.items() if knob.since is not None}
    unsaid = {
        name: knob.neutral
        for name in names
        if name not in params and (knob := later.get(name)) is not None and _has_effect(knob, params)
    }
    return {**params, **{name: value for name, value in unsaid.items() if value is not None}}


def numerics_of(family: str, params: Mapping[str, Any]) -> int:
    """The version of a family's arithmetic that trains these parameters: it is in their keys."""
    row = FAMILIES[family]
    later = (knob.since for name, knob in row.knobs.items() if knob.since and name in without_neutral(family, params))
    return max(row.numerics, *later, 0)


def _knobs(family: str) -> Mapping[str, Hyperparameter]:
    """None for a family that this release does not know: its records are shown as they are."""
    return FAMILIES[family].knobs if family in FAMILIES else {}


def _goes_unsaid(entry: Hyperparameter, value: Any) -> bool:
    return entry.since is not None and is_same(value, entry.neutral)


def _has_effect(entry: Hyperparameter, filled: Mapping[str, Any]) -> bool:
    return entry.when is None or filled.get(entry.when[0]) in entry.when[1]
