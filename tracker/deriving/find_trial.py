"""Finds the exact record of one trial, by what people name: STUDY/NUMBER, a record.json, a trial in a notebook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import parse_canonical
from tracker.config.read import not_declared
from tracker.errors import InputError, NotFoundError
from tracker.evaluation.files import read_report
from tracker.evaluation.final import was_scored
from tracker.fields import final_report
from tracker.paths import Paths
from tracker.records import StudySpec, Timing, TrialOutcome, TrialSpec
from tracker.remedies import has_dvc, run_again
from tracker.shown import there_are
from tracker.store.store import Store
from tracker.store.stored import StoredTrial, outcome_slot
from tracker.studies.adopt import read_study, recorded_runs
from tracker.studies.result import StudyResult
from tracker.tracking.run_contents import stored_from

if TYPE_CHECKING:
    from tracker.records import Trial

FINAL = "final"  # what people call the scored run
SHOWN, MOST = 8, 3  # characters of a key; studies that a line names
PLACE = re.compile(r"(.+)/([0-9]{1,8})(?:@([0-9a-f]{4,64}))?")  # a study, a number, the beginning of the study's key


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded of a trial's run: what it was told, what it gave, what it was computed with (empty: not known).

    `searched` are the values that the sampler proposed; `elsewhere` is the same run's spec from another place, which
    shows what was altered where a record contradicts its key. `others` are the trial's further runs, where it has several.
    """

    name: str
    spec: TrialSpec
    outcome: TrialOutcome
    provenance: Mapping[str, Any] = field(default_factory=dict)
    searched: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: TrialSpec | None = None
    others: tuple[Recorded, ...] = ()

    @classmethod
    def of(cls, name: str, stored: StoredTrial) -> Recorded:
        """The record of a trial: that of its first run, with the others beside it."""
        searched = stored.proposal.searched
        runs = zip(stored.proposal.runs, stored.outcomes, stored.provenances, strict=True)
        total = len(stored.outcomes)
        first, *others = [
            cls(name if place == 1 else f"{name} (run {place} of {total})", spec, outcome, about, searched)
            for place, (spec, outcome, about) in enumerate(runs, start=1)
        ]
        return replace(first, others=tuple(others))


def find_recorded(target: str, paths: Paths) -> Recorded:
    """The record of `STUDY/NUMBER`, or of a file that holds a `record.json`. Raises NotFoundError, InputError.

    Of several studies of one name, the one that the report speaks of; another one is named by its key, `STUDY/NUMBER@KEY`.
    """
    if target.endswith(".json"):
        try:
            return parse_record(Path(target).read_bytes(), target, paths)
        except OSError as error:
            raise NotFoundError(f"{target}: cannot be read ({error.strerror})") from None
    place = PLACE.fullmatch(target)
    if place is None:
        raise InputError(f"expected STUDY/NUMBER, `final`, an MLflow run id or a record.json, found {target!r}")
    study, number = place[1], int(place[2])
    return _of_study(paths, study, number) if place[3] is None else _of_key(paths, study, number, place[3])


def parse_record(content: bytes, source: str, paths: Paths) -> Recorded:
    """The record of a trial as it lies in MLflow (`record.json`). Raises InputError where it is none."""
    try:
        record = parse_canonical(content)
        name = f"{_name_of(paths, str(record['study']))}/{record['number']}"
        found = Recorded.of(name, stored_from(record))
        return replace(found, elsewhere=_proposed(paths, found.outcome.key))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no entry {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{source}: not the record of a trial ({why}); the artifact is called record.json, the test result `final`"
        ) from None


def recorded_trial(trial: Trial, paths: Paths) -> Recorded:
    """The record of a trial that a notebook holds, with its provenance where the store has it."""
    abouts = tuple(_provenance(paths, outcome_slot(outcome)) for outcome in trial.outcomes)
    return Recorded.of(f"{trial.study}/{trial.number}", _stored_like(trial, abouts))


def _stored_like(trial: Trial, abouts: tuple[Mapping[str, Any], ...] | None = None) -> StoredTrial:
    """A trial whose times are not known, and perhaps not what it was computed with."""
    unknown: tuple[Mapping[str, Any], ...] = tuple({} for _ in trial.outcomes)
    times = tuple(Timing(0.0, 0.0) for _ in trial.outcomes)
    return StoredTrial(trial.proposal, trial.outcomes, times, abouts or unknown)


def find_final(paths: Paths) -> tuple[Mapping[str, Any], Recorded]:
    """The content of `reports/final.json`, and the record of the run that it scored.

    Raises NotFoundError where nothing was scored or the run is in no record, InputError where the report is damaged.
    """
    path = paths.reports / "final.json"
    if not path.is_file():
        raise NotFoundError(f"{path}: nothing is scored yet; {run_again(path)} first")
    final: Mapping[str, Any] = read_report(path, run_again(paths.root), final_report)
    if not was_scored(final):
        raise NotFoundError(f"{path}: nothing was scored: {final['because']}")
    return final, recorded_key(paths, str(final["key"]), f"{FINAL} {final['study']}/{final['trial']}")


def recorded_key(paths: Paths, key: str, name: str) -> Recorded:
    """The record of the run with that key, from the store or from beside a model. Raises NotFoundError."""
    with Store.opened_if_there(paths.store) as store:
        outcome = store.outcomes([key]).get(key) if store else None
        if store and outcome is not None:
            return Recorded(name, store.spec(key), outcome, store.provenance(key))
    for trial, spec, outcome in recorded_runs(paths):
        if spec.key == key:
            return Recorded(name, spec, outcome, {}, trial.proposal.searched)
    raise NotFoundError(
        f"trial {key[:12]} ({name}) is neither in {paths.store} nor in {paths.models}; {_bring_back(paths)}"
    )


