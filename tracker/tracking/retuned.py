"""What MLflow shows of a decision of `tracker retune`; loads no more than a command that finds nothing to do may load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.canonical import canonical_json
from tracker.store.store import Store
from tracker.tracking.run_contents import Point, Run, text

RETUNE = "retune.json"
TAG = "tracker.retune"
NOTE = "mlflow.note.content"
MOVES = frozenset({"first", "promoted", "refitted", "rollback"})  # decisions after which another model is served
SCORES = ("champion", "challenger", "lead", "low", "high", "p")


def retune_run(store: Store, key: str) -> Run:
    """The run of a decision: what was decided and why, both scores on the same rows, what the data had become."""
    told, created = store.retune(key)
    at = max(0, round(created * 1000))
    judged, data = told["judged"] or {}, told["data"] or {}
    numbers: dict[str, Any] = {f"retune_{name}": judged.get(name) for name in SCORES}
    numbers |= {f"data_{name}": data.get(name) for name in ("rows", "added", "removed", "changed", "relabelled")}
    sides = {name: named(told[name]) for name in ("champion", "challenger") if told[name]}
    params: dict[str, Any] = {"decision": told["decision"], **sides}
    params |= {name: judged[name] for name in ("metric", "rows") if judged.get(name) is not None}
    tags = {"tracker.kind": "retune", TAG: key, "mlflow.source.name": "tracker retune", "mlflow.source.type": "LOCAL"}
    tags |= {"tracker.decision": told["decision"], NOTE: note(told)}
    tags |= {"mlflow.user": told["user"]} if told.get("user") else {}
    return Run(
        name=f"retune {told['number']}: {told['decision']}",
        start_ms=at,
        end_ms=at,
        status="FINISHED",
        tags=tags,
        params={name: text(value) for name, value in params.items()},
        points=[Point(name, float(value), at, 0) for name, value in numbers.items() if value is not None],
        files={RETUNE: canonical_json(told)},
    )


def named(model: Mapping[str, Any]) -> str:
    """A model as commands take it: study and number, and of which study of that name, for each retuning begins another one."""
    return f"{model['study']}/{model['trial']}@{model['study_key'][:8]}"


def note(told: Mapping[str, Any]) -> str:
    """What was decided and why, as Markdown."""
    champion = f" Served: `{named(told['champion'])}`." if told["champion"] else ""
    reasons = "".join(f"\n- {reason}" for reason in told["reasons"])
    return f"**{told['decision'].capitalize()}.**{champion}\n{reasons}"


def last_move(store: Store, name: str) -> str | None:
    """The digest of the last decision after which another model was served under this registered name."""
    moves = [
        (told["number"], key)
        for key, told in store.retunes().items()
        if told["decision"] in MOVES and told.get("registered_model") == name
    ]
    return max(moves, default=(0, None))[1]


def version_tags(told: Mapping[str, Any]) -> dict[str, str]:
    """Of the champion that a registered model's version is."""
    champion = told["champion"]
    tags = {"tracker.study": champion["study"], "tracker.trial": str(champion["trial"]), "tracker.key": champion["key"]}
    return tags | ({"tracker.data": told["table"]} if told.get("table") else {})
