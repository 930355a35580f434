"""A decision of `tracker retune` in MLflow: a run that tells it, and the registered model's alias on the champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.canonical import canonical_json
from tracker.errors import NotFoundError, TrackingError
from tracker.store.queue import Item
from tracker.store.store import Store
from tracker.tracking.recorder import Found
from tracker.tracking.run_contents import MODEL_TAG, Point, Run, text
from tracker.tracking.transport import Taken, Transport

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


class Retuning:
    """A decision of a retuning: its run, and for one that changes the champion a version of the model with the alias."""

    name = "retune"

    def is_there(self, transport: Transport, item: Item) -> bool:
        """Whether the decision has a run that ended, which it does last."""
        found = self._found(transport, item)
        return found is not None and transport.is_whole(found, RETUNE)

    def deliver(self, transport: Transport, item: Item) -> None:
        """Creates the run if it is not there, registers the champion, moves the alias, ends the run.

        An older decision never takes the alias back: only the last one that moved it points it.
        """
        run, found = retune_run(transport.store, item.subject), self._found(transport, item)
        if found is None:
            found = transport.recorder.create(run, None)
        if transport.is_whole(found, RETUNE):
            return
        told, _ = transport.store.retune(item.subject)
        if told["decision"] in MOVES and (model := told.get("registered_model")):
            version = transport.recorder.register(model, self._champion(transport, told), _version_tags(told))
            if last_move(transport.store, model) == item.subject:
                transport.recorder.point(model, told["alias"], version)
        with transport.recorder.files(found) as folder:
            for name, content in run.files.items():
                (folder / name).write_bytes(content)
        transport.complete(found, run)

    def came(self, taken: Taken, item: Item) -> bool:
        """No pull takes decisions: they travel as reports/retunes.jsonl."""
        del taken, item
        return False

    @staticmethod
    def _found(transport: Transport, item: Item) -> Found | None:
        runs = transport.recorder.search(TAG, item.subject)
        return min(runs, key=lambda one: (not one.ended, one.run_id), default=None)

    @staticmethod
    def _champion(transport: Transport, told: Mapping[str, Any]) -> Found:
        """The run of the champion's trial, with its model; a policy that keeps none makes an exception for it."""
        study, number = told["champion"]["study_key"], told["champion"]["trial"]
        runs = transport.presence.study(study)
        found = runs.trials.get(number)
        if found is None:
            raise TrackingError(f"trial {named(told['champion'])} has no run yet; `tracker sync` brings it there")
        if MODEL_TAG not in found.tags:
            try:
                found = runs.trials[number] = transport.add_model(study, number, found)
            except NotFoundError:
                raise TrackingError(
                    f"the store has no trial {named(told['champion'])}; `tracker pull` brings it"
                ) from None
        return found


def _version_tags(told: Mapping[str, Any]) -> dict[str, str]:
    champion = told["champion"]
    tags = {"tracker.study": champion["study"], "tracker.trial": str(champion["trial"]), "tracker.key": champion["key"]}
    return tags | ({"tracker.data": told["table"]} if told.get("table") else {})
