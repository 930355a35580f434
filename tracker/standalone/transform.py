"""Raw columns as the float32 matrix a network reads, by a fitted preprocessing state; NumPy and pandas alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
_LARGEST = float(np.finfo(np.float32).max)

Matrix = np.ndarray[Any, np.dtype[np.float32]]


def transform(state: Mapping[str, Any], frame: pd.DataFrame) -> Matrix:
    """The features of every row, shape (rows, features), float32; other columns are ignored. TypeError for no DataFrame.

    Gaps are filled as fitted, a category that was not fitted gives zeros. Raises ValueError for a missing column, a cell
    that cannot be read as its kind, an infinite number, or a gap where no imputer was fitted.
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"expected a pandas DataFrame with the raw columns, found {type(frame).__name__}")
    missing = [entry["name"] for entry in state["columns"] if entry["name"] not in frame.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(map(repr, missing))}")
    repeated = set(frame.columns[frame.columns.duplicated()])
    if twice := [entry["name"] for entry in state["columns"] if entry["name"] in repeated]:
        raise ValueError(f"columns that occur more than once: {', '.join(map(repr, twice))}")
    blocks = [_READERS[entry["kind"]](entry, frame[entry["name"]]) for entry in state["columns"]]
    features: Matrix = np.concatenate([np.empty((len(frame), 0), np.float32), *blocks], axis=1)
    return features


def _numeric(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    values = _fill(_floats(entry["name"], cells), entry)
    scaled = (values - entry["center"]) / entry["scale"]
    clipped: Matrix = np.clip(scaled, -_LARGEST, _LARGEST).astype(np.float32)
    return clipped[:, None]


def _floats(name: str, cells: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if pd.api.types.is_numeric_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = np.array([_float(name, row, cell) for row, cell in enumerate(cells, start=1)], dtype=np.float64)
    if np.isinf(values).any():
        raise ValueError(f"column {name!r}, row {_first(np.isinf(values))}: infinite")
    return values


def _float(name: str, row: int, cell: Any) -> float:
    if pd.isna(cell) or cell == "":
        return np.nan
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ValueError(f"column {name!r}, row {row}: expected a number, found {cell!r}") from None


def _boolean(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    values = np.array([_truth(entry["name"], row, cell) for row, cell in enumerate(cells, start=1)], dtype=np.float64)
    filled: Matrix = _fill(values, entry).astype(np.float32)
    return filled[:, None]


def _truth(name: str, row: int, cell: Any) -> float:
    if pd.isna(cell) or cell == "":
        return np.nan
    value = _TRUTH.get(str(cell).strip().lower())
    if value is None:
        raise ValueError(f"column {name!r}, row {row}: expected true or false, found {cell!r}")
    return value


def _fill(values: np.ndarray[Any, np.dtype[np.float64]], entry: Mapping[str, Any]) -> Any:
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    if entry["fill"] is None:
        raise ValueError(f"column {entry['name']!r}, row {_first(gaps)}: a gap, and no imputer was fitted")
    return np.where(gaps, entry["fill"], values)


def _first(mask: Any) -> int:
    return int(np.argmax(mask)) + 1


def _categorical(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    places = {category: place for place, category in enumerate(entry["categories"])}
    codes, distinct = pd.factorize(cells.astype("object").where(cells.notna(), None), use_na_sentinel=False)
    found = np.array([_place(entry, places, cell, cells) for cell in distinct], dtype=np.int64)[codes]
    block = np.zeros((len(cells), len(places)), dtype=np.float32)
    rows = np.flatnonzero(found >= 0)
    block[rows, found[rows]] = 1.0
    return block


def _place(entry: Mapping[str, Any], places: Mapping[str, int], cell: Any, cells: pd.Series[Any]) -> int:
    if pd.isna(cell) or cell == "":
        if entry["fill"] is None:
            row = _first(np.array([pd.isna(value) or value == "" for value in cells]))
            raise ValueError(f"column {entry['name']!r}, row {row}: a gap, and no imputer was fitted")
        return places.get(entry["fill"], -1)
    text = str(cell)
    return places.get(text, places.get(_code(text), -1))


def _code(text: str) -> str:
    """The one text of what is written in several ways: `7` for 7.0, `True` for true."""
    if text.strip().lower() in {"true", "false"}:
        return text.strip().capitalize()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else str(number)


_READERS = {"numeric": _numeric, "boolean": _boolean, "categorical": _categorical}
