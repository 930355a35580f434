"""Finds everything that is wrong with a table, and all that is merely odd, before anything is written."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tracker.config import Data, Preprocessing
from tracker.datasets.appearance import look_alike, looks_like
from tracker.datasets.schema import GAP_WORDS, Column, as_text, is_number, odd_among_numbers

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 1e30  # training is in float32, which ends at 3e38; squares of anything near it overflow
FEW_CLASSES = 20
SHOWN = 3
MOST_FAULTS = 50
_NOT_A_LABEL = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"}
_EXPECTED = {"asked for in data.drop", "constant", "no values"}
_ID_NAME = re.compile(r"(^|[_\W])(id|ids|key|uuid|guid|index|rowid|row)$|[a-z](Id|ID|Key)$", re.IGNORECASE)


def find_faults(
    frame: pd.DataFrame, columns: Sequence[Column], data: Data, preprocessing: Preprocessing
) -> Iterator[str]:
    """One sentence per fault; rows count from 1 below the header."""
    yield from _name_faults(frame, data)
    if not len(frame):
        yield "the table has no rows"
        return
    for column in columns:
        if column.kind == "unusable":
            yield from _unusable_faults(frame[column.name], column)
        elif column.role == "target":
            yield from _label_faults(as_text(frame[column.name]), data)
        elif column.role == "id":
            yield from _id_faults(frame[column.name], column.name)
        elif column.role == "feature":
            yield from _feature_faults(frame[column.name], column, data, preprocessing)
    yield from _copies(frame, columns, data)
    if not any(column.role == "feature" for column in columns):
        yield "no column is left as a feature; see data.drop, or give columns that vary"


def find_warnings(frame: pd.DataFrame, columns: Sequence[Column], data: Data) -> Iterator[str]:
    """What is allowed but deserves a look."""
    counts = as_text(frame[data.target]).value_counts()
    for label, count in sorted(counts.items()):
        if count < 3:
            yield f"label {label!r} has {count} row(s): too few to be in train, validation and test"
    yield from (f"labels {pair}; are they one class?" for pair in look_alike(map(str, counts.index)))
    for column in columns:
        if column.kind == "categorical" and column.role in {"feature", "dropped"} and column.reason not in _EXPECTED:
            yield from _text_warnings(frame[column.name], column, data)
        if column.role == "feature" and column.kind == "numeric" and _looks_like_id(frame[column.name], column.name):
            yield f"column {column.name!r} looks like an id: name it in data.id or data.drop"


def _text_warnings(cells: pd.Series[Any], column: Column, data: Data) -> Iterator[str]:
    if column.name not in data.categorical and (seen := looks_like(cells)):
        told = f"is dropped ({column.reason}), yet" if column.role == "dropped" else "is taken for categories, yet"
        yield f"column {column.name!r} {told} looks like {seen} (or say data.categorical: [{column.name}])"
    elif column.role == "dropped":
        yield f"column {column.name!r} is dropped: {column.reason}"
    elif pairs := list(look_alike(map(str, cells.dropna().unique()))):
        more = f" (and {len(pairs) - 1} pairs more)" if len(pairs) > 1 else ""
        yield f"column {column.name!r}: categories {pairs[0]}{more}; are they one?"


def limit(faults: Iterable[str]) -> list[str]:
    """At most MOST_FAULTS faults, and how many more there are."""
    found = list(faults)
    rest = len(found) - MOST_FAULTS
    return found if rest <= 0 else [*found[:MOST_FAULTS], f"... and {rest} faults more"]


def rows_of(mask: Any) -> str:
    """`row 7`, or `rows 7, 9, 12 and 40 more`: where a mask is true, counted from 1."""
    found = [index + 1 for index, hit in enumerate(mask) if hit]
    shown = ", ".join(map(str, found[:SHOWN]))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{'row' if len(found) == 1 else 'rows'} {shown}{more}"


def unknown_column(place: str, name: str, columns: Iterable[Any]) -> str:
    """That a column is not there, and which one may be meant."""
    names = [str(column) for column in columns]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names[:20])}"
    return f"{place}: the table has no column {name!r}; {hint}{', ...' if not near and len(names) > 20 else ''}"


def _name_faults(frame: pd.DataFrame, data: Data) -> Iterator[str]:
    named = [("data.target", data.target), *([("data.id", data.id)] if data.id is not None else [])]
    others = [("data.drop", name) for name in data.drop] + [("data.categorical", name) for name in data.categorical]
    yield from (unknown_column(place, name, frame.columns) for place, name in named + others if name not in frame)
    if data.id == data.target:
        yield f"data.id: {data.id!r} is the target"
    for place, name in named:
        if name in data.drop:
            yield f"data.drop: {name!r} is {place}; it cannot be dropped"


def _label_faults(labels: pd.Series[Any], data: Data) -> Iterator[str]:
    place = f"column {data.target!r} (target)"
    if labels.isna().any():
        yield f"{place}, {rows_of(labels.isna())}: no label; fill in or remove"
    present = labels.dropna()
    bad = labels.isin([label for label in present.unique() if label.strip().lower() in _NOT_A_LABEL])
    if bad.any():
        yield f"{place}, {rows_of(bad)}: NaN or infinite labels; fill in or remove"
    distinct = sorted(present[~bad.loc[present.index]].unique())
    words = [label for label in distinct if label.strip().lower() in GAP_WORDS]
    if words and len(words) < len(distinct) and all(is_number(label) for label in distinct if label not in words):
        yield f"{place}, {rows_of(labels == words[0])}: label {words[0]!r} among numbers; fill in or remove"
    if len(distinct) == 1:
        yield f"{place}: one class only, {distinct[0]!r}; at least two are needed"
    if data.target not in data.categorical and _looks_continuous(distinct, len(present)):
        yield (
            f"{place}: {len(distinct)} different numbers look like regression; this is for classification only "
            f"(if they are codes of classes, say data.categorical: [{data.target}])"
        )
    elif data.positive is not None and data.positive not in distinct and distinct:
        yield f"data.positive: {data.positive!r} is no label; there are {', '.join(distinct[:20])}"


def _looks_continuous(labels: Sequence[str], rows: int) -> bool:
    if len(labels) <= FEW_CLASSES // 2 or not all(is_number(label) for label in labels):
        return False
    fractions = any(not float(label).is_integer() for label in labels)
    return fractions or (len(labels) > FEW_CLASSES and len(labels) > rows / FEW_CLASSES)


def _id_faults(cells: pd.Series[Any], name: str) -> Iterator[str]:
    if cells.isna().any():
        yield f"column {name!r} (id), {rows_of(cells.isna())}: no id; fill in or remove"
    names = as_text(cells)
    twice = names.duplicated(keep=False) & names.notna()
    if twice.any():
        first = names[twice].iloc[0]
        yield f"column {name!r} (id), {rows_of(twice)}: ids occur more than once, first {first!r}; an id names one row"


def _feature_faults(cells: pd.Series[Any], column: Column, data: Data, preprocessing: Preprocessing) -> Iterator[str]:
    place = f"column {column.name!r}"
    section = preprocessing.numeric if column.kind == "numeric" else preprocessing.categorical
    if column.gaps and section.impute == "none":
        part = "numeric" if column.kind == "numeric" else "categorical"
        yield f"{place}, {rows_of(cells.isna())}: gaps, but preprocessing.{part}.impute is none; choose an imputer"
    if column.kind == "numeric":
        yield from _number_faults(cells, place)
    elif column.kind == "categorical" and column.name not in data.categorical:
        yield from _mixed_faults(cells, column.name)


def _unusable_faults(cells: pd.Series[Any], column: Column) -> Iterator[str]:
    if column.role != "dropped":
        odd = next(value for value in cells.dropna() if not isinstance(value, str))
        remedy = f"drop it: data.drop: [{column.name}]" if column.role == "feature" else "give texts or numbers"
        yield f"column {column.name!r}: cells of type {type(odd).__name__} cannot be used; {remedy}"


def _number_faults(cells: pd.Series[Any], place: str) -> Iterator[str]:
    size = cells.abs()
    if (size == math.inf).any():
        yield f"{place}, {rows_of(size == math.inf)}: infinite; mend, or leave the cell empty for a gap"
    huge = (size > LARGEST) & (size != math.inf)
    if huge.any():
        yield f"{place}, {rows_of(huge)}: beyond {LARGEST:g}, found {cells[huge].iloc[0]:g}; mend, or rescale"


def _mixed_faults(cells: pd.Series[Any], name: str) -> Iterator[str]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        return  # numbers that are declared codes
    odd = cells.isin(odd_among_numbers(cells))
    if odd.any():
        yield (
            f"column {name!r}, {rows_of(odd)}: {cells[odd].iloc[0]!r} among numbers; mend it (an empty cell is a gap), "
            f"or say data.categorical: [{name}]"
        )


def _copies(frame: pd.DataFrame, columns: Sequence[Column], data: Data) -> Iterator[str]:
    if not any(column.role == "target" and column.kind != "unusable" for column in columns):
        return
    labels = as_text(frame[data.target])
    classes = labels.nunique()
    if classes < 2 or len(frame) < 10:  # in a handful of rows anything may coincide
        return
    for column in columns:
        if column.role != "feature" or column.kind == "unusable":
            continue
        cells = frame[column.name]
        if cells.nunique() == classes and _one_to_one(cells, labels, classes):
            yield (
                f"column {column.name!r} tells the target {data.target!r} one to one; a model would copy it; "
                f"drop it: data.drop: [{column.name}]"
            )


def _one_to_one(cells: pd.Series[Any], labels: pd.Series[Any], classes: int) -> bool:
    import pandas as pd

    both = cells.notna() & labels.notna()
    pairs = pd.DataFrame({"cell": cells[both], "label": labels[both]}).drop_duplicates()
    return len(pairs) == classes == pairs["label"].nunique()


def _looks_like_id(cells: pd.Series[Any], name: str) -> bool:
    import pandas as pd

    if not pd.api.types.is_integer_dtype(cells.dtype) or not cells.is_unique or len(cells) < 10:
        return False
    ordered = cells.sort_values()
    consecutive = int(ordered.iloc[-1]) - int(ordered.iloc[0]) == len(cells) - 1
    return consecutive or _ID_NAME.search(name) is not None
