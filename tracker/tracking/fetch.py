"""Reads studies and final results back from an MLflow experiment, each record checked against its digests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tracker.canonical import digest, digest_bytes, parse_canonical
from tracker.errors import NotFoundError, TrackingError
from tracker.fields import MOST_TRIALS, check_foreign, study_record
from tracker.fields import final as final_shape
from tracker.records import StudySpec, record_from
from tracker.shapes import many, seconds
from tracker.shown import meant
from tracker.store.stored import StoredTrial
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.recorder import MOST_RECORD, Found
from tracker.tracking.run_contents import FINAL, MODEL_TAG, RECORD, RECORD_TAG, stored_from

AT_ONCE = 8  # artifacts on their way from a server
WEIGHTS = "model/data/model/weights.safetensors"
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class FetchedTrial:
    """A trial as the record in MLflow says; `with_model` where its weights can be fetched."""

    stored: StoredTrial
    run: Found
    with_model: bool

    @property
    def number(self) -> int:
        """Its number in the study."""
        return self.stored.proposal.number

    @property
    def weights(self) -> str | None:
        """The digest of its model's weights: those of the first run."""
        return self.stored.outcomes[0].weights


@dataclass(frozen=True, slots=True)
class FetchedStudy:
    """A study as its run's record says, with the trials that have ended, by number.

    `wanted` is the number of trials that `digest`, the study's own, speaks of; None while it runs for the first time.
    """

    spec: StudySpec
    provenance: Mapping[str, Any]
    serving: Mapping[str, Any] | None
    created: float
    ended: float
    wanted: int | None
    digest: str | None
    trials: Mapping[int, FetchedTrial]
    run: Found


@dataclass(frozen=True, slots=True)
class FetchedFinal:
    """A final result and when it was made."""

    final: Mapping[str, Any]
    created: float


