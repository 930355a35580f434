"""What an MLflow run shows of what the store holds: names, tags, params, points, times, files. Knows no MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from tracker.canonical import canonical_json, digest, digest_bytes
from tracker.errors import NotFoundError
from tracker.fields import trial_record as trial_shape
from tracker.goals import goal_params
from tracker.metrics import CURVES, tested
from tracker.records import (
    Proposal,
    StudySpec,
    Timing,
    Trial,
    TrialOutcome,
    TrialSpec,
    data_identity,
    record_from,
    record_json,
    records_from,
    run_spread,
    run_value,
    trained_runs,
)
from tracker.store.environments import earlier_environments
from tracker.store.store import Store
from tracker.store.stored import StoredTrial
from tracker.tracking.figures import test_figures
from tracker.tracking.names import fold_name, told_apart

FORMAT = 2  # of record.json
RECORD, FINAL = "record.json", "final.json"  # artifacts that hold what MLflow would round, cut or merge
SPACE = "search_space.json"
RECORD_TAG = "tracker.record"  # SHA-256 of record.json
MODEL_TAG = "tracker.model"  # the run's folder `model` is whole; on a run that has not ended it says nothing yet
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
_ENDS: Mapping[str, Status] = {"complete": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}


class Point(NamedTuple):
    """One value of a metric: milliseconds since 1970, step is the epoch."""

    name: str
    value: float
    time_ms: int
    step: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """A part of the data that a run saw: its name, SHA-256, where it came from, what it is for, and what it holds."""

    name: str
    digest: str
    source: str
    context: str  # training, validation, test
    profile: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run as MLflow is to show it; `files` go to the run's artifacts."""

    name: str
    start_ms: int
    end_ms: int
    status: Status
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[Point] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    inputs: Sequence[Dataset] = ()


def study_run(store: Store, study_key: str) -> Run:
    """The parent run of a study, as it is while the study runs."""
    spec, start_ms = store.study(study_key), _ms(store.created(study_key))
    provenance = store.provenance(study_key)
    record = {"format": FORMAT, "key": study_key, "study": record_json(spec), "provenance": provenance}
    record["serving"] = store.serving(spec.served_data)
    content = canonical_json(record)
    tags = {**_study_tags("study", study_key, spec), "tracker.key": study_key, **_source_tags(provenance)}
    tags[RECORD_TAG] = digest_bytes(content)
    if mixed := earlier_environments(store, spec):
        tags["tracker.mixed"] = ", ".join(environment[:12] for environment in mixed)
    files = {RECORD: content, SPACE: json.dumps(searched(spec), indent=2, ensure_ascii=False).encode() + b"\n"}
    name = f"{spec.name}{told_apart(store, study_key)}"
    return Run(name, start_ms, start_ms, "RUNNING", tags, study_params(spec), (), files)


def study_params(spec: StudySpec) -> dict[str, str]:
    """What was asked of a study, one word each; its search space is a file, its number of trials may still grow."""
    asked = {
        "sampler": spec.sampler.get("name"),
        "objective_metric": spec.objective["metric"],
        "direction": spec.objective["direction"],
        **goal_params(spec.objectives, spec.constraints),
        "generation": spec.generation,
        "pruner": spec.pruner.get("name"),
        "repeats": spec.runs.get("repeats"),
        "reshuffle": spec.runs.get("reshuffle"),
        "refines": spec.refines.get("study"),
        "keep": spec.refines.get("keep"),
        **{f"stop_{name}": value for name, value in spec.stop.items()},
        "folds": spec.runs.get("folds"),
        "family": spec.family,
        "epochs": spec.training.get("epochs"),
        "seed": spec.seed,
    }
    return {name: text(value) for name, value in asked.items() if value is not None}


def searched(spec: StudySpec) -> dict[str, Any]:
    """The search space, the fixed hyperparameters and, of a manual study, the configurations, as plain values."""
    listed = spec.sampler.get("configurations")
    plain = record_json(spec)
    told = {"search_space": plain["space"], "fixed": plain["fixed"]}
    return told if listed is None else {**told, "configurations": plain["sampler"]["configurations"]}


