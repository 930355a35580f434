"""Divides the prepared table into train, validation and a sealed test split, so that no row ever moves from test to train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.canonical import digest_table
from tracker.config import Split
from tracker.datasets.assign import SPLITS, Codes, choose_salt, cluster, count_classes, place_rows
from tracker.datasets.check import rows_of, unknown_column
from tracker.datasets.declared import check_duplicates, place_by_column, place_by_time
from tracker.datasets.keys import Keys, content_keys, hex_keys, text_keys
from tracker.datasets.prepare import align, read_prepared
from tracker.datasets.salts import Salt, keep_salt, lineage_digest, read_salts
from tracker.datasets.schema import Column, as_text, convert
from tracker.datasets.storage import folders_replaced, locked, write_document, write_frame
from tracker.errors import ConfigError, DataError

FORMAT = 1
OFF = 0.05  # a split this far from the fraction asked for is worth a warning
WRITTEN = ("feature", "target", "id", "group", "time")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Rows per split and label, the salt and whether it was there before, warnings."""

    method: str
    counts: Mapping[str, Mapping[str, int]]
    salt: Salt | None
    reused: bool
    warnings: tuple[str, ...]

    def table(self) -> list[tuple[str, ...]]:
        """A header and a row per split, as text."""
        labels = list(self.counts[SPLITS[0]])
        rows = [
            (name, str(sum(counts.values())), *(str(counts[label]) for label in labels))
            for name, counts in self.counts.items()
        ]
        return [("split", "rows", *labels), *rows]

    def lines(self) -> list[str]:
        """The report as lines of plain text."""
        salt = [] if self.salt is None else [f"salt {self.salt.salt}, {self._origin()}"]
        return [*align(self.table()), *salt, *(f"warning: {warning}" for warning in self.warnings)]

    def _origin(self) -> str:
        tries = self.salt.tries if self.salt else 0
        return "kept from before: no row moves from test to train" if self.reused else f"the best balanced of {tries}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A prepared table on its way: typed cells, roles, and per row the code of its label and its keys."""

    frame: Any
    columns: list[Column]
    schema: Mapping[str, Any]
    codes: Codes
    names: Keys
    contents: Keys

    @property
    def labels(self) -> list[str]:
        return list(self.schema["labels"])


def split(settings: Split, seed: int, prepared: Path, splits: Path, sealed: Path, salts: Path) -> SplitReport:
    """Writes train and validation into `splits`, test into `sealed`, each whole or not at all; keeps the salt in `salts`.

    A row goes by the hash of its id, its group or its own features, and a salt chosen once for class balance. Nothing in
    `splits` says anything about the content of test rows. Raises DataError, also where a split lacks a class.
    """
    table = _read(settings, prepared)
    with locked(salts.parent):
        places, salt, lineage, warnings = _place(settings, seed, table, salts)
        counts = count_classes(places, table.codes)
        if faults := list(_absent(settings, table.labels, counts, lineage, salts)):
            raise DataError(faults)
        with folders_replaced(sealed, splits) as (sealed_aside, splits_aside):
            _write(settings, table, places, lineage, salt, splits_aside, sealed_aside)
            reused = lineage is not None and lineage_digest(lineage) in read_salts(salts)
            if lineage is not None and salt is not None and not reused:
                keep_salt(salts, lineage, salt)
    return SplitReport(settings.method, _named(counts, table.labels), salt, reused, tuple(warnings))


def _read(settings: Split, prepared: Path) -> _Table:
    frame, schema = read_prepared(prepared)
    columns = _assign_roles([Column(**entry) for entry in schema["columns"]], settings, frame)
    kinds = {column.name: column.kind for column in columns if column.role == "feature"}
    if not kinds:
        raise DataError("no column is left as a feature beside the one that decides the split")
    contents = content_keys(frame, kinds)
    named_by = settings.group if settings.method == "group" else schema["id"]
    names = contents if named_by is None else text_keys(as_text(frame[named_by]), "name")
    code = {label: place for place, label in enumerate(schema["labels"])}
    codes = np.array([code[label] for label in frame[schema["target"]]], dtype=np.int64)
    return _Table(frame, columns, schema, codes, names, contents)


def _assign_roles(columns: list[Column], settings: Split, frame: Any) -> list[Column]:
    role = {"group": "group", "time": "time", "column": "split"}.get(settings.method)
    if role is None:
        return columns
    place = "group" if role == "group" else "column"
    name = settings.group if role == "group" else settings.column
    if name not in frame:
        raise DataError(unknown_column(f"split.{place}", str(name), frame.columns))
    if any(column.name == name and column.role == "target" for column in columns):
        raise ConfigError(f"split.{place}: {name!r} is the target; rows cannot be divided by what is predicted")
    if role == "group" and frame[name].isna().any():
        raise DataError(f"column {name!r} (group), {rows_of(frame[name].isna())}: no group; fill in or remove")
    return [replace(column, role=role, kind="text") if column.name == name else column for column in columns]


def _place(
    settings: Split, seed: int, table: _Table, salts: Path
) -> tuple[Codes, Salt | None, dict[str, Any] | None, list[str]]:
    if settings.method in {"time", "column"}:
        places = (
            place_by_time(settings, table.frame)
            if settings.method == "time"
            else place_by_column(settings, table.frame)
        )
        if settings.duplicates == "together":
            check_duplicates(table.contents, places)
        return places, None, None, []
    clusters = cluster(table.names, table.contents if settings.duplicates == "together" else None)
    _require_enough(settings, len(np.unique(clusters.of_name)))
    lineage = _lineage(settings, seed, table)
    known = read_salts(salts)
    entry = known.get(lineage_digest(lineage))
    if entry is None:
        salt = Salt(*choose_salt(clusters, table.codes, settings.validation, settings.test, seed))
    else:
        salt = Salt(entry["salt"], entry["tries"])
    places = place_rows(clusters, salt.salt, settings.validation, settings.test)
    warnings = [*_lineage_warnings(known, entry is None, salts), *_size_warnings(settings, places)]
    return places, salt, lineage, warnings


