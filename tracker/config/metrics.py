"""Which metrics params.yaml may name, as objective, as monitor and as further columns, and which of them a study asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tracker.config.base import Part, raise_faults
from tracker.config.goals import costs_of, metrics_wanted
from tracker.config.model import ENTRY
from tracker.goals import COSTS
from tracker.hyperparameters import COUNTED, FAMILIES
from tracker.metrics import (
    ASKED,
    CURVES,
    METRICS,
    SCORES,
    WITH_NUMBER,
    asked_of,
    direction_of,
    how_asked,
    in_order,
    is_asked,
    metric_of,
    name_fault,
    needs_number,
    numbered,
)
from tracker.shown import meant

if TYPE_CHECKING:
    from tracker.config.settings import Config


def _asked(value: Any) -> str:
    if isinstance(value, str) and (is_asked(value) or re.fullmatch(ENTRY, value)):
        return value
    missing = needs_number(value) if isinstance(value, str) else None
    listed, near = f"expected {how_asked()} or module:function, found {value!r}", meant(value, [*ASKED, *numbered()])
    raise ValueError(f"{missing}, found {value!r}" if missing else listed + near)


Asked = Annotated[str, BeforeValidator(_asked)]
ROBUST = "val_robust_"


def _disturbed(value: Any) -> str:
    metric = metric_of(value) if isinstance(value, str) else None
    if metric is None or metric.needs == "loss":
        raise ValueError(f"expected {', '.join(SCORES)}, {how_asked()}, found {value!r}")
    return metric.name


class Robustness(Part):
    """Metrics of the kept model on validation rows with noise and missing columns; in tables noise is on scaled numbers."""

    noise: float = Field(default=0.0, ge=0, le=100)
    drop: float = Field(default=0.0, ge=0, lt=1)
    metrics: tuple[Annotated[str, BeforeValidator(_disturbed)], ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _disturbs(self) -> Robustness:
        raise_faults({"say noise, drop, or both": not (self.noise or self.drop)})
        return self


def robustness_faults(config: Config) -> Iterator[str]:
    """What robustness cannot be asked of: code of the user's own, early stopping and pruners, which look at every epoch."""
    asked, family = config.training.robustness, config.model.family
    if asked is not None and family not in COUNTED:
        yield f"training.robustness: is of networks of {', '.join(COUNTED)}; family {family} is none of them; take it out"
    if config.objective.metric.startswith(ROBUST):
        for name in (name for name, study in config.studies.items() if study.pruner is not None):
            yield (
                f"{config.place(name)}.pruner: looks at every epoch, and {config.objective.metric} is known of the kept one "
                "alone; take one of them out"
            )


def metric_faults(config: Config, place: str, metric: str) -> Iterator[str]:
    """Our own families compute a fixed set of metrics; the user's own code may yield any."""
    bare = metric.removeprefix("val_")
    if bare != metric and bare in own_metrics(config):
        return
    asked = config.training.robustness
    costs = costs_of(config.model.family) if place.endswith((".objectives", ".constraints")) else ()
    if metric.startswith(ROBUST) and (asked is not None or config.model.family in COUNTED):
        yield from (f"{place}: {fault}" for fault in _robust_faults(config, place, metric))
        return
    if FAMILIES[config.model.family].metrics == "ours" and not (
        metric in CURVES or (bare != metric and metric_of(bare))
    ):
        if missing := needs_number(bare):
            yield f"{place}: {missing}, found {metric!r}"
            return
        if metric in COSTS and metric not in costs:
            yield f"{place}: {metric} is a cost, not a score; name it in objectives or constraints of a study"
            return
        *others, last = (
            *CURVES,
            *(f"val_{name}" for name in own_metrics(config)),
            *costs,
        )
        examples = [f"val_{name}" for name in numbered()]
        listed = f"{', '.join(map(repr, others))} or {last!r}, or with a number {', '.join(examples)}"
        also = [f"{ROBUST}{name}" for name in asked.metrics] if asked else []
        yield f"{place}: expected {listed}, found {metric!r}{_near(metric, [*others, last, *examples, *also])}"
    elif fault := name_fault(metric):
        yield f"{place}: {metric!r} {fault}"


