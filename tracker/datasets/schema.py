"""Decides what each column is: its role (feature, target, id, dropped) and its kind (numeric, boolean, date ...)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tracker.config import Data
from tracker.datasets.appearance import Look, look_at
from tracker.datasets.limits import EXACT
from tracker.datasets.writing import ROW_NAMES, Writing
from tracker.standalone.writings import has_order, says_order

if TYPE_CHECKING:
    import pandas as pd

# A text column with more distinct values than this, most of them met once, names rows: one-hot encoding it would give
# a feature per row. A short column in which no text occurs twice is as useless.
MANY_TEXTS = 50
MOSTLY_DISTINCT = 0.5
FEW_ROWS = 10
MOST_CATEGORIES = 1000
MOSTLY_NUMBERS, FEW_UNITS = 0.9, 3
_WITH_UNIT = r"^[+-]?(?:\d+[.,]?\d*|[.,]\d+)\s*([^\d\s.,:;-][^\d.,:;-]{0,7})?$"
_TRUTH = {"true": True, "false": False}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?")
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: role `feature`, `target`, `id`, `dropped` (`group`, `time` after the split); why it is dropped.

    `reading` holds what must be known to read raw cells again (words for a gap, decimal sign, day first); mostly nothing.
    """

    name: str
    role: str
    kind: str
    gaps: int = 0
    reason: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)

    def described(self, *names: str) -> dict[str, Any]:
        """The named entries as they are written into a schema; a plain `reading` is left out."""
        entries = {name: getattr(self, name) for name in names}
        return {**entries, "reading": dict(self.reading)} if self.reading else entries


def name_codes(frame: pd.DataFrame, data: Data) -> Data:
    """The settings with the columns that `data.categorical: integers` means: all of whole numbers but target and id."""
    import pandas as pd

    if not isinstance(data.categorical, str):
        return data
    names = [str(name) for name in frame.columns if name not in {data.target, data.id, *data.numbers, *data.drop}]
    codes = [name for name in names if pd.api.types.is_numeric_dtype(frame[name].dtype) and _is_whole(frame[name])]
    return data.model_copy(update={"categorical": tuple(codes)})


def _is_whole(cells: pd.Series[Any]) -> bool:
    """Whether a column holds whole numbers; with gaps they arrive as float64."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(cells.dtype):
        return True
    filled = cells.dropna()
    return len(filled) < len(cells) and len(filled) > 0 and bool((filled % 1 == 0).all())


def decide_columns(frame: pd.DataFrame, data: Data) -> list[Column]:
    """A Column for every column of the table, in its order."""
    writing = Writing.of(data)
    return [_decide(str(name), frame[name], data, writing) for name in frame.columns]


def _decide(name: str, cells: pd.Series[Any], data: Data, writing: Writing) -> Column:
    kind = _kind(cells, name in data.codes)
    look = look_at(cells, writing) if kind == "categorical" and name not in data.codes else None
    kind = "date" if look is not None and look.kind == "dates" else kind
    column = Column(name, "feature", kind, int(cells.isna().sum()))
    if name in {data.target, data.id}:
        kind = "unusable" if column.kind == "unusable" else "text"
        return replace(column, role="target" if name == data.target else "id", kind=kind)
    reason = "asked for in data.drop" if name in data.drop else _why_dropped(name, cells, column.kind, data, look)
    if reason:
        known = known_order(cells, data) if kind == "date" else None  # a split by time reads the dates, too
        return replace(column, role="dropped", reason=reason, reading={} if known is None else {"day_first": known})
    reading = writing.of_column(name)
    if kind != "numeric":
        reading = {entry: value for entry, value in reading.items() if entry == "gaps"}
    dates = {"day_first": True} if kind == "date" and day_first(cells, data) else {}
    return replace(column, reading={**reading, **dates})


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


def _why_dropped(name: str, cells: pd.Series[Any], kind: str, data: Data, look: Look | None) -> str:
    if kind == "unusable":
        return ""  # a fault unless data.drop names it
    distinct = int(cells.nunique())
    if distinct < 2 and not (distinct and data.keeps_constants):
        return "constant" if distinct else "no values"
    if name == ROW_NAMES or _PANDAS_INDEX.fullmatch(name):
        return "names of rows: the header has no name for them" if name == ROW_NAMES else "row index that pandas wrote"
    if kind == "date":
        return "" if data.dates == "features" else "dates are no features"
    if kind != "categorical" or name in data.codes or look is not None:
        return ""  # numbers in another writing are a fault, not a reason to leave the column out
    why = _why_no_categories(distinct, int(cells.notna().sum()))
    return (why and _dressed(cells.dropna())) or why


def _dressed(texts: pd.Series[Any]) -> str:
    """That texts are numbers with a unit, or in other digits, and no names; empty where they are neither."""
    plain = texts.str.strip()
    if plain.str.match(_WITH_UNIT).mean() < MOSTLY_NUMBERS or plain.str.extract(_WITH_UNIT)[0].nunique() > FEW_UNITS:
        return ""
    return f"numbers with a unit or in other digits, such as {texts.iloc[0]!r}: write plain numbers"


def _why_no_categories(distinct: int, filled: int) -> str:
    if (distinct > MANY_TEXTS and distinct > MOSTLY_DISTINCT * filled) or (distinct == filled >= FEW_ROWS):
        return f"id-like text: {distinct} distinct in {filled} rows"
    if distinct > MOST_CATEGORIES:
        return f"too many categories: {distinct}"
    return ""


def day_first(cells: pd.Series[Any], data: Data) -> bool:
    """Whether dates such as `03/04/2024` have the day first: as declared, else as a cell of the column says."""
    if data.day_first is not None:
        return data.day_first
    return any(says_order(text) for text in cells.dropna().unique())


def known_order(cells: pd.Series[Any], data: Data) -> bool | None:
    """As `day_first`, of a column in which either may come first; None where nothing says it, or nobody asks."""
    texts = cells.dropna().unique()
    if not any(map(has_order, texts)):
        return None
    told = {order for text in texts if (order := says_order(text)) is not None}
    return data.day_first if data.day_first is not None or not told else True in told


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
        return pd.Series([_TRUTH.get(str(cell).strip().lower()) for cell in cells], dtype="boolean", index=cells.index)
    return cells if column.kind == "numeric" else as_text(cells)


def as_text(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Every cell as the text that names it: `7` for 7 and 7.0, `True`, texts as they are; gaps stay gaps."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(cells.dtype, pd.StringDtype):
        return cells
    names: Mapping[Any, str] = {value: _name(value) for value in cells.dropna().unique()}
    texts = [names.get(cell) if present else None for cell, present in zip(cells, cells.notna(), strict=True)]
    return pa.array(texts, pa.string()).to_pandas().set_axis(cells.index)  # type: ignore[no-any-return]


def _name(value: Any) -> str:
    # numpy's scalars and Python's are written alike, whatever the version of numpy says of itself
    if isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    return str(value)