def objective_name(spec: StudySpec) -> str:
    """The metric of MLflow that holds the objective, in the runs of trials, studies and final results alike."""
    return "value" if spec.runs else f"best_{spec.objective['metric']}"


def finished_study(store: Store, study_key: str) -> Run | None:
    """The parent run with its end: every number of the summary is a metric, every text a tag; None while it runs.

    The best trial's numbers are the study's, under the same names, so that one column compares studies and trials.
    """
    finish = store.finish(study_key)
    if finish is None:
        return None
    run, run_spec, (summary, ended) = study_run(store, study_key), store.study(study_key), finish
    single = {"number"} if run_spec.runs else {"number", "value"}  # the best trial's numbers say these
    numbers = {name: value for name, value in summary.items() if _is_number(value) and name not in single}
    tags = {**run.tags, "tracker.finish": digest("finish", summary)}
    tags.update({f"tracker.{name}": value for name, value in summary.items() if isinstance(value, str)})
    if (best := best_of(store, study_key, summary)) is not None:
        tags["tracker.best"] = f"{best.study}/{best.number}"
        told = {f"best_{name}": value for name, value in sorted(best.metrics.items())}
        numbers |= {name: value for name, value in told.items() if _is_number(value)}
    # One step for all ends: MLflow shows the value of the highest step, and a study may end with fewer trials than before.
    points = [Point(name, float(value), _ms(ended), 0) for name, value in numbers.items()]
    return replace(run, end_ms=_ms(ended), status="FINISHED", tags=tags, points=points)


def best_of(store: Store, study_key: str, summary: Mapping[str, Any]) -> Trial | None:
    """The best trial that the summary of a study names; None where there is none, or not here."""
    number = summary.get("number")
    if number is None:
        return None
    try:
        stored = store.trial(study_key, int(number))
    except NotFoundError:
        return None
    return Trial.of(store.study(study_key), stored.proposal, stored.outcomes)


def trial_run(store: Store, study_key: str, number: int, apart: str | None = None) -> Run:
    """The run of one trial: its curve with true times, the kept epoch's numbers as `best_…`, the exact record.

    `apart` is what `told_apart` says of its study, where that is known.
    """
    study, stored = store.study(study_key), store.trial(study_key, number)
    trial = Trial.of(study, stored.proposal, stored.outcomes)
    timing, record = _whole(stored.timings[: trained_runs(stored.outcomes)]), trial_record(study_key, stored)
    tags = {**_trial_tags(study_key, study, trial), **_source_tags(stored.provenances[0])}
    single = len(stored.outcomes) == 1
    points = list(_curve(trial.outcome, timing)) + list(_kept(trial.outcome, timing)) if single else []
    return Run(
        name=f"{study.name}/{number}{told_apart(store, study_key) if apart is None else apart}",
        start_ms=_ms(timing.started),
        end_ms=_ms(timing.ended),
        status=_ENDS[trial.state],
        tags={**tags, RECORD_TAG: digest_bytes(record)},
        params={"trial": str(number), **trial_params(*trial.proposal.runs)},
        points=points if single else list(_over_runs(study, trial, timing)),
        files={RECORD: record},
    )


def trial_record(study_key: str, stored: StoredTrial) -> bytes:
    """The exact record of a trial as canonical JSON; MLflow's own fields round, cut and merge.

    A run says what it was computed with where that is not what the first run was computed with.
    """
    proposal, about = stored.proposal, stored.provenances[0]
    runs = [
        {"spec": record_json(spec), "outcome": record_json(outcome), "timing": record_json(timing)}
        | ({} if provenance == about else {"provenance": dict(provenance)})
        for spec, outcome, timing, provenance in zip(
            proposal.runs, stored.outcomes, stored.timings, stored.provenances, strict=True
        )
    ]
    record = {
        "format": FORMAT,
        "study": study_key,
        "number": proposal.number,
        "generation": proposal.generation,
        "searched": dict(proposal.searched),
        "runs": runs,
        "provenance": dict(about),
    }
    return canonical_json(record)


