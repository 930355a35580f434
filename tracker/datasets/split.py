"""Divides the prepared table into train, validation and a sealed test split, so that no row ever moves from test to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tracker.canonical import digest_table
from tracker.columns import align
from tracker.config import Split
from tracker.datasets.assign import Codes, count_classes
from tracker.datasets.divide import Division, Table, divide, read_rows
from tracker.datasets.keys import content_keys, hex_keys
from tracker.datasets.made_with import MADE_WITH, ROWS, SPLIT_OF, split_settings
from tracker.datasets.prepare import read_prepared
from tracker.datasets.salts import Salt, keep_salt, lineage_digest
from tracker.datasets.schema import convert
from tracker.datasets.storage import folders_replaced, locked, write_document, write_frame

FORMAT = 1
WRITTEN = ("feature", "target", "id", "group", "time")


FEW_ROWS = 5  # of a class, of which its precision and recall say little
MOST_TOLD = 8  # classes of few rows, in one line


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Rows per split and label, the salt and whether it was there before, warnings, what a window leaves out.

    `selection` is how many validation rows only rank; `train` are the numbers of the table's rows that are in train.
    """

    method: str
    counts: Mapping[str, Mapping[str, int]]
    salt: Salt | None
    reused: bool
    warnings: tuple[str, ...]
    window: str | None = None
    selection: int | None = None
    train: Codes | None = field(default=None, compare=False, repr=False)

    def table(self) -> list[tuple[str, ...]]:
        """A header and a row per split, as text."""
        labels = list(self.counts["train"])
        rows = [
            (name, str(sum(counts.values())), *(str(counts[label]) for label in labels))
            for name, counts in self.counts.items()
        ]
        return [("split", "rows", *labels), *rows]

    def lines(self) -> list[str]:
        """The report as lines of plain text."""
        salt = [] if self.salt is None else [f"salt {self.salt.salt}, {self._origin()}"]
        window = [] if self.window is None else [self.window]
        ranking = [] if self.selection is None else [f"of validation {self.selection} rows only rank (split.selection)"]
        warned = (f"warning: {warning}" for warning in (*self.warnings, *self._scarce()))
        return [*align(self.table()), *ranking, *salt, *window, *warned]

    def _scarce(self) -> list[str]:
        """The classes of which a score can say little, in one line: those of few validation or test rows, fewest first."""
        few = sorted(
            (counts[label], f"{label!r} has {counts[label] or 'none'} in {name}")
            for name, counts in self.counts.items()
            if name in {"validation", "test"}
            for label in counts
            if counts[label] < FEW_ROWS
        )
        if not few:
            return []
        more = f", and {len(few) - MOST_TOLD} more" if len(few) > MOST_TOLD else ""
        named = ", ".join(words for _, words in few[:MOST_TOLD])
        return [f"fewer than {FEW_ROWS} rows of a class say little of it: {named}{more}"]

    def _origin(self) -> str:
        tries = self.salt.tries if self.salt else 0
        return "kept from before: no row moves from test to train" if self.reused else f"the best balanced of {tries}"


def split(settings: Split, seed: int, prepared: Path, splits: Path, sealed: Path, salts: Path) -> SplitReport:
    """Writes train and validation into `splits`, test into `sealed`, each whole or not at all; keeps the salt in `salts`.

    A row goes by the hash of its id, its group or its own features, and a salt chosen once for class balance; rows outside
    of `split.window` are counted for that, and then left out. Nothing in `splits` says anything about the content of test
    rows. Raises DataError, also where a split lacks a class.
    """
    table = read_rows(settings, *read_prepared(prepared))
    with locked(salts.parent):
        division = divide(settings, seed, table, salts)
        drawn = None if division.salt is None else seed
        made = {**table.schema.get(MADE_WITH, {}), **split_settings(settings, drawn)}
        with folders_replaced(sealed, splits) as (sealed_aside, splits_aside):
            _write(settings, table.within(division.window), division, made, splits_aside, sealed_aside)
            if division.lineage is not None and division.salt is not None and not division.known:
                keep_salt(salts, division.lineage, division.salt)
    return _report(settings, table, division)


