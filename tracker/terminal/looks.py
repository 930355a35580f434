"""Turns the ledger of looks into lines: who looked at what when, what is spent, what the next look would cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tracker.columns import align
from tracker.config import Compare
from tracker.errors import TrackerError
from tracker.evaluation.compare import known_looks, present_rows, present_words
from tracker.evaluation.final import chosen_candidate, chosen_run
from tracker.evaluation.ledger import Ledger, Look
from tracker.evaluation.sureness import place
from tracker.paths import Paths
from tracker.shown import counted

SHORT = 12  # characters of a digest


def look_lines(paths: Paths, settings: Compare) -> Iterator[str]:
    """Lines for people. Raises StoreCorrupt where a look was altered."""
    ledger = known_looks(paths)
    looks = sorted(ledger.looks.values(), key=lambda look: (look.time, look.digest))
    try:
        rows = present_rows(paths)
    except TrackerError:
        rows = None
    if looks:
        header = ("when", "who", "trial", "candidate", "of the present rows")
        seen = ["not known" if rows is None else f"{len(look.rows & rows)} of {len(rows)}" for look in looks]
        cells = [
            (look.time, look.user or "", f"{look.study}/{look.trial}", look.candidate[:SHORT], shared)
            for look, shared in zip(looks, seen, strict=True)
        ]
        yield from align([header, *cells])
    else:
        yield "nobody has looked at test rows yet"
    if rows is None:
        yield "what is spent is not known: there are no test rows here"
        return
    spent = ledger.count(rows)
    taken, others = len(ledger.looks), "one at other rows, or of a candidate that has one, spends nothing"
    record = "" if taken + len(ledger.lost) == spent else f"; on record: {counted(taken, 'look')}; {others}"
    lost = f", {len(ledger.lost)} of them without a file: git may still have it" if ledger.lost else ""
    yield f"spent: {spent} of {settings.test_looks} looks at the present {present_words(paths)}{lost}{record}"
    if (chosen := _chosen(paths)) is not None:
        yield _next(chosen, ledger, rows, settings.test_looks - spent)


def _next(chosen: Mapping[str, Any], ledger: Ledger, rows: frozenset[str], left: int) -> str:
    """What it would cost to score what is chosen now."""
    name = place(chosen)
    if any(is_same(look, chosen) and rows <= look.rows for look in ledger.looks.values()):
        return f"next: {name} is chosen and was scored on these rows; scoring it again costs nothing"
    if left > 0:
        return f"next: scoring {name}, which is chosen now, costs one; {left - 1} would be left"
    return f"next: {name} is chosen now; scoring it needs compare.test_looks: {ledger.count(rows) + 1} in params.yaml"


def is_same(look: Look, chosen: Mapping[str, Any]) -> bool:
    """Whether a look was at the run that is chosen, perhaps as it was computed in another environment."""
    return look.key == str(chosen["key"]) or look.candidate == chosen.get("candidate")


def _chosen(paths: Paths) -> dict[str, Any] | None:
    """What `ranking.json` says is chosen, with the key and candidate of the run that would be scored."""
    try:
        ranking = json.loads((paths.reports / "ranking.json").read_text(encoding="utf-8"))
        return {**chosen_run(ranking), "candidate": chosen_candidate(ranking, paths)}
    except (OSError, ValueError, KeyError, TypeError, TrackerError):
        return None
