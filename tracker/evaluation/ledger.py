"""Keeps the looks at test rows: one file per look, named by its content, with a copy in the store.

The ledger is the union of files and store, so looks taken on several git branches add up. Like commits, a look names
the looks nobody had built on when it was taken; a parent that is in neither place was taken away and counts as a look.
The ledger documents what was looked at; it cannot keep a person with the files from looking.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from tracker.canonical import canonical_json, digest_bytes, parse_canonical
from tracker.errors import InputError, StoreCorrupt, TestLooksSpent
from tracker.evaluation.files import write_durably
from tracker.fields import look as look_shape
from tracker.remedies import stage_command
from tracker.shown import counted

FORMAT = 2  # in format 1 the candidate is called `configuration`
MARK = 16  # hex digits (64 bits) that stand for a row; two of 10^5 rows share them with probability 3e-10
_NAME = re.compile(r"[0-9a-f]{64}\.json")


class LookStore(Protocol):
    """What the ledger needs of the store."""

    def put_look(self, digest: str, look: Mapping[str, Any]) -> None:
        """Keeps a look durably; again with the same digest changes nothing."""

    def looks(self) -> Mapping[str, Mapping[str, Any]]:
        """Every look by its digest."""

    def lock(self, name: str, wait_s: float) -> AbstractContextManager[Any]:
        """Holds a name against other processes. Raises StoreBusy."""


@dataclass(frozen=True, slots=True)
class Look:
    """One candidate (a configuration with its seed) scored on test rows; `rows` are 16 hex digits of each row's key.

    A look that was written in an earlier `format` keeps its bytes, and so its digest.
    """

    candidate: str
    key: str
    study: str
    trial: int
    test_digest: str
    rows: frozenset[str]
    time: str
    user: str | None = None
    parents: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def content(self) -> bytes:
        """The bytes of the look's file; their SHA-256 is its name."""
        value = {
            name: getattr(self, name) for name in ("key", "study", "trial", "test_digest", "time", "format", "user")
        }
        value |= {_candidate_name(self.format): self.candidate, "parents": list(self.parents), "rows": _pack(self.rows)}
        return canonical_json(value) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of `content`, as sha256sum prints for the file."""
        return digest_bytes(self.content)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All looks that files and store know, by digest."""

    looks: Mapping[str, Look]

    @property
    def heads(self) -> tuple[str, ...]:
        """The looks that no other look names as its parent, sorted."""
        named = {parent for look in self.looks.values() for parent in look.parents}
        return tuple(sorted(set(self.looks) - named))

    @property
    def lost(self) -> tuple[str, ...]:
        """Looks that are named as parents and are in neither place, sorted."""
        return tuple(sorted({p for look in self.looks.values() for p in look.parents} - set(self.looks)))

    def at(self, rows: Collection[str]) -> tuple[Look, ...]:
        """The looks that saw any of these rows, in the order of their times."""
        seen = [look for look in self.looks.values() if not look.rows.isdisjoint(rows)]
        return tuple(sorted(seen, key=lambda look: (look.time, look.digest)))

    def count(self, rows: Collection[str]) -> int:
        """Distinct candidates that were scored on any of these rows; a lost look counts as one."""
        return len({look.candidate for look in self.at(rows)}) + len(self.lost)

    def would_spend(self, candidate: str, rows: Collection[str], budget: int) -> bool:
        """Whether scoring a candidate on these rows would take one of `budget` looks: not where it has one, or none is left."""
        return all(look.candidate != candidate for look in self.at(rows)) and self.count(rows) < budget


def mark_rows(row_keys: Iterable[str]) -> frozenset[str]:
    """The marks of test rows from their keys (hex). Raises InputError for a key that is too short."""
    marks = frozenset(key[:MARK] for key in row_keys)
    if any(not re.fullmatch(rf"[0-9a-f]{{{MARK}}}", mark) for mark in marks):
        raise InputError(
            f"test rows need keys of at least {MARK} hex digits; split the data again: {stage_command(stage='split')}"
        )
    return marks


def count_words(row_keys: Sequence[str]) -> str:
    """How many test rows there are, and how many marks, where equal rows share one."""
    distinct = len(mark_rows(row_keys))
    return counted(len(row_keys), "test row") + ("" if distinct == len(row_keys) else f" ({distinct} different ones)")


def join_looks(folder: Path, stored: Mapping[str, Mapping[str, Any]]) -> Ledger:
    """The union of the look files of a folder and the looks of a store; writes nothing.

    Raises StoreCorrupt, naming the file, where a look differs from its digest.
    """
    paths = [path for path in sorted(folder.glob("*.json")) if _NAME.fullmatch(path.name)]
    kept = {
        name: _parse(canonical_json(look) + b"\n", name, f"look {name} in the store") for name, look in stored.items()
    }
    return Ledger({**kept, **{path.stem: _read(path) for path in paths}})


