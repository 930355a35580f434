"""One look has one result: what was told before stays as its release told it, with fewer metrics or other intervals."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, parse_canonical
from tracker.design_effects import effects_version
from tracker.errors import StoreCorrupt
from tracker.evaluation.final import DETAILS, OPTIONAL, RESULT, SEEDS, keep_result, name_candidate, read_results
from tracker.evaluation.scoring import as_told
from tracker.store.store import Store


def keep_once(looks: Path, store: Store, scored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keeps a result beside the looks; gives it, or the one of the same look that is there already."""
    with contextlib.suppress(StoreCorrupt):  # a damaged file is told by `verify`, and the result written beside it
        for told in read_results(looks):
            if _tells(told, scored):
                return told
    for final in store.finals():
        told = name_candidate({name: final[name] for name in final if name in {*RESULT, *OPTIONAL, "configuration"}})
        if _tells(told, scored):
            return keep_result(looks, told)
    return keep_result(looks, scored)


def _tells(told: Mapping[str, Any], scored: Mapping[str, Any]) -> bool:
    """Whether a result is the one that was scored, without what its release did not have, with the intervals that it told."""
    if told.get("key") != scored["key"] or told.get("test_digest") != scored["test_digest"]:
        return False
    again = parse_canonical(canonical_json({**scored, "test": as_told(told["test"], scored["test"])}))
    same = all(name in told and told[name] == again[name] for name in RESULT) and told.get(SEEDS) == again.get(SEEDS)
    if effects_version(told["test"]) != effects_version(scored["test"]):
        return same  # its details have intervals of that version, too
    return same and told.get(DETAILS, again[DETAILS]) == again[DETAILS]
