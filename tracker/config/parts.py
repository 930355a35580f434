"""The parts of params.yaml, each sound by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    field_validator,
    model_validator,
)

from tracker.config.base import Part, one_of, raise_faults
from tracker.config.goals import Prefer
from tracker.config.metrics import Asked, Robustness
from tracker.metrics import Direction, direction_of


def _date_text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


Date = Annotated[str, BeforeValidator(_date_text)]


SEPARATORS = (",", ";", "|", ":", " ", "tab", "\t")
EVERY_COLUMN = "*"


def _gap_words(value: Any) -> Any:
    """Words for a gap by column; a list is for every column. A word may be written as a number."""
    by_column = value if isinstance(value, Mapping) else {EVERY_COLUMN: value}
    words = {name: [given] if isinstance(given, str | int | float) else given for name, given in by_column.items()}
    plain = all(
        isinstance(given, list | tuple) and all(isinstance(word, str | int | float) and word != "" for word in given)
        for given in words.values()
    )
    if not plain or any(isinstance(word, bool) for given in words.values() for word in given):
        raise ValueError(f'expected words in quotes, such as ["?", "NA"], or such a list by column, found {value!r}')
    return {name: tuple(str(word).strip() for word in given) for name, given in words.items()}


def _shape(value: Any) -> tuple[int, ...] | None:
    """Channels, height and width of an image, or steps and channels of a sequence."""
    if value is None:
        return None
    sides = list(value) if isinstance(value, list | tuple) else []
    if len(sides) not in {2, 3} or any(type(side) is not int or side < 1 for side in sides):
        raise ValueError(
            "expected [channels, height, width] of images or [steps, channels] of sequences, such as [1, 8, 8], "
            f"found {value!r}"
        )
    return tuple(sides)


Codes = Annotated[
    Annotated[Literal["integers"], Tag("<word>")] | Annotated[tuple[str, ...], Field(strict=False), Tag("<list>")],
    Discriminator(lambda value: "<word>" if isinstance(value, str) else "<list>"),
]


class Steps(Part):
    """A table with one row per step: `by` names the sequence of a step, `order` its place in it."""

    by: str
    order: str


Sequences = Annotated[
    Annotated[Literal["lists"], Tag("<word>")] | Annotated[Steps, Tag("<steps>")],
    Discriminator(lambda value: "<word>" if isinstance(value, str) else "<steps>"),
]


class Data(Part):
    """Where the table is, how its file is written, and what its columns mean."""

    source: str = "sklearn:breast_cancer"
    target: str = "target"
    id: str | None = None
    drop: tuple[str, ...] = Field(default=(), strict=False)
    categorical: Codes = ()
    numbers: tuple[str, ...] = Field(default=(), strict=False)
    positive: str | None = None
    header: Literal["first", "none"] | None = None
    separator: Annotated[str, BeforeValidator(partial(one_of, SEPARATORS))] = ","
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    gaps: Annotated[Mapping[str, tuple[str, ...]], BeforeValidator(_gap_words)] = {}
    dates: Literal["drop", "features"] = "drop"
    day_first: bool | None = None
    keep_constants: bool = False
    unlabelled: Literal["error", "drop"] = "error"
    shape: Annotated[tuple[int, ...] | None, BeforeValidator(_shape)] = None
    sequences: Sequences | None = None
    images: str | None = None

    @property
    def keeps_constants(self) -> bool:
        """Whether columns of one value stay features: so they do where they are places in an image or a sequence."""
        return self.keep_constants or self.shape is not None

    @property
    def codes(self) -> tuple[str, ...]:
        """The columns that are named as codes."""
        return () if isinstance(self.categorical, str) else self.categorical

    @model_validator(mode="after")
    def _signs_differ(self) -> Data:
        others = {self.target, *self.drop} | ({self.id} - {None})
        both = sorted({*self.codes}.intersection(self.numbers))
        faults = {
            "images and sequences are both given; a row is one of them": bool(self.images and self.sequences),
            f"images is {self.images!r}, which target, id or drop names as well": self.images in others,
            f"decimal and thousands are both {self.decimal!r}; one sign cannot be both": self.decimal == self.thousands,
            f"categorical and numbers both name {', '.join(map(repr, both))}": bool(both),
        }
        raise_faults(faults)
        return self


class Window(Part):
    """Rows whose date in `column` is before `since`, or over `days` days before the newest row, are in no split."""

    column: str
    since: Date | None = None
    days: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_begin(self) -> Window:
        raise_faults(
            {"give either since (a date) or days (before the newest row)": (self.since is None) == (self.days is None)}
        )
        return self


class Split(Part):
    """How rows go to train, validation and test."""

    method: Literal["stratified", "group", "time", "column"] = "stratified"
    validation: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.2, gt=0, lt=1)
    group: str | None = None
    column: str | None = None
    validation_from: Date | None = None
    test_from: Date | None = None
    duplicates: Literal["together", "free"] = "together"
    promotion: float = Field(default=0.0, ge=0, lt=1)
    window: Window | None = None
    selection: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _complete(self) -> Split:
        needs = {"group": ("group",), "column": ("column",), "time": ("column", "validation_from", "test_from")}
        missing = ", ".join(name for name in needs.get(self.method, ()) if getattr(self, name) is None)
        faults = {
            f"method {self.method} needs {missing}": bool(missing),
            "validation and test leave nothing for train; their sum must be below 1": self.validation + self.test >= 1,
        }
        raise_faults(faults)
        return self


class Numeric(Part):
    """What happens to columns of numbers."""

    impute: Literal["median", "mean", "most_frequent", "none"] = "median"
    scale: Literal["standard", "minmax", "robust", "none"] = "standard"
    indicator: bool = False


class Categorical(Part):
    """What happens to columns of categories."""

    impute: Literal["most_frequent", "missing", "none"] = "most_frequent"
    encode: Literal["onehot"] = "onehot"


class Preprocessing(Part):
    """What is fitted on train alone and travels with every model."""

    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()


class EarlyStopping(Part):
    """Stop after `patience` epochs without improvement; the best epoch's weights are kept."""

    monitor: str = "val_loss"
    patience: int = Field(default=10, ge=1)


