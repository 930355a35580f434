"""Where two outcomes of one trial differ first, by how much at most, and whether another machine may have made that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracker.canonical import canonical_json
from tracker.records import TrialOutcome
from tracker.store.conflicts import told_by_both

DIGESTS = ("weights", "predictions", "labels")
EQUIVALENT_WITHIN = 1e-3
"""The largest absolute deviation of any metric of any epoch at which a trial of another environment is still the same trial.

Losses are in nats, the other metrics are shares. Rounding in another order moves the first epoch by about 1e-7; training
makes more of it from epoch to epoch. What is above 1e-3 could decide between two trials.
"""
SUMMED_OTHERWISE = 1e-9  # the mean of equal float64 numbers moves by less, whatever the order in which they are added


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference: its epoch (None: of the whole trial), what differs, both values.

    `largest` is the largest absolute difference of any metric of any epoch, None where no two numbers can be compared.
    `sentence` says it where the values alone would not.
    """

    epoch: int | None
    metric: str
    recorded: Any
    derived: Any
    largest: float | None = None
    sentence: str | None = None

    @classmethod
    def told(cls, what: str, sentence: str, recorded: Any = None, derived: Any = None) -> Difference:
        """A difference of something other than a trial, with the sentence that says it."""
        return cls(None, what, recorded, derived, sentence=sentence)

    @property
    def words(self) -> str:
        """One sentence with both values."""
        if self.sentence is not None:
            return self.sentence
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


def deviation(recorded: TrialOutcome, derived: TrialOutcome) -> float:
    """The largest absolute deviation of any metric of any epoch; confusion matrices count as shares of the rows.

    It is infinite where another machine cannot have made the difference: where state, epochs, kept epoch or predicted
    labels are others, where the record contradicts itself, or where all that the numbers follow from is equal and they
    are not.
    """
    recorded, derived = told_by_both(recorded, derived)
    alike = ("state", "reason", "epochs", "best_epoch")
    if (
        any(getattr(recorded, name) != getattr(derived, name) for name in alike)
        or len(recorded.history) != len(derived.history)
        or not (_same_labels(recorded, derived) and _tells_its_kept_epoch(recorded))
    ):
        return math.inf
    pairs = [*zip(recorded.history, derived.history, strict=True), (recorded.metrics, derived.metrics)]
    reach = max((_gap(old.get(name), new.get(name)) for old, new in pairs for name in {**old, **new}), default=0.0)
    return math.inf if _is_altered(recorded, derived, reach) else reach


def _same_labels(recorded: TrialOutcome, derived: TrialOutcome) -> bool:
    """Whether the kept epoch predicts the same classes; by its confusion matrix where the record has no digest of them."""
    if (recorded.predictions is None) != (derived.predictions is None):
        return False
    if recorded.labels is not None or derived.predictions is None:
        return recorded.labels == derived.labels
    old, new = (_kept_entry(outcome).get("confusion_matrix") for outcome in (recorded, derived))
    return old is not None and canonical_json(old) == canonical_json(new)


def _tells_its_kept_epoch(outcome: TrialOutcome) -> bool:
    """Whether the metrics of the trial are those of its kept epoch, bit for bit."""
    entry = _kept_entry(outcome)
    told = [name for name in outcome.metrics if entry.get(name) is not None]
    return all(canonical_json(outcome.metrics[name]) == canonical_json(entry[name]) for name in told)


def _kept_entry(outcome: TrialOutcome) -> Mapping[str, Any]:
    return next((entry for entry in outcome.history if entry["epoch"] == outcome.best_epoch), {})


def _is_altered(recorded: TrialOutcome, derived: TrialOutcome, reach: float) -> bool:
    """Whether an entry was altered: where arithmetic differs, weights, predictions and numbers do so together."""
    if recorded.weights is None or derived.weights is None:
        return recorded.weights != derived.weights
    others = (recorded.weights != derived.weights) + (recorded.predictions != derived.predictions)
    return (others == 0 and reach > SUMMED_OTHERWISE) or (others == 1 and reach == 0.0)


def _gap(old: Any, new: Any) -> float:
    if canonical_json(old) == canonical_json(new):
        return 0.0
    if isinstance(old, float) and isinstance(new, float):
        gap = abs(old - new)
        return gap if math.isfinite(gap) else math.inf
    return _matrix_gap(old, new)


def _matrix_gap(old: Any, new: Any) -> float:
    """Of two confusion matrices the largest difference of a cell, as a share of the rows; infinite for anything else."""
    try:
        cells = [pair for row in zip(old, new, strict=True) for pair in zip(*row, strict=True)]
        gaps = [float(abs(was - now)) for was, now in cells]
        return max(gaps) / sum(now for _, now in cells) if all(map(math.isfinite, gaps)) else math.inf
    except (TypeError, ValueError, ZeroDivisionError):
        return math.inf


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
