"""Raw columns as the float32 matrix a network reads, by a fitted preprocessing state; NumPy and pandas alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from .writings import number_text, parse_moment

_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
PARTS = ("year", "month", "weekday", "hour", "days")  # of a date; days since the first date of train
PANDAS_GAPS = frozenset(
    {"#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "-NaN", "-nan", "n/a", "nan", "null"}
)  # texts that pandas.read_csv takes for gaps unless it is told otherwise
AS_TEXTS = "were texts read as texts, as for training? in pandas dtype=str, keep_default_na=False"
MOST_NAMED = 5  # columns
_LARGEST = float(np.finfo(np.float32).max)

Floats = np.ndarray[Any, np.dtype[np.float64]]
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
        raise ValueError(f"missing columns: {_named(missing)}")
    repeated = set(frame.columns[frame.columns.duplicated()])
    if twice := [entry["name"] for entry in state["columns"] if entry["name"] in repeated]:
        raise ValueError(f"columns that occur more than once: {_named(twice)}")
    blocks = [_READERS[entry["kind"]](entry, frame[entry["name"]]) for entry in state["columns"]]
    features: Matrix = np.concatenate([np.empty((len(frame), 0), np.float32), *blocks], axis=1)
    return features


def _named(columns: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    rest = len(columns) - MOST_NAMED
    return ", ".join(map(repr, columns[:MOST_NAMED])) + (f" and {rest} more" if rest > 0 else "")


def transform_checked(state: Mapping[str, Any], frame: pd.DataFrame) -> Matrix:
    """As `transform`, for rows of people: warns of columns in which no filled cell is a known category."""
    features = transform(state, frame)
    for line in unknown_categories(state, frame):
        warnings.warn(line, UserWarning, stacklevel=4)
    return features


def unknown_categories(state: Mapping[str, Any], frame: pd.DataFrame) -> list[str]:
    """A line for each column of categories that was probably read otherwise than in training.

    No filled cell is a category that was fitted; or cells are gaps where one category is a word that pandas takes for a gap.
    """
    entries = [entry for entry in state["columns"] if entry["kind"] == "categorical" and entry["name"] in frame.columns]
    return [line for entry in entries for line in _doubts(entry, list(frame[entry["name"]].astype("object").unique()))]


def _doubts(entry: Mapping[str, Any], distinct: list[Any]) -> Iterator[str]:
    places = _Places(entry)
    filled = [cell for cell in distinct if not _is_gap(entry, cell)]
    words = [word for word in entry["categories"] if word in PANDAS_GAPS and word not in filled]
    if filled and all(places.of(cell) < 0 for cell in filled):
        yield (
            f"column {entry['name']!r}: no cell is a category that the model was trained on, so all count as none of them "
            f"(found {_shown(filled)}; known are {_shown(entry['categories'])}); {AS_TEXTS}"
        )
    elif words and len(filled) < len(distinct):
        yield f"column {entry['name']!r}: cells are gaps, but {_shown(words)} is a category, no gap; {AS_TEXTS}"


def _shown(cells: Sequence[Any]) -> str:
    return ", ".join(repr(str(cell)) for cell in cells[:3]) + (" ..." if len(cells) > 3 else "")


def shape_of(state: Mapping[str, Any]) -> tuple[int, ...]:
    """What the features of a row are, such as (1, 8, 8); empty for a row of a table."""
    return tuple(state.get("shape", ()))


NUMBER = 0  # of `blocks_of`: one feature, which is a number


def blocks_of(state: Mapping[str, Any]) -> tuple[int, ...]:
    """What the features are, in their order: NUMBER for one, n for n features of 0 and 1 that say which category a cell is."""
    return tuple(width for entry in state["columns"] for width in _blocks(entry))


def _blocks(entry: Mapping[str, Any]) -> tuple[int, ...]:
    if entry["kind"] == "numeric":
        return (NUMBER, 1) if entry.get("indicator") else (NUMBER,)
    if entry["kind"] == "date":
        return (NUMBER,) * len(entry["parts"])
    return (1,) if entry["kind"] == "boolean" else (len(entry["categories"]),)


def _numeric(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    values = _floats(entry, cells)
    block = _scale(_fill(values, entry), entry)[:, None]
    if not entry.get("indicator"):
        return block
    return np.concatenate([block, np.isnan(values)[:, None].astype(np.float32)], axis=1)


def _scale(values: Any, entry: Mapping[str, Any]) -> Matrix:
    scaled = (values - entry["center"]) / entry["scale"]
    clipped: Matrix = np.clip(scaled, -_LARGEST, _LARGEST).astype(np.float32)
    return clipped


def _floats(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Floats:
    if pd.api.types.is_numeric_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        if entry.get("gaps"):
            values = np.where(np.isin(values, _numbers_among(entry["gaps"])), np.nan, values)
    else:
        values = np.array([_float(entry, row, cell) for row, cell in enumerate(cells, start=1)], dtype=np.float64)
    if np.isinf(values).any():
        raise ValueError(f"column {entry['name']!r}, row {_first(np.isinf(values))}: infinite")
    return values


def _numbers_among(words: Sequence[str]) -> list[float]:
    return [float(text) for text in map(number_text, words) if text is not None]


def _float(entry: Mapping[str, Any], row: int, cell: Any) -> float:
    if _is_gap(entry, cell):
        return np.nan
    written = entry.get("decimal", "."), entry.get("thousands", "")
    plain = number_text(cell, *written, signs=entry.get("signs", False)) if isinstance(cell, str) else None
    try:
        return float(cell if plain is None else plain)
    except (TypeError, ValueError):
        raise ValueError(f"column {entry['name']!r}, row {row}: expected a number, found {cell!r}") from None


def _is_gap(entry: Mapping[str, Any], cell: Any) -> bool:
    return bool(pd.isna(cell)) or cell == "" or (bool(entry.get("gaps")) and str(cell).strip() in entry["gaps"])


def moment_parts(cells: pd.Series[Any], entry: Mapping[str, Any]) -> dict[str, Floats]:
    """What is made of a column of dates: year, month, weekday (Monday 0), hour, and days since `entry["first"]`; gaps are NaN.

    Raises ValueError naming the first row that holds no date.
    """
    codes, distinct = pd.factorize(cells.astype("object").where(cells.notna(), None), use_na_sentinel=False)
    first, rows = datetime.fromisoformat(entry["first"]), np.empty((len(distinct), len(PARTS)))
    for place, cell in enumerate(distinct):
        moment = None if _is_gap(entry, cell) else parse_moment(str(cell), day_first=entry.get("day_first", False))
        if moment is None and not _is_gap(entry, cell):
            raise ValueError(f"column {entry['name']!r}, row {_first(codes == place)}: expected a date, found {cell!r}")
        rows[place] = np.nan if moment is None else _parts(moment, first)
    found = rows[codes]
    return {part: found[:, place] for place, part in enumerate(PARTS)}


def _parts(moment: datetime, first: datetime) -> tuple[float, ...]:
    hour = moment.hour + moment.minute / 60 + moment.second / 3600
    return moment.year, moment.month, moment.weekday(), hour, (moment - first).total_seconds() / 86400


def _date(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    parts = moment_parts(cells, entry)
    fitted = [{"name": entry["name"], **part} for part in entry["parts"]]
    columns = [_scale(_fill(parts[part["part"]], part), part) for part in fitted]
    return np.stack(columns, axis=1)


def _boolean(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    values = np.array([_truth(entry, row, cell) for row, cell in enumerate(cells, start=1)], dtype=np.float64)
    filled: Matrix = _fill(values, entry).astype(np.float32)
    return filled[:, None]


def _truth(entry: Mapping[str, Any], row: int, cell: Any) -> float:
    if _is_gap(entry, cell):
        return np.nan
    value = _TRUTH.get(str(cell).strip().lower())
    if value is None:
        raise ValueError(f"column {entry['name']!r}, row {row}: expected true or false, found {cell!r}")
    return value


def _fill(values: Floats, entry: Mapping[str, Any]) -> Any:
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    if entry["fill"] is None:
        raise ValueError(f"column {entry['name']!r}, row {_first(gaps)}: a gap, and no imputer was fitted")
    return np.where(gaps, entry["fill"], values)


def _first(mask: Any) -> int:
    return int(np.argmax(mask)) + 1


def _categorical(entry: Mapping[str, Any], cells: pd.Series[Any]) -> Matrix:
    places = _Places(entry)
    codes, distinct = pd.factorize(cells.astype("object").where(cells.notna(), None), use_na_sentinel=False)
    found = np.array([_place(entry, places, cell, cells) for cell in distinct], dtype=np.int64)[codes]
    block = np.zeros((len(cells), len(entry["categories"])), dtype=np.float32)
    rows = np.flatnonzero(found >= 0)
    block[rows, found[rows]] = 1.0
    return block


class _Places:
    """Where each category of a column stands, whichever way its cells are written."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._texts = {category: place for place, category in enumerate(entry["categories"])}
        self._numbers: dict[str, int] = {}
        for category, place in self._texts.items():
            number = _code(category)
            self._numbers[number] = -1 if number in self._numbers else place  # -1: two texts of one number

    def of(self, cell: Any) -> int:
        """The place of a filled cell, -1 where it is no category; the number 123 is also `00123`, as pandas reads that."""
        text = str(cell)
        place = self._texts.get(text, self._texts.get(_code(text), -1))
        return self._numbers.get(_code(text), -1) if place < 0 and not isinstance(cell, str) else place


def _place(entry: Mapping[str, Any], places: _Places, cell: Any, cells: pd.Series[Any]) -> int:
    if not _is_gap(entry, cell):
        return places.of(cell)
    if entry["fill"] is None:
        row = _first(np.array([_is_gap(entry, value) for value in cells]))
        raise ValueError(f"column {entry['name']!r}, row {row}: a gap, and no imputer was fitted")
    return places.of(entry["fill"])


def _code(text: str) -> str:
    """The one text of what is written in several ways: `7` for 7.0, `True` for true."""
    if text.strip().lower() in {"true", "false"}:
        return text.strip().capitalize()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else str(number)


_READERS = {"numeric": _numeric, "boolean": _boolean, "categorical": _categorical, "date": _date}