class Training(Part):
    """How long a trial trains, and on what."""

    epochs: int = Field(default=30, ge=1, le=1_000_000)
    early_stopping: EarlyStopping | None = EarlyStopping()
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    numerics: Literal["native", "portable"] = "native"
    metrics: tuple[Asked, ...] = Field(default=(), strict=False)
    robustness: Robustness | None = None


def _threshold(value: Any) -> str | float:
    if value in ("argmax", "validation"):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise ValueError(f"expected argmax, validation, or a probability between 0 and 1, found {value!r}")


class Decision(Part):
    """When a row is called the positive one of two classes: where it is the more probable one, or from a threshold on."""

    threshold: Annotated[str | float, PlainValidator(_threshold)] = "argmax"


def _direction(given: Mapping[str, Any]) -> Direction:
    return direction_of(str(given.get("metric")))


class Objective(Part):
    """The metric of the kept epoch that decides; ties go to the lower val_loss, then to the lower trial number.

    A metric of ours goes the way it is meant to; of others a loss is minimized and anything else maximized, unless
    `direction` says otherwise.
    """

    metric: str = "val_f1"
    direction: Direction = Field(default_factory=_direction)


class Confirm(Part):
    """How many of the best configurations are trained again, beside the defaults, and with how many further seeds."""

    top: int = Field(default=5, ge=1, le=1000)
    seeds: int = Field(default=20, ge=2, le=1000)


class Compare(Part):
    """How many candidates (a configuration with its seed) may ever be scored on the test split; what is confirmed.

    Two configurations whose scores differ by no more than `margin` are as good as each other. `prefer` says which is chosen of
    the best and its ties.
    """

    test_looks: int = Field(default=1, ge=1)
    margin: float | None = Field(default=None, ge=0, lt=1)
    confirm: Confirm | None = None
    prefer: Prefer = "best"


class BestModels(Part):
    """Only the models of the best trials of each study are kept."""

    best: int = Field(ge=1)


Models = Annotated[
    Annotated[Literal["all", "none"], Tag("<word>")] | Annotated[BestModels, Tag("<best>")],
    Discriminator(lambda value: "<best>" if isinstance(value, Mapping | BestModels) else "<word>"),
]


class Tracking(Part):
    """What goes to MLflow; where is MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""

    experiment: str = Field(default="default", min_length=1)
    models: Models = "all"


class Drift(Part):
    """How far a column may move before it counts: the population stability index of its bins, and a chi-square test."""

    threshold: float = Field(default=0.2, gt=0)
    level: float = Field(default=0.01, gt=0, lt=1)


class Refuse(Part):
    """Which new tables are taken for broken: shares of rows that are lost, have another label, or are there twice."""

    lost: float = Field(default=0.5, gt=0, le=1)
    relabelled: float = Field(default=0.1, gt=0, le=1)
    repeated: float = Field(default=0.2, gt=0, le=1)


class Promote(Part):
    """When a challenger replaces the champion: better by `margin` on the rows of `split.promotion`, and that surely."""

    metric: str | None = None
    margin: float = Field(default=0.005, ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class Retune(Part):
    """What `tracker retune` calls a change, what it refuses, what it begins with, and when it promotes."""

    new_rows: float = Field(default=0.05, ge=0)
    drift: Drift = Drift()
    refuse: Refuse = Refuse()
    warm_start: int = Field(default=10, ge=0, le=1000)
    promote: Promote = Promote()
    otherwise: Literal["keep", "refit"] = "keep"
    registered_model: str | None = Field(default=None, pattern="^[^/:'\"%]+$")
    alias: str = "champion"

    @field_validator("alias")
    @classmethod
    def _is_an_alias(cls, alias: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or re.fullmatch(r"latest|v\d+", alias):
            raise ValueError(f"expected letters, digits, _ and -, but not latest or v1, found {alias!r}")
        return alias
