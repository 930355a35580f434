"""How a search space says what a name may be: a range, a choice or one value, in short or in long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from tracker.config.base import Part, raise_faults


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise ValueError(f"expected a number, found {value!r}")
    return value


def _scalar(value: Any) -> bool | int | float | str:
    if not isinstance(value, bool | int | float | str) or not _finite(value):
        raise ValueError(f"expected a number, text, true or false, found {value!r}")
    return value


def _some(values: Any) -> Any:
    if not values:
        raise ValueError("expected at least one value, found none")
    return values


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


MOST_VALUES = 2**53  # of a range with steps
Number = Annotated[int | float, PlainValidator(_number)]
Scalar = Annotated[bool | int | float | str, PlainValidator(_scalar)]


class Range(Part):
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
            f"step {self.step} makes more values than can be counted; take a larger one": self._has_too_many,
            f"step must be above 0, found {self.step}": self.step is not None and self.step <= 0,
        }
        raise_faults(faults)
        return self

    @property
    def _has_too_many(self) -> bool:
        """Whether there are more steps than float64 tells apart."""
        step = self.step
        return step is not None and step > 0 and self.low < self.high and (self.high - self.low) > step * MOST_VALUES

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)


class Choice(Part):
    """One of `choices`; the short form is a list."""

    choices: Annotated[tuple[Scalar, ...], Field(strict=False), AfterValidator(_some)]
    when: Mapping[str, Any] | None = None
    per: str | None = None


class Fixed(Part):
    """One value; the short form is the value itself."""

    value: Scalar
    when: Mapping[str, Any] | None = None


Form = Range | Choice | Fixed
RULES = "<rules>"  # no place that a message would name
FORMS = {"low", "high", "choices", "value", RULES}  # one of these names makes entries a form
FORBID = "forbid"  # the one name of a search space that is no hyperparameter


def _test(value: Any) -> Any:
    """What a value must be for a combination to hold: one of several, or a number above or below an end."""
    if isinstance(value, Mapping):
        if not value or value.keys() - {"above", "below"}:
            raise ValueError(
                f"expected a value, a list of values, {{above: number}}, {{below: number}} or both, found {value!r}"
            )
        ends = {end: _number(number) for end, number in value.items()}
        if ends.get("above", -math.inf) >= ends.get("below", math.inf):
            raise ValueError(f"nothing is above {ends['above']:g} and below {ends['below']:g}")
        return ends
    if isinstance(value, list | tuple) and not value:
        raise ValueError("expected at least one value, found none")
    return tuple(_scalar(one) for one in value) if isinstance(value, list | tuple) else _scalar(value)


class Forbid(Part):
    """Combinations that are never tried: of each, all names at once; the short form is the list."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)

    rules: Annotated[
        tuple[Annotated[Mapping[str, Annotated[Any, PlainValidator(_test)]], AfterValidator(_some)], ...],
        Field(strict=False, alias=RULES),
        AfterValidator(_some),
    ]


def _long_form(value: Any) -> Any:
    if isinstance(value, list | tuple):
        mappings = [one for one in value if isinstance(one, Mapping)]
        if not value:
            raise ValueError("expected at least one value, found none")
        if mappings and len(mappings) < len(value):
            raise ValueError(
                f"expected values, or combinations of values, found both; {mappings[0]!r} is no value to search"
            )
        return {RULES: tuple(value)} if mappings else {"choices": tuple(value)}
    if isinstance(value, Mapping) and value and not value.keys() & FORMS:
        raise ValueError(f"expected a value, a list of values, or {{low: number, high: number}}, found {dict(value)!r}")
    return value if isinstance(value, Mapping | Part) else {"value": value}


def _form(value: Any) -> str:
    names = set(value) if isinstance(value, Mapping) else type(value).model_fields
    if RULES in names or isinstance(value, Forbid):
        return "<forbid>"
    return "<range>" if {"low", "high"} & set(names) else "<choice>" if "choices" in names else "<fixed>"


Entry = Annotated[
    Annotated[Range, Tag("<range>")]
    | Annotated[Choice, Tag("<choice>")]
    | Annotated[Fixed, Tag("<fixed>")]
    | Annotated[Forbid, Tag("<forbid>")],
    Discriminator(_form),
    BeforeValidator(_long_form),
]
