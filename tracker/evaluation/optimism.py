"""By how much a validation score is better than the test score, with an interval: what choosing among many trials has cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Ends = Sequence[float] | None


def difference_interval(one: float, of_one: Sequence[float], other: float, of_other: Sequence[float]) -> list[float]:
    """The 95 % interval of `one` minus `other`, two scores of different rows, from the 95 % interval of each.

    It puts together the distances from each score to its ends (Newcombe 1998, Statistics in Medicine 17, method 10; Zou and
    Donner 2008, the same journal 27), so that scores near 0 or 1 keep their lopsided intervals.
    """
    gap = one - other
    down = math.hypot(one - of_one[0], of_other[1] - other)
    up = math.hypot(of_one[1] - one, other - of_other[0])
    return [gap - down, gap + up]


def optimism(
    validation: Mapping[str, float | None],
    validation_ends: Mapping[str, Ends],
    test: Mapping[str, Any],
    test_ends: Mapping[str, Ends],
) -> dict[str, Any]:
    """Per metric how much higher validation is than test, and the 95 % interval; null where a score or an end is not known."""
    told: dict[str, Any] = {}
    for name, score in validation.items():
        other, ends, other_ends = test.get(name), validation_ends.get(name), test_ends.get(name)
        known = score is not None and other is not None
        both = known and ends is not None and other_ends is not None
        told[name] = {
            "difference": score - other if known else None,  # type: ignore[operator]
            "interval": difference_interval(score, ends, other, other_ends) if both else None,  # type: ignore[arg-type]
        }
    return told
