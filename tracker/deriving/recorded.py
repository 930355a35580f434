"""Turns what people name (STUDY/NUMBER, a record.json, a trial in a notebook) into the exact record of one trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import parse_canonical
from tracker.errors import InputError, NotFoundError
from tracker.paths import Paths
from tracker.recording.store import FILE, Store
from tracker.records import Proposal, StudySpec, TrialOutcome, TrialSpec, record_from
from tracker.studies.adopt import read_study

if TYPE_CHECKING:
    from tracker.records import Trial

REMEDY = "bring it back with `tracker pull` (from MLflow) or `dvc pull`, or run `dvc repro`"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded of one trial: what it was told, what it gave, what it was computed with (empty: not known).

    `searched` are the values that the sampler proposed; `elsewhere` is the same trial's spec from another place, which
    shows what was altered where a record contradicts its key.
    """

    name: str
    spec: TrialSpec
    outcome: TrialOutcome
    provenance: Mapping[str, Any] = field(default_factory=dict)
    searched: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: TrialSpec | None = None


def find_recorded(target: str, paths: Paths) -> Recorded:
    """The record of `STUDY/NUMBER`, or of a file that holds a `record.json`. Raises NotFoundError, InputError."""
    if target.endswith(".json"):
        try:
            return parse_record(Path(target).read_bytes(), target, paths)
        except OSError as error:
            raise NotFoundError(f"{target}: cannot be read ({error.strerror})") from None
    study, _, number = target.rpartition("/")
    if not study or not number.isdecimal():
        raise InputError(f"expected STUDY/NUMBER, `final`, an MLflow run id or a record.json, found {target!r}")
    return _of_study(paths, study, int(number))


def parse_record(content: bytes, source: str, paths: Paths) -> Recorded:
    """The record of a trial as it lies in MLflow (`record.json`). Raises InputError where it is none."""
    try:
        record = parse_canonical(content)
        spec, outcome = record_from(TrialSpec, record["spec"]), record_from(TrialOutcome, record["outcome"])
        name = f"{_name_of(paths, str(record['study']))}/{record['number']}"
        return Recorded(name, spec, outcome, record["provenance"], record["searched"], _proposed(paths, outcome.key))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no entry {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{source}: not the record of a trial ({why}); the artifact is called record.json, the test result `final`"
        ) from None


def recorded_trial(trial: Trial, paths: Paths) -> Recorded:
    """The record of a trial that a notebook holds, with its provenance where the store has it."""
    return Recorded(
        f"{trial.study}/{trial.number}",
        trial.spec,
        trial.outcome,
        _provenance(paths, trial.spec.key),
        trial.proposal.searched,
    )


def recorded_key(paths: Paths, key: str, name: str) -> Recorded:
    """The record of a trial key, from the store or from beside a model. Raises NotFoundError."""
    if (paths.store / FILE).is_file():
        with Store.open(paths.store) as store:
            outcome = store.outcomes([key]).get(key)
            if outcome is not None:
                return Recorded(name, store.spec(key), outcome, store.provenance(key))
    for path in sorted(paths.models.glob("*/trials.jsonl")):
        for proposal, outcome in zip(*read_study(path)[1:], strict=True):
            if outcome.key == key:
                return Recorded(name, proposal.spec, outcome, {}, proposal.searched)
    raise NotFoundError(f"trial {key[:12]} ({name}) is neither in {paths.store} nor in {paths.models}; {REMEDY}")


def _of_study(paths: Paths, study: str, number: int) -> Recorded:
    """A trial of the study that the report speaks of; from the store, else from the records beside its model."""
    reported = reported_study(paths, study)
    if (paths.store / FILE).is_file():
        with Store.open(paths.store) as store:
            known = [key for key, _ in store.studies(study)]
            wanted = [reported[0]] if reported else known[:1]
            for key in [key for key in wanted if key in known]:
                return _stored(store, key, study, number)
    spec, proposals, outcomes = read_beside_model(paths, study)
    if reported and reported[0] != spec.key:
        raise NotFoundError(f"models/{study} holds another study than reports/studies/{study}.json; {REMEDY}")
    _require_number(study, number, len(proposals))
    proposal, outcome = proposals[number], outcomes[number]
    return Recorded(f"{study}/{number}", proposal.spec, outcome, {}, proposal.searched)


def _require_number(study: str, number: int, count: int) -> None:
    if not number < count:
        raise NotFoundError(f"{study} has no trial {number}; it has 0 to {count - 1}")


def _stored(store: Store, key: str, study: str, number: int) -> Recorded:
    _require_number(study, number, len(store.proposals(key)))
    proposal = store.proposal(key, number)
    outcome = store.outcomes([proposal.spec.key]).get(proposal.spec.key)
    if outcome is None:
        raise NotFoundError(f"{study}/{number} has no outcome yet; run `tracker tune {study}`")
    about = store.provenance(outcome.key)
    return Recorded(f"{study}/{number}", proposal.spec, outcome, about, proposal.searched)


def reported_study(paths: Paths, study: str) -> tuple[str, int] | None:
    """Key and number of trials of the study that `reports/studies/NAME.json` speaks of; None without a report.

    The store may have more trials of it, of a longer run before or of one elsewhere that shares the store.
    """
    path = paths.study_reports / f"{study}.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return str(report["key"]), len(report["trials"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_beside_model(paths: Paths, study: str) -> tuple[StudySpec, list[Proposal], list[TrialOutcome]]:
    """The records beside a study's best model. Raises NotFoundError, StoreCorrupt."""
    path = paths.models / study / "trials.jsonl"
    if not path.is_file():
        known = _known_studies(paths)
        remedy = f"there are {', '.join(known)}" if known else REMEDY
        raise NotFoundError(f"no study {study} in the store, nor {path.relative_to(paths.root)}; {remedy}")
    return read_study(path)


def _known_studies(paths: Paths) -> list[str]:
    """Names of studies that something was recorded of."""
    names = {path.parent.name for path in paths.models.glob("*/trials.jsonl")}
    if (paths.store / FILE).is_file():
        with Store.open(paths.store) as store:
            names |= {spec.name for _, spec in store.studies()}
    return sorted(names)


def _name_of(paths: Paths, study_key: str) -> str:
    """The name of a study, or the beginning of its key where the store does not have it."""
    if (paths.store / FILE).is_file():
        with Store.open(paths.store) as store, suppress(NotFoundError):
            return store.study(study_key).name
    return study_key[:12]


def _proposed(paths: Paths, key: str) -> TrialSpec | None:
    """The spec that the store has under a key."""
    if not (paths.store / FILE).is_file():
        return None
    with Store.open(paths.store) as store:
        try:
            return store.spec(key)
        except NotFoundError:
            return None


def _provenance(paths: Paths, key: str) -> Mapping[str, Any]:
    if not (paths.store / FILE).is_file():
        return {}
    with Store.open(paths.store) as store:
        try:
            return store.provenance(key)
        except NotFoundError:
            return {}
