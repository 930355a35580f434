"""The names of what must reach MLflow, the same for ever, so that nothing is delivered twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracker.store.database import Row, Writer


@dataclass(frozen=True, slots=True)
class Item:
    """One record on its way, by its place in the queue; `kind` is a row of `kinds.KINDS`.

    `subject` is what the record is about: the key of a study (with the `number` of a trial), the digest of a final result.
    """

    place: int
    name: str
    kind: str
    subject: str
    number: int | None


def item_of(row: Row) -> Item:
    """The item that a row of the outbox stands for; release 0.1 called every subject `study`."""
    subject = row.value["subject" if "subject" in row.value else "study"]
    return Item(row.place, row.key, row.key.split("/", 1)[0], subject, row.value["number"])


def numbered(study_key: str, number: int) -> str:
    """The key of something that a study has by number; text order is number order."""
    return f"{study_key}/{number:08d}"


def trial_name(study_key: str, number: int) -> str:
    """The item name of a trial."""
    return f"trial/{numbered(study_key, number)}"


def queue_study(writer: Writer, study_key: str) -> None:
    """Queues the start of a study."""
    queue(writer, f"study/{study_key}", study_key)


def queue_trial(writer: Writer, study_key: str, number: int) -> None:
    """Queues a trial."""
    queue(writer, trial_name(study_key, number), study_key, number)


def queue_finish(writer: Writer, study_key: str, times: int) -> None:
    """Queues the end of a study, which it reaches again whenever it is extended."""
    queue(writer, f"finish/{numbered(study_key, times)}", study_key)


def queue_final(writer: Writer, digest: str) -> None:
    """Queues a final result."""
    queue(writer, f"final/{digest}", digest)


def queue(writer: Writer, name: str, subject: str, number: int | None = None) -> None:
    """Queues a record under its name, which begins with its kind; a name that is there stays as it is."""
    value: dict[str, Any] = {"subject": subject, "number": number}
    writer.insert("outbox", name, value)
