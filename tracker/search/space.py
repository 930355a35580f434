"""From declared entries to a Space that is walked in one fixed order, and from searched values to full hyperparameters.

The order is part of the space: a name comes after every name that its condition or its number of values depends on,
otherwise names stay as declared. `Space.canonical` writes it as a list, because canonical JSON sorts keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker import config
from tracker.canonical import canonical_json
from tracker.errors import SpaceError
from tracker.hyperparameters import active, table_of, with_neutral
from tracker.knobs import Hyperparameter, Value
from tracker.search.clauses import Clause, clause_from, clause_json, first_holding
from tracker.search.entries import Condition, Constant, Entry, Interval, Options, entry_from, entry_json, last_step

Form = config.Range | config.Choice | config.Fixed
Declared = Mapping[str, Form]
Table = Mapping[str, Hyperparameter]


Choose = Callable[[str, Entry], Value]
Compiled = Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Space:
    """A search space: entries in the order in which they are suggested, and the values of the names not searched.

    `fixed` is complete (defaults filled in, typed) but leaves out names whose fixed value can never have an effect.
    `clauses` are combinations that no trial may have.
    """

    family: str
    entries: tuple[Entry, ...]
    fixed: Mapping[str, Value]
    clauses: tuple[Clause, ...] = ()

    def walk(self, choose: Choose) -> tuple[dict[str, Value], dict[str, Value]]:
        """Asks `choose(name, entry)` for each searched name that is active, in order.

        Returns the searched values (`units_0`, `units_1` for one value per layer) and the hyperparameters they make.
        """
        searched: dict[str, Value] = {}
        chosen: dict[str, Value] = {}
        for entry in self.entries:
            if not all(self._effective(name, chosen) in allowed for name, allowed in entry.when):
                continue
            if isinstance(entry.domain, Constant):
                chosen[entry.name] = entry.domain.value
                continue
            picked = {name: choose(name, entry) for name in self._searched_names(entry, chosen)}
            searched.update(picked)
            if picked:
                chosen[entry.name] = _gathered(entry, picked)
        return searched, chosen

    def names(self) -> Iterator[tuple[str, Entry]]:
        """Every name that may be searched, with its entry: of one value per layer as many as there can be layers."""
        for entry in self.entries:
            if isinstance(entry.domain, Constant):
                continue
            if entry.per is None:
                yield entry.name, entry
            else:
                yield from ((f"{entry.name}_{index}", entry) for index in range(self._most(entry.per)))

    def forbidding(self, searched: Mapping[str, Any]) -> Clause | None:
        """The clause that forbids searched values; None where none does."""
        if not self.clauses:
            return None
        chosen = self.walk(lambda name, _: searched[name])[1]
        return first_holding(self.clauses, lambda name: self._effective(name, chosen))

    def canonical(self) -> dict[str, Any]:
        """The space as plain JSON that decides all proposals, to be rebuilt by `space_from`."""
        entries = {"entries": [entry_json(entry) for entry in self.entries]}
        return entries | ({"forbid": [clause_json(clause) for clause in self.clauses]} if self.clauses else {})

    def _searched_names(self, entry: Entry, chosen: Mapping[str, Value]) -> list[str]:
        if entry.per is None:
            return [entry.name]
        count = self._effective(entry.per, chosen)
        return [f"{entry.name}_{index}" for index in range(count if isinstance(count, int) else 0)]

    def _most(self, count: str) -> int:
        """The most that a counting name can be, searched or fixed."""
        possible: list[Value | None] = [self.fixed.get(count)]
        for entry in self.entries:
            if entry.name == count:
                possible += [entry.domain.high] if isinstance(entry.domain, Interval) else entry.domain.listed()
        return max((value for value in possible if isinstance(value, int)), default=0)

    def _effective(self, name: str, chosen: Mapping[str, Value]) -> Value | None:
        needs = table_of(self.family, [name])[name].when
        if needs is not None and self._effective(needs[0], chosen) not in needs[1]:
            return None
        return chosen.get(name, self.fixed.get(name))


def compile_space(declared: Mapping[str, Form | config.Forbid], fixed: Mapping[str, Any], family: str) -> Space:
    """The Space of declared entries over fixed hyperparameters. Raises SpaceError with all faults together."""
    table = table_of(family, declared.keys() - {config.FORBID}, fixed)
    faults = [
        *config.value_faults("hyperparameters", table, fixed),
        *config.space_faults("search_space", table, declared),
    ]
    if faults:
        raise SpaceError(faults)
    entries = {name: entry for name, entry in declared.items() if not isinstance(entry, config.Forbid)}
    compiled = {name: _compile_entry(name, entry, table) for name, entry in entries.items()}
    values = {name: table[name].typed(value) for name, value in fixed.items()}
    faults = [*_condition_faults(entries, compiled, values, table), *_count_faults(compiled, values, table)]
    ordered = _ordered(compiled, table, faults)
    if faults:
        raise SpaceError(faults)
    complete = {name: values.get(name, hyperparameter.usual) for name, hyperparameter in table.items()}
    return Space(family, tuple(ordered), _effective(compiled, complete, table), _clauses(declared, table))


def space_from(canonical: Mapping[str, Any], fixed: Mapping[str, Any], family: str) -> Space:
    """The Space that `Space.canonical` wrote, over the same fixed hyperparameters."""
    entries = tuple(entry_from(value) for value in canonical["entries"])
    table = table_of(family, [entry.name for entry in entries], fixed)
    values = {name: table[name].typed(value) for name, value in with_neutral(family, fixed).items()}
    clauses = tuple(map(clause_from, canonical.get("forbid", ())))
    return Space(family, entries, _effective({entry.name: entry for entry in entries}, values, table), clauses)


def assemble(space: Space, searched: Mapping[str, Any]) -> dict[str, Value]:
    """The full hyperparameters of a trial: searched values over fixed ones, those without effect dropped.

    Names outside the space replace fixed values, as the configurations of a manual study do. Raises SpaceError where a
    name of the space is missing, one is unknown, or there are more or fewer widths than layers.
    """

    def given(name: str, _: Entry) -> Value:
        if name not in searched:
            raise SpaceError(f"{name}: the space searches it, yet there is no value for it")
        value: Value = searched[name]
        return value

    taken, chosen = space.walk(given)
    direct = {name: value for name, value in searched.items() if name not in taken}
    beneath = {**space.fixed, **chosen}
    table = table_of(space.family, beneath, direct)
    faults = [fault.removeprefix(".") for fault in config.value_faults("", table, direct, beneath)]
    if faults:
        raise SpaceError(faults)
    params = active(space.family, {**beneath, **direct})
    if faults := list(_width_faults(params, table)):
        raise SpaceError(faults)
    return params


def _width_faults(params: Mapping[str, Value], table: Mapping[str, Hyperparameter]) -> Iterator[str]:
    for name, value in params.items():
        per = table[name].per
        if per and isinstance(value, list) and len(value) != params.get(per):
            yield f"{name}: {len(value)} values for {params.get(per)} {per}"


def _gathered(entry: Entry, picked: Mapping[str, Value]) -> Value:
    if entry.per is None:
        return picked[entry.name]
    return [value for value in picked.values() if isinstance(value, int)]


def _compile_entry(name: str, entry: config.Range | config.Choice | config.Fixed, table: Table) -> Entry:
    typed = table[name].typed
    conditions = _conditions(name, entry.when or {}, table)
    if isinstance(entry, config.Fixed):
        return Entry(name, Constant(typed(entry.value)), conditions)
    if isinstance(entry, config.Choice):
        return Entry(name, Options(_distinct([typed(value) for value in entry.choices])), conditions, entry.per)
    if table[name].kind == "free" and not entry.whole:  # one fraction makes it a range of fractions
        typed = Hyperparameter("float", "").typed
    step = None if entry.step is None else typed(entry.step)
    low, high = typed(entry.low), typed(entry.high)
    return Entry(name, Interval(low, last_step(low, high, step), step, entry.log), conditions, entry.per)


def _clauses(declared: Mapping[str, Form | config.Forbid], table: Table) -> tuple[Clause, ...]:
    forbid = declared.get(config.FORBID)
    rules = forbid.rules if isinstance(forbid, config.Forbid) else ()

    def test(name: str, given: Any) -> Any:
        return dict(given) if isinstance(given, Mapping) else list(_condition_values(given, table[name]))

    return tuple(clause_from({name: test(name, given) for name, given in rule.items()}) for rule in rules)


def _conditions(name: str, when: Mapping[str, Any], table: Table) -> tuple[Condition, ...]:
    """All conditions of a name, that of the hyperparameter table included, sorted so that their order means nothing."""
    merged = {other: _condition_values(values, table[other]) for other, values in when.items()}
    needs = table[name].when
    if needs is not None:
        other, allowed = needs
        merged[other] = tuple(value for value in merged.get(other, allowed) if value in allowed)
    return tuple(sorted(merged.items()))


def _condition_values(values: Any, hyperparameter: Hyperparameter) -> tuple[Value, ...]:
    listed = values if isinstance(values, list | tuple) else [values]
    return _distinct(sorted(map(hyperparameter.typed, listed), key=canonical_json))


def _distinct(values: Sequence[Value]) -> tuple[Value, ...]:
    return tuple({canonical_json(value): value for value in values}.values())


def _condition_faults(entries: Declared, compiled: Compiled, fixed: Mapping[str, Value], table: Table) -> Iterator[str]:
    for name, entry in entries.items():
        for other, values in (entry.when or {}).items():
            place = f"search_space.{name}.when.{other}"
            if other not in compiled and other not in fixed:
                yield f"{place}: neither searched nor fixed; give {other} a value under hyperparameters"
            elif other in compiled and compiled[other].per is not None:
                yield f"{place}: has one value per {compiled[other].per}; a condition needs a name with one value"
            else:
                for value in _condition_values(values, table[other]):
                    if not _occurs(other, value, compiled, fixed, table):
                        yield f"{place}: {value!r} can never occur; {_possible(other, compiled, fixed)}"
        yield from _effect_faults(compiled[name], compiled, fixed, table)


def _effect_faults(entry: Entry, compiled: Compiled, fixed: Mapping[str, Value], table: Table) -> Iterator[str]:
    """A name that the hyperparameter table ties to a condition which this space never meets."""
    needs = table[entry.name].when
    if needs is None:
        return
    other, allowed = needs
    left = dict(entry.when)[other]
    if not left or not any(_occurs(other, value, compiled, fixed, table) for value in allowed):
        words = ", ".join(map(str, allowed))
        yield (
            f"search_space.{entry.name}: has an effect only with {other} {words}, which never occurs with it; "
            f"search {words} too or take {entry.name} out"
        )


def _occurs(name: str, value: Value, compiled: Compiled, fixed: Mapping[str, Value], table: Table) -> bool:
    entry = compiled.get(name)
    if entry is not None and entry.domain.size is not None and entry.domain.allows(value):
        return True  # of a continuum no single value is ever drawn
    return (entry is None or bool(entry.when)) and value == fixed.get(name, table[name].usual)


def _possible(name: str, compiled: Compiled, fixed: Mapping[str, Value]) -> str:
    entry = compiled.get(name)
    if entry is None:
        return f"{name} is fixed at {fixed[name]!r}"
    if isinstance(entry.domain, Interval):
        ends = f"{name} goes from {entry.domain.low:g} to {entry.domain.high:g}"
        return ends if entry.domain.size else f"{ends} without steps; give it a step or a list of values"
    return f"{name} is one of {', '.join(map(str, entry.domain.listed()))}"


def _count_faults(compiled: Compiled, fixed: Mapping[str, Value], table: Table) -> Iterator[str]:
    for name, entry in compiled.items():
        if entry.per is not None and entry.per not in compiled and entry.per not in fixed:
            yield f"search_space.{name}.per: {entry.per} is neither searched nor fixed; fix it under hyperparameters"
    for name, value in fixed.items():
        count = compiled.get(table[name].per or "")
        if isinstance(value, list) and name not in compiled and count and not _always(count, len(value)):
            yield (
                f"hyperparameters.{name}: {len(value)} values, yet {count.name} is searched; "
                f"give one value, or search {name} with per: {count.name}"
            )


def _always(entry: Entry, value: Value) -> bool:
    return entry.domain.size == 1 and entry.domain.allows(value)


def _ordered(compiled: Compiled, table: Table, faults: list[str]) -> list[Entry]:
    """Depth first in declared order; a name that waits for itself adds a fault."""
    done: dict[str, Entry | None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            faults.append(
                f"search_space: {' waits for '.join((*path[path.index(name) :], name))}; take one condition out"
            )
        elif name not in done:
            for other in _waits_for(name, compiled, table):
                visit(other, (*path, name))
            done[name] = compiled.get(name)

    for name in compiled:
        visit(name, ())
    return [entry for entry in done.values() if entry is not None]


def _waits_for(name: str, compiled: Compiled, table: Table) -> list[str]:
    if name not in compiled:
        needs = table[name].when
        return [needs[0]] if needs else []
    entry = compiled[name]
    return [other for other, _ in entry.when] + ([entry.per] if entry.per else [])


def _effective(compiled: Compiled, fixed: Mapping[str, Value | None], table: Table) -> dict[str, Value]:
    return {
        name: value
        for name in table
        if (value := fixed.get(name)) is not None and not (name in compiled and _always_searched(compiled[name], table))
    }


def _always_searched(entry: Entry, table: Table) -> bool:
    """Whether the fixed value of a name never matters: where the name is not searched, it has no effect at all."""
    return entry.per is None and entry.when == _conditions(entry.name, {}, table)