def _require_enough(settings: Split, count: int) -> None:
    """Raises DataError where what must stay together cannot fill every split, whatever its classes are."""
    if count < len(SPLITS):
        what = "groups" if settings.method == "group" else "different rows"
        also = (
            " (equal rows stay together; split.duplicates: free lets them go)"
            if settings.duplicates == "together"
            else ""
        )
        raise DataError(f"{count} {what} cannot fill {', '.join(SPLITS)}; give at least {len(SPLITS)}{also}")


def _lineage(settings: Split, seed: int, table: _Table) -> dict[str, Any]:
    # Rows with names of their own keep them when a column comes or a cell is mended; rows without are what they hold.
    named = settings.method == "group" or table.schema["id"] is not None
    features = {column.name: column.kind for column in table.columns if column.role == "feature"}
    return {
        "method": settings.method,
        "validation": settings.validation,
        "test": settings.test,
        "duplicates": settings.duplicates,
        "seed": seed,
        "target": table.schema["target"],
        "id": table.schema["id"],
        "group": settings.group if settings.method == "group" else None,
        "columns": {} if named else features,
    }


def _lineage_warnings(known: Mapping[str, Any], new: bool, salts: Path) -> Iterator[str]:
    if new and known:
        yield (
            "the columns, the seed or the split settings are others than before: a new lineage, in which rows may have moved "
            f"from test to train ({salts.name} keeps the former ones); data.id names rows so that columns may change"
        )


def _size_warnings(settings: Split, places: Codes) -> Iterator[str]:
    for place, asked in ((1, settings.validation), (2, settings.test)):
        share = float((places == place).mean())
        if len(places) >= 100 and abs(share - asked) > OFF:
            yield f"{SPLITS[place]} holds {share:.0%} of the rows, {asked:.0%} were asked for: what must stay together is large"


def _absent(
    settings: Split, labels: list[str], counts: Codes, lineage: Mapping[str, Any] | None, salts: Path
) -> Iterator[str]:
    remedy = {
        "time": "choose other dates in split.validation_from and split.test_from, or add rows",
        "column": f"give column {settings.column!r} rows of every class for every split",
    }.get(settings.method, "add rows of that class, merge or remove it, or raise split.validation and split.test")
    if lineage is not None and settings.duplicates == "together":
        remedy += "; where equal rows need not stay together: split.duplicates: free"
    if lineage is not None and lineage_digest(lineage) in read_salts(salts):
        remedy += (
            f"; or remove entry {lineage_digest(lineage)[:12]}... from {salts.name} to divide anew (rows then move)"
        )
    for place, name in enumerate(SPLITS):
        missing = [label for label, count in zip(labels, counts[place], strict=True) if not count]
        if len(missing) == len(labels):
            yield f"{name} is empty; {remedy.replace('rows of that class, merge or remove it', 'rows')}"
        else:
            yield from (
                f"class {label!r} ({counts[:, labels.index(label)].sum()} rows in all) is absent from {name}; {remedy}"
                for label in missing
            )


def _named(counts: Codes, labels: list[str]) -> dict[str, dict[str, int]]:
    return {
        name: {label: int(count) for label, count in zip(labels, counts[place], strict=True)}
        for place, name in enumerate(SPLITS)
    }


def _write(
    settings: Split,
    table: _Table,
    places: Codes,
    lineage: Mapping[str, Any] | None,
    salt: Salt | None,
    splits: Path,
    sealed: Path,
) -> None:
    order, frame = _canonical(table)
    parts, keys = {}, {}
    for place, name in enumerate(SPLITS):
        rows = order[places[order] == place]
        part, path = frame.iloc[rows].reset_index(drop=True), (sealed if name == "test" else splits) / f"{name}.parquet"
        write_frame(path, part)
        counts = np.bincount(table.codes[rows], minlength=len(table.labels))
        classes = {label: int(count) for label, count in zip(table.labels, counts, strict=True)}
        parts[name] = {"rows": len(part), "classes": classes, "digest": digest_table(part)}
        keys[name] = hex_keys(table.names[rows])
    about = {"target": table.schema["target"], "labels": table.labels, "positive": table.schema["positive"]}
    columns = [{"name": c.name, "role": c.role, "kind": c.kind} for c in table.columns if c.role in WRITTEN]
    schema = write_document(splits / "schema.json", "schema", {"format": FORMAT, **about, "columns": columns})
    test = parts.pop("test")
    manifest = {
        "format": FORMAT,
        "method": settings.method,
        "lineage": None if lineage is None else lineage_digest(lineage),
        "salt": None if salt is None else salt.salt,
        "tries": None if salt is None else salt.tries,
        "schema": schema,
        "splits": parts,
    }
    write_document(splits / "manifest.json", "splits", manifest)
    beside = {name: part["digest"] for name, part in parts.items()}
    document = {"format": FORMAT, **about, "schema": schema, "beside": beside, **test, "row_keys": keys["test"]}
    document["table"] = document.pop("digest")
    write_document(sealed / "manifest.json", "sealed", document)


def _canonical(table: _Table) -> tuple[Codes, Any]:
    # The order of rows comes from their keys and the type of a column from its kind, never from rows of another split.
    written = [column for column in table.columns if column.role in WRITTEN]
    frame = convert(table.frame, written).astype({c.name: "float64" for c in written if c.kind == "numeric"})
    rows = content_keys(frame, {column.name: column.kind for column in written})
    return np.lexsort((rows, table.contents, table.names)), frame
