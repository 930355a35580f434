"""Finds everything that is wrong with a table, and all that is merely odd, before anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tracker.config import Data, Preprocessing
from tracker.config.written import listed, scalar
from tracker.datasets.appearance import in_order, is_gap_word, is_number, look_alike
from tracker.datasets.check_writing import (
    date_faults,
    date_warnings,
    gap_faults,
    gaps_entry,
    no_number_faults,
    rows_of,
    writing_faults,
)
from tracker.datasets.load_arrays import DROPPED
from tracker.datasets.schema import Column, as_text
from tracker.datasets.writing import EVERY, ROW_NAMES
from tracker.shown import counted, meant, nearest

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 1e30  # training is in float32, which ends at 3e38; squares of anything near it overflow
FEW_CLASSES = 20
MOST_NAMED = 10
MOSTLY_GAPS = 0.5
MOST_HOLES = 2  # numbers that rise with the rows, half of them left out: rows of a larger table
MOST_FAULTS = 50
_NOT_A_LABEL = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"}
_LABELS = {"none", "missing", "-"}  # words for gaps that name classes as well
_EXPECTED = {"asked for in data.drop", "constant", "no values"}
_ID_NAME = re.compile(
    r"(^|[_\W])(id|ids|key|uuid|guid|index|rowid|row|row[._ ]?(names?|num(ber)?))$|[a-z](Id|ID|Key)$|^unnamed: \d+$",
    re.IGNORECASE,
)


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
    yield from gap_faults(frame, columns, data)
    if data.shape is None:  # a place in an image cannot be left out
        yield from _copies(frame, columns, data)
    if not any(column.role == "feature" for column in columns):
        went = [f"{column.name!r} ({column.reason})" for column in columns if column.role == "dropped"]
        told = (
            f": dropped are {', '.join(went[:MOST_NAMED])}{', ...' if len(went) > MOST_NAMED else ''}" if went else ""
        )
        yield f"no column is left as a feature{told}; give columns that vary, or keep texts with data.categorical"


def find_warnings(
    frame: pd.DataFrame, columns: Sequence[Column], data: Data, preprocessing: Preprocessing
) -> Iterator[str]:
    """What is allowed but deserves a look."""
    counts = as_text(frame[data.target]).value_counts()
    for label, count in ((label, counts[label]) for label in in_order(counts.index)):
        if count < 3:
            yield f"label {label!r} has {counted(count, 'row')}: too few to be in train, validation and test"
    yield from (f"labels {pair}; are they one class?" for pair in look_alike(map(str, counts.index)))
    for word in (word for word in map(str, counts.index) if is_gap_word(word) and word.casefold() not in _LABELS):
        yield (
            f"label {word!r} is taken for a class ({counted(int(counts[word]), 'row')}); if it means a gap, say "
            f"{gaps_entry(data.target, [word])} and data.unlabelled: drop"
        )
    for column in columns:
        is_place = data.shape is not None and column.role == "feature"  # in an image or a sequence
        if column.role not in {"feature", "dropped"} or column.reason in _EXPECTED or is_place:
            continue
        if column.kind == "categorical" or column.name == ROW_NAMES:
            yield from _text_warnings(frame[column.name], column, data)
        elif column.kind == "date":
            yield from date_warnings(frame[column.name], column, data)
        if column.role == "feature":
            yield from _gap_warnings(column, len(frame), preprocessing)
        if column.role == "feature" and column.kind == "numeric" and _looks_like_id(frame[column.name], column.name):
            yield f"column {column.name!r} looks like an id: name it in data.id or data.drop"


def _text_warnings(cells: pd.Series[Any], column: Column, data: Data) -> Iterator[str]:
    if column.role == "dropped":
        yield f"column {column.name!r} is dropped: {column.reason}"
        return
    categories = list(map(str, cells.dropna().unique()))
    if pairs := list(look_alike(categories)):
        more = f" (and {len(pairs) - 1} pairs more)" if len(pairs) > 1 else ""
        yield f"column {column.name!r}: categories {pairs[0]}{more}; are they one?"
    words = sorted(
        text for text in categories if is_gap_word(text) and text.strip().casefold() not in {"none", "missing"}
    )
    if words and column.name not in data.codes:
        share = int(cells.isin(words).sum())
        yield (
            f"column {column.name!r}: {', '.join(map(repr, words))} is taken for a category ({share} rows); "
            f"if it means a gap, say {gaps_entry(column.name, words)}"
        )


def _gap_warnings(column: Column, rows: int, preprocessing: Preprocessing) -> Iterator[str]:
    """More gaps than values, filled with one value in silence."""
    if column.gaps <= MOSTLY_GAPS * rows:
        return
    place = f"column {column.name!r}: {column.gaps} of {rows} cells are gaps"
    numeric, categorical = preprocessing.numeric, preprocessing.categorical
    if column.kind in {"categorical", "boolean"} and categorical.impute == "most_frequent":
        yield (
            f"{place}, which get the most frequent value; preprocessing.categorical.impute: missing gives them a category "
            f"of their own, data.drop: {listed([column.name])} leaves the column out"
        )
    elif column.kind == "numeric" and numeric.impute != "none" and not numeric.indicator:
        yield (
            f"{place}, which get the {numeric.impute}; preprocessing.numeric.indicator: true adds a feature that says where, "
            f"data.drop: {listed([column.name])} leaves the column out"
        )


def limit(faults: Iterable[str]) -> list[str]:
    """At most MOST_FAULTS faults, and how many more there are."""
    found = list(faults)
    rest = len(found) - MOST_FAULTS
    return found if rest <= 0 else [*found[:MOST_FAULTS], f"... and {rest} faults more"]


def unknown_column(place: str, name: str, columns: Iterable[Any]) -> str:
    """That a column is not there, and which one may be meant."""
    names = [str(column) for column in columns]
    alike = [other for other in names if other.strip().casefold() == name.strip().casefold()]
    near = alike[0] if alike else nearest(name, names)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(names[:20])}"
    return f"{place}: the table has no column {name!r}; {hint}{', ...' if not near and len(names) > 20 else ''}"


def _name_faults(frame: pd.DataFrame, data: Data) -> Iterator[str]:
    named = [("data.target", data.target), *([("data.id", data.id)] if data.id is not None else [])]
    gone = frame.attrs.get(DROPPED, ())
    others = [("data.drop", name) for name in data.drop if name not in gone]
    others += [("data.categorical", name) for name in data.codes]
    others += [("data.numbers", name) for name in data.numbers]
    others += [("data.gaps", name) for name in data.gaps if name != EVERY]
    yield from (unknown_column(place, name, frame.columns) for place, name in named + others if name not in frame)
    if data.id == data.target:
        yield f"data.id: {data.id!r} is the target"
    for place, name in named:
        if name in data.drop:
            yield f"data.drop: {name!r} is {place}; it cannot be dropped"


def _label_faults(labels: pd.Series[Any], data: Data) -> Iterator[str]:
    place = f"column {data.target!r} (target)"
    if labels.isna().any():
        yield f"{place}, {rows_of(labels.isna())}: no label; fill in or remove, or say data.unlabelled: drop"
    present = labels.dropna()
    words = sorted(label for label in present.unique() if label.strip().lower() in _NOT_A_LABEL)
    bad = labels.isin(words)
    if bad.any():
        called = ", ".join(map(repr, words))
        yield f"{place}, {rows_of(bad)}: NaN or infinite labels ({called}); fill in or remove, or rename the class"
    distinct = sorted(present[~bad.loc[present.index]].unique())
    words = [label for label in distinct if is_gap_word(label)]
    if words and len(words) < len(distinct) and all(is_number(label) for label in distinct if label not in words):
        yield f"{place}, {rows_of(labels == words[0])}: label {words[0]!r} among numbers; fill in or remove"
    if len(distinct) == 1:
        yield f"{place}: one class only, {distinct[0]!r}; at least two are needed"
    if data.target not in data.codes and _looks_continuous(distinct, len(present)):
        yield (
            f"{place}: {len(distinct)} different numbers look like regression; this is for classification only "
            f"(if they are codes of classes, say data.categorical: {listed([data.target])})"
        )
    elif data.positive is not None and data.positive not in distinct and distinct:
        near = meant(data.positive, distinct)
        yield f"data.positive: {data.positive!r} is no label; there are {', '.join(distinct[:20])}{near}"


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
        yield (
            f"column {name!r} (id), {rows_of(twice)}: ids occur more than once, first {first!r}; an id names one row; if "
            f"the rows of one belong together, it is a group: say split.method: group and split.group: {scalar(name)}"
        )


def _feature_faults(cells: pd.Series[Any], column: Column, data: Data, preprocessing: Preprocessing) -> Iterator[str]:
    place = f"column {column.name!r}"
    part = "numeric" if column.kind in {"numeric", "date"} else "categorical"
    if column.gaps and getattr(preprocessing, part).impute == "none":
        yield f"{place}, {rows_of(cells.isna())}: gaps, but preprocessing.{part}.impute is none; choose an imputer"
    if column.kind == "numeric":
        yield from _number_faults(cells, place)
    elif column.kind == "date":
        yield from date_faults(cells, column, data)
    elif column.name in data.numbers:
        yield from no_number_faults(cells, column.name, data)
    elif column.kind == "categorical" and column.name not in data.codes:
        yield from writing_faults(cells, column.name, data)


def _unusable_faults(cells: pd.Series[Any], column: Column) -> Iterator[str]:
    if column.role != "dropped":
        odd = next(value for value in cells.dropna() if not isinstance(value, str))
        remedy = f"drop it: data.drop: {listed([column.name])}" if column.role == "feature" else "give texts or numbers"
        if column.role == "feature" and isinstance(odd, bytes | dict):
            remedy += f"; where they are PNG or JPEG images, say data.images: {scalar(column.name)}"
        yield f"column {column.name!r}: cells of type {type(odd).__name__} cannot be used; {remedy}"


def _number_faults(cells: pd.Series[Any], place: str) -> Iterator[str]:
    size = cells.abs()
    if (size == math.inf).any():
        yield f"{place}, {rows_of(size == math.inf)}: infinite; mend, or leave the cell empty for a gap"
    huge = (size > LARGEST) & (size != math.inf)
    if huge.any():
        yield f"{place}, {rows_of(huge)}: beyond {LARGEST:g}, found {cells[huge].iloc[0]:g}; mend, or rescale"


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
                f"drop it: data.drop: {listed([column.name])}"
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
    spread = int(ordered.iloc[-1]) - int(ordered.iloc[0]) + 1
    running = cells.is_monotonic_increasing and spread <= MOST_HOLES * len(cells)
    return spread == len(cells) or running or _ID_NAME.search(name) is not None
