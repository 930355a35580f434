"""The entries of a search space: a name with its values, its conditions and what counts it, to plain JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from tracker.knobs import Value

Condition = tuple[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole ones where both ends are ints. `high` lies on a step."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the values are ints."""
        return isinstance(self.low, int)

    @property
    def size(self) -> int | None:
        """How many values there are, or None where they are a continuum."""
        if self.low == self.high:
            return 1
        step = 1 if self.whole and self.step is None else self.step
        return None if step is None else int((_decimal(self.high) - _decimal(self.low)) / _decimal(step)) + 1

    def listed(self) -> list[Value]:
        """Every value in ascending order. Raises ValueError for a continuum."""
        if self.size is None:
            raise ValueError(f"{self} has no list of values")
        return [self.at(index) for index in range(self.size)]

    def at(self, index: int) -> int | float:
        """The value at a place of the list, from 0."""
        return type(self.low)(_decimal(self.low) + _decimal(self.step or 1) * index)

    def on_step(self, value: float) -> int | float:
        """The nearest value of the list, exact in decimals; the same value where fractions have no step."""
        if self.whole or self.step is None:
            return value
        index = round((_decimal(value) - _decimal(self.low)) / _decimal(self.step))
        return self.at(min(max(index, 0), (self.size or 1) - 1))

    def allows(self, value: Value) -> bool:
        """Whether a value lies inside and on a step."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        step = self.step or (1 if self.whole else None)
        return step is None or (_decimal(value) - _decimal(self.low)) % _decimal(step) == 0


@dataclass(frozen=True, slots=True)
class Options:
    """One of several values."""

    choices: tuple[Value, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.choices)

    def listed(self) -> list[Value]:
        """Every value as declared."""
        return list(self.choices)

    def at(self, index: int) -> Value:
        """The value at a place of the list, from 0."""
        return self.choices[index]

    def allows(self, value: Value) -> bool:
        """Whether it is one of them."""
        return value in self.choices


@dataclass(frozen=True, slots=True)
class Constant:
    """One value; it is part of the space, yet never searched."""

    value: Value

    @property
    def size(self) -> int:
        """Always 1."""
        return 1

    def listed(self) -> list[Value]:
        """The one value."""
        return [self.value]

    def at(self, index: int) -> Value:  # noqa: ARG002 - the same for all domains
        """The one value."""
        return self.value

    def allows(self, value: Value) -> bool:
        """Whether it is the one."""
        return value == self.value


Domain = Interval | Options | Constant


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a space: its values, the conditions that must all hold, and the name that counts its values."""

    name: str
    domain: Domain
    when: tuple[Condition, ...] = ()
    per: str | None = None


def last_step(low: float, high: float, step: float | None) -> int | float:
    """The last value up to `high` that steps from `low` reach (`high` itself without steps)."""
    if step is None:
        return high
    last = _decimal(low) + (_decimal(high) - _decimal(low)) // _decimal(step) * _decimal(step)
    return int(last) if isinstance(low, int) else float(last)


def value_at(place: float, domain: Domain) -> Value:
    """The value of a domain at a place in [0, 1): values that can be counted have equal shares of it."""
    if isinstance(domain, Interval) and domain.low != domain.high:
        if domain.log:
            return _logarithmic(place, domain)
        if domain.size is None:
            return _within(domain, domain.low * (1 - place) + domain.high * place)
    assert domain.size is not None  # an interval of one value counts as one
    return domain.at(int(place * domain.size))


def place_of(value: Value, domain: Domain) -> float:
    """The middle of the places in [0, 1) that `value_at` gives this value for; of a continuum its place."""
    if not isinstance(domain, Interval):
        return (domain.listed().index(value) + 0.5) / domain.size
    assert isinstance(value, int | float)
    if not domain.log and (size := domain.size) is not None:
        return (round((value - domain.low) / (domain.step or 1)) + 0.5) / size
    low, high = float(domain.low), float(domain.high)
    if domain.log:
        margin = 0.5 if domain.whole else 0.0
        low, high, value = math.log(low - margin), math.log(high + margin), math.log(value)
    return min(max((value - low) / (high - low), 0.0), 1.0 - 2**-53)


def _logarithmic(place: float, domain: Interval) -> Value:
    """A whole number has the share of the logarithm from half below to half above it."""
    margin = 0.5 if domain.whole else 0.0
    low, high = math.log(domain.low - margin), math.log(domain.high + margin)
    value = math.exp(low * (1 - place) + high * place)
    return _within(domain, round(value) if domain.whole else value)


def _within(domain: Interval, value: float) -> int | float:
    """Rounding leads out of no range."""
    return min(max(value, domain.low), domain.high)


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON."""
    common = {"name": entry.name, "when": {name: list(values) for name, values in entry.when}, "per": entry.per}
    match entry.domain:
        case Interval(low, high, step, log):
            return {**common, "kind": "range", "low": low, "high": high, "step": step, "log": log}
        case Options(choices):
            return {**common, "kind": "choice", "choices": list(choices)}
        case Constant(value):
            return {**common, "kind": "fixed", "value": value}


def entry_from(value: Mapping[str, Any]) -> Entry:
    """The entry that `entry_json` wrote."""
    domain: Domain
    if value["kind"] == "range":
        domain = Interval(value["low"], value["high"], value["step"], value["log"])
    elif value["kind"] == "choice":
        domain = Options(tuple(value["choices"]))
    else:
        domain = Constant(value["value"])
    when = tuple(sorted((name, tuple(values)) for name, values in value["when"].items()))
    return Entry(value["name"], domain, when, value["per"])


@lru_cache(maxsize=4096, typed=True)
def _decimal(value: float) -> Decimal:
    """Exact in tenths, unlike binary floats: 0.1 + 0.1 + 0.1 is above 0.3."""
    return Decimal(repr(value))
