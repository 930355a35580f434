"""Proposes how a table should be read, where a project begins: entries of `data` that its cells suggest, with reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import Data
from tracker.config.written import scalar
from tracker.datasets.appearance import FEW_WORDS, Look, look_at
from tracker.datasets.check_writing import gaps_by_column
from tracker.datasets.limits import ARRAYS
from tracker.datasets.load import look_at_writing, read_table
from tracker.datasets.load_images import image_columns, unread_columns
from tracker.datasets.writing import EVERY, Writing
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MOST_WITHOUT_LABEL = 0.5


def propose(data: Data, root: Path) -> tuple[Data, list[str]]:
    """The settings with what the file seems to need, and a sentence for each entry that was added. Raises DataError.

    What is declared already is left alone.
    """
    if (
        data.source.startswith("sklearn:")
        or Path(data.source).suffix.lower() in ARRAYS
        or (root / data.source).is_dir()
    ):
        return data, []
    seen = look_at_writing(data.source, root)
    told = dict(_file_entries(seen, data))
    data = data.model_copy(update={name: value for name, (value, _) in told.items()})
    frame = _read(data, root)
    for step in (partial(_images, folder=(root / data.source).parent), _signs, _words, _labels):
        if found := dict(step(frame, data)):
            data = data.model_copy(update={name: value for name, (value, _) in found.items()})
            told |= found
            frame = _read(data, root)
    width = len(frame.columns) if "header" in told else 0
    reasons = [reason.replace("LAST", f"c{width}") for _, reason in told.values()]
    return data, [*reasons, *_unread(frame, data, (root / data.source).parent)]


Entries = Iterator[tuple[str, tuple[Any, str]]]


def _read(data: Data, root: Path) -> pd.DataFrame:
    return read_table(
        data.source, root, [name for name in (data.target, data.id) if name is not None], Writing.of(data)
    )


def _file_entries(seen: Writing, data: Data) -> Entries:
    if seen.separator != "," == data.separator:
        word = "tab" if seen.separator == "\t" else seen.separator
        yield "separator", (word, f"the cells are separated by {seen.separator!r} (data.separator)")
    if seen.header == "none" and data.header is None:
        yield "header", ("none", "line 1 looks like data, so the columns are named c1 to LAST (data.header: none)")


def _images(frame: pd.DataFrame, data: Data, folder: Path) -> Entries:
    """The one column of images; of several the user has to say which."""
    if data.images is None and data.sequences is None:
        found = [name for name in image_columns(frame, folder) if name not in {data.target, data.id, *data.drop}]
        if len(found) == 1:
            yield "images", (found[0], f"{found[0]!r} holds images (data.images: {scalar(found[0])})")


def _unread(frame: pd.DataFrame, data: Data, folder: Path) -> Iterator[str]:
    """A sentence for each column whose cells name images that cannot be read. Raises DataError where there is no other."""
    if data.images is not None or data.sequences is not None:
        return
    left = [str(name) for name in frame if name not in {data.target, data.id, *data.drop}]
    unread = unread_columns(frame, folder)
    found = {name: why for name, why in unread.items() if name in left and name not in data.codes}
    if found and len(found) == len(left):
        raise DataError(f"{data.source}: {why}" for why in found.values())
    yield from (f"{why}; as it is, no image is read" for why in found.values())


def _looks(frame: pd.DataFrame, data: Data) -> dict[str, Look]:
    left = {data.id, *data.drop, *data.codes}
    texts = [str(name) for name in frame.columns if str(frame[name].dtype) == "str" and name not in left]
    found = {name: look_at(frame[name], Writing.of(data)) for name in texts}
    return {name: look for name, look in found.items() if look is not None}


def _signs(frame: pd.DataFrame, data: Data) -> Entries:
    """Decimal sign, thousands, and columns with signs of money or per cent."""
    looks = {name: look for name, look in _looks(frame, data).items() if look.kind == "numbers" and name != data.target}
    for entry, plain in (("decimal", "."), ("thousands", "")):
        others = {getattr(look, entry): name for name, look in looks.items() if getattr(look, entry) != plain}
        if len(others) == 1 and (getattr(data, entry) or "") == plain:
            ((sign, name),) = others.items()
            yield entry, (sign, f"numbers such as {looks[name].examples[0]!r} are read with data.{entry}: {sign!r}")
    if signed := tuple(name for name, look in looks.items() if look.signs):
        shown = ", ".join(repr(looks[name].examples[0]) for name in signed[:3])
        yield "numbers", ((*data.numbers, *signed), f"{shown} are read as numbers (data.numbers; brackets mean minus)")


def _words(frame: pd.DataFrame, data: Data) -> Entries:
    """Words for a gap among numbers, and few other words among many numbers."""
    looks = _looks(frame, data)
    found = {name: look.odd for name, look in looks.items() if look.kind == "gaps" or _few_words(look, name, data)}
    if not found or data.gaps:
        return
    words = tuple(dict.fromkeys(word for odd in found.values() for word in odd))
    by_column = gaps_by_column(frame, found)
    shown = ", ".join(map(repr, words))
    where = f"{len(found)} columns of numbers" if len(found) > 1 else f"{next(iter(found))!r}, a column of numbers"
    told = f"{shown} means a gap in {where} (data.gaps; if the numbers are codes, data.categorical)"
    yield "gaps", ({EVERY: words} if by_column is None else by_column, told)


def _few_words(look: Look, name: str, data: Data) -> bool:
    return look.kind in {"mixed", "numbers"} and 0 < len(look.odd) <= FEW_WORDS and name != data.target


def _labels(frame: pd.DataFrame, data: Data) -> Entries:
    if data.target in frame and data.unlabelled == "error":
        gaps = int(frame[data.target].isna().sum())
        if 0 < gaps < MOST_WITHOUT_LABEL * len(frame):
            yield "unlabelled", ("drop", f"{gaps} rows have no label and are left out (data.unlabelled: drop)")


def entry_lines(data: Data) -> Sequence[tuple[str, Any]]:
    """The entries about the file's writing that are not plain, as params.yaml has them."""
    plain = Data()
    names = ("header", "separator", "decimal", "thousands", "numbers", "gaps", "unlabelled", "images")
    entries = {name: getattr(data, name) for name in names if getattr(data, name) != getattr(plain, name)}
    if set(entries.get("gaps", ())) == {EVERY}:
        entries["gaps"] = data.gaps[EVERY]
    return list(entries.items())
