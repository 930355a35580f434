"""Turns params.yaml into one frozen Config, all faults reported together with their place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    model_validator,
)

from tracker.errors import ConfigError
from tracker.hyperparameters import OWN_CODE, Hyperparameter, table_of

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
ENTRY = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
METRICS = ("val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1", "train_loss")
EXPECTED = {
    "bool_type": "expected true or false",
    "float_type": "expected a number",
    "int_type": "expected a whole number",
    "invalid_key": "expected a name, in quotes if it looks like something else",
    "mapping_type": "expected entries, name: value",
    "model_type": "expected entries, name: value",
    "string_type": "expected text, in quotes if it looks like something else",
    "tuple_type": "expected a list",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _date_text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _raise(faults: Mapping[str, bool]) -> None:
    present = [fault for fault, found in faults.items() if found]
    if present:
        raise ValueError("\n".join(present))


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise ValueError(f"expected a number, found {value!r}")
    return value


def _scalar(value: Any) -> bool | int | float | str:
    if not isinstance(value, bool | int | float | str) or not _finite(value):
        raise ValueError(f"expected a number, text, true or false, found {value!r}")
    return value


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("expected at least one value, found none")
    return values


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


Date = Annotated[str, BeforeValidator(_date_text)]
Number = Annotated[int | float, PlainValidator(_number)]
Scalar = Annotated[bool | int | float | str, PlainValidator(_scalar)]


class Data(_Part):
    """Where the table is and what its columns mean."""

    source: str = "sklearn:breast_cancer"
    target: str = "target"
    id: str | None = None
    drop: tuple[str, ...] = Field(default=(), strict=False)
    categorical: tuple[str, ...] = Field(default=(), strict=False)
    positive: str | None = None


class Split(_Part):
    """How rows go to train, validation and test."""

    method: Literal["stratified", "group", "time", "column"] = "stratified"
    validation: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.2, gt=0, lt=1)
    group: str | None = None
    column: str | None = None
    validation_from: Date | None = None
    test_from: Date | None = None
    duplicates: Literal["together", "free"] = "together"

    @model_validator(mode="after")
    def _complete(self) -> Split:
        needs = {"group": ("group",), "column": ("column",), "time": ("column", "validation_from", "test_from")}
        missing = ", ".join(name for name in needs.get(self.method, ()) if getattr(self, name) is None)
        faults = {
            f"method {self.method} needs {missing}": bool(missing),
            "validation and test leave nothing for train; their sum must be below 1": self.validation + self.test >= 1,
        }
        _raise(faults)
        return self


class Numeric(_Part):
    """What happens to columns of numbers."""

    impute: Literal["median", "mean", "most_frequent", "none"] = "median"
    scale: Literal["standard", "minmax", "robust", "none"] = "standard"


class Categorical(_Part):
    """What happens to columns of categories."""

    impute: Literal["most_frequent", "missing", "none"] = "most_frequent"
    encode: Literal["onehot"] = "onehot"


class Preprocessing(_Part):
    """What is fitted on train alone and travels with every model."""

    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()


class Model(_Part):
    """The family of networks; `entry` names the user's own code, as `module:function`."""

    family: Literal["mlp", "function"] = "mlp"
    entry: str | None = None

    @model_validator(mode="after")
    def _entry_fits(self) -> Model:
        own, entry = self.family in OWN_CODE, self.entry
        faults = {
            f"family {self.family} needs entry: module:function, such as loop:fit": own and entry is None,
            f"entry belongs to a family with code of your own; {self.family} has none": not own and entry is not None,
            f"entry: expected module:function, such as loop:fit for fit() in loop.py, found {entry!r}": (
                own and entry is not None and not re.fullmatch(ENTRY, entry)
            ),
        }
        _raise(faults)
        return self


class EarlyStopping(_Part):
    """Stop after `patience` epochs without improvement; the best epoch's weights are kept."""

    monitor: str = "val_loss"
    patience: int = Field(default=10, ge=1)


class Training(_Part):
    """How long a trial trains, and on what."""

    epochs: int = Field(default=30, ge=1, le=1_000_000)
    early_stopping: EarlyStopping | None = EarlyStopping()
    device: Literal["cpu"] = "cpu"
    numerics: Literal["native", "portable"] = "native"