def stored_from(record: Mapping[str, Any]) -> StoredTrial:
    """What `trial_record` wrote. Raises ValueError or TypeError where it did not."""
    trial_shape(record)
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']!r}; this release reads {FORMAT}")
    runs, about = record["runs"], record["provenance"]
    specs = [run["spec"] for run in runs]
    planned = {name: record[name] for name in ("number", "generation", "searched")}
    return StoredTrial(
        record_from(Proposal, {**planned, "runs": specs}),
        records_from(TrialOutcome, [run["outcome"] for run in runs]),
        records_from(Timing, [run["timing"] for run in runs]),
        tuple(run.get("provenance", about) for run in runs),
    )


def trial_params(spec: TrialSpec, *others: TrialSpec) -> dict[str, str]:
    """All hyperparameters, the seed and the number of epochs as texts: texts as they are, all else as JSON.

    Of several runs, `seed` is that of the first, whose model is the trial's, and `seeds` has all of them.
    """
    values = {"epochs": spec.training.get("epochs"), **spec.params, "seed": spec.seed}
    if others:
        values["seeds"] = [run.seed for run in (spec, *others)]
    return {name: text(value) for name, value in values.items() if value is not None}


def final_run(store: Store, final_digest: str) -> Run:
    """The run of a final result: the chosen candidate's test numbers, the confusion matrix and final.json itself.

    It begins with the look at the test rows, where that is known. Validation numbers have the names they have in trials.
    """
    final, created = store.final(final_digest)
    test = final.get("test", {})
    kept = {f"best_{name}": value for name, value in (final.get("validation") or {}).items()}
    numbers = {f"test_{name}": test.get(name) for name in tested(test)} | kept
    for name, told in (final.get("seeds") or {}).items():
        if name != "keys":  # over further seeds of the same configuration
            numbers |= {f"test_{name}_mean": told["mean"], f"test_{name}_sd": told["sd"]}
    points = [Point(name, float(value), _ms(created), 0) for name, value in numbers.items() if _is_number(value)]
    matrix = {"labels": test.get("labels"), "confusion_matrix": test.get("confusion_matrix")}
    return Run(
        name=f"final {final.get('study')}/{final.get('trial')}",
        start_ms=_ms(_looked(store, final, created)),
        end_ms=_ms(created),
        status="FINISHED",
        tags=_final_tags(store, final_digest, final),
        params={name: text(value) for name, value in (final.get("params") or {}).items()},
        points=points,
        files={FINAL: canonical_json(final), "confusion_matrix.json": canonical_json(matrix), **test_figures(final)},
        inputs=_test_rows(final),
    )


def _looked(store: Store, final: Mapping[str, Any], created: float) -> float:
    """When the look was taken of which this is the result."""
    same = ("key", "test_digest")
    texts = [look.get("time") for look in store.looks().values() if all(look.get(n) == final.get(n) for n in same)]
    times = [datetime.fromisoformat(text).timestamp() for text in texts if isinstance(text, str)]
    return max((time for time in times if time <= created), default=created)


def _test_rows(final: Mapping[str, Any]) -> list[Dataset]:
    test, rows = final.get("test") or {}, final.get("test_digest")
    if not rows:
        return []
    classes = {str(one["label"]): one["support"] for one in test.get("classes") or ()}
    profile = {"rows": final.get("test_rows"), **({"classes": classes} if classes else {})}
    return [Dataset("test rows", str(rows), "", "test", profile)]


