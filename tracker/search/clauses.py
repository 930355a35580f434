"""Combinations of values that a search space forbids, to plain JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.knobs import Value

Test = (
    tuple[Value, ...] | Mapping[str, float]
)  # one of these values, or above and below ends that are themselves allowed


@dataclass(frozen=True, slots=True)
class Clause:
    """What is never tried: all of these names at once with such values. A list, one value per layer, has one if any has."""

    tests: tuple[tuple[str, Test], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it speaks of."""
        return tuple(name for name, _ in self.tests)

    def holds(self, value_of: Callable[[str], Value | None]) -> bool:
        """Whether a configuration is such a combination; a name without a value is none."""
        return all(_holds(value_of(name), test) for name, test in self.tests)


def _holds(value: Any, test: Test) -> bool:
    if isinstance(value, list):
        return any(_holds(one, test) for one in value)
    if not isinstance(test, Mapping):
        return value is not None and value in test
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value > test.get("above", float("-inf")) and value < test.get("below", float("inf"))


def clause_json(clause: Clause) -> dict[str, Any]:
    """A clause as plain JSON."""
    return {name: dict(test) if isinstance(test, Mapping) else list(test) for name, test in clause.tests}


def clause_from(value: Mapping[str, Any]) -> Clause:
    """The clause that `clause_json` wrote; the order of its names means nothing."""
    return Clause(
        tuple((name, dict(test) if isinstance(test, Mapping) else tuple(test)) for name, test in sorted(value.items()))
    )


def first_holding(clauses: Sequence[Clause], value_of: Callable[[str], Value | None]) -> Clause | None:
    """The first clause that a configuration is; None where it is allowed."""
    return next((clause for clause in clauses if clause.holds(value_of)), None)
