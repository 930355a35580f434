"""Fits imputers, scalers and categories on the train split and exports them as plain numbers and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tracker.config import Categorical, Preprocessing
from tracker.datasets.scaling import fit_numbers
from tracker.datasets.schema import as_text
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MAX_FEATURES = 10_000
MISSING = "missing"  # the category of gaps under `impute: missing`


def fit_preprocessing(train: pd.DataFrame, schema: Mapping[str, Any], settings: Preprocessing) -> dict[str, Any]:
    """The state that `tracker.standalone.transform` applies, fitted on `train` alone; plain JSON.

    Raises DataError where a feature has no value in train, or a gap without an imputer.
    """
    features = [(column["name"], column["kind"]) for column in schema["columns"] if column["role"] == "feature"]
    faults = list(_faults(train, features, settings))
    if faults:
        raise DataError(faults)
    numbers = [name for name, kind in features if kind == "numeric"]
    fitted = dict(zip(numbers, fit_numbers([train[name] for name in numbers], settings.numeric), strict=True))
    columns = [_describe(name, kind, train[name], fitted.get(name), settings) for name, kind in features]
    names = [output for column in columns for output in _outputs(column)]
    if len(names) > MAX_FEATURES:
        widest = max(columns, key=lambda column: len(column.get("categories", ())))["name"]
        raise DataError(
            f"{len(names)} features after one-hot; at most {MAX_FEATURES}: data.drop: [{widest}] helps most"
        )
    return {"format": FORMAT, "columns": columns, "features": names}


def _faults(train: pd.DataFrame, features: Iterable[tuple[str, str]], settings: Preprocessing) -> Iterable[str]:
    gaps = train.isna().sum()
    for name, kind in features:
        section = "numeric" if kind == "numeric" else "categorical"
        if gaps[name] == len(train):
            yield f"train: column {name!r} has no values in train; drop it: data.drop: [{name}]"
        elif gaps[name] and getattr(settings, section).impute == "none":
            yield f"train: column {name!r}: {gaps[name]} gaps, but preprocessing.{section}.impute is none"


def _describe(
    name: str, kind: str, cells: pd.Series[Any], fitted: Mapping[str, Any] | None, settings: Preprocessing
) -> dict[str, Any]:
    if fitted is not None:
        return {"name": name, "kind": kind, **fitted}
    texts = as_text(cells)
    if kind == "boolean" and not (settings.categorical.impute == MISSING and texts.isna().any()):
        fill = None if settings.categorical.impute == "none" else float(_most_frequent(texts) == "True")
        return {"name": name, "kind": kind, "fill": fill}
    return {"name": name, "kind": "categorical", **_fit_categories(texts, settings.categorical)}


def _fit_categories(texts: pd.Series[Any], settings: Categorical) -> dict[str, Any]:
    categories = {str(text) for text in texts.dropna().unique()}
    if settings.impute == MISSING and texts.isna().any():
        categories.add(MISSING)
    fill = _most_frequent(texts) if settings.impute == "most_frequent" else MISSING
    return {"fill": None if settings.impute == "none" else fill, "categories": sorted(categories)}


def _most_frequent(texts: pd.Series[Any]) -> str:
    """The first in sorted order of the most frequent texts."""
    counts = texts.value_counts()
    return min(map(str, counts.index[counts == counts.max()]))


def _outputs(column: Mapping[str, Any]) -> list[str]:
    if column["kind"] != "categorical":
        return [column["name"]]
    return [f"{column['name']}={category}" for category in column["categories"]]
