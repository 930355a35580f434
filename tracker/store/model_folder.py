"""The folder of a model: a trial's weights, parameters and preprocessing, as `tracker.standalone.load` opens it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, digest_bytes, parse_canonical
from tracker.durable import folders_replaced
from tracker.errors import StoreError
from tracker.records import TrialOutcome, TrialSpec, record_json, threshold_of

FORMAT, FORMAT_WITH_THRESHOLD = 2, 3


def describe_model(
    spec: TrialSpec, outcome: TrialOutcome, serving: Mapping[str, Any], code: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of `model.json`: all that is needed beside the weights to read raw rows. No times, no hosts.

    Where the user's own code trained, it goes along as `code` (texts by file), with the whole spec to run it again, two raw
    rows as `example`, and as `check` the class probabilities that they got when it was trained. A `threshold` is there where
    the model decides by one; format 3 says so, and a loader that knows none refuses it.
    """
    threshold = threshold_of(spec, outcome.metrics)
    decision = {} if threshold is None else {"threshold": threshold}
    return (
        _own(spec, outcome, serving, code)
        | decision
        | {
            "format": FORMAT if threshold is None else FORMAT_WITH_THRESHOLD,
            "family": spec.family,
            "params": dict(spec.params),
            "labels": serving["labels"],
            "positive": serving["positive"],
            "columns": serving["columns"],
            "preprocessing": serving["preprocessing"],
            "key": spec.key,
            "weights": outcome.weights,
        }
    )


def _own(
    spec: TrialSpec, outcome: TrialOutcome, serving: Mapping[str, Any], code: Mapping[str, str] | None
) -> dict[str, Any]:
    if not spec.code:
        return {}
    check = [list(row) for row in outcome.example or ()]
    example = list(serving.get("example", ()))[: len(check)]
    return {"spec": record_json(spec), "code": dict(code or {}), "example": example, "check": check}


def write_model(folder: Path, description: Mapping[str, Any], weights: bytes) -> None:
    """Writes the model folder, equal bytes for equal input; an older one is replaced as a whole. Raises StoreError.

    One writer at a time.
    """
    if digest_bytes(weights) != description["weights"]:
        raise StoreError(f"{folder}: the weights are not those that the description names ({description['weights']})")
    try:
        with folders_replaced(folder) as (aside,):
            fill_model(aside, description, weights)
    except OSError as error:
        raise StoreError(
            f"{folder}: the model cannot be written ({error.strerror}); "
            "free disk space or make it writable, then run the same command again"
        ) from None


def model_key(folder: Path) -> str | None:
    """The key of the run whose model a folder holds; None where it holds none that can be read."""
    try:
        return str(parse_canonical((folder / "model.json").read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_model(folder: Path) -> None:
    """Leaves an empty folder where a model was, and nothing beside it. Raises StoreError."""
    try:
        with folders_replaced(folder):
            pass
    except OSError as error:
        raise StoreError(f"{folder}: cannot be emptied ({error.strerror}); make it writable") from None


def fill_model(folder: Path, description: Mapping[str, Any], weights: bytes) -> None:
    """Writes both files of a model into a folder that is there, neither durably nor at once."""
    (folder / "model.json").write_bytes(canonical_json(dict(description)) + b"\n")
    (folder / "weights.safetensors").write_bytes(weights)
