"""What is kept of a table that was tuned on, so that a later one can be held against it: counts, bins, marks of rows."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.datasets.keys import Keys, content_keys, text_keys
from tracker.datasets.schema import as_text
from tracker.datasets.storage import read_document, write_document

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MARKS = 20_000  # rows that are known again one by one; of a larger table those with the lowest keys, the same in every table
BINS = 10
MOST_WORDS = 30  # of a column of categories; the rest counts as one


@dataclass(frozen=True, slots=True)
class Column:
    """How the cells of a feature spread: `counts` per bin between `edges`, or per word; gaps are the last count.

    `edges` are inner ones (numbers up to the first are in bin 0); of words, the last but one counts all others.
    """

    kind: str
    edges: tuple[float, ...]
    words: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, cells: pd.Series[Any], kind: str) -> Column:
        """The spread of a column, in its own bins."""
        if kind == "numeric":
            numbers = _numbers(cells)
            numbers = numbers[np.isfinite(numbers)]
            inner = np.linspace(0, 1, BINS + 1)[1:-1]
            edges = np.unique(np.quantile(numbers, inner)) if len(numbers) else np.empty(0)
            empty = cls(kind, tuple(edges.tolist()), (), ())
        else:
            counted = as_text(cells).dropna().value_counts()
            words = sorted(counted.index, key=lambda word: (-counted[word], word))[:MOST_WORDS]
            empty = cls(kind, (), tuple(words), ())
        return cls(kind, empty.edges, empty.words, empty.count(cells))

    def count(self, cells: pd.Series[Any]) -> tuple[int, ...]:
        """How other cells spread over these bins or words."""
        if self.kind == "numeric":
            numbers = _numbers(cells)
            known = numbers[~np.isnan(numbers)]
            counts = np.bincount(np.searchsorted(self.edges, known, side="left"), minlength=len(self.edges) + 1)
            return (*counts.tolist(), int(np.isnan(numbers).sum()))
        texts = as_text(cells)
        places = {word: place for place, word in enumerate(self.words)}
        counted = texts.dropna().value_counts()
        counts = np.zeros(len(self.words) + 1, dtype=np.int64)
        for word, count in counted.items():
            counts[places.get(str(word), len(self.words))] += int(count)
        return (*counts.tolist(), int(texts.isna().sum()))


@dataclass(frozen=True, slots=True)
class Rows:
    """Marks of rows, by rising name: 64-bit keys of what names a row (its id, or its features), of its features; its label.

    Of a large table these are the rows whose names are at most `limit`; so two tables keep the same rows.
    """

    names: Keys
    contents: Keys
    labels: np.ndarray[Any, np.dtype[np.int64]]
    limit: int

    @classmethod
    def of(cls, names: Keys, contents: Keys, labels: np.ndarray[Any, np.dtype[np.int64]]) -> Rows:
        """The marks of a table's rows; rows of one name count once, with the label of the first."""
        kept, first = np.unique(names, return_index=True)
        limit = 2**64 - 1 if len(kept) <= MARKS else int(kept[MARKS - 1])
        return cls(kept[:MARKS], contents[first][:MARKS], labels[first][:MARKS], limit)

    def up_to(self, limit: int) -> Rows:
        """The rows whose keys are at most this."""
        end = int(np.searchsorted(self.names, np.uint64(limit), side="right"))
        return Rows(self.names[:end], self.contents[:end], self.labels[:end], limit)


@dataclass(frozen=True)
class Profile:
    """A table that was tuned on. `source` is the SHA-256 of its file, `table` the digest of what `prepare` made of it.

    `repeated` counts rows whose features another row before them has.
    """

    source: str
    table: str
    count: int
    target: str
    labels: Mapping[str, int]
    columns: Mapping[str, Column]
    repeated: int
    rows: Rows

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The labels in the order of their places."""
        return tuple(self.labels)


def profile(frame: pd.DataFrame, schema: Mapping[str, Any], source: str) -> Profile:
    """The profile of a prepared table with its schema."""
    kinds = {column["name"]: column["kind"] for column in schema["columns"] if column["role"] == "feature"}
    contents, names = row_keys(frame, schema)
    labels = list(schema["labels"])
    codes = label_places(frame, schema)
    counts = np.bincount(codes, minlength=len(labels)).tolist()
    return Profile(
        source=source,
        table=schema["table"],
        count=len(frame),
        target=schema["target"],
        labels=dict(zip(labels, counts, strict=True)),
        columns={name: Column.of(frame[name], kind) for name, kind in kinds.items()},
        repeated=len(contents) - len(np.unique(contents)),
        rows=Rows.of(names, contents, codes),
    )


def row_keys(frame: pd.DataFrame, schema: Mapping[str, Any]) -> tuple[Keys, Keys]:
    """Of every row the key of its features, and the key that names it: that of its id, where there is one."""
    kinds = {column["name"]: column["kind"] for column in schema["columns"] if column["role"] == "feature"}
    contents = content_keys(frame, kinds)
    return contents, contents if schema["id"] is None else text_keys(as_text(frame[schema["id"]]), "name")


def label_places(frame: pd.DataFrame, schema: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The place of every row's label in the schema's list."""
    places = {label: place for place, label in enumerate(schema["labels"])}
    return np.array([places[label] for label in as_text(frame[schema["target"]])], dtype=np.int64)


def write_profile(path: Path, kept: Profile) -> None:
    """Writes a profile as one JSON document with its digest."""
    rows = kept.rows
    content = {
        "format": FORMAT,
        "source": kept.source,
        "table": kept.table,
        "rows": kept.count,
        "target": kept.target,
        "labels": dict(kept.labels),
        "label_order": list(kept.labels),
        "repeated": kept.repeated,
        "columns": {
            name: {"kind": one.kind, "edges": list(one.edges), "words": list(one.words), "counts": list(one.counts)}
            for name, one in kept.columns.items()
        },
        "names": _packed(rows.names.astype("<u8").tobytes()),
        "contents": _packed(rows.contents.astype("<u8").tobytes()),
        "name_labels": _packed(rows.labels.astype("<u2").tobytes()),
        "limit": str(rows.limit),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_document(path, "profile", content)


def read_profile(path: Path) -> Profile:
    """The profile that `write_profile` wrote. Raises DataError where it is not there or not whole."""
    content = read_document(path, "profile", "bring it back from git; without it the next retuning begins anew")
    names, contents = (
        np.frombuffer(_unpacked(content[name]), dtype="<u8").astype(np.uint64) for name in ("names", "contents")
    )
    places = np.frombuffer(_unpacked(content["name_labels"]), dtype="<u2").astype(np.int64)
    return Profile(
        source=content["source"],
        table=content["table"],
        count=content["rows"],
        target=content["target"],
        labels={label: content["labels"][label] for label in content["label_order"]},
        columns={
            name: Column(one["kind"], tuple(one["edges"]), tuple(one["words"]), tuple(one["counts"]))
            for name, one in content["columns"].items()
        },
        repeated=content["repeated"],
        rows=Rows(names, contents, places, int(content["limit"])),
    )


def _numbers(cells: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers: np.ndarray[Any, np.dtype[np.float64]] = cells.to_numpy(dtype="float64", na_value=np.nan)
    return numbers


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompressobj().decompress(base64.b64decode(text), 8 * MARKS)
