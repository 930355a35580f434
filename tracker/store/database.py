"""Keyed canonical values as durable, digested rows of one SQLite file.

The file only grows: a row is never changed. Each row carries the SHA-256 of its table, key, reference and content; each
table a count and a sum of those digests, so that `check` also sees a row that is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tracker.canonical import canonical_json, parse_canonical
from tracker.durable import lock_file, make_folder, sync_folder
from tracker.errors import StoreBusy, StoreCorrupt, StoreError
from tracker.fields import ROWS

VERSION = 3
TABLES = (
    "studies",
    "proposals",
    "runs",
    "rungs",
    "outcomes",
    "attempts",
    "provenances",
    "serving",
    "finishes",
    "finals",
    "looks",
    "selftests",
    "outbox",
    "retunes",
)
BUSY_S = 60.0
_COLUMNS = "id, key, ref, content, sha256"
_REMEDY = "restore it from a copy, or move it away: the next run derives every trial again"
_REMEDY_ROW = "`tracker doctor --repair` moves the row aside, or restore the file from a copy"


class Row(NamedTuple):
    """One row: its place in the order of writing, its key, what it refers to, its value."""

    place: int
    key: str
    ref: str
    value: Any


class RawRow(NamedTuple):
    """One row as its cells are, whatever they hold."""

    place: int
    key: Any
    ref: Any
    content: Any
    sha256: Any

    @property
    def text_key(self) -> str:
        """Its key, of a row whose digest holds."""
        return text(self.key)

    @property
    def text_ref(self) -> str:
        """Its reference, of a row whose digest holds."""
        return text(self.ref)

    @property
    def shown_key(self) -> str:
        """Its key, which may be damaged."""
        return _shown(self.key)

    def is_digested(self, table: str) -> bool:
        """Whether its cells are those that its digest was made of."""
        try:
            return _sha256(table, text(self.key), text(self.ref), self.content) == text(self.sha256)
        except (UnicodeDecodeError, AttributeError, TypeError):
            return False

    def cells(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {name: _shown(value) for name, value in self._asdict().items()}


class Database:
    """The SQLite file of a store; every fault leaves it as one of the project's own errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: Writer | None = None
        try:
            _create(path)
        except OSError as error:  # not even to be looked at
            raise _translate(path, error) from error
        with self._translated():
            self._link = _connect(path)
            if self._version() < VERSION:
                self._upgrade()

    def close(self) -> None:
        """Closes the file."""
        self._link.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """One durable transaction: all that is inserted inside is kept, or nothing. Inside another one it is part of that."""
        if self._writer is not None:
            yield self._writer
            return
        with self._translated():
            self._link.execute("BEGIN IMMEDIATE")
            try:
                self._writer = writer = Writer(self, self._link)
                yield writer
                writer.write_tallies()
                self._link.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._link.execute("ROLLBACK")
                raise
            finally:
                self._writer = None

    def rows(self, table: str, prefix: str = "", after: int = 0) -> list[Row]:
        """The rows whose key starts with `prefix`, written after place `after`, in the order of keys."""
        query = f"SELECT {_COLUMNS} FROM {table} WHERE key >= ? AND key < ? AND id > ? ORDER BY key"  # noqa: S608  table is one of TABLES
        with self._translated():
            found = self._link.execute(query, (prefix, prefix + "\x7f", after)).fetchall()
        return [self._checked(table, row) for row in found]

    def get(self, table: str, keys: Sequence[str], column: str = "key") -> list[Row]:
        """The rows with these keys (or references), those that are there, in the order of keys."""
        found: list[Any] = []
        with self._translated():
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT {_COLUMNS} FROM {table} WHERE {column} IN ({marks}) ORDER BY key"  # noqa: S608
                found.extend(self._link.execute(query, list(part)).fetchall())
        return [self._checked(table, row) for row in found]

    def check(self) -> int:
        """Reads every row and the structure of the file; the number of rows. Raises StoreCorrupt."""
        self.require_structure()
        return sum(self._check_table(table) for table in TABLES)

    def require_structure(self) -> None:
        """Raises StoreCorrupt where the file itself is damaged, not only a row."""
        with self._translated():
            faults = [text(row[0]) for row in self._link.execute("PRAGMA integrity_check").fetchall()]
        if faults != ["ok"]:
            raise StoreCorrupt(f"{self.path}: damaged ({faults[0]}); {_REMEDY}")

    def _check_table(self, table: str) -> int:
        rows = self.rows(table)
        if not self.tally_holds(table):
            raise StoreCorrupt(f"{self.path}: rows of table {table} are missing; `tracker doctor` says what follows")
        return len(rows)

    def tally_holds(self, table: str) -> bool:
        """Whether a table has all rows that it ever had."""
        with self._translated():
            tally = self._link.execute("SELECT rows, total FROM tallies WHERE name = ?", (table,)).fetchone()
        told = (0, "0" * 64) if tally is None else (tally[0], _shown(tally[1]))
        return told == self._tally(table)

    def _tally(self, table: str) -> tuple[int, str]:
        rows = self.raw_rows(table)
        digests = [_shown(row.sha256) for row in rows]
        total = sum(int(one, 16) for one in digests if re.fullmatch(r"[0-9a-f]{64}", one))
        return len(rows), f"{total % 2**256:064x}"

    def raw_rows(self, table: str) -> list[RawRow]:
        """The rows of a table, sound or not, in the order of writing."""
        query = f"SELECT {_COLUMNS} FROM {table} ORDER BY id"  # noqa: S608
        with self._translated():
            return [RawRow(*row) for row in self._link.execute(query).fetchall()]

    def remove(self, places: Sequence[tuple[str, int]], counted_anew: Collection[str]) -> None:
        """Takes rows out, by table and place, and counts what is left of their tables and of others, in one transaction."""
        with self.writing():
            for table, place in places:
                self._link.execute(f"DELETE FROM {table} WHERE id = ?", (place,))  # noqa: S608
            for table in {*counted_anew, *(table for table, _ in places)}:
                query = "INSERT OR REPLACE INTO tallies (name, rows, total) VALUES (?, ?, ?)"
                self._link.execute(query, (table, *self._tally(table)))

    def _checked(self, table: str, row: tuple[int, Any, Any, Any, Any]) -> Row:
        place, key, ref, content, _ = raw = RawRow(*row)
        if not raw.is_digested(table):
            raise self.damaged(table, _shown(key), "differs from its digest")
        try:
            value = parse_canonical(content)
            ROWS[table](value)
        except ValueError as error:
            raise self.damaged(table, text(key), f"no sound record ({error})") from None
        return Row(place, text(key), text(ref), value)

    def damaged(self, table: str, key: str, why: str) -> StoreCorrupt:
        """The error for a row that cannot be used, though the rest of the file can."""
        return StoreCorrupt(f"{self.path}: table {table}, key {key[:100]}: {why}; {_REMEDY_ROW}")

    def _version(self) -> int:
        found = self._link.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        try:
            version = int(found[0])
        except (TypeError, ValueError):
            raise StoreCorrupt(f"{self.path}: has no readable version; {_REMEDY}") from None
        if version > VERSION:
            raise StoreError(
                f"{self.path}: has version {version}, written by a newer release; this one knows up to {VERSION}: "
                "upgrade repro-tracker, or use another folder"
            )
        return version

    def _upgrade(self) -> None:
        """Takes an older file to this version in place, step by step, in one transaction; nothing is deleted."""
        self._link.execute("BEGIN EXCLUSIVE")
        try:
            for version in range(self._version(), VERSION):  # another command may have been first
                UPGRADES[version](self._link)
                self._link.execute("UPDATE meta SET value = ? WHERE name = 'version'", (str(version + 1),))
            self._link.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._link.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(self.path, error) from error


