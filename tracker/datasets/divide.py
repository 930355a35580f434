"""Decides which split every row of a prepared table goes to, with what speaks against it; writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import Split
from tracker.datasets.assign import (
    PROMOTION,
    SELECTION,
    SPLITS,
    Clusters,
    Codes,
    choose_salt,
    cluster,
    count_classes,
    place_rows,
    set_aside,
)
from tracker.datasets.check import unknown_column
from tracker.datasets.check_writing import rows_of
from tracker.datasets.declared import check_duplicates, place_by_column, place_by_time
from tracker.datasets.keys import Keys, content_keys, text_keys
from tracker.datasets.salts import Salt, lineage_digest, read_salts
from tracker.datasets.schema import Column, as_text
from tracker.datasets.shaped import shape_faults
from tracker.datasets.window import Forgetting, forget
from tracker.errors import ConfigError, DataError
from tracker.shown import counted

OFF = 0.05  # a split this far from the fraction asked for is worth a warning
MANY_ALIKE = 0.5  # a table in which fewer rows than this are different is worth one, too
FEW = 20  # what stays together and stands in test: below this number scores say little, however many the rows are
FEW_OF_CLASS = 5  # rows of a class in a split below which its scores say little
FEW_TO_JUDGE = 50  # rows for promotion below which hardly any challenger can be told from a champion
ROLES = {"group": "group", "time": "time", "column": "split"}  # of the column that a method goes by


@dataclass(frozen=True, slots=True)
class Table:
    """A prepared table on its way: typed cells, roles, and per row the code of its label and its keys.

    `names` are the keys by which rows are placed (of their id, group or features), `contents` those of their features.
    """

    frame: Any
    columns: list[Column]
    schema: Mapping[str, Any]
    codes: Codes
    names: Keys
    contents: Keys

    @property
    def labels(self) -> list[str]:
        """The labels in the order of their codes."""
        return list(self.schema["labels"])

    def within(self, window: Forgetting | None) -> Table:
        """The rows that a window keeps."""
        if window is None:
            return self
        frame, kept = self.frame[window.kept].reset_index(drop=True), window.kept
        return replace(self, frame=frame, codes=self.codes[kept], names=self.names[kept], contents=self.contents[kept])


@dataclass(frozen=True, slots=True)
class Division:
    """The split of every row (`places`, an index of SPLITS), and which rows stay together (`clusters`, a number per row).

    `salt` and `lineage` are None where the table itself declares its split; `known` says that the salt was there before.
    With `split.promotion` there is a part behind the last of SPLITS: rows that would be validation. With `split.window` it
    divides the rows that `window` keeps, and only those have a place in `places` and `clusters`. With `split.selection` some
    validation rows only rank (a truth value per row); None: all of them do everything.
    """

    places: Codes
    clusters: Codes
    salt: Salt | None
    lineage: Mapping[str, Any] | None
    known: bool
    warnings: tuple[str, ...]
    parts: tuple[str, ...] = SPLITS
    window: Forgetting | None = None
    selection: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    def within(self, window: Forgetting) -> Division:
        """The division of the rows that a window keeps, each where it is among all rows."""
        kept = window.kept
        ranking = None if self.selection is None else self.selection[kept]
        return replace(self, places=self.places[kept], clusters=self.clusters[kept], window=window, selection=ranking)


def read_rows(settings: Split, frame: Any, schema: Mapping[str, Any]) -> Table:
    """What a split needs of a prepared table and its schema (target, id, labels, columns). Raises InputError."""
    columns = _assign_roles([Column(**entry) for entry in schema["columns"]], settings, frame)
    kinds = {column.name: column.kind for column in columns if column.role == "feature"}
    if not kinds:
        raise DataError("no column is left as a feature beside the one that decides the split")
    if schema.get("shape") is not None and (faults := list(shape_faults(schema["shape"], kinds))):
        raise DataError(faults)
    contents = content_keys(frame, kinds)
    named_by = settings.group if settings.method == "group" else schema["id"]
    names = contents if named_by is None else text_keys(as_text(frame[named_by]), "name")
    code = {label: place for place, label in enumerate(schema["labels"])}
    codes = np.array([code[label] for label in frame[schema["target"]]], dtype=np.int64)
    return Table(frame, columns, schema, codes, names, contents)


def divide(settings: Split, seed: int, table: Table, salts: Path) -> Division:
    """Where every row goes: by the salt that is kept in the file `salts`, by a new one, or as the table declares it.

    Raises InputError with every fault, also where a split lacks a class.
    """
    if settings.method in {"time", "column"}:
        division = _declared(settings, table)
    else:
        division = _by_hash(settings, seed, table, read_salts(salts), salts)
    division = replace(division, warnings=(*division.warnings, *_labelled_twice(table)))
    if settings.promotion:
        division = _without_promotion(settings, seed, table, division)
    if settings.selection:
        rows = set_aside(table.names, division.clusters, division.places, settings.selection, seed, SELECTION)
        few_left = _few_in_selection(division.places, rows, settings)
        division = replace(division, selection=rows, warnings=(*division.warnings, *few_left))
    if settings.window is not None:  # behind all else: a row in test because of an old equal stays out of train
        window = forget(settings.window, table.frame, table.schema["columns"])
        young = _with_all_classes(table, window)
        thinned = list(_thinned_by(window, table, division))
        division, table = division.within(window), young
        division = replace(division, warnings=(*division.warnings, *thinned))
    if settings.promotion and (few := int((division.places == len(SPLITS)).sum())) < FEW_TO_JUDGE:
        told = f"only {few} rows for promotion: champion and challenger can hardly be told apart"
        division = replace(division, warnings=(*division.warnings, told))
    if faults := list(_absent(settings, table, division, salts)):
        raise DataError(faults)
    return division


def _few_in_selection(places: Codes, ranks: np.ndarray[Any, np.dtype[np.bool_]], settings: Split) -> Iterator[str]:
    """Where too few validation rows rank, or too few are left that stop."""
    validation = places == 1
    for words, rows in (("rank trials", validation & ranks), ("stop training", validation & ~ranks)):
        if (few := int(rows.sum())) < FEW:
            share = f"split.selection: {settings.selection:g}"
            yield f"only {few} validation rows {words} ({share}): scores vary as those of {few} rows would"


def _thinned_by(window: Forgetting, table: Table, division: Division) -> Iterator[str]:
    """Classes of which a window leaves a split fewer than FEW_OF_CLASS rows, where it had more."""
    before = count_classes(division.places, table.codes, len(division.parts))
    after = count_classes(division.places[window.kept], table.codes[window.kept], len(division.parts))
    for place, part in enumerate(division.parts):
        for label, held, left in zip(table.labels, before[place], after[place], strict=True):
            if 0 < left < FEW_OF_CLASS <= held:
                rows = f"{counted(int(left), 'row')} of class {label!r}"
                yield f"split.window leaves {rows} in {part}, of {held} before; a wider one keeps more"


def _with_all_classes(table: Table, window: Forgetting) -> Table:
    """The rows that a window keeps. Raises DataError where a class has none."""
    young = table.within(window)
    if missing := [label for place, label in enumerate(table.labels) if place not in young.codes]:
        raise DataError(
            f"split.window: no row of class {', '.join(map(repr, missing))} is left ({window.line()}); choose a wider one"
        )
    return young


def _without_promotion(settings: Split, seed: int, table: Table, division: Division) -> Division:
    """The division with a share of its validation rows in a part of their own."""
    aside = set_aside(table.names, division.clusters, division.places, settings.promotion, seed)
    return replace(division, places=np.where(aside, len(SPLITS), division.places), parts=(*SPLITS, PROMOTION))


def split_column(settings: Split) -> str | None:
    """The column that a method goes by, which is no feature; None where rows go by their id or their features."""
    return settings.group if settings.method == "group" else settings.column if settings.method in ROLES else None


def _assign_roles(columns: list[Column], settings: Split, frame: Any) -> list[Column]:
    role = ROLES.get(settings.method)
    if role is None:
        return columns
    place, name = "group" if role == "group" else "column", split_column(settings)
    if name not in frame:
        raise DataError(unknown_column(f"params.yaml: split.{place}", str(name), frame.columns))
    if any(column.name == name and column.role == "target" for column in columns):
        raise ConfigError(f"split.{place}: {name!r} is the target; rows cannot be divided by what is predicted")
    if role == "group" and frame[name].isna().any():
        raise DataError(f"column {name!r} (group), {rows_of(frame[name].isna())}: no group; fill in or remove")
    return [replace(column, role=role, kind="text") if column.name == name else column for column in columns]


def _declared(settings: Split, table: Table) -> Division:
    if settings.method == "time":
        [column] = [Column(**entry) for entry in table.schema["columns"] if entry["name"] == settings.column]
        places = place_by_time(settings, table.frame, column)
    else:
        places = place_by_column(settings, table.frame)
    if settings.duplicates == "free":
        return Division(places, np.arange(len(places)), None, None, False, ())
    check_duplicates(table.contents, places)
    clusters = cluster(table.contents, None)
    return Division(places, clusters.of_row, None, None, False, tuple(_alike(table, places, clusters.of_row)))


def _by_hash(settings: Split, seed: int, table: Table, known: Mapping[str, Any], salts: Path) -> Division:
    lineage = _lineage(settings, seed, table, known)
    clusters = cluster(table.names, table.contents if lineage["duplicates"] == "together" else None)
    _require_enough(settings, len(np.unique(clusters.of_name)), lineage)
    entry = known.get(lineage_digest(lineage))
    if entry is None:
        salt = Salt(*choose_salt(clusters, table.codes, settings.validation, settings.test, seed))
    else:
        salt = Salt(entry["salt"], entry["tries"])
    places = place_rows(clusters, salt.salt, settings.validation, settings.test)
    warnings = [
        *_lineage_warnings(known, entry is None, salts),
        *_size_warnings(settings, places),
        *_group_warnings(settings, table, places, clusters, lineage, salts),
        *_alike(table, places, clusters.of_row, "groups" if settings.method == "group" else ""),
    ]
    return Division(places, clusters.of_row, salt, lineage, entry is not None, tuple(warnings))


def _require_enough(settings: Split, count: int, lineage: Mapping[str, Any]) -> None:
    """Raises DataError where what must stay together cannot fill every split, whatever its classes are."""
    if count < len(SPLITS):
        what = "groups" if settings.method == "group" else "different rows"
        also = (
            " (equal rows stay together; split.duplicates: free lets them go)"
            if lineage["duplicates"] == "together"
            else ""
        )
        raise DataError(f"{count} {what} cannot fill {', '.join(SPLITS)}; give at least {len(SPLITS)}{also}")


def _lineage(settings: Split, seed: int, table: Table, known: Mapping[str, Any]) -> dict[str, Any]:
    # Rows with names of their own keep them when a column comes or a cell is mended; rows without are what they hold.
    named = settings.method == "group" or table.schema["id"] is not None
    features = {column.name: column.kind for column in table.columns if column.role == "feature"}
    lineage = {
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
    if settings.method == "group" and lineage_digest(lineage) not in known:
        lineage["duplicates"] = (
            "free"  # groups alone decide; a project whose groups were joined keeps its rows in place
        )
    return lineage


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


def _group_warnings(
    settings: Split, table: Table, places: Codes, clusters: Clusters, lineage: Mapping[str, Any], salts: Path
) -> Iterator[str]:
    """Equal rows in several groups: in several splits as well, or groups that an earlier release joined because of them."""
    if settings.method != "group" or settings.duplicates == "free":
        return
    groups = len(clusters.names)
    if lineage["duplicates"] == "together":
        if (joined := groups - int(clusters.of_name.max()) - 1) > 0:
            yield (
                f"{groups} groups move as {groups - joined}, because an earlier release joined groups that have equal rows; "
                f"to let groups alone decide, remove entry {lineage_digest(lineage)[:12]}... from {salts.name} (rows then move)"
            )
        return
    apart = _differ_within(table.contents, clusters.of_row)
    if apart.any():
        elsewhere = int(_differ_within(table.contents, places).sum())
        yield (
            f"{int(apart.sum())} rows have equals in another group, {elsewhere} of them in another split: groups alone decide; "
            "if such groups belong together, give them one name; if not, split.duplicates: free says so"
        )


def _differ_within(contents: Keys, values: Codes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows have an equal with another value."""
    _, content = np.unique(contents, return_inverse=True)
    low, high = np.full(content.max() + 1, values.max()), np.full(content.max() + 1, -1)
    np.minimum.at(low, content, values)
    np.maximum.at(high, content, values)
    differ: np.ndarray[Any, np.dtype[np.bool_]] = (low != high)[content]
    return differ