class Experiment:
    """What one experiment of an MLflow server holds; nothing is written there."""

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        self._recorder = MlflowRecorder(tracking_uri, experiment, create=False)
        self._experiment = experiment

    def reach(self) -> None:
        """Asks the server for one small thing. Raises TrackingError when it is away."""
        self._recorder.reach()

    def studies(self, names: Collection[str] = ()) -> list[Found]:
        """The runs of the studies of these names (none: all), the oldest first. Raises NotFoundError, TrackingError."""
        runs = _single(self._recorder.search("tracker.kind", "study"), "tracker.study_key")
        there = {run.tags.get("tracker.study", "") for run in runs.values()}
        unknown = sorted(set(names) - there)
        if unknown or not runs:
            told = ", ".join(sorted(there)) or "none"
            near = meant(unknown[0], there) if unknown else ""
            raise NotFoundError(
                f"no study {', '.join(unknown) or 'at all'} in experiment {self._experiment} (there: {told}){near}"
            )
        wanted = [run for run in runs.values() if not names or run.tags.get("tracker.study") in names]
        return sorted(wanted, key=lambda run: (run.start_ms, run.run_id))

    def finals(self, names: Collection[str] = ()) -> list[Found]:
        """The runs of final results of trials of these studies (none: all), the oldest first. Raises TrackingError."""
        runs = _single(self._recorder.search("tracker.kind", "final"), "tracker.final")
        wanted = [run for run in runs.values() if run.ended and (not names or run.tags.get("tracker.study") in names)]
        return sorted(wanted, key=lambda run: (run.start_ms, run.run_id))

    def weights(self, trial: FetchedTrial) -> bytes:
        """The weights of a trial, checked against its outcome. Raises TrackingError."""
        content = self._recorder.read(trial.run, WEIGHTS)
        if digest_bytes(content) != trial.weights:
            raise damaged(trial.run, WEIGHTS, f"its SHA-256 is not {trial.weights}")
        return content

    def study(self, run: Found) -> FetchedStudy:
        """A study with its trials, each checked. Raises TrackingError where anything of it is not what was delivered."""
        record = self._record(run)
        spec = _parsed(run, RECORD, lambda: _study_from(record))
        if not spec.key == record.get("key") == run.tags.get("tracker.study_key"):
            raise damaged(run, RECORD, "the study contradicts its key")
        runs = _single(self._recorder.search("tracker.study_key", spec.key), "tracker.trial")
        ended = [trial for trial in runs.values() if trial.ended and trial.tags.get("tracker.kind") == "trial"]
        trials = {trial.number: trial for trial in _at_once(self._trial, ended)}
        wanted = self._recorder.last_value(run, "trials") if run.ended else None
        if wanted is not None and not (0 <= wanted < MOST_TRIALS and wanted == int(wanted)):
            raise damaged(run, RECORD, f"its metric trials is {wanted!r}, expected a whole number")
        started, finished = _times(run)
        return FetchedStudy(
            spec,
            record.get("provenance") or {},
            record.get("serving"),
            started,
            finished,
            None if wanted is None else int(wanted),
            run.tags.get("tracker.digest"),
            dict(sorted(trials.items())),
            run,
        )

    def _trial(self, run: Found) -> FetchedTrial:
        record = self._record(run)
        trial = _parsed(run, RECORD, lambda: _trial_from(record, run))
        keys = trial.stored.proposal.keys
        tags = (run.tags.get("tracker.key"), run.tags.get("tracker.trial"), run.tags.get("tracker.study_key"))
        told = tuple(outcome.key for outcome in trial.stored.outcomes)
        if (keys[0], str(trial.number), record["study"]) != tags or told != keys:
            raise damaged(run, RECORD, "the trial contradicts its key or its tags")
        if trial.weights != run.tags.get("tracker.weights"):
            raise damaged(run, RECORD, "it names other weights than the run's tag")
        return replace(trial, with_model=trial.weights is not None and MODEL_TAG in run.tags)

    def final(self, run: Found) -> FetchedFinal:
        """A final result, checked. Raises TrackingError where it is not what was delivered."""
        content = self._recorder.read(run, FINAL, MOST_RECORD)
        final = _parsed(run, FINAL, lambda: _final_from(content))
        if digest("final", final) != run.tags.get("tracker.final"):
            raise damaged(run, FINAL, "it differs from the digest in the run's tags")
        return FetchedFinal(final, _times(run)[1])

    def _record(self, run: Found) -> Mapping[str, Any]:
        content = self._recorder.read(run, RECORD, MOST_RECORD)
        if RECORD_TAG in run.tags and digest_bytes(content) != run.tags[RECORD_TAG]:
            raise damaged(run, RECORD, "it differs from the digest in the run's tags")
        return _parsed(run, RECORD, lambda: dict(parse_canonical(content, MOST_RECORD)))


def damaged(run: Found, name: str, why: str) -> TrackingError:
    """The error for an artifact that is not what was delivered."""
    return TrackingError(
        f"run {run.name} ({run.run_id}), artifact {name}: {why}; nothing of it was taken. "
        "Restore the artifact, or delete the run: `tracker sync` from a store that has it brings it back"
    )


def _study_from(record: Mapping[str, Any]) -> StudySpec:
    study_record(record)
    spec = record_from(StudySpec, record["study"])
    check_foreign(spec.name, spec.family, spec.sampler["name"])
    return spec


def _final_from(content: bytes) -> dict[str, Any]:
    final = parse_canonical(content, MOST_RECORD)
    final_shape(final)
    return dict(final)


def _times(run: Found) -> tuple[float, float]:
    """When a run began and ended, in seconds since 1970."""
    times = run.start_ms / 1000, run.end_ms / 1000
    _parsed(run, RECORD, lambda: many(seconds)(times))
    return times


def _trial_from(record: Mapping[str, Any], run: Found) -> FetchedTrial:
    return FetchedTrial(stored_from(record), run, with_model=False)


def _parsed(run: Found, name: str, parse: Callable[[], Value]) -> Value:
    try:
        return parse()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(run, name, f"cannot be read ({type(error).__name__}: {error})") from None


def _single(runs: Collection[Found], tag: str) -> dict[str, Found]:
    """One run per value of a tag: the one that deliveries keep where two machines created two."""
    ordered = sorted(runs, key=lambda run: (not run.ended, run.run_id), reverse=True)
    return {run.tags[tag]: run for run in ordered if tag in run.tags}


def _at_once(work: Callable[[Found], Value], runs: Collection[Found]) -> Iterator[Value]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(work, runs)