class Writer:
    """Inserts rows inside one transaction and keeps the tallies."""

    def __init__(self, database: Database, link: sqlite3.Connection) -> None:
        self._database = database
        self._link = link
        self._added: dict[str, list[int]] = {}

    def insert(self, table: str, key: str, value: Any, ref: str = "") -> bool:
        """Adds a row unless the key is there; whether it was added. Equality of content is the caller's to check.

        Raises StoreError for a row that could not be read back: it would make the store unusable.
        """
        if not isinstance(key, str) or not isinstance(ref, str):
            raise StoreError(f"{self._database.path}: table {table}: the key {key!r} of {ref!r} is no text; not stored")
        try:
            ROWS[table](value)
        except ValueError as error:
            raise StoreError(f"{self._database.path}: table {table}, key {key[:100]}: {error}; not stored") from None
        content = canonical_json(value)
        sha256 = _sha256(table, key, ref, content)
        query = f"INSERT INTO {table} (key, ref, content, sha256) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
        added = self._link.execute(query, (key, ref, content.decode(), sha256)).rowcount
        if added:
            self._added.setdefault(table, []).append(int(sha256, 16))
        return bool(added)

    def write_tallies(self) -> None:
        """Brings count and sum of every table that grew up to date."""
        for table, digests in self._added.items():
            rows, total = self._link.execute("SELECT rows, total FROM tallies WHERE name = ?", (table,)).fetchone()
            total = (int(total, 16) + sum(digests)) % 2**256
            self._link.execute(
                "UPDATE tallies SET rows = ?, total = ? WHERE name = ?", (rows + len(digests), f"{total:064x}", table)
            )


