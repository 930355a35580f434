"""What is wrong with the metrics that a configuration names, as objective, as monitor and as further columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tracker.config.asked import own_entries, own_metrics
from tracker.config.entries import Entries
from tracker.config.goals import costs_of
from tracker.config.metrics import ROBUST
from tracker.goals import COSTS
from tracker.hyperparameters import COUNTED, FAMILIES
from tracker.metrics import (
    ASKED,
    CURVES,
    METRICS,
    SCORES,
    WITH_NUMBER,
    direction_of,
    how_asked,
    metric_of,
    name_fault,
    needs_number,
    numbered,
)
from tracker.shown import meant


def robustness_faults(config: Entries) -> Iterator[str]:
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


def metric_faults(config: Entries, place: str, metric: str) -> Iterator[str]:
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


def _robust_faults(config: Entries, place: str, metric: str) -> Iterator[str]:
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


def promote_fault(config: Entries) -> str | None:
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


def direction_warnings(config: Entries) -> Iterator[str]:
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


def own_metric_faults(config: Entries) -> Iterator[str]:
    """Functions that could not be told from each other, or from a metric of the table, by their names."""
    entries: dict[str, str] = {}
    for entry in own_entries(config):
        name = entry.partition(":")[2]
        if metric_of(name) is not None or name in WITH_NUMBER:
            yield f"training.metrics: {entry}: there is a metric {name} already; give the function another name"
        elif entries.setdefault(name, entry) != entry:
            yield f"training.metrics: {entry} and {entries[name]} are both called {name}; give one another name"
