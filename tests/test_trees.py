"""Leaves of trees of JSON, and where two of them differ."""

from __future__ import annotations

import math

from tracker.trees import differences, first_difference, leaves


def test_leaves_are_named_by_the_way_to_them() -> None:
    """Mappings are walked, everything else is a leaf, a list too; an empty mapping has none."""
    assert {"a.b": 1, "a.c.d": [{"e": 2}], "f": None} == leaves(
        {"a": {"b": 1, "c": {"d": [{"e": 2}]}}, "f": None, "g": {}}
    )


def test_the_first_difference_names_the_place() -> None:
    """The first entry of nested mappings and lists that differs, or the whole where their form does."""
    told = {"a": [{"b": 1}, {"b": 2, "c": None}], "d": 3}
    assert first_difference(told, told) is None
    assert ("a.1.b", 2, 5) == first_difference(told, {**told, "a": [{"b": 1}, {"b": 5, "c": None}]})
    assert ("a", told["a"], [1]) == first_difference(told, {**told, "a": [1]})
    assert ("e", None, 0) == first_difference(told, {**told, "e": 0})


def test_all_differences_come_in_the_old_order() -> None:
    """Two values that JSON writes alike are equal, such as a tuple and a list; 1 and 1.0, 0.0 and -0.0 are not."""
    old = {"z": 1, "a": (1, 2), "n": math.nan, "zero": 0.0}
    new = {"a": [1, 2], "z": 1.0, "n": math.nan, "zero": -0.0, "more": {"x": 1}}
    assert [("z", 1, 1.0), ("zero", 0.0, -0.0), ("more", None, {"x": 1})] == list(differences(old, new))
    assert ["z", "zero", "more"] == [place for place, _, _ in differences(old, new)]
