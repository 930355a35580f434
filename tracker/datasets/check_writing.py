"""Finds numbers, dates and gaps that a table writes otherwise than they are read, and says which entry would read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracker.config import Data
from tracker.config.written import listed, quoted, scalar
from tracker.datasets.appearance import EXAMPLES, FEW_WORDS, SURE_GAPS, Look, look_at
from tracker.datasets.schema import Column
from tracker.datasets.writing import Writing
from tracker.standalone.writings import has_order, number_text, parse_moment, says_order

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3


def rows_of(mask: Any) -> str:
    """`row 7`, or `rows 7, 9, 12 and 40 more`: where a mask is true, counted from 1 (a Series: by its index)."""
    places = mask.index if hasattr(mask, "index") and hasattr(mask, "to_numpy") else range(len(mask))
    found = [int(place) + 1 for place, hit in zip(places, mask, strict=True) if hit]
    shown = ", ".join(map(str, found[:SHOWN]))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{'row' if len(found) == 1 else 'rows'} {shown}{more}"


def no_number_faults(cells: pd.Series[Any], name: str, data: Data) -> Iterator[str]:
    """Cells of a column of `data.numbers` that are none."""
    writing = Writing.of(data)
    odd = {text for text in cells.dropna().unique() if not _fits(text, writing)}
    if odd:
        words = sorted(odd)[:FEW_WORDS]
        yield (
            f"column {name!r}, {rows_of(cells.isin(odd))}: {words[0]!r} is no number, as data.numbers says; mend it, or say "
            f"{gaps_entry(name, words)}"
        )


def _fits(text: str, writing: Writing) -> bool:
    return number_text(text, writing.decimal, writing.thousands, signs=True) is not None


def writing_faults(cells: pd.Series[Any], name: str, data: Data) -> Iterator[str]:
    """Numbers that would be taken for categories; those with words for a gap are told for all columns together."""
    look = look_at(cells, Writing.of(data))
    if look is not None and look.kind == "numbers":
        yield f"column {name!r} holds numbers in another writing ({_quoted(look.examples)}); {_remedy(look, name, data)}"
    elif look is not None and look.kind == "mixed":
        odd = cells.isin(_raw(cells, look.odd))
        few = len(look.odd) <= FEW_WORDS
        gap = f"say {gaps_entry(name, look.odd)} if it means a gap" if few else "leave the cell empty for a gap"
        yield (
            f"column {name!r}, {rows_of(odd)}: {cells[odd].iloc[0]!r} among numbers; mend it, {gap}, "
            f"or say data.categorical: {listed([name])}"
        )


def _remedy(look: Look, name: str, data: Data) -> str:
    entries = [f'data.decimal: "{look.decimal}"'] if look.decimal != data.decimal else []
    if look.thousands and look.thousands != (data.thousands or ""):
        entries.append(f'data.thousands: "{look.thousands}"')
    entries += [f"data.numbers: {listed([name])}"] if look.signs else []
    entries += [gaps_entry(name, look.odd)] if 0 < len(look.odd) <= FEW_WORDS else []
    odd = f" (and mend {_quoted(look.odd)})" if len(look.odd) > FEW_WORDS else ""
    return f"say {' and '.join(entries)}{odd}, or data.categorical: {listed([name])} if they are codes"


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts[:EXAMPLES]))


def _raw(cells: pd.Series[Any], odd: Iterable[str]) -> list[str]:
    """The cells as they stand whose texts without spaces around are among `odd`."""
    wanted = set(odd)
    return [text for text in cells.dropna().unique() if text.strip() in wanted]


def gaps_entry(name: str, words: Iterable[str]) -> str:
    """How params.yaml says that words mean a gap in one column."""
    return f"data.gaps: {{{scalar(name)}: {_words(words)}}}"


def _words(words: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, words))}]"


def gap_faults(frame: pd.DataFrame, columns: Sequence[Column], data: Data) -> Iterator[str]:
    """Numbers and words for a gap: one sentence for all columns, since one entry mends them."""
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        if (
            column.role == "feature"
            and column.kind == "categorical"
            and column.name not in {*data.codes, *data.numbers}
        ):
            look = look_at(frame[column.name], Writing.of(data))
            if look is not None and look.kind == "gaps":
                found[column.name] = look.odd
    if not found:
        return
    shown = list(found)[:SHOWN]
    places = "; ".join(
        f"column {name!r}, {rows_of(frame[name].isin(_raw(frame[name], found[name])))}" for name in shown
    )
    more = f"; and {len(found) - SHOWN} columns more" if len(found) > SHOWN else ""
    words = list(dict.fromkeys(word for odd in found.values() for word in odd))
    by_column = ", ".join(f"{scalar(name)}: {_words(odd)}" for name, odd in found.items())
    everywhere = gaps_by_column(frame, found) is None
    remedy = f"data.gaps: {_words(words) if everywhere else f'{{{by_column}}}'}"
    yield (
        f"{places}{more}: {', '.join(map(repr, words))} among numbers; if it means a gap, say {remedy}; if the numbers are "
        f"codes, data.categorical: {listed(found, SHOWN)}"
    )


def gaps_by_column(frame: pd.DataFrame, found: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]] | None:
    """The words by column, where one of them may be a category of another column; None where they mean a gap everywhere."""
    doubtful = {word for odd in found.values() for word in odd if word.strip().casefold() not in SURE_GAPS}
    texts = [
        name for name in frame.columns if name not in found and str(frame[name].dtype) in {"str", "object", "string"}
    ]
    return found if doubtful and any(frame[name].isin(doubtful).any() for name in texts) else None


def date_faults(cells: pd.Series[Any], column: Column, data: Data) -> Iterator[str]:
    """Dates in two orders, in an order that nobody can tell, and cells that are no dates."""
    place = f"column {column.name!r}"
    first = bool(column.reading.get("day_first", False)) if data.day_first is None else data.day_first
    texts = list(cells.dropna().unique())
    orders = {says_order(text) for text in texts} - {None}
    if data.day_first is None and len(orders) == 2:
        yield f"{place}: dates with the day first and dates with the month first; write all in one order"
        return
    if data.day_first is None and not orders and column.role == "feature" and any(map(has_order, texts)):
        shown = next(text for text in texts if has_order(text))
        yield f"{place}: {shown!r} has its day or its month first; say data.day_first: true, or false"
        return
    first = True in orders if data.day_first is None else first
    odd = [text for text in texts if parse_moment(text, day_first=first) is None]
    if odd:
        yield (
            f"{place}, {rows_of(cells.isin(odd))}: {odd[0]!r} is no date, as the other cells are; mend it, "
            f"or say {gaps_entry(column.name, sorted(odd)[:FEW_WORDS])} if it means a gap"
        )


def date_warnings(cells: pd.Series[Any], column: Column, data: Data) -> Iterator[str]:
    """Dates that are left out, with what could be made of them, and those among them that are none."""
    if column.role == "dropped":
        yield f"column {column.name!r} holds dates and is dropped; data.dates: features makes year, month and others of it"
        yield from date_faults(cells, column, data)
