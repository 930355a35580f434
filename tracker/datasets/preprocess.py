"""Fits imputers, scalers and categories on the train split and exports them as plain numbers and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.config import Categorical, Numeric, Preprocessing
from tracker.config.written import listed
from tracker.datasets.scaling import fit_numbers
from tracker.datasets.schema import as_text
from tracker.datasets.shaped import Shape, fit_channels, indicator_faults, shape_faults
from tracker.errors import DataError
from tracker.standalone.writings import CLOCK_DAY, parse_moment

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MAX_FEATURES = 10_000
MISSING = "missing"  # the category of gaps under `impute: missing`


def fit_preprocessing(train: pd.DataFrame, schema: Mapping[str, Any], settings: Preprocessing) -> dict[str, Any]:
    """The state that `tracker.standalone.transform` applies, fitted on `train` alone; plain JSON.

    Raises DataError where a feature has no value in train, or a gap without an imputer.
    """
    features = [column for column in schema["columns"] if column["role"] == "feature"]
    shape = schema.get("shape")
    faults = list(_faults(train, features, settings, shape))
    if faults:
        raise DataError(faults)
    numbers = [column["name"] for column in features if column["kind"] == "numeric"]
    if shape is not None:
        fitted = fit_channels(train, numbers, shape, settings.numeric, mask=schema.get("mask", False))
    else:
        fitted = dict(zip(numbers, fit_numbers([train[name] for name in numbers], settings.numeric), strict=True))
    columns = [
        {**_fit(column, train[column["name"]], fitted.get(column["name"]), settings), **column.get("reading", {})}
        for column in features
    ]
    names = [output for column in columns for output in _outputs(column)]
    if len(names) > MAX_FEATURES:
        widest = max(columns, key=lambda column: len(column.get("categories", ())))["name"]
        raise DataError(
            f"{len(names)} features after one-hot; at most {MAX_FEATURES}: data.drop: {listed([widest])} helps most"
        )
    about = {name: schema[name] for name in ("shape", "mask") if name in schema}
    return {"format": FORMAT, "columns": columns, "features": names, **about}


def _faults(
    train: pd.DataFrame, features: Iterable[Mapping[str, Any]], settings: Preprocessing, shape: Shape | None
) -> Iterable[str]:
    gaps = train.isna().sum()
    if shape is not None:
        yield from shape_faults(shape, {column["name"]: column["kind"] for column in features})
        yield from indicator_faults(settings)
    for column in features:
        name, section = column["name"], "numeric" if column["kind"] in {"numeric", "date"} else "categorical"
        if gaps[name] == len(train) and shape is None:
            yield f"train: column {name!r} has no values in train; drop it: data.drop: {listed([name])}"
        elif gaps[name] and getattr(settings, section).impute == "none":
            yield f"train: column {name!r}: {gaps[name]} gaps, but preprocessing.{section}.impute is none"


def _fit(
    column: Mapping[str, Any], cells: pd.Series[Any], fitted: Mapping[str, Any] | None, settings: Preprocessing
) -> dict[str, Any]:
    name, kind = column["name"], column["kind"]
    if fitted is not None:
        indicator = {"indicator": True} if settings.numeric.indicator and cells.isna().any() else {}
        return {"name": name, "kind": kind, **fitted, **indicator}
    if kind == "date":
        return {"name": name, "kind": kind, **_fit_date(cells, column, settings.numeric)}
    texts = as_text(cells)
    if kind == "boolean" and not (settings.categorical.impute == MISSING and texts.isna().any()):
        fill = None if settings.categorical.impute == "none" else float(_most_frequent(texts) == "True")
        return {"name": name, "kind": kind, "fill": fill}
    return {"name": name, "kind": "categorical", **_fit_categories(texts, settings.categorical)}


def _fit_date(cells: pd.Series[Any], column: Mapping[str, Any], settings: Numeric) -> dict[str, Any]:
    """The first moment of train, and each part that varies there with its fill, center and scale."""
    from tracker.standalone.transform import moment_parts

    day_first = column.get("reading", {}).get("day_first", False)
    moments = [parse_moment(text, day_first=day_first) for text in cells.dropna().unique()]
    first = min(moment for moment in moments if moment is not None).isoformat()
    parts = moment_parts(cells, {**column, "first": first, **column.get("reading", {})})
    varying = {part: values for part, values in parts.items() if len(np.unique(values[~np.isnan(values)])) > 1}
    if {"hour", "days"} == set(varying) and first.startswith(str(CLOCK_DAY.date())):
        del varying["days"]  # times of day
    chosen = varying or {"days": parts["days"]}
    fitted = fit_numbers(list(chosen.values()), settings)
    return {"first": first, "parts": [{"part": part, **numbers} for part, numbers in zip(chosen, fitted, strict=True)]}


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
    name = column["name"]
    if column["kind"] == "date":
        return [f"{name}:{part['part']}" for part in column["parts"]]
    if column["kind"] != "categorical":
        return [name, f"{name}:missing"] if column.get("indicator") else [name]
    return [f"{name}={category}" for category in column["categories"]]