def _labelled_twice(table: Table) -> Iterator[str]:
    """Rows that no model can tell apart, although their labels differ."""
    differ = _differ_within(table.contents, table.codes)
    if differ.any():
        first = int(differ.argmax())
        others = (table.contents == table.contents[first]) & (table.codes != table.codes[first])
        yield (
            f"{int(differ.sum())} rows have an equal, in every feature, with another label (first rows {first + 1} and "
            f"{int(others.argmax()) + 1} of the prepared table): no model can be right about all of them; mend the labels, or "
            "add a column that tells them apart"
        )


def _alike(table: Table, places: Codes, clusters: Codes, what: str = "") -> Iterator[str]:
    """Where scores rest on few rows that differ, or on few groups, however many rows there are."""
    tested = len(np.unique(clusters[places == 2]))
    rows, different = len(places), len(np.unique(table.contents))
    if different < MANY_ALIKE * rows:
        in_test = len(np.unique(table.contents[places == 2]))
        yield f"of {rows} rows only {different} are different, {in_test} of them in test: scores say little about other rows"
    elif tested < FEW and tested < MANY_ALIKE * (places == 2).sum():
        yield f"test holds {tested} {what or 'different rows'}: scores vary as those of {counted(tested, 'row')} would"


def _absent(settings: Split, table: Table, division: Division, salts: Path) -> Iterator[str]:
    counts = count_classes(division.places, table.codes, len(division.parts))
    remedy = _remedy(settings, division, salts)
    for place, name in enumerate(SPLITS):
        missing = [label for label, count in zip(table.labels, counts[place], strict=True) if not count]
        if len(missing) == len(table.labels):
            yield f"{name} is empty; {remedy.replace('rows of that class, merge or remove it', 'rows')}"
        else:
            yield from (
                f"class {label!r} ({_held(settings, table, label)}) is absent from {name}; {remedy}"
                for label in missing
            )
    if division.selection is not None:
        yield from _absent_from_selection(table, division, division.selection)