class Range(_Part):
    """Numbers from `low` to `high`; `when` makes the name conditional, `per` gives one value for each of another."""

    low: Number
    high: Number
    step: Number | None = None
    log: bool = False
    when: Mapping[str, Any] | None = None
    per: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        faults = {
            f"low {self.low} is above high {self.high}": self.low > self.high,
            f"a logarithmic range needs low above 0, found {self.low}": self.log and self.low <= 0,
            "step and log cannot go together": self.log and self.step is not None,
            f"step must be above 0, found {self.step}": self.step is not None and self.step <= 0,
        }
        _raise(faults)
        return self

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)


class Choice(_Part):
    """One of `choices`; the short form is a list."""

    choices: Annotated[tuple[Scalar, ...], Field(strict=False), AfterValidator(_some)]
    when: Mapping[str, Any] | None = None
    per: str | None = None


class Fixed(_Part):
    """One value; the short form is the value itself."""

    value: Scalar
    when: Mapping[str, Any] | None = None


Form = Range | Choice | Fixed


def _long_form(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return {"choices": tuple(value)}
    return value if isinstance(value, Mapping | _Part) else {"value": value}


def _form(value: Any) -> str:
    names = set(value) if isinstance(value, Mapping) else type(value).model_fields
    return "<range>" if {"low", "high"} & set(names) else "<choice>" if "choices" in names else "<fixed>"


Entry = Annotated[
    Annotated[Range, Tag("<range>")] | Annotated[Choice, Tag("<choice>")] | Annotated[Fixed, Tag("<fixed>")],
    Discriminator(_form),
    BeforeValidator(_long_form),
]


def _direction(given: Mapping[str, Any]) -> Literal["maximize", "minimize"]:
    return "minimize" if str(given.get("metric")).endswith("loss") else "maximize"


class Objective(_Part):
    """The metric of the kept epoch that decides; ties go to the lower val_loss, then to the lower trial number.

    A loss is minimized and anything else maximized, unless `direction` says otherwise.
    """

    metric: str = "val_f1"
    direction: Literal["maximize", "minimize"] = Field(default_factory=_direction)


class Study(_Part):
    """One study: a sampler over the common search space or its own."""

    sampler: Literal["manual", "grid", "random", "tpe"]
    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    generation: int | None = Field(default=None, ge=1, le=100_000)
    configurations: tuple[Mapping[str, Any], ...] | None = Field(default=None, strict=False)
    search_space: Mapping[str, Entry] | None = None
    training: Mapping[str, Any] | None = None

    @model_validator(mode="after")
    def _fits_sampler(self) -> Study:
        sampler, listed = self.sampler, self.sampler in {"manual", "grid"}
        faults = {
            "sampler manual needs configurations: a list of hyperparameters, {} for the fixed ones": (
                sampler == "manual" and not self.configurations
            ),
            f"configurations belong to sampler manual, not to {sampler}": (
                sampler != "manual" and self.configurations is not None
            ),
            f"sampler {sampler} needs trials: how many to run": not listed and self.trials is None,
            f"sampler {sampler} has as many trials as configurations; take trials out": (
                listed and self.trials is not None
            ),
            f"generation belongs to samplers that learn; {sampler} does not": (
                sampler != "tpe" and self.generation is not None
            ),
        }
        _raise(faults)
        return self


class Compare(_Part):
    """How many configurations may ever be scored on the test split."""

    test_looks: int = Field(default=1, ge=1)


class BestModels(_Part):
    """Only the models of the best trials of each study are kept."""

    best: int = Field(ge=1)


Models = Annotated[
    Annotated[Literal["all", "none"], Tag("<word>")] | Annotated[BestModels, Tag("<best>")],
    Discriminator(lambda value: "<best>" if isinstance(value, Mapping | BestModels) else "<word>"),
]


class Tracking(_Part):
    """What goes to MLflow; where is MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""

    experiment: str = Field(default="default", min_length=1)
    models: Models = "all"


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
    studies: Mapping[str, Study]
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

    def space_of(self, study: str) -> Mapping[str, Form]:
        """The search space of a study: its own, else the common one; nothing for manual."""
        entry = self.studies[study]
        if entry.sampler == "manual":
            return {}
        return self.search_space if entry.search_space is None else entry.search_space


def load_config(path: str | Path = "params.yaml") -> Config:
    """Reads and checks a params.yaml (YAML 1.2). Raises ConfigError with every fault and its place.

    A Config holds entries and no place: `load_config("../params.yaml")` reads the entries of another folder, while data,
    reports and the store stay those of the current one. To work on a project, start in its folder or go there
    (`os.chdir`), or tell the functions of `tracker.api` where with `here`.
    """
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

    try:
        text = content.decode("utf-8")
        _refuse_bombs(text, name)
        return YAML(typ="safe", pure=True).load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start}: not UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{name}: {place}{_first_line(error.problem)}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {_first_line(error)}") from None


def _refuse_bombs(text: str, name: str) -> None:
    """Looks at the events alone: aliases can unfold into more than memory holds, nesting into more than the stack."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise ConfigError(f"{name}: line {line}: aliases (*{event.anchor}) are not allowed")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{name}: line {line}: nested deeper than {MAX_DEPTH} levels")


