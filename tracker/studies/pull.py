"""Takes what MLflow has of studies into the store, as if they had run here; all is checked before any is kept."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tracker.canonical import digest
from tracker.errors import ReplayError, StoreError, TrackingError
from tracker.shown import counted
from tracker.store.store import Store
from tracker.store.stored import Finished
from tracker.studies.adopt import put_decisions
from tracker.studies.result import StudyResult, study_result, summarise_study
from tracker.tracking.delivered import DeliveredItems, destination
from tracker.tracking.kinds import kind_of
from tracker.tracking.mlflow_settings import settle
from tracker.tracking.transport import Taken

if TYPE_CHECKING:
    from tracker.tracking.fetch import Experiment, FetchedFinal, FetchedStudy, FetchedTrial
    from tracker.tracking.recorder import Found

CHUNK = 64  # trials whose weights are in memory at once
LOCK_S = 5.0
OUTBOX_LOCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of one study: trials that MLflow has, of how many (None: it has not ended), and weights that were missing."""

    study: str
    key: str
    trials: int
    wanted: int | None
    weights: int


def pull_studies(store: Store, tracking_uri: str, experiment: str, names: Collection[str] = ()) -> list[Pulled]:
    """Fills the store with the studies of these names (none: all), their weights where MLflow has a model, and finals.

    A study of which anything is damaged is not taken at all; the others are, and then TrackingError says what was refused.
    Raises NotFoundError, ReplayError where the store has another outcome, StoreBusy while a study runs.
    """
    settle(os.environ)
    from tracker.tracking.fetch import Experiment  # it imports mlflow, which takes a second

    source = Experiment(tracking_uri, experiment)
    runs, finals = source.studies(names), source.finals(names)
    taken: list[_Taken] = []
    refused: list[str] = []
    for run in runs:
        with _putting_aside(source, run, refused):
            taken.append(_take(store, source, run))
    fetched: list[FetchedFinal] = []
    for run in finals:
        with _putting_aside(source, run, refused):
            fetched.append(source.final(run))
    kept = _keep_finals(store, fetched)
    _note(store, destination(tracking_uri, experiment), taken, kept)
    if refused:
        came = ", ".join(f"{one.pulled.study} ({counted(one.pulled.trials, 'trial')})" for one in taken) or "no study"
        raise TrackingError("\n".join([*refused, f"taken: {came}"]))
    return [one.pulled for one in taken]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A study that came, with its result where it came whole."""

    pulled: Pulled
    study: FetchedStudy
    result: StudyResult | None


@contextmanager
def _putting_aside(source: Experiment, run: Found, refused: list[str]) -> Iterator[None]:
    """Whatever is wrong with one run is that run's refusal; the store and a server that is away stop everything."""
    try:
        yield
    except (StoreError, ReplayError):
        raise
    except TrackingError as error:
        source.reach()
        refused.append(str(error))
    except Exception as error:  # what no check foresaw
        refused.append(f"run {run.name} ({run.run_id}): cannot be read ({type(error).__name__}: {error}); not taken")


def _take(store: Store, source: Experiment, run: Found) -> _Taken:
    """Fetches and checks a study, then keeps all of it or nothing."""
    study = source.study(run)
    result = _checked(study)
    with TemporaryDirectory(prefix="tracker-") as scratch:
        weights = _fetch_weights(store, source, study, Path(scratch))
        with store.lock(f"study-{study.spec.name}", LOCK_S), store.together():
            _keep(store, study, result, Path(scratch))
    return _Taken(Pulled(study.spec.name, study.spec.key, len(study.trials), study.wanted, weights), study, result)


def _checked(study: FetchedStudy) -> StudyResult | None:
    """The finished study, its digest checked; None where MLflow does not have all trials that the digest speaks of."""
    from tracker.tracking.fetch import damaged

    if study.wanted is None or study.digest is None or any(n not in study.trials for n in range(study.wanted)):
        return None
    trials = [study.trials[number] for number in range(study.wanted)]
    proposals = [trial.stored.proposal for trial in trials]
    result = study_result(study.spec, proposals, [trial.stored.outcomes for trial in trials])
    if result.digest != study.digest:
        raise damaged(study.run, "record.json", f"its {study.wanted} trials differ from the study's digest in its tags")
    return result


def _fetch_weights(store: Store, source: Experiment, study: FetchedStudy, scratch: Path) -> int:
    """Fetches what the store lacks into files named by their digest; how many."""
    wanted = {
        trial.weights: trial
        for trial in study.trials.values()
        if trial.with_model and trial.weights and not store.has_weights(trial.weights)
    }
    for name, trial in wanted.items():
        (scratch / name).write_bytes(source.weights(trial))
    return len(wanted)


def _keep(store: Store, study: FetchedStudy, result: StudyResult | None, scratch: Path) -> None:
    if study.serving is not None and store.serving(study.spec.served_data) is None:
        store.put_serving(study.spec.served_data, study.serving)
    key = store.put_study(study.spec, study.provenance, study.created)
    trials = list(study.trials.values())
    store.put_proposals(key, [trial.stored.proposal for trial in trials])
    put_decisions(store, key, [(trial.stored.proposal, trial.stored.outcomes) for trial in trials])
    for start in range(0, len(trials), CHUNK):
        part = trials[start : start + CHUNK]
        finished = [one for trial in part for one in _finished(trial, scratch)]
        store.put_outcomes(key, finished, [trial.number for trial in part])
    finish = store.finish(key)
    if result is not None and (finish is None or finish[0].get("trials", 0) < len(result.trials)):
        store.finish_study(key, summarise_study(result), study.ended)


def _finished(trial: FetchedTrial, scratch: Path) -> list[Finished]:
    """The runs of a trial; the weights that MLflow has are those of the first."""
    path = scratch / (trial.weights or "none")
    content = path.read_bytes() if path.is_file() else None
    stored = trial.stored
    parts = zip(stored.proposal.runs, stored.outcomes, stored.timings, stored.provenances, strict=True)
    return [
        Finished(spec, outcome, timing, content if place == 0 else None, about)
        for place, (spec, outcome, timing, about) in enumerate(parts)
    ]


def _keep_finals(store: Store, finals: Sequence[FetchedFinal]) -> set[str]:
    """The digests of the results that came; a trial has one result on the same test rows."""
    names, kept = ("key", "test_digest"), set()
    known = {tuple(final.get(name) for name in names) for final in store.finals()}
    for fetched in finals:
        if tuple(fetched.final.get(name) for name in names) not in known:
            kept.add(store.put_final(fetched.final, fetched.created))
    return kept


def _note(store: Store, place: str, pulled: Sequence[_Taken], finals: set[str]) -> None:
    """What came from there need not be delivered there; `tracker sync` compares nevertheless."""
    finished = [(one.study, one.result) for one in pulled if one.result is not None]
    taken = Taken(
        {one.study.spec.key: one.study.trials.keys() for one in pulled},
        {study.spec.key for study, result in finished if study.run.tags.get("tracker.finish") == _end(result)},
        finals,
    )
    with store.lock(f"outbox-{place}", OUTBOX_LOCK_S):
        log = DeliveredItems(store.folder, place)
        log.refresh()
        log.add([item.name for item in store.items() if kind_of(item).came(taken, item)])


def _end(result: StudyResult) -> str:
    return digest("finish", summarise_study(result))
