"""What a stale report repeats, the last result on any of the present test rows, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.evaluation.ledger import Look
from tracker.evaluation.ranked import RankedTrial


def last_result(seen: Sequence[Look], results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The result of the latest look that has one, preferably from the environment in which it was taken."""
    for look in reversed(seen):
        sought = (look.candidate, look.test_digest)
        own = [result for result in results if (result["candidate"], result["test_digest"]) == sought]
        if own:
            return min(own, key=lambda result: bool(result["key"] != look.key))
    return None


def changes(last: Mapping[str, Any], chosen: RankedTrial, test_digest: str) -> dict[str, Any]:
    """What differs between the scored trial and the chosen one: name to the two values."""
    scored = _flat(last["study"], last["trial"], last["key"], last["test_digest"], last["params"])
    now = _flat(chosen.study, chosen.trial, chosen.key, test_digest, chosen.params)
    names = [name for name in {**scored, **now} if scored.get(name) != now.get(name)]
    return {name: {"scored": scored.get(name), "chosen": now.get(name)} for name in names}


def _flat(study: str, trial: int, key: str, test_digest: str, params: Mapping[str, Any]) -> dict[str, Any]:
    named = {f"params.{name}": params[name] for name in sorted(params)}
    return {"study": study, "trial": trial, "key": key, "test_digest": test_digest, **named}
