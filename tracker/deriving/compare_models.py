"""What the folder of a trial's model must hold, by its record and the rows, and whether a folder holds that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.canonical import canonical_json, digest_file, parse_canonical
from tracker.deriving.find_rows import Missing, find_rows
from tracker.deriving.find_trial import Recorded
from tracker.errors import TrackerError
from tracker.families.own_code import read_code
from tracker.paths import Paths
from tracker.store.model_folder import describe_model
from tracker.trees import first_difference


def describe_again(recorded: Recorded, paths: Paths) -> dict[str, Any]:
    """The content of `model.json`, its preprocessing fitted again. Raises TrackerError where the rows are not there."""
    from tracker.datasets.training_data import load_training_data
    from tracker.studies.report import serving_of

    rows = find_rows(recorded.spec, paths.root, paths.splits, recorded.provenance)
    if isinstance(rows, Missing):
        raise TrackerError(rows.causes[0].words)
    data = load_training_data(rows.splits, rows.preprocessing)
    serving = serving_of(recorded.spec.data, data)
    code = read_code(paths.root, recorded.spec.code["entry"]).texts if recorded.spec.code else None
    return describe_model(recorded.spec, recorded.outcome, serving, code)


def other_model(study: str, recorded: Recorded, paths: Paths) -> str | None:
    """Where the folder of a study's best model is not what follows from its record; None where it is."""
    folder = paths.models / study
    described, weights = folder / "model.json", folder / "weights.safetensors"
    for path in (described, weights):
        if not path.is_file():
            return f"{path.relative_to(paths.root)} is not there"
    if digest_file(weights) != recorded.outcome.weights:
        return f"{weights.relative_to(paths.root)} holds other bytes than the weights of trial {recorded.name}"
    content = described.read_bytes()
    expected = describe_again(recorded, paths)
    if content == canonical_json(expected) + b"\n":
        return None
    name = described.relative_to(paths.root)
    try:
        told: Mapping[str, Any] = parse_canonical(content)
        leaf = first_difference(told, expected)
    except (ValueError, TypeError):
        return f"{name} cannot be read"
    if leaf is None:
        return f"{name} is written in another form"
    return f"{name}: {leaf[0]} is {leaf[1]} there, {leaf[2]} was derived"
