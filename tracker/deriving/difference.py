"""Turns two outcomes of one trial into the first place where they differ, and the largest difference of any number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracker.canonical import canonical_json
from tracker.recording.conflicts import told_by_both
from tracker.records import TrialOutcome

DIGESTS = ("weights", "predictions")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference: its epoch (None: of the whole trial), what differs, both values.

    `largest` is the largest absolute difference of any metric of any epoch, None where no two numbers can be compared.
    """

    epoch: int | None
    metric: str
    recorded: Any
    derived: Any
    largest: float | None = None

    @property
    def words(self) -> str:
        """One sentence with both values."""
        place = "" if self.epoch is None else f"epoch {self.epoch}, "
        reach = "" if self.largest is None else f"; the largest difference of any metric is {self.largest:.3g}"
        return f"{place}{self.metric}: {_short(self.recorded)} recorded, {_short(self.derived)} derived{reach}"


def first_difference(recorded: TrialOutcome, derived: TrialOutcome) -> Difference | None:
    """None where every number of every epoch, the kept epoch, weights and predictions are equal, bit for bit.

    A metric of ours that only one of them has is not compared: the release that wrote the other did not compute it.
    """
    recorded, derived = told_by_both(recorded, derived)
    for epoch, name, old, new in _pairs(recorded, derived):
        if canonical_json(old) != canonical_json(new):
            return Difference(epoch, name, old, new, _largest(recorded, derived))
    return None


def _pairs(recorded: TrialOutcome, derived: TrialOutcome) -> Iterator[tuple[int | None, str, Any, Any]]:
    """Everything that is compared, in the order in which it is computed."""
    for old, new in zip(recorded.history, derived.history, strict=False):
        for name in dict.fromkeys([*old, *new]):
            yield int(old["epoch"]), name, old.get(name), new.get(name)
    for name in ("epochs", "state", "reason", "best_epoch"):
        yield None, name, getattr(recorded, name), getattr(derived, name)
    for name in dict.fromkeys([*recorded.metrics, *derived.metrics]):
        yield recorded.best_epoch, f"{name} of the kept epoch", recorded.metrics.get(name), derived.metrics.get(name)
    for name in DIGESTS:
        yield None, name, getattr(recorded, name), getattr(derived, name)


def _largest(recorded: TrialOutcome, derived: TrialOutcome) -> float | None:
    pairs = [*zip(recorded.history, derived.history, strict=False), (recorded.metrics, derived.metrics)]
    return max((gap for old, new in pairs for gap in _gaps(old, new)), default=None)


def _gaps(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[float]:
    for name in old:
        if isinstance(old[name], float) and isinstance(new.get(name), float):
            yield abs(old[name] - new[name])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return text if len(text) <= 24 else f"{text[:20]}…"