def _first_line(message: object) -> str:
    return (str(message).splitlines() or ["not YAML"])[0]


def parse_config(tree: Any, name: str) -> Config:
    """A Config from plain values. Raises ConfigError with one sentence per fault."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected entries such as `seed: 2026`, found {type(tree).__name__}")
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = dict.fromkeys([*_faults(error), *_hidden_faults(tree, error)])
        raise ConfigError(f"{name}: {fault}" for fault in faults) from None


def _faults(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        if item["type"] == "default_factory_not_called":  # a consequence of another fault
            continue
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"] if str(part)[:1] != "<"]
        place = "".join(parts).removeprefix(".")
        for line in _message(item["type"], item["msg"], item["input"]).splitlines():
            yield f"{place}: {line}" if place else line


def _message(kind: str, message: str, found: Any) -> str:
    if kind == "extra_forbidden":
        return "unknown entry; see the README for the entries there are"
    if kind == "missing":
        return "missing"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    expected = EXPECTED.get(kind, message.replace("Input should be", "expected"))
    return expected if isinstance(found, Mapping) else f"{expected}, found {found!r}"


def _hidden_faults(tree: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    """Faults of names, which pydantic looks for only where every part is sound: so check the sound parts alone."""
    broken = [item["loc"] for item in error.errors(include_url=False) if item["loc"]]
    if not broken:
        return
    sound = {key: dict(value) if isinstance(value, dict) else value for key, value in tree.items()}
    for section, *rest in broken:
        if rest and section in {"studies", "search_space"} and isinstance(sound.get(str(section)), dict):
            sound[str(section)].pop(rest[0], None)
        else:
            sound.pop(str(section), None)
    spare = {"spare": {"sampler": "manual", "configurations": [{}]}}
    try:
        Config.model_validate({"seed": 0, **sound, "studies": sound.get("studies") or spare})
    except ValidationError as second:
        lost_space = any(section == "search_space" for section, *_ in broken)
        yield from (fault for fault in _faults(second) if not (lost_space and "nothing to search" in fault))


def _name_faults(config: Config) -> Iterator[str]:
    names = config.hyperparameters, config.search_space
    table = table_of(config.model.family, *names)
    yield from _free_faults(config)
    yield from _metric_faults(config, "objective.metric", config.objective.metric)
    if stopping := config.training.early_stopping:
        yield from _metric_faults(config, "training.early_stopping.monitor", stopping.monitor)
    if not config.studies:
        yield "studies: nothing to run; give it a study such as `random: {sampler: random, trials: 48}`"
    yield from value_faults("hyperparameters", table, config.hyperparameters)
    yield from space_faults("search_space", table, config.search_space)
    folded: dict[str, str] = {}
    for name, study in config.studies.items():
        if folded.setdefault(name.casefold(), name) != name:
            yield f"studies.{name}: differs from {folded[name.casefold()]} in case alone, so their files would collide"
        if not re.fullmatch(NAME, name):
            yield f"studies: {name!r} is no name; it starts with a letter and has letters, digits, _ and - (at most 64)"
        else:
            own = table_of(config.model.family, *names, study.search_space or {}, *(study.configurations or ()))
            yield from (f"studies.{name}{fault}" for fault in _study_faults(config, name, study, own))


def _free_faults(config: Config) -> Iterator[str]:
    """Names of the user's own hyperparameters that could not be shown or passed on."""
    if config.model.family not in OWN_CODE:
        return
    own = [names for study in config.studies.values() for names in (study.search_space, *(study.configurations or ()))]
    for name in dict.fromkeys(
        name for names in (config.hyperparameters, config.search_space, *own) for name in names or ()
    ):
        if name == "seed":
            yield "hyperparameters: seed is no hyperparameter; each trial gets a seed of its own as an argument"
        elif not re.fullmatch(NAME, name):
            yield f"hyperparameters: {name!r} is no name; it starts with a letter and has letters, digits, _ and -"


