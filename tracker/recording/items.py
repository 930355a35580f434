"""Turns what must reach MLflow into names that stay the same for ever, so that nothing is delivered twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracker.recording.database import Row, Writer


@dataclass(frozen=True, slots=True)
class Item:
    """One record on its way: kind `study` (its start), `trial`, `finish` or `final`, by its place in the queue.

    `study` is the key of the study; for a final result it is the digest of that result.
    """

    place: int
    name: str
    kind: str
    study: str
    number: int | None


def item_of(row: Row) -> Item:
    """The item that a row of the outbox stands for."""
    return Item(row.place, row.key, row.key.split("/", 1)[0], row.value["study"], row.value["number"])


def numbered(study_key: str, number: int) -> str:
    """The key of something that a study has by number; text order is number order."""
    return f"{study_key}/{number:08d}"


def trial_name(study_key: str, number: int) -> str:
    """The item name of a trial."""
    return f"trial/{numbered(study_key, number)}"


def queue_study(writer: Writer, study_key: str) -> None:
    """Queues the start of a study."""
    _queue(writer, f"study/{study_key}", study_key)


def queue_trial(writer: Writer, study_key: str, number: int) -> None:
    """Queues a trial."""
    _queue(writer, trial_name(study_key, number), study_key, number)


def queue_finish(writer: Writer, study_key: str, times: int) -> None:
    """Queues the end of a study, which it reaches again whenever it is extended."""
    _queue(writer, f"finish/{numbered(study_key, times)}", study_key)


def queue_final(writer: Writer, digest: str) -> None:
    """Queues a final result."""
    _queue(writer, f"final/{digest}", digest)


def _queue(writer: Writer, name: str, study: str, number: int | None = None) -> None:
    value: dict[str, Any] = {"study": study, "number": number}
    writer.insert("outbox", name, value)
