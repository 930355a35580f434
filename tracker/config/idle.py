"""What params.yaml says that can never have an effect: names whose condition no trial meets, combinations that never occur."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tracker.config.checks import pruner_settings
from tracker.config.entries import Entries
from tracker.config.forms import FORBID, Choice, Fixed, Forbid, Range
from tracker.config.study import Study
from tracker.hyperparameters import FAMILIES, table_of
from tracker.knobs import Hyperparameter
from tracker.shown import counted, edits, nearest, written

UNTIL = ("n_warmup_steps", "min_resource", "epoch", "patience")  # of pruners: no trial stops before so many epochs
SLIPS, FEW = 2, 5  # letters by which a name misses one of ours; one where it has so few itself
Possible = Range | tuple[Any, ...]  # the values that a name may take in a study


def idle(config: Entries) -> Iterator[str]:
    """A sentence for each entry that changes nothing, whatever is drawn; a common one is told where no study is changed."""
    common: dict[str, list[str | None]] = {}
    for name, study in config.studies.items():
        space, place = config.space_of(name), config.place(name)
        table = table_of(config.model.family, config.hyperparameters, space, *(study.configurations or ()))
        own = f"{place}.search_space" if study.search_space is not None else "search_space"
        for index, given in enumerate(study.configurations or ({},)):
            values = {**config.hyperparameters, **given}
            for entry in [*given, *(one for one in config.hyperparameters if one not in given)]:
                where = f"{place}.configurations[{index}].{entry}" if entry in given else f"hyperparameters.{entry}"
                common.setdefault(where, []).append(_why_idle(entry, table, values, space, entry in space))
        for entry in (one for one in space if one != FORBID):
            common.setdefault(f"{own}.{entry}", []).append(_why_idle(entry, table, config.hyperparameters, space))
        forbid = space.get(FORBID)
        for index, rule in enumerate(forbid.rules if isinstance(forbid, Forbid) else ()):
            never = (
                _never(one, test, _possible(one, table, config.hyperparameters, space)) for one, test in rule.items()
            )
            common.setdefault(f"{own}.{FORBID}[{index}]", []).append(next(filter(None, never), None))
    for where, found in common.items():
        if None not in found:
            yield f"{where}: {found[0]}"
    for name, study in config.studies.items():
        yield from (f"{config.place(name)}.{fault}" for fault in _never_met(study, config.training_of(name).epochs))


def misspelt(config: Entries, code: str) -> Iterator[str]:
    """Names of the user's own that their code has nowhere, and that are a slip away from one of ours which is not given."""
    knobs = FAMILIES[config.model.family].knobs
    given = {"hyperparameters": config.hyperparameters, "search_space": config.search_space}
    for study, told in config.studies.items():
        given[f"{config.place(study)}.search_space"] = told.search_space or {}
        for index, one in enumerate(told.configurations or ()):
            given[f"{config.place(study)}.configurations[{index}]"] = one
    names = {name for entries in given.values() for name in entries}
    for place, entries in given.items():
        for name in (one for one in entries if one not in knobs and not re.search(rf"\b{re.escape(one)}\b", code)):
            near = nearest(name, knobs)
            if near and near not in names and edits(name, near) <= (SLIPS if len(name) > FEW else 1):
                yield f"{place}.{name}: is a name of your own, which your code does not read; did you mean {near}?"


def _never_met(study: Study, epochs: int) -> Iterator[str]:
    """A pruner that stops nothing in so few epochs, configurations behind the last trial."""
    given = pruner_settings(study)
    late = [f"{name} is {given[name]}" for name in UNTIL if given.get(name, 0) >= epochs]
    if late:
        told = f"pruner: stops no trial, for {late[0]}, and training has {counted(epochs, 'epoch')}"
        yield f"{told}; take fewer, or more epochs, or the pruner out"
    given_first = {repr(sorted(one.items())) for one in study.enqueue}  # equal ones count once
    if study.trials is not None and len(given_first) > study.trials:
        yield (
            f"enqueue: {len(given_first)} configurations for {counted(study.trials, 'trial')}: those behind are never tried; "
            "raise trials, or take some out"
        )


def _why_idle(
    name: str,
    table: Mapping[str, Hyperparameter],
    values: Mapping[str, Any],
    space: Mapping[str, Any],
    is_searched: bool = False,
) -> str | None:
    """Why a name changes nothing in a study, or None; a value that the space replaces is none of its business here."""
    knob = table.get(name)
    if knob is None or knob.when is None or is_searched or (name not in space and values.get(name) == knob.usual):
        return None
    other, allowed = knob.when
    possible = _possible(other, table, values, space)
    if isinstance(possible, Range) or any(value in allowed for value in possible):
        return None
    needed, found = (" or ".join(map(written, values)) for values in (allowed, possible))
    return f"has no effect, for it needs {other} {needed}, and that is {found}; take one of them out"


def _never(name: str, test: Any, possible: Possible) -> str | None:
    """Why a combination never occurs, by one of its names, or None."""
    if isinstance(possible, Range):
        if isinstance(test, Mapping):
            met = possible.high > test.get("above", -math.inf) and possible.low < test.get("below", math.inf)
        else:
            wanted = test if isinstance(test, tuple) else (test,)
            met = any(isinstance(one, int | float) and possible.low <= one <= possible.high for one in wanted)
        told = f"from {possible.low:g} to {possible.high:g}"
    else:
        met = any(_meets(value, test) for one in possible for value in (one if isinstance(one, list) else [one]))
        told = " or ".join(map(written, possible))
    return None if met else f"never applies, for {name} is {told}; change it, or take it out"


def _meets(value: Any, test: Any) -> bool:
    if isinstance(test, Mapping):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and test.get("above", -math.inf) < value < test.get("below", math.inf)
    return value in (test if isinstance(test, tuple) else (test,))


def _possible(
    name: str, table: Mapping[str, Hyperparameter], values: Mapping[str, Any], space: Mapping[str, Any]
) -> Possible:
    entry = space.get(name)
    if isinstance(entry, Range):
        return entry
    if isinstance(entry, Choice | Fixed):
        return entry.choices if isinstance(entry, Choice) else (entry.value,)
    return (values.get(name, table[name].usual if name in table else None),)
