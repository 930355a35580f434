"""Reads the split that the table itself declares, by dates or by a column of the user's own, and checks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.config import Split
from tracker.datasets.assign import SPLITS, Codes
from tracker.datasets.check_writing import rows_of
from tracker.datasets.keys import Keys
from tracker.datasets.schema import Column, as_text, parse_date
from tracker.errors import ConfigError, DataError
from tracker.standalone.writings import has_order, names_day, parse_moment, says_order

if TYPE_CHECKING:
    import pandas as pd


def place_by_time(settings: Split, frame: pd.DataFrame, column: Column) -> Codes:
    """The split of every row by declared dates: before `validation_from` train, from `test_from` on test. Raises InputError.

    Cells are dates in any of the usual writings; `column` is what `prepare` made of them, and says whether the day is first.
    """
    validation_from, test_from = _ends(settings)
    found = read_moments(frame[settings.column], column)
    return np.array([(moment >= validation_from) + (moment >= test_from) for moment in found], dtype=np.int64)


def read_moments(cells: pd.Series[Any], column: Column) -> list[datetime]:
    """The moment of every row, from a column of dates. Raises DataError, naming rows, for a gap or what is no date."""
    import pandas as pd

    texts = [text for text in cells.dropna().unique() if isinstance(text, str)]
    first = _is_day_first(texts, cells, column)
    moments = {text: parse_date(text) or (parse_moment(text, day_first=first) if names_day(text) else None)
               for text in texts}  # fmt: skip
    found = [moments.get(cell) for cell in cells]
    if any(moment is None for moment in found):
        bad = [moment is None for moment in found]
        cell = cells[bad].iloc[0]
        raise DataError(
            f"column {column.name!r} (time), {rows_of(bad)}: expected a date such as 2024-03-01, "
            f"found {'a gap' if pd.isna(cell) else cell}; write every cell so"
        )
    return [moment for moment in found if moment is not None]


def _is_day_first(texts: Sequence[str], cells: pd.Series[Any], column: Column) -> bool:
    """Whether `03/04/2024` is the 3rd of April: as declared, else as a cell says. Raises DataError where nothing does."""
    told = {order for text in texts if (order := says_order(text)) is not None}
    unsure = next((text for text in texts if has_order(text)), None)
    checked = column.role == "feature" and column.kind == "date"  # `prepare` refuses what cannot be told
    if unsure and not told and not checked and "day_first" not in column.reading:
        raise DataError(
            f"column {column.name!r} (time), {rows_of(cells == unsure)}: {unsure!r} has its day or its month first; "
            "say data.day_first: true, or false"
        )
    return bool(column.reading.get("day_first", True in told))


def _ends(settings: Split) -> tuple[datetime, datetime]:
    """Where validation and test begin. Raises ConfigError."""
    ends = {name: parse_date(getattr(settings, name)) for name in ("validation_from", "test_from")}
    wrong = [
        f"split.{name}: expected a date such as '2024-03-01', found {getattr(settings, name)!r}"
        for name, moment in ends.items()
        if moment is None
    ]
    validation_from, test_from = ends.values()
    if validation_from is None or test_from is None:
        raise ConfigError(wrong)
    if validation_from >= test_from:
        raise ConfigError("split: validation_from must be before test_from")
    return validation_from, test_from


def place_by_column(settings: Split, frame: pd.DataFrame) -> Codes:
    """The split of every row as the user's own column says. Raises DataError."""
    cells = as_text(frame[settings.column])
    bad = ~cells.isin(SPLITS)
    if bad.any():
        found = sorted(map(str, cells[bad].dropna().unique()))[:5]
        raise DataError(
            f"column {settings.column!r} (split), {rows_of(bad)}: expected train, validation or test, "
            f"found {', '.join(map(repr, found)) or 'gaps'}"
        )
    return np.array([SPLITS.index(cell) for cell in cells], dtype=np.int64)


def check_duplicates(contents: Keys, places: Codes) -> None:
    """Refuses rows of equal content in two splits. Raises DataError with counts and the first two rows."""
    _, content = np.unique(contents, return_inverse=True)
    low, high = np.full(content.max() + 1, 3), np.full(content.max() + 1, -1)
    np.minimum.at(low, content, places)
    np.maximum.at(high, content, places)
    apart = (low != high)[content]
    if apart.any():
        one = int(np.argmax(apart))
        other = int(np.argmax((content == content[one]) & (places != places[one])))
        raise DataError(
            f"{int(apart.sum())} rows have equals in another split, first row {one + 1} ({SPLITS[places[one]]}) "
            f"and row {other + 1} ({SPLITS[places[other]]}); remove them, or say split.duplicates: free"
        )
