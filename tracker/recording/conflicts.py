"""Turns two records under one key into an error that says what differs, if anything does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracker.canonical import canonical_json
from tracker.errors import ReplayError
from tracker.records import Proposal, TrialOutcome, record_json


def refuse_other_proposal(given: Proposal, stored: Proposal) -> None:
    """Raises ReplayError when a trial number is proposed with other values than were logged."""
    differences = list(_differences(record_json(stored), record_json(given), ""))
    if differences:
        raise ReplayError(
            f"trial {given.number}: the sampler now proposes something else than was logged: "
            f"{'; '.join(differences)[:1000]}. The study cannot go on under this key; "
            "use the library versions it was begun with, or give the study a new name"
        )


def refuse_other_outcome(given: TrialOutcome, stored: TrialOutcome) -> None:
    """Raises ReplayError when a trial that has an outcome comes back with another one."""
    if given.digest != stored.digest:
        differences = list(_differences(record_json(stored), record_json(given), ""))
        raise ReplayError(
            f"trial {given.key}: was computed again and differs from what is stored: {'; '.join(differences)[:1000]}. "
            "The stored outcome stays; `tracker reproduce` looks for the cause"
        )


def _differences(stored: Any, given: Any, place: str) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        for name in sorted(set(stored) | set(given)):
            yield from _differences(stored.get(name), given.get(name), f"{place}.{name}".lstrip("."))
    elif canonical_json(stored) != canonical_json(given):
        yield f"{place} was {stored!r}, is {given!r}"
