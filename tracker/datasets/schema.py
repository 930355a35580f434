"""Decides what each column is: its role (feature, target, id, dropped) and its kind (numeric, boolean, categorical, text)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tracker.config import Data
from tracker.datasets.limits import EXACT

if TYPE_CHECKING:
    import pandas as pd

# A text column with more distinct values than this, most of them met once, names rows: one-hot encoding it would give
# a feature per row. A short column in which no text occurs twice is as useless.
MANY_TEXTS = 50
MOSTLY_DISTINCT = 0.5
FEW_ROWS = 10
MOST_CATEGORIES = 1000
# A column of numbers in which some cells are words: words for a gap are told from categories by their meaning.
MOSTLY_NUMBERS = 0.9
HALF_NUMBERS = 0.5
GAP_WORDS = frozenset({"na", "nan", "n/a", "null", "none", "missing", "?", "-", "."})
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_TRUTH = {"true": True, "false": False}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?")
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: role `feature`, `target`, `id`, `dropped` (`group`, `time` after the split); why it is dropped."""

    name: str
    role: str
    kind: str
    gaps: int = 0
    reason: str = ""


def decide_columns(frame: pd.DataFrame, data: Data) -> list[Column]:
    """A Column for every column of the table, in its order."""
    return [_decide(str(name), frame[name], data) for name in frame.columns]


def _decide(name: str, cells: pd.Series[Any], data: Data) -> Column:
    column = Column(name, "feature", _kind(cells, name in data.categorical), int(cells.isna().sum()))
    if name in {data.target, data.id}:
        kind = "unusable" if column.kind == "unusable" else "text"
        return replace(column, role="target" if name == data.target else "id", kind=kind)
    reason = "asked for in data.drop" if name in data.drop else _why_dropped(name, cells, column.kind, data)
    return replace(column, role="dropped", reason=reason) if reason else column


def _kind(cells: pd.Series[Any], declared: bool) -> str:
    import pandas as pd

    if pd.api.types.is_bool_dtype(cells.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return "categorical" if declared else "numeric"
    filled = cells.dropna()
    if not all(isinstance(value, str) for value in filled):
        return "unusable"
    if not declared and len(filled) and all(value.strip().lower() in _TRUTH for value in filled.unique()):
        return "boolean"
    return "categorical"


def _why_dropped(name: str, cells: pd.Series[Any], kind: str, data: Data) -> str:
    if kind == "unusable":
        return ""  # a fault unless data.drop names it
    distinct = int(cells.nunique())
    if distinct < 2:
        return "constant" if distinct else "no values"
    if _PANDAS_INDEX.fullmatch(name):
        return "row index that pandas wrote"
    if kind != "categorical" or name in data.categorical or odd_among_numbers(cells):
        return ""  # odd cells among numbers are a fault, not a reason to leave the column out
    if all(parse_date(value) for value in cells.dropna().unique()):
        return "dates are no features"
    return _why_no_categories(distinct, int(cells.notna().sum()))


def _why_no_categories(distinct: int, filled: int) -> str:
    if (distinct > MANY_TEXTS and distinct > MOSTLY_DISTINCT * filled) or (distinct == filled >= FEW_ROWS):
        return f"id-like text: {distinct} distinct in {filled} rows"
    if distinct > MOST_CATEGORIES:
        return f"too many categories: {distinct}"
    return ""


def parse_date(value: Any) -> datetime | None:
    """The moment that an ISO text (`2024-03-01`, `2024-03-01T12:00:00Z`) names; without a zone it is UTC. None if none."""
    from datetime import UTC

    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_number(value: str) -> bool:
    """Whether a text is written as a finite number."""
    return _NUMBER.fullmatch(value.strip()) is not None


def odd_among_numbers(cells: pd.Series[Any]) -> set[str]:
    """The texts that keep a column of texts from being numbers, where nearly all the others are; else none."""
    counts = cells.value_counts()
    texts = [value for value in counts.index if isinstance(value, str)]
    numbers = {value for value in texts if is_number(value)}
    if not numbers or any(_LEADING_ZERO.match(value.strip()) for value in numbers):
        return set()  # names, or codes
    odd = set(texts) - numbers
    share = counts[list(numbers)].sum() / counts.sum()
    words_only = all(value.strip().lower() in GAP_WORDS for value in odd)
    return odd if share >= (HALF_NUMBERS if words_only else MOSTLY_NUMBERS) else set()


def convert(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The table with every cell in the type of its column's kind; columns that cannot be stored are left out."""
    import pandas as pd

    kept = {column.name: _convert(frame[column.name], column) for column in columns if column.kind != "unusable"}
    return pd.DataFrame(kept, columns=list(kept))


def _convert(cells: pd.Series[Any], column: Column) -> pd.Series[Any]:
    import pandas as pd

    if column.role == "dropped":
        return cells
    if column.kind == "boolean":
        if pd.api.types.is_bool_dtype(cells.dtype):
            return cells.astype("boolean")
        return pd.Series([_TRUTH.get(str(cell).strip().lower()) for cell in cells], dtype="boolean")
    return cells if column.kind == "numeric" else as_text(cells)


def as_text(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Every cell as the text that names it: `7` for 7 and 7.0, `True`, texts as they are; gaps stay gaps."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(cells.dtype, pd.StringDtype):
        return cells
    names: Mapping[Any, str] = {value: _name(value) for value in cells.dropna().unique()}
    texts = [names.get(cell) if present else None for cell, present in zip(cells, cells.notna(), strict=True)]
    return pa.array(texts, pa.string()).to_pandas()  # type: ignore[no-any-return]


def _name(value: Any) -> str:
    # numpy's scalars and Python's are written alike, whatever the version of numpy says of itself
    if isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    return str(value)
