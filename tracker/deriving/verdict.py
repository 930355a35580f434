"""What came of deriving something again: one value for trial, study, store, ranking, looks and final result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from tracker.deriving.compare_outcomes import EQUIVALENT_WITHIN, Difference
from tracker.surroundings.changes import Cause

Kind = Literal["trial", "study", "store", "ranking", "looks", "final", "bundle", "nested"]
State = Literal["identical", "equivalent", "differs", "cannot"]
EXIT_CODES: Mapping[State, int] = {"identical": 0, "differs": 10, "cannot": 11, "equivalent": 12}

DIFFERENCE = ("epoch", "metric", "recorded", "derived", "largest", "words")
CAUSE = ("name", "recorded", "present", "words")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of deriving `name` again, which is of a `kind`: a study may be called `store` too.

    `state` is `identical` (every bit), `equivalent` (in another environment, within `tolerance`), `differs`, or `cannot`
    (be derived). `first_difference` says where it went another way; its `largest` is the largest deviation of any metric.
    `causes` name what differs from when it was recorded, the likeliest first; where it cannot be derived, what is missing.
    `remedy` says what to do.

    `counted` is how many trials a study or ranking has, how many rows and weights files the store, how many looks are
    on record, how much a part of a bundle holds; `derived` how many of them were derived again. `sample` are the
    numbers of the trials that were to be trained again (None: all), `digest` that of the study or ranking. `inner` is the
    verdict on the trial of a study that differs or cannot be derived; of an equivalent study, on the trial that deviates most.
    Of a trial and of the final result there are `key`, `epochs`, `weights` and `environment`: the digests of what was derived,
    and of what it was derived in.
    """

    kind: Kind
    name: str
    state: State
    first_difference: Difference | None = None
    causes: tuple[Cause, ...] = ()
    remedy: str | None = None
    counted: int = 0
    derived: int = 0
    sample: tuple[int, ...] | None = None
    digest: str = ""
    key: str = ""
    epochs: int = 0
    weights: str | None = None
    environment: str | None = None
    inner: Verdict | None = None

    @property
    def is_sound(self) -> bool:
        """Whether what is recorded came out again, to the bit or within the tolerance."""
        return self.state in {"identical", "equivalent"}

    @property
    def tolerance(self) -> float | None:
        """How large the largest deviation of what is equivalent may be."""
        return EQUIVALENT_WITHIN if self.state == "equivalent" else None

    @property
    def exit_code(self) -> int:
        """What `tracker reproduce` leaves with."""
        return EXIT_CODES[self.state]


def cannot(kind: Kind, name: str, words: str, remedy: str | None = None) -> Verdict:
    """The verdict on something of which a part is missing or unreadable, which the words name."""
    return Verdict(kind, name, "cannot", causes=(Cause(kind, None, None, words),), remedy=remedy)


def joint_exit_code(found: Iterable[Verdict]) -> int:
    """What `tracker verify` leaves with: a difference comes before what cannot be derived, that before what is equivalent."""
    return min((verdict.exit_code for verdict in found if verdict.exit_code), default=0)


def verdict_json(found: Verdict) -> dict[str, Any]:
    """A verdict as plain mappings and lists: the same names for every kind."""
    value = {field.name: getattr(found, field.name) for field in fields(found)}
    difference = found.first_difference
    value["first_difference"] = difference and {name: getattr(difference, name) for name in DIFFERENCE}
    value["causes"] = [{name: getattr(cause, name) for name in CAUSE} for cause in found.causes]
    value["sample"] = None if found.sample is None else list(found.sample)
    value["tolerance"] = found.tolerance
    value["inner"] = found.inner and verdict_json(found.inner)
    return value
