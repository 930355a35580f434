"""Finds rows of a store that cannot be used, and moves them aside: they are kept in a file, and the rest goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, digest, digest_bytes, parse_canonical
from tracker.durable import make_folder, sync_folder, write_whole
from tracker.fields import ROWS, check_foreign
from tracker.records import Proposal, StudySpec, Timing, TrialOutcome, record_from
from tracker.store.database import TABLES, Database, RawRow
from tracker.store.queue import numbered
from tracker.store.store import FILE
from tracker.store.stored import outcome_slot

ASIDE = "aside"  # the folder of what was moved out of the store
# What brings a row back, by its table.
COMES_BACK: Mapping[str, str] = {
    "studies": "`tracker tune` or `tracker pull` stores the study again",
    "proposals": "`tracker tune` proposes the trial again",
    "runs": "`tracker tune` proposes the trial again",
    "rungs": "`tracker tune` decides again which trials stop",
    "outcomes": "`tracker tune` trains the trial again, or `tracker pull` brings it",
    "attempts": "`tracker tune` trains the trial again, or `tracker pull` brings it",
    "provenances": "`tracker tune` trains its trials again, or `tracker pull` brings them",
    "serving": "`tracker tune` stores again what models need",
    "finishes": "`tracker tune` ends the study again",
    "finals": "`tracker sync` takes the result from reports/",
    "retunes": "the next `tracker retune` takes it from reports/retunes.jsonl",
    "looks": "the file in reports/looks is the other copy; without one bring it back from git: a lost look counts as one",
    "selftests": "the next study tests the lanes again",
    "outbox": "`tracker tune` or `tracker sync` queues it again",
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: its table, place and key, and why."""

    table: str
    place: int
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Health:
    """What reading a whole store found: how many rows it has, those that cannot be used, tables from which rows are gone."""

    rows: int
    bad: tuple[BadRow, ...]
    thinned: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.bad and not self.thinned


def examine_store(folder: Path) -> Health:
    """Reads every row of a store, beyond the first that is bad. Raises StoreError where the file itself is damaged."""
    database = Database(folder / FILE)
    try:
        database.require_structure()
        rows = {table: database.raw_rows(table) for table in TABLES}
        bad = _with_what_hangs_on_them(rows, {(row.table, row.place): row for row in _bad_rows(rows)})
        thinned = tuple(table for table in TABLES if not database.tally_holds(table))
    finally:
        database.close()
    return Health(sum(map(len, rows.values())), tuple(bad.values()), thinned)


def mend_store(folder: Path, health: Health, now_s: float) -> Path | None:
    """Moves bad rows into a file beside the store, and counts the rest anew, in one transaction; the file, if there is one.

    Raises StoreError.
    """
    database = Database(folder / FILE)
    try:
        path = _keep(database, folder / ASIDE, health, now_s) if health.bad else None
        database.remove([(row.table, row.place) for row in health.bad], health.thinned)
    finally:
        database.close()
    return path


def _keep(database: Database, folder: Path, health: Health, now_s: float) -> Path:
    """One line of JSON per row, all of its cells as they are; on the disk before anything leaves the store."""
    wanted = {(row.table, row.place): row.why for row in health.bad}
    lines = [
        json.dumps({"table": table, "why": wanted[table, row.place], **row.cells()}) + "\n"
        for table in TABLES
        for row in database.raw_rows(table)
        if (table, row.place) in wanted
    ]
    make_folder(folder)
    path = folder / f"{round(now_s * 1000)}.jsonl"
    write_whole(path, "".join(lines).encode(), 0o600)
    sync_folder(folder)
    return path


def _bad_rows(rows: Mapping[str, list[RawRow]]) -> Iterator[BadRow]:
    for table, found in rows.items():
        for row in found:
            if why := _fault(table, row):
                yield BadRow(table, row.place, row.shown_key, why)


def _fault(table: str, row: RawRow) -> str | None:
    """Why a row cannot be used; None where it can."""
    if not row.is_digested(table):
        return "differs from its digest"
    try:
        value = parse_canonical(row.content)
        ROWS[table](value)
        if (check := CHECKS.get(table)) is not None:
            check(row.text_key, row.text_ref, value)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return f"no sound record ({error})"
    return None


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise ValueError(why)


def _study(key: str, ref: str, value: Any) -> None:
    spec = record_from(StudySpec, value["spec"])
    check_foreign(spec.name, spec.family, spec.sampler["name"])
    _require(spec.key == key and spec.name == ref, "it contradicts its key")


def _proposal(key: str, ref: str, value: Any) -> None:
    proposal = record_from(Proposal, value)
    place = numbered(key.partition("/")[0], proposal.number)
    _require(place == key and proposal.spec.key == ref, "it contradicts its key")


def _outcome(key: str, _: str, value: Any) -> None:
    _require(outcome_slot(record_from(TrialOutcome, value)) == key, "it contradicts its key")


def _attempt(_: str, __: str, value: Any) -> None:
    if value["timing"] is not None:
        record_from(Timing, value["timing"])


# What a row must be beyond its shape; called with its key, its reference and its value.
CHECKS: Mapping[str, Callable[[str, str, Any], None]] = {
    "studies": _study,
    "proposals": _proposal,
    "outcomes": _outcome,
    "attempts": _attempt,
    "provenances": lambda key, _, value: _require(digest("provenance", value) == key, "it contradicts its key"),
    "finals": lambda key, _, value: _require(digest("final", value["final"]) == key, "it contradicts its key"),
    "retunes": lambda key, _, value: _require(digest("retune", value["retune"]) == key, "it contradicts its key"),
    "looks": lambda key, _, value: _require(
        digest_bytes(canonical_json(value) + b"\n") == key, "it contradicts its key"
    ),
}


def _with_what_hangs_on_them(
    rows: Mapping[str, list[RawRow]], bad: dict[tuple[str, int], BadRow]
) -> dict[tuple[str, int], BadRow]:
    """The bad rows, and those that nobody can use without them, so that both are stored anew together."""
    sound = {
        table: {row.text_key: row for row in found if (table, row.place) not in bad} for table, found in rows.items()
    }

    def take(table: str, key: str, why: str) -> None:
        if (row := sound[table].pop(key, None)) is not None:
            bad[table, row.place] = BadRow(table, row.place, key, why)

    for key, row in list(sound["attempts"].items()):
        if parse_canonical(row.content)["provenance"] not in sound["provenances"]:
            take("attempts", key, "what it was computed with is not there")
    for table in ("outcomes", "studies"):
        for key in [key for key in sound[table] if key not in sound["attempts"]]:
            take(table, key, "when and with what it was computed is not there")
    for key, row in list(sound["outbox"].items()):
        value = parse_canonical(row.content)
        subject = value.get("subject", value.get("study"))
        home = {"final": "finals", "retune": "retunes"}.get(key.partition("/")[0], "studies")
        if subject not in sound[home]:
            take("outbox", key, "what it would deliver is not there")
    return bad


def told(health: Health) -> list[str]:
    """What is wrong, a line per table, and how it comes back."""
    counts = Counter(row.table for row in health.bad)
    first = {row.table: row for row in reversed(health.bad)}
    lines = [
        f"{table}: {count} of its rows cannot be used, the first {first[table].key[:80]}: {first[table].why}; "
        f"{COMES_BACK[table]}"
        for table, count in counts.items()
    ]
    return lines + [f"{table}: rows are gone; {COMES_BACK[table]}" for table in health.thinned if table not in counts]