def foresee_split(settings: Split, seed: int, frame: Any, schema: Mapping[str, Any], salts: Path) -> SplitReport:
    """What `split` would report of a table that `prepare` gives, without writing. Raises InputError as `split` does."""
    table = read_rows(settings, frame, schema)
    return _report(settings, table, divide(settings, seed, table, salts))


def _report(settings: Split, table: Table, division: Division) -> SplitReport:
    parts = division.parts
    codes, window = table.within(division.window).codes, division.window
    counts = _named(parts, count_classes(division.places, codes, len(parts)), table.labels)
    told = None if window is None else window.line()
    ranking = None if division.selection is None else int(division.selection.sum())
    rows = np.arange(len(table.codes)) if window is None else np.flatnonzero(window.kept)
    train = rows[division.places == parts.index("train")]
    return SplitReport(settings.method, counts, division.salt, division.known, division.warnings, told, ranking, train)


def _named(parts: Sequence[str], counts: Codes, labels: list[str]) -> dict[str, dict[str, int]]:
    return {
        name: {label: int(count) for label, count in zip(labels, counts[place], strict=True)}
        for place, name in enumerate(parts)
    }


def _write(
    settings: Split, table: Table, division: Division, made: Mapping[str, Any], splits: Path, sealed: Path
) -> None:
    order, frame = _canonical(table)
    parts, keys = {}, {}
    for place, name in enumerate(division.parts):
        rows = order[division.places[order] == place]
        part, path = frame.iloc[rows].reset_index(drop=True), (sealed if name == "test" else splits) / f"{name}.parquet"
        write_frame(path, part)
        counts = np.bincount(table.codes[rows], minlength=len(table.labels))
        classes = {label: int(count) for label, count in zip(table.labels, counts, strict=True)}
        parts[name] = {"rows": len(part), "classes": classes, "digest": digest_table(part)}
        if name != "train":
            parts[name] |= _clusters(division.clusters[rows])
        if name == "validation" and division.selection is not None:
            parts[name] |= {"selection": np.flatnonzero(division.selection[rows]).tolist()}
        keys[name] = hex_keys(table.names[rows])
    about = {"target": table.schema["target"], "labels": table.labels, "positive": table.schema["positive"]}
    columns = [c.described("name", "role", "kind") for c in table.columns if c.role in WRITTEN]
    shape = {name: table.schema[name] for name in ("shape", "mask") if name in table.schema}
    schema = write_document(splits / "schema.json", "schema", {"format": FORMAT, **about, **shape, "columns": columns})
    test = parts.pop("test")
    manifest = {
        "format": FORMAT,
        "method": settings.method,
        "lineage": None if division.lineage is None else lineage_digest(division.lineage),
        "salt": None if division.salt is None else division.salt.salt,
        "tries": None if division.salt is None else division.salt.tries,
        "schema": schema,
        "splits": parts,
        **({} if division.window is None else {"window": division.window.described()}),
        MADE_WITH: made,
    }
    write_document(splits / "manifest.json", "splits", manifest)
    beside = {name: part["digest"] for name, part in parts.items()}
    document = {"format": FORMAT, **about, "schema": schema, "beside": beside, **test, "row_keys": keys["test"]}
    document["table"] = document.pop("digest")
    write_document(sealed / "manifest.json", "sealed", document)
    if ROWS in table.schema:
        write_document(sealed / SPLIT_OF, "split of", {"format": FORMAT, ROWS: table.schema[ROWS]})


def _clusters(of_row: Codes) -> dict[str, list[int]]:
    """Which rows of a split stay together, counted from 0 in the order of rows; no entry where each stands alone."""
    _, first, number = np.unique(of_row, return_index=True, return_inverse=True)
    if len(first) == len(of_row):
        return {}
    return {"clusters": np.argsort(np.argsort(first))[number].tolist()}


def _canonical(table: Table) -> tuple[Codes, Any]:
    # The order of rows comes from their keys and the type of a column from its kind, never from rows of another split.
    written = [column for column in table.columns if column.role in WRITTEN]
    frame = convert(table.frame, written).astype({c.name: "float64" for c in written if c.kind == "numeric"})
    rows = content_keys(frame, {column.name: column.kind for column in written})
    return np.lexsort((rows, table.contents, table.names)), frame