def text(value: Any) -> str:
    """A text cell as read (bytes, so that a damaged one reaches its digest and not a decoder)."""
    decoded: str = value.decode()
    return decoded


def _shown(value: Any) -> str:
    """A cell that may be damaged."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _sha256(table: str, key: str, ref: str, content: bytes) -> str:
    head = canonical_json([table, key, ref]) + b"\n"
    return hashlib.sha256(head + content).hexdigest()


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    link = sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_S)
    link.text_factory = bytes
    try:
        # EXTRA is FULL plus a sync of the folder after the journal is gone: without it a power cut can undo a commit.
        for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "fullfsync=ON", "trusted_schema=OFF"):
            link.execute(f"PRAGMA {pragma}")
    except BaseException:
        link.close()
        raise
    return link


def _create(path: Path) -> None:
    """Lets the whole file appear at once, so that an empty or half one is damage and never taken for a new store."""
    if path.exists():
        return
    make_folder(path.parent)
    with lock_file(path.parent / "locks", "create", BUSY_S):
        if path.exists():
            return
        aside = path.with_name(path.name + ".new")
        try:
            for leftover in (aside, aside.with_name(aside.name + "-journal")):
                leftover.unlink(missing_ok=True)
            os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            _write_schema(aside)
            aside.rename(path)
            sync_folder(path.parent)
        except (OSError, sqlite3.Error) as error:
            raise _translate(path, error) from error


def _write_schema(path: Path) -> None:
    link = _connect(path)
    try:
        link.execute("BEGIN IMMEDIATE")
        link.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        link.execute("INSERT INTO meta VALUES ('version', ?)", (str(VERSION),))
        link.execute("CREATE TABLE tallies (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, total TEXT NOT NULL)")
        for table in TABLES:
            _make_table(link, table)
        link.execute("COMMIT")
    finally:
        link.close()


def _make_table(link: sqlite3.Connection, table: str) -> None:
    link.execute(
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, ref TEXT NOT NULL, "
        "content TEXT NOT NULL, sha256 TEXT NOT NULL)"
    )
    link.execute("INSERT INTO tallies VALUES (?, 0, ?)", (table, "0" * 64))
    if table in {"proposals", "runs"}:
        link.execute(f"CREATE INDEX {table}_by_trial ON {table} (ref)")


def _from_1_to_2(link: sqlite3.Connection) -> None:
    """Records of format `tracker/1` have other keys: their tables stay under another name; looks and self-tests go on."""
    link.execute("DROP INDEX IF EXISTS proposals_by_trial")
    for table in (
        "studies",
        "proposals",
        "outcomes",
        "attempts",
        "provenances",
        "serving",
        "finishes",
        "finals",
        "outbox",
    ):
        link.execute(f"ALTER TABLE {table} RENAME TO format_1_{table}")
        link.execute("UPDATE tallies SET name = ? WHERE name = ?", (f"format_1_{table}", table))
        _make_table(link, table)
    for table in ("runs", "rungs"):
        _make_table(link, table)


UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {
    1: _from_1_to_2,
    2: lambda link: _make_table(link, "retunes"),
}


def _translate(path: Path, error: Exception) -> StoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(f"{path}: another command has been writing for {BUSY_S:.0f} s; wait until it ends")
    if name == "SQLITE_READONLY_DBMOVED":
        return StoreError(
            f"{path}: was moved or deleted while this command ran; bring it back, or run the same command again: it begins anew"
        )
    if name.startswith("SQLITE_FULL"):
        return StoreError(f"{path}: the disk is full; free some space and run the same command again")
    if isinstance(error, OSError) or name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError(f"{path}: cannot be written ({error}); make the file and its folder writable for this user")
    if name.startswith(("SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_INTERRUPT")):
        return StoreError(f"{path}: the disk or system failed ({error}); run the same command again when it is sound")
    return StoreCorrupt(f"{path}: not a readable store ({error}); {_REMEDY}")