def _absent_from_selection(
    table: Table, division: Division, selection: np.ndarray[Any, np.dtype[np.bool_]]
) -> Iterator[str]:
    for words, rows in (("rank", selection), ("stop", ~selection)):
        held = np.bincount(table.codes[(division.places == 1) & rows], minlength=len(table.labels))
        yield from (
            f"class {label!r} is absent from the validation rows that {words}; change split.selection, or take it out"
            for label, count in zip(table.labels, held, strict=True)
            if not count
        )


def _held(settings: Split, table: Table, label: str) -> str:
    """How many rows a class has, and in how many groups they are."""
    held = table.codes == table.labels.index(label)
    rows, groups = int(held.sum()), len(np.unique(table.names[held]))
    within = f", in {counted(groups, 'group')}" if settings.method == "group" else ""
    return f"{counted(rows, 'row')} in all{within}"


def _remedy(settings: Split, division: Division, salts: Path) -> str:
    lineage = division.lineage
    remedy = {
        "time": "choose other dates in split.validation_from and split.test_from, or add rows",
        "column": f"give column {settings.column!r} rows of every class for every split",
        "group": "add groups with rows of that class, merge or remove it, or raise split.validation and split.test",
    }.get(settings.method, "add rows of that class, merge or remove it, or raise split.validation and split.test")
    remedy += "" if division.window is None else f"; or widen split.window ({division.window.line()})"
    if lineage is not None and lineage["duplicates"] == "together":
        remedy += "; where equal rows need not stay together: split.duplicates: free"
    if lineage is not None and division.known:
        remedy += (
            f"; or remove entry {lineage_digest(lineage)[:12]}... from {salts.name} to divide anew (rows then move)"
        )
    return remedy
