"""Says whether what was read has the shape that it should have: types, finite numbers, known names. Knows no record.

A check takes a value and raises ShapeError, which says where it is, what was expected and what was found. It never calls
anything of the value's own, so that a value can be refused and do nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], None]
LARGEST = 2**64  # whole numbers beyond it are none of ours: seeds have 64 bits
LATEST_S = 1e11  # a time, in seconds since 1970, that calendars still know: the year 5138
SHOWN = 60  # characters of a value in a message
DIGEST = re.compile(r"[0-9a-f]{64}")
STUDY_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"  # of a folder, a file and a DVC stage too
CONFIRMS, NESTED = (
    "confirm.",
    "nested.",
)  # begin names of what confirms a choice, and of outer folds: no other has a dot
DOTTED_NAME = (
    rf"^{re.escape(CONFIRMS)}(choose|measure|refit)(\.[0-9]{{1,4}})?$"
    rf"|^{re.escape(NESTED)}{STUDY_NAME[1:-1]}\.[0-9]{{1,4}}of[0-9]{{1,4}}$"
)


class ShapeError(ValueError):
    """A value that has another shape; `place` are the names and numbers that lead to it."""

    def __init__(self, words: str, *place: str) -> None:
        super().__init__(words)
        self.words, self.place = words, place

    def __str__(self) -> str:
        """Where, what was expected, what was found."""
        place = ".".join(name[:SHOWN] for name in self.place)
        return f"{place}: {self.words}" if place else self.words

    def within(self, name: object) -> ShapeError:
        """The same, seen from one level further out."""
        return ShapeError(self.words, str(name), *self.place)


def refuse(expected: str, found: Any) -> ShapeError:
    """The error for a value that is not what was expected."""
    shown = ascii(found) if isinstance(found, str | float | bool | None) else type(found).__name__
    if type(found) is int:
        shown = str(found) if abs(found) < LARGEST else "a larger one"
    return ShapeError(f"expected {expected}, found {shown[:SHOWN]}")


def text(value: Any) -> None:
    """Any text."""
    if not isinstance(value, str):  # torch's version is a text of its own kind
        raise refuse("a text", value)


def digest(value: Any) -> None:
    """A SHA-256 as hexadecimal digits: it may become the name of a file."""
    if type(value) is not str or not DIGEST.fullmatch(value):
        raise refuse("a SHA-256 (64 hexadecimal digits)", value)


def whole(low: int = 0, high: int = LARGEST) -> Check:
    """A whole number (no truth value) from `low` to below `high`."""

    def check(value: Any) -> None:
        if type(value) is not int or not low <= value < high:
            raise refuse(f"a whole number from {low} to {high - 1}", value)

    return check


def number(value: Any) -> None:
    """A number; one that is not finite is one too: it is what training may give."""
    if type(value) is not float and (type(value) is not int or not -LARGEST < value < LARGEST):
        raise refuse("a number", value)


def finite(value: Any) -> None:
    """A finite number."""
    number(value)
    if not math.isfinite(value):
        raise refuse("a finite number", value)


def seconds(value: Any) -> None:
    """A time in seconds since 1970, or before."""
    number(value)
    if not abs(value) <= LATEST_S:  # NaN is not
        raise refuse("a time in seconds since 1970", value)


def flag(value: Any) -> None:
    """A truth value."""
    if type(value) is not bool:
        raise refuse("true or false", value)


def one_of(*names: str) -> Check:
    """One of these texts."""

    def check(value: Any) -> None:
        if type(value) is not str or value not in names:
            raise refuse(" or ".join(names), value)

    return check


def like(pattern: str, expected: str) -> Check:
    """A text that a regular expression matches from end to end."""
    compiled = re.compile(pattern)

    def check(value: Any) -> None:
        if type(value) is not str or not compiled.fullmatch(value):
            raise refuse(expected, value)

    return check


def optional(inner: Check) -> Check:
    """Nothing, or what `inner` lets pass."""

    def check(value: Any) -> None:
        if value is not None:
            inner(value)

    return check


def both(*checks: Check) -> Check:
    """What all of them let pass."""

    def check(value: Any) -> None:
        for inner in checks:
            inner(value)

    return check


def many(inner: Check, at_least: int = 0) -> Check:
    """A list of what `inner` lets pass."""

    def check(value: Any) -> None:
        if type(value) not in {list, tuple} or len(value) < at_least:
            raise refuse(f"a list of {at_least} or more" if at_least else "a list", value)
        for index, item in enumerate(value):
            try:
                inner(item)
            except ShapeError as error:
                raise error.within(index) from None

    return check


def named(inner: Check) -> Check:
    """Entries by name, whatever their names are, each of which `inner` lets pass."""

    def check(value: Any) -> None:
        if not isinstance(value, Mapping):
            raise refuse("entries", value)
        for name, item in value.items():
            try:
                inner(item)
            except ShapeError as error:
                raise error.within(name) from None

    return check


def entries(needed: Mapping[str, Check], known: Mapping[str, Check] | None = None) -> Check:
    """Entries of which some are `needed`, and others have a shape where they are there; further ones are not looked at."""
    checks = {**needed, **(known or {})}

    def check(value: Any) -> None:
        if not isinstance(value, Mapping):
            raise refuse("entries", value)
        for name, inner in checks.items():
            if name not in value:
                if name in needed:
                    raise ShapeError("is missing", name)
                continue
            try:
                inner(value[name])
            except ShapeError as error:
                raise error.within(name) from None

    return check


def plain(value: Any) -> None:
    """What JSON can say, its numbers finite: nothing, texts, numbers, truth values, and lists and entries of those."""
    kind = type(value)
    if kind in {int, float}:
        finite(value)
    elif kind in {list, tuple}:
        _plain_items(value)
    elif isinstance(value, Mapping):
        _plain_entries(value)
    elif value is not None and kind is not bool and not isinstance(value, str):
        raise refuse("what JSON can say", value)


_plain_items, _plain_entries = many(plain), named(plain)
