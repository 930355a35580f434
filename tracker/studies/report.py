"""Turns a finished study into its files: reports/studies/NAME.json, its curves, and the best trial's model; no times in any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import canonical_json
from tracker.errors import StoreError
from tracker.recording.environments import earlier_environments
from tracker.recording.files import sync_folder, write_whole
from tracker.recording.model_folder import describe_model, remove_model, write_model
from tracker.recording.runs import CURVES
from tracker.recording.store import Store
from tracker.records import Trial, TrialOutcome, TrialSpec, record_json
from tracker.studies.result import StudyResult

if TYPE_CHECKING:
    import pandas as pd

    from tracker.datasets.training_data import TrainingData


def write_reports(result: StudyResult, serving: Mapping[str, Any], store: Store, reports: Path, models: Path) -> None:
    """Writes the folder `models/NAME/`, `reports/curves/NAME.csv`, and last `reports/studies/NAME.json`. Raises StoreError."""
    name, best = result.spec.name, result.best
    folder = models / name
    if best is None or best.outcome.weights is None:
        remove_model(folder)  # an earlier study's model is not this one's
    else:
        weights = store.weights(best.outcome.weights)
        code = store.provenance(best.spec.key).get("code")
        write_model(folder, describe_model(best.spec, best.outcome, serving, code), weights)
    for path, text in study_files(result, reports, models, earlier_environments(store, result.spec)).items():
        _write(path, text)


def study_files(result: StudyResult, reports: Path, models: Path, mixed: Sequence[str] = ()) -> dict[Path, str]:
    """All that a study leaves beside its model, in the order of writing; `mixed` as in the report."""
    name = result.spec.name
    records = [{"proposal": record_json(t.proposal), "outcome": record_json(t.outcome)} for t in result.trials]
    lines = [{"study": record_json(result.spec), "digest": result.digest}, *records]
    return {
        models / name / "trials.jsonl": "".join(canonical_json(line).decode() + "\n" for line in lines),
        reports / "curves" / f"{name}.csv": _curves(result.best),
        reports / "studies" / f"{name}.json": json.dumps(study_report(result, mixed), indent=1, ensure_ascii=False)
        + "\n",
    }


def study_report(result: StudyResult, mixed: Sequence[str] = ()) -> dict[str, Any]:
    """The study as others read it; its names are fixed. `mixed` are the other environments in which its name ran before."""
    spec, best = result.spec, result.best
    report = {
        "study": spec.name,
        "key": spec.key,
        "digest": result.digest,
        "environment": spec.environment,
        "sampler": spec.sampler["name"],
        "objective": dict(spec.objective),
        "best": best.number if best else None,
        "best_value": best.value if best else None,
        "states": {state: sum(t.outcome.state == state for t in result.trials) for state in ("complete", "failed")},
        "trials": [trial_row(t.number, t.spec, t.outcome, t.value) for t in result.trials],
    }
    return report | {"mixed": list(mixed)} if mixed else report


def describe_serving(data: TrainingData, rows: pd.DataFrame) -> dict[str, Any]:
    """What models trained on this data need to read raw rows; `rows` are a few raw ones to serve as an example."""
    features = [column for column in data.schema["columns"] if column["role"] == "feature"]
    names = [column["name"] for column in features]
    return {
        "labels": list(data.labels),
        "positive": data.positive,
        "columns": [{"name": column["name"], "kind": column["kind"]} for column in features],
        "preprocessing": data.preprocessing,
        "example": [{name: _plain_cell(row[name]) for name in names} for row in rows.to_dict("records")],
    }


def _plain_cell(cell: Any) -> Any:
    """A table's cell as JSON has it; a gap is null."""
    import pandas as pd

    plain = cell.item() if hasattr(cell, "item") else cell
    return None if pd.isna(plain) else plain


def trial_row(number: int, spec: TrialSpec, outcome: TrialOutcome, value: float | None) -> dict[str, Any]:
    """A trial as the report of its study tells it."""
    row = {
        "number": number,
        "key": spec.key,
        "candidate": spec.candidate,
        "configuration": spec.configuration,
        "state": outcome.state,
        "params": dict(spec.params),
        "seed": spec.seed,
        "value": value,
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.epochs,
        "metrics": dict(outcome.metrics),
        "weights": outcome.weights,
    }
    return row if outcome.reason is None else row | {"reason": outcome.reason}


def _curves(best: Trial | None) -> str:
    history: tuple[Mapping[str, Any], ...] = best.outcome.history if best else ()
    own = {name: None for entry in history for name in entry if name not in {*CURVES, "epoch", "confusion_matrix"}}
    names = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_f1", *own)
    rows = [",".join("" if entry.get(name) is None else repr(entry[name]) for name in names) for entry in history]
    return "\n".join([",".join(names), *rows]) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); "
            "free disk space or make it writable, then run the same command again"
        ) from None
