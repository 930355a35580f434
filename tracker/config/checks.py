"""Holds hyperparameters, search spaces and settings of pruners against the tables of what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from tracker.config.forms import FORBID, Choice, Fixed, Forbid, Form, Range
from tracker.config.study import Pruner, Study
from tracker.knobs import Hyperparameter
from tracker.pruner_table import PRUNERS
from tracker.shown import meant


def value_faults(
    place: str, table: Mapping[str, Hyperparameter], values: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """What is wrong with hyperparameters that go over `fixed` ones, one sentence each, beginning with their place."""
    for name, value in values.items():
        if name not in table:
            yield f"{place}.{name}: unknown; this family knows {_listed(table, name)}{meant(name, table)}"
        elif fault := table[name].fault(value):
            yield f"{place}.{name}: {fault}"
    together = {**(fixed or {}), **values}
    for name in table.keys() & together.keys():
        per = table[name].per
        count = together.get(per, table[per].usual) if per else None
        value = together[name]
        if isinstance(value, list) and count is not None and {name, per} & values.keys() and len(value) != count:
            yield f"{place}.{name}: {len(value)} values for {count} {per}"


def space_faults(place: str, table: Mapping[str, Hyperparameter], space: Mapping[str, Form | Forbid]) -> Iterator[str]:
    """What is wrong with the names and values of a search space, one sentence each, beginning with their place."""
    for name, entry in space.items():
        if (name == FORBID) != isinstance(entry, Forbid):
            example = "[{optimizer: sgd, learning_rate: {above: 0.1}}]"
            wanted = f"combinations such as {example}" if name == FORBID else "values or a range"
            yield f"{place}.{name}: expected {wanted}"
        elif isinstance(entry, Forbid):
            yield from (f"{place}.{name}{fault}" for fault in _forbid_faults(entry, table))
        elif name not in table:
            yield f"{place}.{name}: unknown; this family knows {_listed(table, name)}{meant(name, table)}"
        else:
            yield from (f"{place}.{name}{fault}" for fault in _entry_faults(entry, table[name], table))


def value_warnings(place: str, table: Mapping[str, Hyperparameter], values: Mapping[str, Any]) -> Iterator[str]:
    """Which hyperparameters have a value that is allowed and outside of what is usual."""
    for name, value in values.items():
        if name in table and (words := table[name].warning([value])):
            yield f"{place}.{name}: {words}"


def space_warnings(
    place: str, table: Mapping[str, Hyperparameter], space: Mapping[str, Form | Forbid]
) -> Iterator[str]:
    """Which entries of a search space reach outside of what is usual."""
    for name, entry in space.items():
        if isinstance(entry, Forbid):
            continue
        values = [value for part in _given(entry).values() for value in part]
        if name in table and (words := table[name].warning(values)):
            yield f"{place}.{name}: {words}"
        if (
            isinstance(entry, Range)
            and entry.step is not None
            and entry.low < entry.high < entry.low + entry.step * (1 - 1e-9)
        ):
            wide = f"has one value, {entry.low}, for step {entry.step} is wider than the range"
            yield f"{place}.{name}: {wide}; take a smaller step"


def pruner_faults(place: str, pruner: Pruner) -> Iterator[str]:
    """What is wrong with the settings of a pruner, one sentence each, beginning with their place."""
    settings = PRUNERS[pruner.name].settings
    for name, value in pruner.given.items():
        if name not in settings:
            yield f"{place}.{name}: unknown; {pruner.name} knows {', '.join(settings)}{meant(name, settings)}"
        elif fault := settings[name].fault(value):
            yield f"{place}.{name}: {fault}"
    for name, setting in settings.items():
        if setting.default is None and name not in pruner.given:
            yield f"{place}: pruner {pruner.name} needs {name}: {setting.meaning}"


def pruner_settings(study: Study) -> dict[str, Any]:
    """The pruner of a study with every setting written out; nothing where it has none."""
    if study.pruner is None:
        return {}
    settings, given = PRUNERS[study.pruner.name].settings, study.pruner.given
    filled = {name: entry.typed(given.get(name, entry.default)) for name, entry in settings.items()}
    return {"name": study.pruner.name, **filled}


def _forbid_faults(forbid: Forbid, table: Mapping[str, Hyperparameter]) -> Iterator[str]:
    for index, rule in enumerate(forbid.rules):
        for name, test in rule.items():
            place = f"[{index}].{name}"
            if name not in table:
                yield f"{place}: unknown; this family knows {_listed(table, name)}{meant(name, table)}"
            elif isinstance(test, Mapping):
                if table[name].kind in {"bool", "choice"}:
                    yield f"{place}: has no numbers; list its choices instead"
            else:
                listed = test if isinstance(test, tuple) else (test,)
                yield from (f"{place}: {fault}" for value in listed if (fault := table[name].fault(value)))


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
            yield f".when.{other}: unknown; this family knows {_listed(table, other)}{meant(other, table)}"
            continue
        allowed = wanted if isinstance(wanted, list | tuple) else [wanted]
        yield from (f".when.{other}: {fault}" for value in allowed if (fault := table[other].fault(value)))


def _given(entry: Form) -> Mapping[str, tuple[Any, ...]]:
    if isinstance(entry, Range):
        return {"low": (entry.low,), "high": (entry.high,)}
    return {"choices": entry.choices} if isinstance(entry, Choice) else {"value": (entry.value,)}


def _listed(names: Mapping[str, Hyperparameter], unknown: str) -> str:
    """Names in their order; of those that came later, which are many, such as resemble the unknown one, and their number."""
    later = [name for name, knob in names.items() if knob.since]
    close = get_close_matches(unknown, later, cutoff=0.5)
    left = len(later) - len(close)
    rest = [f"and {left} more, of training and augmentation"] if left else []
    return ", ".join([*(name for name in names if name not in later), *close, *rest])