def text(value: Any) -> str:
    """A value as MLflow shows it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else canonical_json(value).decode()


def data_digest(spec: TrialSpec | StudySpec) -> str:
    """One digest for all digests of the data that a trial saw."""
    return digest("data", data_identity(spec.data))


def _study_tags(kind: str, study_key: str, spec: StudySpec) -> dict[str, str]:
    return {
        "tracker.kind": kind,
        "tracker.study": spec.name,
        "tracker.study_key": study_key,
        "tracker.data": data_digest(spec),
        "tracker.environment": spec.environment,
    }


def _trial_tags(study_key: str, study: StudySpec, trial: Trial) -> dict[str, str]:
    tags = _study_tags("trial", study_key, study)
    tags["tracker.trial"] = str(trial.number)
    tags["tracker.key"] = trial.spec.key
    tags["tracker.configuration"] = trial.spec.configuration
    tags["tracker.state"] = trial.state
    if trial.outcome.weights:
        tags["tracker.weights"] = trial.outcome.weights
    if trial.reason:
        tags["tracker.reason"] = trial.reason
    if trial.breaks:
        tags["tracker.breaks"] = "; ".join(trial.breaks)
    return tags


def _whole(timings: Sequence[Timing]) -> Timing:
    """From the start of the first run to the end of the last."""
    first, last = min(one.started for one in timings), max(one.ended for one in timings)
    return timings[0] if len(timings) == 1 else Timing(first, last)


def _over_runs(study: StudySpec, trial: Trial, timing: Timing) -> Iterator[Point]:
    """Of several runs: the value, its spread, the means of the kept epochs' numbers, each seed's or fold's."""
    when = _ms(timing.ended)
    told = {"value": trial.value, "spread": run_spread(study, trial)}
    told |= {f"best_{name}": value for name, value in sorted(trial.metrics.items())}
    for name, value in told.items():
        if _is_number(value):
            yield Point(name, float(value or 0.0), when, 0)
    for place, (run, outcome) in enumerate(zip(trial.proposal.runs, trial.outcomes, strict=True)):
        score = run_value(study, outcome)
        if "rows" not in run.data and _is_number(score):
            yield Point("seed_score", float(score or 0.0), when, place)
        for name, value in outcome.metrics.items() if "rows" in run.data else ():
            if _is_number(value):
                yield Point(f"{fold_name(run.data['rows'])}/{name}", float(value or 0.0), when, 0)


def _final_tags(store: Store, final_digest: str, final: Mapping[str, Any]) -> dict[str, str]:
    tags = {"tracker.kind": "final", "tracker.final": final_digest}
    for name in ("study", "trial", "key", "test_digest"):
        if final.get(name) is not None:
            tags[f"tracker.{name}"] = str(final[name])
    try:
        spec, key = store.spec(str(final.get("key"))), str(final.get("key"))
        tags |= {"tracker.data": data_digest(spec), "tracker.environment": spec.environment}
        outcome = store.outcomes([key]).get(key)
        if outcome and outcome.weights:
            tags["tracker.weights"] = outcome.weights
        return tags | _source_tags(store.provenance(key)) | {"mlflow.source.name": "tracker compare"}
    except NotFoundError:  # the winner was computed with another store and came in with its report
        return tags


def _source_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    tags = {"mlflow.source.type": "LOCAL", "mlflow.user": provenance.get("user")}
    tags |= {"mlflow.source.name": command_of(provenance), "mlflow.source.git.commit": provenance.get("commit")}
    tags |= {f"tracker.{name}": provenance.get(name) for name in ("dvc_experiment", "dvc_baseline")}
    return {name: value for name, value in tags.items() if value}


def command_of(provenance: Mapping[str, Any]) -> str | None:
    """The command that computed something: the program's name and its arguments."""
    program, *words = provenance.get("command") or [provenance.get("source") or ""]
    return " ".join([PurePath(program).name, *words]) if words else (provenance.get("source") or None)


def _curve(outcome: TrialOutcome, timing: Timing) -> Iterator[Point]:
    for place, row in enumerate(outcome.history):
        when = timing.epochs[place] if place < len(timing.epochs) else timing.ended
        own = [name for name in row if name not in {*CURVES, "epoch"} and _is_number(row[name])]
        for name in (*CURVES, *own):
            if row.get(name) is not None:
                yield Point(name, float(row[name]), _ms(when), int(row["epoch"]))


def _kept(outcome: TrialOutcome, timing: Timing) -> Iterator[Point]:
    """MLflow shows the last value of a metric, and the kept epoch is rarely the last: it gets names of its own.

    They have no step, so that MLflow draws bars of them and no curves of one point.
    """
    if outcome.best_epoch is not None:
        yield Point("best_epoch", float(outcome.best_epoch), _ms(timing.ended), 0)
        for name, value in sorted(outcome.metrics.items()):
            if _is_number(value):
                yield Point(f"best_{name}", float(value or 0.0), _ms(timing.ended), 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ms(seconds: float) -> int:
    """Milliseconds since 1970; MLflow knows no time before and takes 0 for now, and the record has the exact one."""
    return max(1, round(seconds * 1000))
