"""Opens a model folder of the user's own loop: runs the recorded code again, then puts the recorded weights in.

Weights alone do not say what network they belong to, and nothing that is read back may execute but code that a key covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load as read_safetensors

from tracker.canonical import digest_bytes, digest_table, parse_canonical
from tracker.datasets.resampling import pick_frames
from tracker.datasets.storage import read_document
from tracker.datasets.training_data import label_codes, read_split
from tracker.errors import ConfigError, SealError
from tracker.execution.executor import one_thread
from tracker.execution.trainer import function_of
from tracker.families.family import start_training
from tracker.families.own_code import code_from
from tracker.families.trusted_code import require_trusted
from tracker.records import TrialSpec, record_from
from tracker.remedies import run_again
from tracker.standalone.load import label_frame
from tracker.standalone.network import shaped
from tracker.standalone.transform import shape_of, transform, transform_checked
from tracker.training.arrays import Arrays
from tracker.training.module import class_probabilities

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class DerivedModel:
    """A network of the user's own with its preprocessing: raw rows in, class probabilities out."""

    module: torch.nn.Module
    description: Mapping[str, Any]

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Class probabilities of raw rows, float32 (rows, classes), classes in the order of `labels`."""
        state = self.description["preprocessing"]
        rows = shaped(transform_checked(state, frame), shape_of(state))
        with one_thread():
            return class_probabilities(self.module, rows, len(self.description["labels"]))

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Column `label` and a column `probability_CLASS` per class, one row per raw row, with its index."""
        return label_frame(self.predict_proba(frame), self.description, frame.index)


def require_own_code(folder: Path, root: Path, trust: str | None = None) -> None:
    """Raises CodeNotTrusted where a model folder holds code that is neither that of `root` nor what `trust` names."""
    try:
        description = parse_canonical((folder / "model.json").read_bytes())
        code = dict(description["spec"]["code"]) if "code" in description else {}
    except (OSError, ValueError, TypeError, LookupError):
        return  # no model: whoever opens it says so, and runs nothing
    if code:
        require_trusted(code, root, str(folder), trust)


@lru_cache(maxsize=1)  # ranking and testing both ask for it
def derive_model(folder: Path, key: str, weights_digest: str, splits: Path) -> DerivedModel:
    """The model of a folder, which must be that of the trial `key` and hold these weights. Raises as `rebuild` does."""
    description = parse_canonical((folder / "model.json").read_bytes())
    weights = (folder / "weights.safetensors").read_bytes()
    if description["key"] != key or digest_bytes(weights) != weights_digest:
        raise SealError(f"{folder}: is not the model of {key[:12]}; {run_again(folder)}")
    return rebuild(description, weights, splits)


def rebuild(description: Mapping[str, Any], weights: bytes, splits: Path) -> DerivedModel:
    """The model of a description with its `spec` and `code`, trained again on the rows in `splits`, with these weights.

    Raises SealError where rows and weights are not of that trial, ConfigError where the code is not.
    """
    spec = record_from(TrialSpec, description["spec"])
    if spec.key != description["key"]:
        raise SealError(f"the description of {description['key'][:12]} contradicts its key; {run_again(splits)}")
    module = _trained(spec, description, splits)
    try:
        module.load_state_dict(read_safetensors(weights))
    except RuntimeError as error:
        raise SealError(
            f"{spec.key[:12]}: the loop now gives another network than its weights are of ({error})"
        ) from None
    return DerivedModel(module, description)


def _trained(spec: TrialSpec, description: Mapping[str, Any], splits: Path) -> torch.nn.Module:
    code = code_from(spec.code["entry"], description["code"])
    if code.identity != spec.code:
        raise ConfigError(f"the code of {spec.key[:12]} is not at hand; {run_again(splits)}")
    plain = {**spec.training, "own_metrics": {}}  # they choose an epoch, and its weights are given
    spec = replace(spec, training=plain)
    training = start_training([spec], _arrays(spec, description, splits), function_of(code, spec.family))
    engine = training.engine
    with one_thread(), code.importable():
        [result] = training.advance()
        module: torch.nn.Module | None = engine.module
    if result.outcome.state != "complete" or module is None:
        raise SealError(f"the loop of {spec.key[:12]} gave no model when it ran again: {result.outcome.reason}")
    return module


def _arrays(spec: TrialSpec, description: Mapping[str, Any], splits: Path) -> Arrays:
    """The rows that the trial was trained with, preprocessed as it says."""
    labels, positive = tuple(description["labels"]), description["positive"]
    schema = read_document(splits / "schema.json", "schema", run_again(splits))
    parts: list[np.ndarray] = []
    frames = [read_split(splits, name) for name in ("train", "validation")]
    for name, frame in zip(("train", "validation"), frames, strict=True):
        if digest_table(frame) != spec.data[name]:
            raise SealError(
                f"{splits}: {name} has other rows than {spec.key[:12]} was trained with; {run_again(splits)}"
            )
    if "rows" in spec.data:
        frames = list(pick_frames(frames, schema, spec.data["rows"]))
    for frame in frames:
        parts += [transform(description["preprocessing"], frame), label_codes(frame, schema)]
    place = None if positive is None else labels.index(positive)
    columns = tuple(description["preprocessing"]["features"])
    state = description["preprocessing"]
    about = shape_of(state), bool(state.get("mask"))
    return Arrays(parts[0], parts[1], parts[2], parts[3], len(labels), place, labels, columns, *about)
