"""Turns params.yaml into one frozen Config, all faults reported together with their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tracker.errors import ConfigError
from tracker.hyperparameters import FAMILIES, Hyperparameter

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
METRICS = ("val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1", "train_loss")
Metric = Literal["val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1", "train_loss"]
Scalar = bool | int | float | str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _date_text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


Date = Annotated[str, BeforeValidator(_date_text)]
Number = Annotated[float, Field(strict=False)]


class Data(_Part):
    """Where the table is and what its columns mean."""

    source: str = "sklearn:breast_cancer"
    target: str = "target"
    id: str | None = None
    drop: tuple[str, ...] = Field((), strict=False)
    categorical: tuple[str, ...] = Field((), strict=False)
    positive: str | None = None


class Split(_Part):
    """How rows go to train, validation and test."""

    method: Literal["stratified", "group", "time", "column"] = "stratified"
    validation: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    group: str | None = None
    column: str | None = None
    validation_from: Date | None = None
    test_from: Date | None = None
    duplicates: Literal["together", "free"] = "together"

    @model_validator(mode="after")
    def _complete(self) -> Split:
        needs = {"group": ("group",), "column": ("column",), "time": ("column", "validation_from", "test_from")}
        missing = [name for name in needs.get(self.method, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"method {self.method} needs {', '.join(missing)}")
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing for train; their sum must be below 1")
        return self


class Numeric(_Part):
    impute: Literal["median", "mean", "most_frequent", "none"] = "median"
    scale: Literal["standard", "minmax", "robust", "none"] = "standard"


class Categorical(_Part):
    impute: Literal["most_frequent", "missing", "none"] = "most_frequent"
    encode: Literal["onehot"] = "onehot"


class Preprocessing(_Part):
    """What is fitted on train alone and travels with every model."""

    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()


class Model(_Part):
    family: Literal["mlp"] = "mlp"


class EarlyStopping(_Part):
    """Stop after `patience` epochs without improvement; the best epoch's weights are kept."""

    monitor: Metric = "val_loss"
    patience: int = Field(10, ge=1)


class Training(_Part):
    epochs: int = Field(30, ge=1, le=1_000_000)
    early_stopping: EarlyStopping | None = EarlyStopping()
    device: Literal["cpu"] = "cpu"


class Range(_Part):
    """Numbers from `low` to `high`; `when` makes the name conditional, `per` gives one value per unit of another name."""

    low: int | Number
    high: int | Number
    step: int | Number | None = None
    log: bool = False
    when: Mapping[str, Any] | None = None
    per: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low above 0, found {self.low}")
        if self.log and self.step is not None:
            raise ValueError("step and log cannot go together")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, found {self.step}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)


class Choice(_Part):
    """One of `choices`; the short form is a list."""

    choices: tuple[Scalar, ...] = Field(min_length=1, strict=False)
    when: Mapping[str, Any] | None = None
    per: str | None = None


class Fixed(_Part):
    """One value; the short form is the value itself."""

    value: Scalar
    when: Mapping[str, Any] | None = None


def _read_entry(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return Choice(choices=tuple(value))
    if isinstance(value, Mapping):
        kind = Range if "low" in value or "high" in value else Choice if "choices" in value else Fixed
        return kind.model_validate(dict(value))
    return value if isinstance(value, _Part) else Fixed(value=value)


Entry = Annotated[Range | Choice | Fixed, BeforeValidator(_read_entry)]


class Objective(_Part):
    """The metric of the kept epoch that decides; ties go to the lower val_loss, then to the lower trial number."""

    metric: Metric = "val_f1"
    direction: Literal["maximize", "minimize"] = "maximize"


class Study(_Part):
    """One study: a sampler over the common search space or its own."""

    sampler: Literal["manual", "grid", "random", "tpe"]
    trials: int | None = Field(None, ge=1, le=1_000_000)
    generation: int | None = Field(None, ge=1, le=100_000)
    configurations: tuple[Mapping[str, Any], ...] | None = Field(None, strict=False)
    search_space: Mapping[str, Entry] | None = None
    training: Mapping[str, Any] | None = None

    @model_validator(mode="after")
    def _fits_sampler(self) -> Study:
        if self.sampler == "manual" and not self.configurations:
            raise ValueError("sampler manual needs configurations: a list of hyperparameters, {} for the fixed ones")
        if self.sampler != "manual" and self.configurations is not None:
            raise ValueError(f"configurations belong to sampler manual, not to {self.sampler}")
        if self.sampler in {"random", "tpe"} and self.trials is None:
            raise ValueError(f"sampler {self.sampler} needs trials: how many to run")
        if self.sampler in {"manual", "grid"} and self.trials is not None:
            raise ValueError(f"sampler {self.sampler} has as many trials as configurations; take trials out")
        if self.sampler != "tpe" and self.generation is not None:
            raise ValueError(f"generation belongs to samplers that learn; {self.sampler} does not")
        return self


class Compare(_Part):
    test_looks: int = Field(1, ge=1)


class BestModels(_Part):
    best: int = Field(ge=1)


class Tracking(_Part):
    """What goes to MLflow; where is MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""

    experiment: str = Field("default", min_length=1)
    models: Literal["all", "none"] | BestModels = "all"


class Config(_Part):
    """The whole of params.yaml, checked."""

    seed: int = Field(ge=0, lt=2**63)
    data: Data = Data()
    split: Split = Split()
    preprocessing: Preprocessing = Preprocessing()
    model: Model = Model()
    training: Training = Training()
    hyperparameters: Mapping[str, Any] = {}
    search_space: Mapping[str, Entry] = {}
    objective: Objective = Objective()
    studies: Mapping[str, Study] = Field(min_length=1)
    compare: Compare = Compare()
    tracking: Tracking = Tracking()

    @model_validator(mode="after")
    def _names_known(self) -> Config:
        faults = list(_name_faults(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def with_(self, path: str, value: Any) -> Config:
        """A copy with one entry replaced: `config.with_("studies.tpe.trials", 96)`. Raises ConfigError."""
        tree = self.model_dump(exclude_unset=True)
        *parents, last = path.split(".")
        place = tree
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{path}: {name} holds a value, not entries")
        place[last] = value
        return parse_config(tree, "params.yaml")

    def training_of(self, study: str) -> Training:
        """The training settings of a study: the common ones with the study's own entries in their place."""
        own = self.studies[study].training
        return (
            Training.model_validate({**self.training.model_dump(exclude_unset=True), **own}) if own else self.training
        )

    def space_of(self, study: str) -> Mapping[str, Range | Choice | Fixed]:
        """The search space of a study: its own, else the common one; nothing for manual."""
        entry = self.studies[study]
        if entry.sampler == "manual":
            return {}
        return self.search_space if entry.search_space is None else entry.search_space


def load_config(path: str | Path = "params.yaml") -> Config:
    """Reads and checks a params.yaml (YAML 1.2). Raises ConfigError with every fault and its line."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); start from the params.yaml in the README"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: {len(content)} bytes; a configuration has at most {MAX_BYTES}")
    return parse_config(read_yaml(content, str(path)), str(path))


def read_yaml(content: bytes, name: str) -> Any:
    """Plain values of a YAML 1.2 text; duplicate keys, aliases and deep nesting are refused with a ConfigError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent

    yaml = YAML(typ="safe", pure=True)
    try:
        text = content.decode("utf-8")
        depth = 0
        for event in yaml.parse(text):
            if isinstance(event, AliasEvent):
                raise ConfigError(
                    f"{name}: line {event.start_mark.line + 1}: aliases (*{event.anchor}) are not allowed"
                )
            depth += {"SequenceStart": 1, "MappingStart": 1, "SequenceEnd": -1, "MappingEnd": -1}.get(
                type(event).__name__.removesuffix("Event"), 0
            )
            if depth > MAX_DEPTH:
                raise ConfigError(f"{name}: line {event.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels")
        return YAML(typ="safe", pure=True).load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start}: not UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{name}: {place}{error.problem}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}") from None


