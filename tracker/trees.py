"""Trees of JSON: their leaves by the names that lead to them, and where two trees differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracker.canonical import canonical_json


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value that is no mapping, by the names that lead to it, joined by dots; an empty mapping has no leaf."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two trees differ: the place (names and numbers, joined by dots) and both values, None for what is absent.

    Mappings are compared entry by entry, the old one's order first, lists of one length item by item.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = [(str(name), old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])]
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        pairs = [(str(number), *both) for number, both in enumerate(zip(old, new, strict=True))]
    else:
        if canonical_json(old) != canonical_json(new):
            yield place, old, new
        return
    for name, was, now in pairs:
        yield from differences(was, now, f"{place}.{name}" if place else name)


def first_difference(old: Any, new: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """The first of `differences`; None where the trees are equal."""
    return next(differences(old, new, place), None)
