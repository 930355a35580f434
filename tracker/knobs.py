"""One hyperparameter: what its name means, its kind, bounds and neutral value, and what is wrong with a value of it."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tracker.shown import meant

Value = bool | int | float | str | list[int] | dict[str, float]


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One name: its kind, inclusive bounds (`above`, `below`: exclusive), choices, default, and its condition.

    `neutral` is the value at which training is as if the name did not exist, fixed for ever and left out of identities;
    None where there is none. A name that a later release adds must have one. Without a `default` it is the default too.
    `since` is the version of a family's arithmetic that such a name came with: where it is not neutral, keys hold at least
    that version, so that they are no keys of a time when the name was the user's own. At its neutral value it is left out
    of the parameters altogether: reports, and what the user's code is given, stay as they were.
    `tried` is the range in which published work finds its values, and `source` says where that is written.
    """

    kind: Literal["int", "float", "bool", "choice", "weights", "free"]
    meaning: str
    default: Value | None = None
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    when: tuple[str, tuple[Value, ...]] | None = None
    per: str | None = None
    neutral: Value | None = None
    since: int | None = None
    tried: tuple[float, float] | None = None
    source: str = ""

    @property
    def usual(self) -> Value | None:
        """The value where none is given."""
        return self.neutral if self.default is None else self.default

    def warning(self, values: Iterable[Any]) -> str | None:
        """Which of the values are outside of what is usual, or None."""
        if self.tried is None:
            return None
        low, high = self.tried
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        odd = [f"{value:g}" for value in numbers if not (low <= value <= high or value == self.neutral)]
        return f"{', '.join(odd)}: usual is {low:g} to {high:g} ({self.source})" if odd else None

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if self.kind == "free":
            return _free_fault(value)
        if self.kind == "bool":
            return None if isinstance(value, bool) else f"expected true or false, found {value!r}"
        if self.kind == "choice":
            listed = f"expected one of {', '.join(self.choices)}, found {value!r}"
            return None if value in self.choices else listed + meant(value, self.choices)
        if self.kind == "weights":
            return _weights_fault(value, self.choices)
        if isinstance(value, list) and self.per:
            faults = [fault for item in value if (fault := self._number_fault(item))]
            return faults[0] if faults else None if value else "expected at least one number"
        return self._number_fault(value)

    def _number_fault(self, value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected a number, found {value!r}"
        if not (isinstance(value, int) or math.isfinite(value)):
            return f"expected a finite number, found {value!r}"
        if self.kind == "int" and value != int(value):
            return f"expected a whole number, found {value!r}"
        return self._bound_fault(value)

    def _bound_fault(self, value: float) -> str | None:
        bounds = (
            ("at least", self.low, operator.ge),
            ("at most", self.high, operator.le),
            ("more than", self.above, operator.gt),
            ("less than", self.below, operator.lt),
        )
        for words, bound, holds in bounds:
            if bound is not None and not holds(value, bound):
                return f"expected {words} {bound:g}, found {value!r}"
        return None

    def typed(self, value: Any) -> Any:
        """The value in the type of its name: `1` as 1.0 for a float, `2.0` as 2 for an int."""
        if isinstance(value, list):
            return [self.typed(item) for item in value]
        if isinstance(value, Mapping):
            return {str(label): float(weight) for label, weight in value.items()}
        if self.kind == "float":
            return float(value) + 0.0  # -0.0 is 0.0
        if self.kind == "free" and isinstance(value, float):
            return value + 0.0
        return int(value) if self.kind == "int" else value


def _weights_fault(value: Any, choices: tuple[str, ...]) -> str | None:
    """One of the choices, or a positive weight by class."""
    if isinstance(value, str) and value in choices:
        return None
    if not isinstance(value, Mapping) or not value:
        wanted = f"expected {', '.join(choices)} or a weight for each class, such as {{rare: 10}}, found {value!r}"
        return wanted + meant(value, choices)
    if odd := [label for label in value if isinstance(label, bool) or not isinstance(label, str | int)]:
        return f"expected names of classes, in quotes if they look like something else, found {odd[0]!r}"
    number = Hyperparameter("float", "", above=0.0, high=1e9)
    return next((f"{label}: {fault}" for label, weight in value.items() if (fault := number.fault(weight))), None)


def _free_fault(value: Any) -> str | None:
    if isinstance(value, list):
        faults = [fault for item in value if (fault := _free_fault(item) if not isinstance(item, list) else "nested")]
        return f"expected a list of numbers, texts or truth values, found {value!r}" if faults else None
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return None
    return f"expected a number, text, true or false, or a list of them, found {value!r}"
