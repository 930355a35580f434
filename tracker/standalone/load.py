"""Opens a model folder (`model.json`, `weights.safetensors`): raw rows in, a label and class probabilities out.

It is also what MLflow calls (`_load_pyfunc`), in an environment that knows nothing of this project.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load as read_safetensors

from .decision import decide_as
from .network import Network
from .transform import transform_checked

FORMATS = (2, 3)  # 3: with a threshold
OTHERS = {
    "decision",
    "layers",
    "load",
    "network",
    "own_code",
    "recorded_code",
    "transform",
    "writings",
}  # files beside this one that are no family
BESIDE = pkgutil.iter_modules(importlib.import_module(str(__package__)).__path__)  # in a folder as in a zip file
FAMILIES = tuple(sorted({module.name for module in BESIDE} - OTHERS))


class StandaloneModel:
    """A trained model with its preprocessing; `description` is the content of `model.json`."""

    def __init__(self, description: Mapping[str, Any], network: Network) -> None:
        self.description = description
        self.labels: list[str] = [str(label) for label in description["labels"]]
        self._network = network

    @property
    def module(self) -> Any:
        """The network alone, in evaluation mode, or the estimator; it reads the features that `features` gives."""
        return self._network.module

    def features(self, frame: pd.DataFrame) -> np.ndarray:
        """The preprocessed features of raw rows, float32 (rows, features).

        Warns of columns in which no filled cell is a known category.
        """
        return transform_checked(self.description["preprocessing"], frame)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Class probabilities of raw rows, float32 (rows, classes), classes in the order of `labels`."""
        return self._network.probabilities(self.features(frame))

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Column `label` and a column `probability_CLASS` per class, one row per raw row, with its index."""
        return label_frame(self.predict_proba(frame), self.description, frame.index)


def label_frame(found: np.ndarray, description: Mapping[str, Any], index: pd.Index) -> pd.DataFrame:
    """Class probabilities (rows, classes) with the label of each row, decided as the model of the description decides."""
    labels = [str(label) for label in description["labels"]]
    names = np.array(labels, dtype=object)[decide_as(description, found)]
    columns = {f"probability_{label}": found[:, place] for place, label in enumerate(labels)}
    return pd.DataFrame({"label": names, **columns}, index=index)


def load_model(folder: str | Path) -> StandaloneModel:
    """Opens a model folder; where the network is the user's own code, that code runs: open such a model only if you trust it.

    Raises ValueError when a file is missing, of another format, or differs from its digest, or when the recorded code no
    longer gives the network that was trained.
    """
    description = _described(Path(folder) / "model.json")
    if description.get("format") not in FORMATS or description.get("family") not in FAMILIES:
        raise ValueError(
            f"{folder}: model.json has format {description.get('format')!r} and family {description.get('family')!r}; "
            f"this loader knows formats {', '.join(map(str, FORMATS))} and families {', '.join(FAMILIES)}: "
            "load it with the release that wrote it"
        )
    weights = _read(Path(folder) / "weights.safetensors")
    if hashlib.sha256(weights).hexdigest() != description.get("weights"):
        raise ValueError(f"{folder}: weights.safetensors differs from the digest in model.json; fetch the model again")
    family = importlib.import_module(f".{description['family']}", __package__)
    try:
        model = StandaloneModel(description, family.open_network(description, read_safetensors(weights)))
        if "code" in description:
            from .recorded_code import require_same  # here, because it travels only with code of the user's own

            require_same(description, model.predict_proba(pd.DataFrame(description.get("example") or [])))
    except (LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: not a model that can be opened ({type(error).__name__}: {error})") from error
    return model


def _described(path: Path) -> dict[str, Any]:
    """The entries of a description, of which those are there that every model has."""
    try:
        description = json.loads(_read(path))
    except RecursionError:
        raise ValueError(f"{path}: nested too deep; fetch the model again") from None
    if not isinstance(description, dict) or not isinstance(description.get("preprocessing", {}), dict):
        raise ValueError(f"{path}: expected the description of a model; fetch it again")  # noqa: TRY004  as this loader raises
    labels = description.get("labels")
    if not isinstance(labels, list) or not labels or not isinstance(description.get("params"), dict):
        raise ValueError(f"{path}: has no labels, or no params; fetch the model again")
    return description


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); a model folder holds it") from None


_load_pyfunc = load_model  # the name that MLflow looks for
