"""The files of a finished study: reports/studies/NAME.json, its curves, and the best trial's model; no times in any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.aggregation import spread
from tracker.canonical import canonical_json
from tracker.durable import sync_folder, write_whole
from tracker.errors import StoreError
from tracker.metrics import CURVES
from tracker.records import Proposal, Trial, TrialOutcome, TrialSpec, record_json, run_value
from tracker.search.stopping import stopped
from tracker.store.environments import earlier_environments
from tracker.store.model_folder import describe_model, remove_model, write_model
from tracker.store.store import Store
from tracker.studies.result import StudyResult

if TYPE_CHECKING:
    import pandas as pd

    from tracker.datasets.training_data import TrainingData


FORMAT = 2  # of trials.jsonl and of the report
STATES = ("complete", "pruned", "failed")


def write_reports(result: StudyResult, serving: Mapping[str, Any], store: Store, reports: Path, models: Path) -> None:
    """Writes the folder `models/NAME/`, `reports/curves/NAME.csv`, and last `reports/studies/NAME.json`. Raises StoreError."""
    name, best = result.spec.name, result.best
    folder = models / name
    if best is None or best.outcome.weights is None:
        remove_model(folder)  # an earlier study's model is not this one's
    else:
        weights = store.weights(best.outcome.weights)
        serving = store.serving(best.spec.data) or serving  # its own, where each trial has rows of its own
        code = store.provenance(best.spec.key).get("code")
        write_model(folder, describe_model(best.spec, best.outcome, serving, code), weights)
    for path, text in study_files(result, reports, models, earlier_environments(store, result.spec)).items():
        _write(path, text)


def study_files(result: StudyResult, reports: Path, models: Path, mixed: Sequence[str] = ()) -> dict[Path, str]:
    """All that a study leaves beside its model, in the order of writing; `mixed` as in the report.

    A study that confirms a choice, which has a dot in its name, leaves its records alone.
    """
    name = result.spec.name
    if "." in name:
        return {reports / "confirm" / name / "trials.jsonl": records_text(result)}
    return {
        models / name / "trials.jsonl": records_text(result),
        reports / "curves" / f"{name}.csv": _curves(result.best),
        reports / "studies" / f"{name}.json": json.dumps(study_report(result, mixed), indent=1, ensure_ascii=False)
        + "\n",
    }


def records_text(result: StudyResult) -> str:
    """The content of `trials.jsonl`: the study, then a line per trial with the outcomes of its runs."""
    records = [
        {"proposal": record_json(t.proposal), "outcomes": [record_json(outcome) for outcome in t.outcomes]}
        for t in result.trials
    ]
    lines = [{"format": FORMAT, "study": record_json(result.spec), "digest": result.digest}, *records]
    return "".join(canonical_json(line).decode() + "\n" for line in lines)


def study_report(result: StudyResult, mixed: Sequence[str] = ()) -> dict[str, Any]:
    """The study as others read it; its names are fixed. `mixed` are the other environments in which its name ran before."""
    spec, best = result.spec, result.best
    report = {
        "format": FORMAT,
        "study": spec.name,
        "key": spec.key,
        "digest": result.digest,
        "environment": spec.environment,
        "sampler": spec.sampler["name"],
        "objective": dict(spec.objective),
        "best": best.number if best else None,
        "best_value": best.value if best else None,
        "states": {
            state: count
            for state in STATES
            if (count := sum(t.state == state for t in result.trials)) or state != "pruned" or spec.pruner
        },
        "trials": [
            trial_row(trial, [run_value(spec, outcome) for outcome in trial.outcomes]) for trial in result.trials
        ],
    }
    if spec.further:
        report["further"] = [dict(goal) for goal in spec.further]
        report["front"] = [trial.number for trial in result.front]
    if spec.constraints:
        report["constraints"] = [dict(one) for one in spec.constraints]
    own = {"runs": spec.runs, "pruner": spec.pruner, "refines": spec.refines, "stop": spec.stop}
    report |= {name: dict(value) for name, value in own.items() if value}
    if end := stopped(spec, result.trials):
        report["stopped"] = end[1]
    if result.cut_off:
        report["cut_off"] = result.cut_off
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


def serving_of(of_spec: Mapping[str, Any], data: TrainingData) -> dict[str, Any]:
    """What models of runs whose spec has the data `of_spec` need. Raises DataError where its rows cannot be chosen."""
    from tracker.datasets.resampling import Resampling
    from tracker.datasets.training_data import read_split

    rows = of_spec.get("rows")
    if rows is None:
        return describe_serving(data, read_split(data.splits, "train").head(2))
    resampling = Resampling.of(data)
    return describe_serving(resampling.load(rows), resampling.frames(rows)[0].head(2))


def put_servings(store: Store, data: TrainingData, proposals: Sequence[Proposal]) -> None:
    """Stores what the models of trials need that have rows of their own each; before they train, so that MLflow can have it."""
    own = [proposal.spec.data for proposal in proposals if "reshuffle" in proposal.spec.data.get("rows", {})]
    for of_spec in own:
        if store.serving(of_spec) is None:
            store.put_serving(of_spec, serving_of(of_spec, data))


def _plain_cell(cell: Any) -> Any:
    """A table's cell as JSON has it; a gap is null."""
    import pandas as pd

    plain = cell.item() if hasattr(cell, "item") else cell
    return None if pd.isna(plain) else plain


def trial_row(trial: Trial, values: Sequence[float | None]) -> dict[str, Any]:
    """A trial as the report of its study tells it; where it has several runs, each with its own of the `values`."""
    spec, outcome = trial.spec, trial.outcome
    row = {
        "number": trial.number,
        "key": spec.key,
        "candidate": spec.candidate,
        "configuration": spec.configuration,
        "state": trial.state,
        "params": dict(spec.params),
        "seed": spec.seed,
        "value": trial.value,
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.epochs,
        "metrics": dict(trial.metrics),
        "weights": outcome.weights,
    }
    if trial.ties:
        row["values"] = list(trial.values)
    if trial.breaks:
        row["breaks"] = list(trial.breaks)
    if len(trial.outcomes) == 1 and "rows" in spec.data:
        row |= {"rows": dict(spec.data["rows"])}
    if len(trial.outcomes) > 1:
        row |= {"spread": spread(values), "runs": list(map(_run_row, trial.proposal.runs, trial.outcomes, values))}
    return row if trial.reason is None else row | {"reason": trial.reason}


def _run_row(spec: TrialSpec, outcome: TrialOutcome, value: float | None) -> dict[str, Any]:
    row = {
        "seed": spec.seed,
        "key": spec.key,
        "state": outcome.state,
        "value": value,
        "epochs": outcome.epochs,
        "metrics": dict(outcome.metrics),
    }
    return row | ({"rows": dict(spec.data["rows"])} if "rows" in spec.data else {})


def _curves(best: Trial | None) -> str:
    history: tuple[Mapping[str, Any], ...] = best.outcome.history if best else ()
    """A line per epoch: both losses, which the plots of `dvc` read, and what else it was told, ours before others."""
    told = {name: None for entry in history for name in entry if name not in {"epoch", "confusion_matrix"}}
    ours = [name for name in CURVES if name in told or name in {"train_loss", "val_loss"}]
    names = ("epoch", *ours, *(name for name in told if name not in CURVES))
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