def _of_study(paths: Paths, study: str, number: int) -> Recorded:
    """A trial of the study that the report speaks of; from the store, else from the records beside its model."""
    reported = reported_study(paths, study)
    with Store.opened_if_there(paths.store) as store:
        known = [key for key, _ in store.studies(study)] if store else []
        wanted = [reported[0]] if reported else known[:1]
        for key in [key for key in wanted if key in known]:
            assert store is not None
            return Recorded.of(f"{study}/{number}", _stored(store, key, study, number))
    result = read_beside_model(paths, study)
    if reported and reported[0] != result.spec.key:
        raise NotFoundError(
            f"models/{study} holds another study than reports/studies/{study}.json; {_bring_back(paths)}"
        )
    _require_number(study, number, len(result.trials))
    return Recorded.of(f"{study}/{number}", _stored_like(result.trials[number]))


def _of_key(paths: Paths, study: str, number: int, begins: str) -> Recorded:
    _, stored = trial_of_key(paths, study, number, begins)
    return Recorded.of(f"{study}/{number}@{begins}", stored)


def trial_of_key(paths: Paths, study: str, number: int, begins: str) -> tuple[StudySpec, StoredTrial]:
    """The study of that name whose key begins so, and its trial of that number. Raises NotFoundError."""
    with Store.opened_if_there(paths.store) as store:
        specs = dict(store.studies(study)) if store else {}
        found = [key for key in specs if key.startswith(begins)]
        if store and len(found) == 1:
            return specs[found[0]], _stored(store, found[0], study, number)
    keys = list(specs)
    known = f"there are {', '.join(key[:SHOWN] for key in keys)}" if keys else _bring_back(paths)
    raise NotFoundError(
        f"{'several studies' if found else 'no study'} {study} with a key that begins with {begins}; {known}"
    )


def namesakes(paths: Paths, target: str) -> list[str]:
    """A line where a name means one of several studies' trials: which one it is, and how the others are called."""
    place = PLACE.fullmatch(target)
    if place is None or place[3] is not None:
        return []
    with Store.opened_if_there(paths.store) as store:
        keys = [key for key, _ in store.studies(place[1])] if store else []
        numbers = [key for key in keys if store and int(place[2]) < len(store.proposals(key))]
    reported = reported_study(paths, place[1])
    taken = reported[0] if reported else next(iter(keys), "")
    others = [f"{target}@{key[:SHOWN]}" for key in numbers if key != taken]
    if not others:
        return []
    more = f" and {len(others) - MOST} older" if len(others) > MOST else ""
    return [f"{target} is that of study {taken[:SHOWN]}; earlier studies of the name: {', '.join(others[:MOST])}{more}"]


def _require_number(study: str, number: int, count: int) -> None:
    if not number < count:
        raise NotFoundError(f"{study} has no trial {number}; it has 0 to {count - 1}")


def _stored(store: Store, key: str, study: str, number: int) -> StoredTrial:
    _require_number(study, number, len(store.proposals(key)))
    try:
        return store.trial(key, number)
    except NotFoundError:
        raise NotFoundError(f"{study}/{number} has no outcome yet; run `tracker tune {study}`") from None


def reported_study(paths: Paths, study: str) -> tuple[str, int] | None:
    """Key and number of trials of the study that `reports/studies/NAME.json` speaks of; None without a report.

    The store may have more trials of it, of a longer run before or of one elsewhere that shares the store.
    """
    if "." in study:  # it confirms, and has no report but its records
        path = paths.records(study)
        if not path.is_file():
            return None
        result = read_study(path)
        return result.spec.key, len(result.trials)
    path = paths.study_reports / f"{study}.json"
    try:
        report = parse_canonical(path.read_bytes())
        return str(report["key"]), len(report["trials"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_beside_model(paths: Paths, study: str) -> StudyResult:
    """The records beside a study's best model. Raises NotFoundError, StoreCorrupt."""
    path = paths.records(study)
    if not path.is_file():
        known = _known_studies(paths)
        absent = there_are(study, known) if known else not_declared(paths.root, study)
        remedy = absent or _bring_back(paths)
        raise NotFoundError(f"no study {study} in the store, nor {path.relative_to(paths.root)}; {remedy}")
    return read_study(path)


def _bring_back(paths: Paths) -> str:
    pull = " or `dvc pull`" if has_dvc(paths.root) else ""
    return f"bring it back with `tracker pull` (from MLflow){pull}, or {run_again(paths.root)}"


def _known_studies(paths: Paths) -> list[str]:
    """Names of studies that something was recorded of."""
    names = {path.parent.name for path in paths.models.glob("*/trials.jsonl")}
    with Store.opened_if_there(paths.store) as store:
        names |= {spec.name for _, spec in store.studies()} if store else set()
    return sorted(name for name in names if "." not in name)  # those of folds and seeds are parts of others


def _name_of(paths: Paths, study_key: str) -> str:
    """The name of a study, or the beginning of its key where the store does not have it."""
    with Store.opened_if_there(paths.store) as store, suppress(NotFoundError):
        if store:
            return store.study(study_key).name
    return study_key[:12]


def _proposed(paths: Paths, key: str) -> TrialSpec | None:
    """The spec that the store has under a key."""
    with Store.opened_if_there(paths.store) as store, suppress(NotFoundError):
        return store.spec(key) if store else None
    return None


def _provenance(paths: Paths, key: str) -> Mapping[str, Any]:
    with Store.opened_if_there(paths.store) as store, suppress(NotFoundError):
        return store.provenance(key) if store else {}
    return {}