def read_ledger(folder: Path, store: LookStore) -> Ledger:
    """The union of look files and store; what one of them lacks is written back to it. Raises StoreCorrupt."""
    stored = store.looks()
    ledger = join_looks(folder, stored)
    for name, look in ledger.looks.items():
        if name not in stored:
            store.put_look(name, parse_canonical(look.content))
        if not (path := folder / f"{name}.json").exists():
            write_durably(path, look.content)
    return ledger


def record_look(folder: Path, store: LookStore, look: Look, budget: int, clock: Callable[[], float]) -> Ledger:
    """Admits a look and returns the ledger that holds it, in both places and on the disk; the time comes from `clock`.

    A candidate that was looked at on all of these rows is in the ledger already and adds nothing; on further rows
    it adds a file and no count. Raises TestLooksSpent where `budget` other candidates were looked at.
    """
    with store.lock("looks", wait_s=60):
        ledger = read_ledger(folder, store)
        own = [other for other in ledger.at(look.rows) if other.candidate == look.candidate]
        if not own and ledger.count(look.rows) >= budget:
            raise TestLooksSpent(spent_message(ledger, look.rows, budget))
        if any(look.rows <= other.rows and look.test_digest == other.test_digest for other in own):
            return ledger
        taken = _taken(look, ledger.heads, clock())
        store.put_look(taken.digest, parse_canonical(taken.content))
        write_durably(folder / f"{taken.digest}.json", taken.content)
        return Ledger({**ledger.looks, taken.digest: taken})


def spent_message(ledger: Ledger, rows: Collection[str], budget: int) -> str:
    """Which looks were taken when, and how to raise the budget."""
    taken = [
        f"{look.study}/{look.trial} on {look.time}" + (f" by {look.user}" if look.user else "")
        for look in ledger.at(rows)
    ]
    taken += [f"one whose file is gone, {name[:12]}; git may still have it" for name in ledger.lost]
    return (
        f"the budget of {budget} look{'' if budget == 1 else 's'} at these test rows is spent: {'; '.join(taken)}. "
        "To score the newly chosen trial, "
        f"{remedy(ledger, rows)}"
    )


def remedy(ledger: Ledger, rows: Collection[str]) -> str:
    """What a user can do when looks are spent; where rows were added since, that these buy no look."""
    raised = f"raise compare.test_looks in params.yaml to {ledger.count(rows) + 1} (the report shows it)"
    seen = len(frozenset(rows) & {row for look in ledger.at(rows) for row in look.rows})
    if 0 < seen < len(rows):
        return (
            f"{raised}: {len(rows) - seen} of the {len(rows)} test rows are new, but {seen} were scored before, and "
            "a row that is added buys no new look"
        )
    return f"{raised}, or bring a table whose rows nobody has seen"


def _taken(look: Look, parents: tuple[str, ...], time_s: float) -> Look:
    time = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return replace(look, time=time, parents=parents)


def _read(path: Path) -> Look:
    try:
        return _parse(path.read_bytes(), path.stem, str(path))
    except OSError as error:
        raise StoreCorrupt(f"{path}: cannot be read ({error.strerror})") from None


def _parse(content: bytes, name: str, place: str) -> Look:
    if digest_bytes(content) != name:
        raise StoreCorrupt(
            f"{place}: its content differs from its name; bring it back from git (git checkout -- FILE), or delete the "
            "file: `tracker sync` writes the store's copy, where there is one"
        )
    try:
        value = parse_canonical(content)
        look_shape(value)
        if value["format"] not in {1, FORMAT}:
            raise StoreCorrupt(f"{place}: format {value['format']!r} is newer than this release; upgrade repro-tracker")
        value |= {"rows": _unpack(value["rows"], place), "parents": tuple(value["parents"])}
        candidate = value.pop(_candidate_name(value["format"]))
        return Look(candidate=candidate, **value)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(
            f"{place}: not a look ({error}); bring it back from git (git checkout -- FILE), or delete it"
        ) from None


def _candidate_name(form: int) -> str:
    return "configuration" if form == 1 else "candidate"


def _pack(rows: frozenset[str]) -> str:
    return base64.b64encode(bytes.fromhex("".join(sorted(rows)))).decode()


def _unpack(text: str, place: str) -> frozenset[str]:
    try:
        content = base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        raise StoreCorrupt(f"{place}: its rows cannot be read") from None
    return frozenset(content[i : i + MARK] for i in range(0, len(content), MARK))