def _robust_faults(config: Config, place: str, metric: str) -> Iterator[str]:
    """Why a score of disturbed rows cannot be named there: it is computed once, of the kept epoch, where it is asked for."""
    name, asked = metric.removeprefix(ROBUST), config.training.robustness
    row = metric_of(name)
    if row is None or row.needs == "loss":
        known = [f"{ROBUST}{one}" for one in (*SCORES, *ASKED, *numbered())]
        yield (
            needs_number(name)
            or f"expected {ROBUST} and {', '.join(SCORES)}, {how_asked()}, found {metric!r}{meant(metric, known)}"
        )
    elif not (place == "objective.metric" or place.endswith((".objectives", ".constraints"))):
        yield f"{metric} is known of the kept epoch alone, so it cannot choose that; did you mean val_{name}?"
    elif asked is None:
        yield f"{metric} is of disturbed rows; say training.robustness, with {name} among its metrics"
    elif name not in asked.metrics:
        yield f"{metric} is not computed; add {name} to training.robustness.metrics"


def _near(metric: str, known: Sequence[str]) -> str:
    """What a name that is not known could have been: its own with `val_`, or one that is written nearly so."""
    whole = f"val_{metric}"
    return f"; did you mean {whole}?" if whole in known or metric_of(metric) else meant(metric, known)


def promote_fault(config: Config) -> str | None:
    """Why champion and challenger of `tracker retune` could not be compared: a model alone has no such score. Else None."""
    own, metric = config.retune.promote.metric, config.retune.promote.metric or config.objective.metric
    if metric_of(metric.removeprefix("val_")) is not None:
        return None
    known = [f"val_{name}" for name in (*METRICS, *numbered())]
    near = "" if own is None else _near(metric, known)
    place, found = (
        ("retune.promote.metric", "") if own else ("objective.metric", "; say retune.promote.metric, such as val_f1")
    )
    return f"{place}: two models are compared by {', '.join(known)}, found {metric!r}{near}{found}"


def direction_warnings(config: Config) -> Iterator[str]:
    """Where a search goes for the worst: for the lowest of what is to be high. Metrics of the user's own may go either way."""
    further = {f"{config.place(name)}.objectives": study.objectives[1:] for name, study in config.studies.items()}
    goals: list[tuple[str, Any]] = [
        ("objective", config.objective),
        *((place, goal) for place, several in further.items() for goal in several),
    ]
    for place, goal in goals:
        bare = re.sub("^(train|val)_(robust_)?", "", goal.metric)
        ours = FAMILIES[config.model.family].metrics == "ours" and bare not in own_metrics(config)
        wanted = "minimize" if goal.metric in COSTS else direction_of(goal.metric)
        if ours and goal.direction != wanted:
            best = "high" if wanted == "maximize" else "low"
            yield f"{place}: {goal.direction} {goal.metric} looks for the worst, for it is to be {best}; leave direction out"


def asked_metrics(config: Config, study: str | None = None) -> list[str]:
    """The metrics that a study (None: any) asks for beside those that all have, in the order of the table."""
    training = config.training if study is None else config.training_of(study)
    stopping = training.early_stopping
    named = [config.objective.metric, stopping.monitor if stopping else "", *metrics_wanted(config, study)]
    return in_order([*asked_of(named), *training.metrics])


def own_metrics(config: Config, study: str | None = None) -> dict[str, str]:
    """The entries `module:function` that a study (None: any) asks for, by the function's name, which is the metric's.

    What decides, or stops training early, is asked for though a study has `training.metrics` of its own.
    """
    known = {entry.partition(":")[2]: entry for entry in _own_entries(config)}
    if study is None:
        return known
    training = config.training_of(study)
    named = {config.objective.metric, training.early_stopping.monitor if training.early_stopping else ""}
    named.update(metrics_wanted(config, study))
    return {name: one for name, one in sorted(known.items()) if one in training.metrics or f"val_{name}" in named}


def own_metric_faults(config: Config) -> Iterator[str]:
    """Functions that could not be told from each other, or from a metric of the table, by their names."""
    entries: dict[str, str] = {}
    for entry in _own_entries(config):
        name = entry.partition(":")[2]
        if metric_of(name) is not None or name in WITH_NUMBER:
            yield f"training.metrics: {entry}: there is a metric {name} already; give the function another name"
        elif entries.setdefault(name, entry) != entry:
            yield f"training.metrics: {entry} and {entries[name]} are both called {name}; give one another name"


def _own_entries(config: Config) -> list[str]:
    own = (study.training.get("metrics") or () for study in config.studies.values() if study.training)
    given = [*config.training.metrics, *(metric for metrics in own for metric in metrics)]
    return [entry for entry in given if isinstance(entry, str) and re.fullmatch(ENTRY, entry)]