def parse_config(tree: Any, name: str) -> Config:
    """A Config from plain values. Raises ConfigError with one sentence per fault."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected entries such as `seed: 2026`, found {type(tree).__name__}")
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{name}: {fault}" for fault in _faults(error)) from None


def _faults(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        skip = {"Range", "Choice", "Fixed", "BestModels", "int", "float", "function-before[_date_text(), str]"}
        place = ".".join(str(part) for part in item["loc"] if part not in skip and "[" not in str(part))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown entry; see the README for the entries there are"
        elif item["type"] == "missing":
            message = "missing"
        elif not item["msg"].startswith("Value error") and not isinstance(item["input"], dict):
            message = f"{message}, found {item['input']!r}"
        for line in message.splitlines():
            yield f"{place}: {line}" if place else line


def _name_faults(config: Config) -> Iterator[str]:
    table = FAMILIES[config.model.family]
    yield from value_faults("hyperparameters", table, config.hyperparameters)
    yield from space_faults("search_space", table, config.search_space)
    for name, study in config.studies.items():
        place = f"studies.{name}"
        import re

        if not re.match(NAME, name):
            yield f"{place}: a study's name starts with a letter and has letters, digits, _ and - (at most 64)"
        if study.search_space is not None:
            yield from space_faults(f"{place}.search_space", table, study.search_space)
        for index, configuration in enumerate(study.configurations or ()):
            yield from value_faults(f"{place}.configurations[{index}]", table, configuration)
        if study.training is not None:
            try:
                config.training_of(name)
            except ValidationError as error:
                yield from (f"{place}.training.{fault}" for fault in _faults(error))
        if study.sampler != "manual" and not config.space_of(name):
            yield f"{place}: nothing to search; give it a search_space"


def value_faults(place: str, table: Mapping[str, Hyperparameter], values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if name not in table:
            yield f"{place}.{name}: unknown; this family knows {', '.join(table)}"
        elif fault := table[name].fault(value):
            yield f"{place}.{name}: {fault}"
    layers, units = values.get("hidden_layers"), values.get("units")
    if isinstance(units, list) and isinstance(layers, int) and len(units) != layers:
        yield f"{place}.units: {len(units)} widths for {layers} hidden_layers"


def space_faults(
    place: str, table: Mapping[str, Hyperparameter], space: Mapping[str, Range | Choice | Fixed]
) -> Iterator[str]:
    for name, entry in space.items():
        if name not in table:
            yield f"{place}.{name}: unknown; this family knows {', '.join(table)}"
            continue
        ends = {Range: ("low", "high"), Choice: ("choices",), Fixed: ("value",)}[type(entry)]
        for end in ends:
            values = getattr(entry, end) if end == "choices" else (getattr(entry, end),)
            for value in values:
                if fault := table[name].fault(value):
                    yield f"{place}.{name}.{end}: {fault}"
        if isinstance(entry, Range) and table[name].kind in {"bool", "choice"}:
            yield f"{place}.{name}: has no numbers; list its choices instead"
        if isinstance(entry, Range) and table[name].kind == "int" and not entry.whole:
            yield f"{place}.{name}: whole numbers only; low, high and step must be whole"
        per = getattr(entry, "per", None)
        if per is not None and table[name].per != per:
            yield f"{place}.{name}.per: expected {table[name].per or 'no such entry for this name'}, found {per}"
        for other in entry.when or {}:
            if other not in table:
                yield f"{place}.{name}.when.{other}: unknown; this family knows {', '.join(table)}"