def _metric_faults(config: Config, place: str, metric: str) -> Iterator[str]:
    """Our own families compute a fixed set of metrics; the user's own code may yield any."""
    if config.model.family not in OWN_CODE and metric not in METRICS:
        listed = " or ".join([", ".join(map(repr, METRICS[:-1])), repr(METRICS[-1])])
        yield f"{place}: expected {listed}, found {metric!r}"


def _study_faults(config: Config, name: str, study: Study, table: Mapping[str, Hyperparameter]) -> Iterator[str]:
    yield from space_faults(".search_space", table, study.search_space or {})
    for index, configuration in enumerate(study.configurations or ()):
        yield from value_faults(f".configurations[{index}]", table, configuration, config.hyperparameters)
    if study.sampler != "manual" and not config.space_of(name):
        yield ": nothing to search; give it a search_space"
    try:
        stopping = config.training_of(name).early_stopping
    except ValidationError as error:
        yield from (f".training.{fault}" for fault in _faults(error))
    else:
        if study.training and stopping:
            yield from _metric_faults(config, ".training.early_stopping.monitor", stopping.monitor)


def value_faults(
    place: str, table: Mapping[str, Hyperparameter], values: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """What is wrong with hyperparameters that go over `fixed` ones, one sentence each, beginning with their place."""
    for name, value in values.items():
        if name not in table:
            yield f"{place}.{name}: unknown; this family knows {', '.join(table)}"
        elif fault := table[name].fault(value):
            yield f"{place}.{name}: {fault}"
    together = {**(fixed or {}), **values}
    for name in table.keys() & together.keys():
        per = table[name].per
        count = together.get(per, table[per].default) if per else None
        value = together[name]
        if isinstance(value, list) and count is not None and {name, per} & values.keys() and len(value) != count:
            yield f"{place}.{name}: {len(value)} values for {count} {per}"


def space_faults(place: str, table: Mapping[str, Hyperparameter], space: Mapping[str, Form]) -> Iterator[str]:
    """What is wrong with the names and values of a search space, one sentence each, beginning with their place."""
    for name, entry in space.items():
        if name not in table:
            yield f"{place}.{name}: unknown; this family knows {', '.join(table)}"
        else:
            yield from (f"{place}.{name}{fault}" for fault in _entry_faults(entry, table[name], table))


def _entry_faults(entry: Form, known: Hyperparameter, table: Mapping[str, Hyperparameter]) -> Iterator[str]:
    if isinstance(entry, Range) and known.kind in {"bool", "choice"}:
        yield ": has no numbers; list its choices instead"
    elif isinstance(entry, Range) and known.kind == "int" and not entry.whole:
        yield ": whole numbers only; low, high and step must be whole"
    else:
        for part, values in _given(entry).items():
            yield from (f".{part}: {fault}" for value in values if (fault := known.fault(value)))
    if not isinstance(entry, Fixed) and entry.per not in {None, known.per}:
        yield f".per: expected {known.per or 'no such entry for this name'}, found {entry.per}"
    for other, wanted in (entry.when or {}).items():
        if other not in table:
            yield f".when.{other}: unknown; this family knows {', '.join(table)}"
            continue
        allowed = wanted if isinstance(wanted, list | tuple) else [wanted]
        yield from (f".when.{other}: {fault}" for value in allowed if (fault := table[other].fault(value)))


def _given(entry: Form) -> Mapping[str, tuple[Any, ...]]:
    if isinstance(entry, Range):
        return {"low": (entry.low,), "high": (entry.high,)}
    return {"choices": entry.choices} if isinstance(entry, Choice) else {"value": (entry.value,)}
