"""Texts that we put where people write, too (notes, views): ours until somebody touched them, then theirs for ever.

What we wrote is remembered beside it in one tag, as a mark. A text that is there and bears none of our marks was written by
somebody; one that we wrote and that is gone was deleted by somebody. Both are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracker.canonical import digest

SEEDED = "tracker.seeded"  # names of tags with the marks of what we wrote: `mlflow.note.content=0123456789abcdef ...`
ABSENT = "-"


def to_write(present: Mapping[str, str], wanted: Mapping[str, str]) -> list[tuple[str, str]]:
    """The tags to set, in this order, so that all that is wanted and may be written is there; empty where all is.

    First the memory holds the marks before and after, then come the texts, then the memory of these alone: a kill in between
    leaves what the next call takes for ours, whichever it finds.
    """
    ours = _remembered(present.get(SEEDED, ""))
    texts = {name: value for name, value in wanted.items() if _may_write(present, ours, name, value)}
    before = {name: {_mark(present, name), _mark(wanted, name)} for name in texts}
    after = {name: {_mark(wanted, name)} for name in texts}
    if not texts:
        known = {name: _mark(present, name) for name, marks in ours.items() if len(marks) > 1}
        after = {name: {mark} for name, mark in known.items() if mark in ours[name] - {ABSENT}}
        return [(SEEDED, _memory(ours | after))] if after else []
    return [(SEEDED, _memory(ours | before)), *texts.items(), (SEEDED, _memory(ours | after))]


def _may_write(present: Mapping[str, str], ours: Mapping[str, set[str]], name: str, value: str) -> bool:
    return present.get(name) != value and _mark(present, name) in ours.get(name, {ABSENT})


def _mark(texts: Mapping[str, str], name: str) -> str:
    """The mark of a text; an empty one is as good as none."""
    return digest("seeded", texts[name])[:16] if texts.get(name) else ABSENT


def _remembered(text: str) -> dict[str, set[str]]:
    pairs = (word.rpartition("=") for word in text.split())
    return {name: set(marks.split(",")) for name, _, marks in pairs if name}


def _memory(ours: Mapping[str, set[str]]) -> str:
    return " ".join(f"{name}={','.join(sorted(marks))}" for name, marks in sorted(ours.items()))
