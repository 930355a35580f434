"""Turns a trial's weights, parameters and preprocessing into the folder that `tracker.standalone.load` opens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, digest_bytes
from tracker.errors import StoreError
from tracker.recording.files import sync_file, sync_folder
from tracker.records import TrialOutcome, TrialSpec, record_json

FORMAT = 1


def describe_model(
    spec: TrialSpec, outcome: TrialOutcome, serving: Mapping[str, Any], code: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of `model.json`: all that is needed beside the weights to read raw rows. No times, no hosts.

    Where the user's own code trained, it goes along as `code` (texts by file), with the whole spec to run it again.
    """
    own = {"spec": record_json(spec), "code": dict(code or {})} if spec.code else {}
    return own | {
        "format": FORMAT,
        "family": spec.family,
        "params": dict(spec.params),
        "labels": serving["labels"],
        "positive": serving["positive"],
        "columns": serving["columns"],
        "preprocessing": serving["preprocessing"],
        "key": spec.key,
        "weights": outcome.weights,
    }


def write_model(folder: Path, description: Mapping[str, Any], weights: bytes) -> None:
    """Writes the model folder, equal bytes for equal input; an older one is replaced as a whole. Raises StoreError."""
    if digest_bytes(weights) != description["weights"]:
        raise StoreError(f"{folder}: the weights are not those that the description names ({description['weights']})")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            aside.chmod(0o755)
            fill_model(aside, description, weights)
            for path in sorted(aside.iterdir()):
                sync_file(path)
            _replace(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise StoreError(
            f"{folder}: the model cannot be written ({error.strerror}); free disk space or make it writable"
        ) from None


def _replace(aside: Path, folder: Path) -> None:
    """A folder with content cannot be renamed over: the old one steps aside first."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(old / folder.name)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        aside.rename(folder)


def fill_model(folder: Path, description: Mapping[str, Any], weights: bytes) -> None:
    """Writes both files of a model into a folder that is there, neither durably nor at once."""
    (folder / "model.json").write_bytes(canonical_json(dict(description)) + b"\n")
    (folder / "weights.safetensors").write_bytes(weights)
