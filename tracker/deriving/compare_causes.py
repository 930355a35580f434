"""What may have caused a difference between a record and what deriving it again gave, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tracker.canonical import digest
from tracker.deriving.compare_outcomes import DIGESTS
from tracker.deriving.derive import Derived
from tracker.deriving.find_trial import Recorded
from tracker.hyperparameters import numerics_of
from tracker.records import TrialOutcome, TrialSpec, record_json
from tracker.store.conflicts import told_by_both
from tracker.surroundings.changes import Cause, changes
from tracker.trees import leaves


def find_causes(recorded: Recorded, derived: Derived) -> tuple[Cause, ...]:
    """What may explain that `derived` is not what was recorded; both values of each. Empty where nothing differs."""
    surroundings = [*_other_numerics(recorded.spec), *changes(recorded.provenance, derived.provenance)]
    if moved := list(_moved_metrics(recorded, derived.outcome)):
        return (*_altered_spec(recorded), *moved, *surroundings)
    altered = list(_altered_outcome(recorded.outcome, derived.outcome))
    if altered and all(getattr(recorded.outcome, name) == getattr(derived.outcome, name) for name in DIGESTS):
        # What computes weights and predictions is the same; only what makes scores of them may not be.
        surroundings = [cause for cause in surroundings if cause.name.startswith(("numerics", "sources."))]
    return (*_altered_spec(recorded), *surroundings, *_other_environment(recorded, derived, altered), *altered)


def _altered_spec(recorded: Recorded) -> Iterator[Cause]:
    """A record whose key does not follow from its spec was altered; another telling of the trial shows where."""
    spec, key = recorded.spec, recorded.outcome.key
    if spec.key == key:
        return
    found = list(_altered_entries(recorded))
    yield from found
    if not found:
        yield Cause.of(
            "record", "the record was altered, its key does not follow from its contents: key", key, spec.key
        )


def _altered_entries(recorded: Recorded) -> Iterator[Cause]:
    told = leaves(record_json(recorded.spec))
    if recorded.elsewhere is not None and recorded.elsewhere.key == recorded.outcome.key:
        planned = leaves(record_json(recorded.elsewhere))
    else:
        planned = {f"params.{name}": value for name, value in recorded.searched.items() if f"params.{name}" in told}
    for name in sorted({*planned, *told}):
        if name in planned and told.get(name) != planned[name]:
            words = (
                f"the record was altered: {name} is {told.get(name)} in it, the trial was planned with {planned[name]}"
            )
            yield Cause(f"record.{name}", told.get(name), planned[name], words)


def _other_numerics(spec: TrialSpec) -> Iterator[Cause]:
    present = numerics_of(spec.family, spec.params)
    if spec.numerics != present:
        yield Cause.of("numerics", f"the version of tracker's arithmetic for {spec.family}", spec.numerics, present)


def _altered_outcome(recorded: TrialOutcome, derived: TrialOutcome) -> Iterator[Cause]:
    """Equal weights and predictions cannot come with other scores, nor equal curves with other weights: one was altered."""
    old, new = (leaves(_told(outcome)) for outcome in told_by_both(recorded, derived))
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    digests = [name for name in DIGESTS if getattr(recorded, name) != getattr(derived, name)]
    if not digests or not differing:
        names = [*differing, *digests]
        equal = "all else is" if len(names) == 1 else "weights and predictions are" if differing else "all scores are"
        for name in names:
            values = (getattr(side, name, None) if name in DIGESTS else told.get(name) for side, told in
                      ((recorded, old), (derived, new)))  # fmt: skip
            yield _altered(f"outcome.{name}", equal, *values)


def _moved_metrics(recorded: Recorded, derived: TrialOutcome) -> Iterator[Cause]:
    """Metrics of the user's own that gave another value where all else that the first epoch which differs tells is equal."""
    own = {f"val_{name}" for name in recorded.spec.training.get("own_metrics", {})}
    for old, new in zip(recorded.outcome.history, derived.history, strict=False):
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if names:
            for name in names if own.issuperset(names) else ():
                words = (
                    f"your own metric {name}, computed twice from equal predictions, differs: {old.get(name)} recorded, "
                    f"{new.get(name)} derived; it must follow from its arguments alone, not from time, files or the machine"
                )
                yield Cause(f"own_metrics.{name}", old.get(name), new.get(name), words)
            return


def _told(outcome: TrialOutcome) -> dict[str, Any]:
    """Everything of an outcome but its key and digests, epochs by their number."""
    value = {name: item for name, item in record_json(outcome).items() if name not in {"key", "history", *DIGESTS}}
    return value | {f"epoch {entry['epoch']}": entry for entry in outcome.history}


def _altered(name: str, equal: str, recorded: Any, derived: Any) -> Cause:
    words = f"{equal} equal, so {name} was altered after it was found: {recorded} recorded, {derived} derived"
    return Cause(name, recorded, derived, words)


def _other_environment(recorded: Recorded, derived: Derived, altered: Sequence[Cause]) -> Iterator[Cause]:
    """The digest of the environment, where nothing tells what it was made of."""
    present = digest("environment", derived.provenance["environment"])
    if not altered and "environment" not in recorded.provenance and recorded.spec.environment != present:
        yield Cause.of("environment", "the environment (its parts are not at hand)", recorded.spec.environment, present)
